//! The PORTS column of docker's listings.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::network::PublishedPort;

/// `0.0.0.0:8080->80/tcp, 443/tcp`: first, as ranges, ports with the same number on both sides and those only
/// exposed, then the others one by one.
pub fn format_ports(published: &[PublishedPort], exposed: &BTreeSet<String>) -> String {
    let mut groups: Vec<PortGroup> = Vec::new();
    let mut parts = Vec::new();
    let mut remapped = Vec::new();
    for (port, protocol, binding) in list_ports(published, exposed) {
        match binding {
            Some((ip, host)) if host != port => {
                remapped.push(format!("{}->{port}/{protocol}", join_host_port(ip, &host.to_string())));
                continue;
            }
            _ => {}
        }
        let ip = binding.map(|(ip, _)| ip);
        match groups.iter_mut().find(|group| group.ip == ip && group.protocol == protocol) {
            Some(group) if group.last.checked_add(1) == Some(port) => group.last = port,
            Some(group) => {
                parts.push(group.render());
                (group.first, group.last) = (port, port);
            }
            None => groups.push(PortGroup { ip, protocol, first: port, last: port }),
        }
    }
    parts.extend(groups.iter().map(PortGroup::render));
    parts.extend(remapped);
    parts.join(", ")
}

/// `127.0.0.1:80`, `[::1]:80`.
pub fn join_host_port(ip: IpAddr, port: &str) -> String {
    match ip {
        IpAddr::V4(ip) => format!("{ip}:{port}"),
        IpAddr::V6(ip) => format!("[{ip}]:{port}"),
    }
}

/// Container port, protocol, and host address and port if published.
type ListedPort = (u16, String, Option<(IpAddr, u16)>);

/// Sorted by container port, then host address and port.
fn list_ports(published: &[PublishedPort], exposed: &BTreeSet<String>) -> Vec<ListedPort> {
    let mut ports: Vec<ListedPort> = published
        .iter()
        .map(|port| (port.container, port.protocol.to_string(), Some((port.ip, port.host))))
        .collect();
    for text in exposed {
        let (number, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
        let Ok(number) = number.parse() else { continue };
        // A published port is listed once, even if it is exposed too.
        if !ports.iter().any(|(port, of, _)| *port == number && of == protocol) {
            ports.push((number, protocol.to_owned(), None));
        }
    }
    ports.sort_by(|a, b| (a.0, a.2, &a.1).cmp(&(b.0, b.2, &b.1)));
    ports
}

struct PortGroup {
    ip: Option<IpAddr>,
    protocol: String,
    first: u16,
    last: u16,
}

impl PortGroup {
    fn render(&self) -> String {
        let ports = match self.first == self.last {
            true => self.first.to_string(),
            false => format!("{}-{}", self.first, self.last),
        };
        match self.ip {
            Some(ip) => format!("{}->{ports}/{}", join_host_port(ip, &ports), self.protocol),
            None => format!("{ports}/{}", self.protocol),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::PortProtocol;

    fn published(ip: &str, host: u16, container: u16) -> PublishedPort {
        PublishedPort { container, protocol: PortProtocol::Tcp, ip: ip.parse().unwrap(), host }
    }

    #[test]
    fn ranges_are_joined_as_docker_does() {
        let exposed: BTreeSet<String> = ["80/tcp", "443/tcp", "444/tcp", "53/udp"].map(str::to_owned).into();
        assert_eq!(format_ports(&[], &BTreeSet::new()), "");
        assert_eq!(format_ports(&[], &exposed), "80/tcp, 53/udp, 443-444/tcp");
        let both = [published("0.0.0.0", 8080, 80), published("::", 8080, 80)];
        let one: BTreeSet<String> = ["80/tcp".to_owned()].into();
        assert_eq!(format_ports(&both, &one), "0.0.0.0:8080->80/tcp, [::]:8080->80/tcp");
        let same = [
            published("0.0.0.0", 8000, 8000),
            published("0.0.0.0", 8001, 8001),
            published("127.0.0.1", 9, 9),
        ];
        assert_eq!(
            format_ports(&same, &BTreeSet::new()),
            "127.0.0.1:9->9/tcp, 0.0.0.0:8000-8001->8000-8001/tcp"
        );
    }
}

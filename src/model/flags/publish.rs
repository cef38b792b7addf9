//! Published ports: `-p [[ip:][host[-host]]:]container[-container][/protocol]`, or `target=…,published=…`.
//!
//! Errors in docker's words, which scripts match on.

use std::net::IpAddr;

use super::csv;
use crate::container::ContainerSpec;
use crate::network::{PortProtocol, PortSpec};
use crate::port_range::parse_bounds;
use dhow_error::{Failure, invalid, unsupported};

/// Parses a `-p`; a range gives several ports.
pub fn parse(text: &str) -> Result<Vec<PortSpec>, Failure> {
    if text.contains('=') {
        return parse(&long_form(text)?);
    }
    let (ip, host, container) = split(text);
    let (container, protocol) = container.split_once('/').unwrap_or((container, "tcp"));
    if container.is_empty() {
        return Err(invalid(format!("no port specified: {}<empty>", text.escape_debug())));
    }
    let protocol = protocol_of(protocol)?;
    let ip = address(ip)?;
    let wrong = |field: &str, text: &str| invalid(format!("invalid {field}: {}", text.escape_debug()));
    let (first, last) = parse_bounds(container).ok_or_else(|| wrong("containerPort", container))?;
    if first == 0 {
        return Err(wrong("containerPort", container));
    }
    let host_ports = match host {
        "" => None,
        host => Some(parse_bounds(host).ok_or_else(|| wrong("hostPort", host))?),
    };
    let ports = first..=last;
    // Host port 0 means any free port.
    let Some((low, high)) = host_ports.filter(|host_ports| *host_ports != (0, 0)) else {
        return Ok(ports.map(|container| PortSpec { container, protocol, ip, host: None }).collect());
    };
    if low == 0 {
        return Err(wrong("hostPort", host));
    }
    if first == last {
        return Ok(vec![PortSpec { container: first, protocol, ip, host: Some((low, high)) }]);
    }
    // Ranges are paired port by port; only a single port may choose from a range.
    if high - low != last - first {
        return Err(invalid(format!(
            "invalid ranges specified for container and host Ports: {container} and {host}"
        )));
    }
    let pairs = ports.zip(low..=high);
    Ok(pairs
        .map(|(container, host)| PortSpec { container, protocol, ip, host: Some((host, host)) })
        .collect())
}

/// Splits into host address, host port and container port at the last two colons: an IPv6 address contains
/// more.
fn split(text: &str) -> (&str, &str, &str) {
    let (rest, container) = text.rsplit_once(':').unwrap_or(("", text));
    let (ip, host) = rest.rsplit_once(':').unwrap_or(("", rest));
    (ip, host, container)
}

fn protocol_of(text: &str) -> Result<PortProtocol, Failure> {
    match text.to_ascii_lowercase().as_str() {
        "" | "tcp" => Ok(PortProtocol::Tcp),
        "udp" => Ok(PortProtocol::Udp),
        "sctp" => Err(unsupported("SCTP ports cannot be published: a user's sockets for SCTP could not be passed on packet by packet")
            .hint("publish tcp or udp, or use --network host")),
        _ => Err(invalid(format!("invalid proto: {}", text.escape_debug()))),
    }
}

/// `None` for all addresses of both families; `0.0.0.0` and `::` are all of one.
fn address(text: &str) -> Result<Option<IpAddr>, Failure> {
    if text.is_empty() {
        return Ok(None);
    }
    // Brackets around an IPv6 address are optional, but have to be closed.
    let bare = text.strip_prefix('[').map_or(Some(text), |rest| rest.strip_suffix(']'));
    let wrong = || invalid(format!("invalid IP address: {}", text.escape_debug()));
    bare.and_then(|bare| bare.parse().ok()).map(Some).ok_or_else(wrong)
}

/// Converts `target=80,published=8080,protocol=udp` to the short form.
fn long_form(text: &str) -> Result<String, Failure> {
    let (mut target, mut published, mut protocol) = (String::new(), String::new(), "tcp".to_owned());
    for field in csv::fields(text)? {
        let malformed = || {
            invalid(format!(
                "invalid publish opts format (should be name=value but got '{}')",
                field.escape_debug()
            ))
        };
        let (name, value) = field.split_once('=').ok_or_else(malformed)?;
        match name {
            "target" => value.clone_into(&mut target),
            "published" => value.clone_into(&mut published),
            "protocol" => value.clone_into(&mut protocol),
            // For swarm services; ignored.
            "mode" if value == "host" || value == "ingress" => {}
            _ => return Err(malformed()),
        }
    }
    if target.is_empty() {
        return Err(invalid(format!("no port specified: {}<empty>", text.escape_debug())));
    }
    Ok(format!("{published}:{target}/{protocol}"))
}

impl ContainerSpec {
    /// The ports to publish: those of `-p`, and with `-P` all other exposed ones.
    pub fn ports_to_publish(&self) -> Vec<PortSpec> {
        let mut ports = self.ports.clone();
        if self.publish_all {
            let exposed_ports = self.exposed_ports.iter().filter_map(|port| parse_exposed(port));
            for (container, protocol) in exposed_ports {
                if !ports.iter().any(|port| (port.container, port.protocol) == (container, protocol)) {
                    ports.push(PortSpec { container, protocol, ip: None, host: None });
                }
            }
        }
        ports
    }
}

/// Parses an exposed `80/tcp`; SCTP ports are skipped silently, since nobody asked to publish them.
fn parse_exposed(port: &str) -> Option<(u16, PortProtocol)> {
    let (number, protocol) = port.split_once('/').unwrap_or((port, "tcp"));
    let protocol = match protocol {
        "tcp" => PortProtocol::Tcp,
        "udp" => PortProtocol::Udp,
        _ => return None,
    };
    Some((number.parse().ok()?, protocol))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Vec<String> {
        let show = |port: PortSpec| {
            let ip = port.ip.map(|ip| ip.to_string()).unwrap_or_default();
            let host = port.host.map(|(a, b)| format!("{a}-{b}")).unwrap_or_default();
            format!("{ip}|{host}|{}/{}", port.container, port.protocol)
        };
        parse(text).unwrap().into_iter().map(show).collect()
    }

    #[test]
    fn forms_of_docker() {
        for (text, result) in [
            ("80", &["||80/tcp"] as &[&str]),
            ("8080:80", &["|8080-8080|80/tcp"]),
            ("8080:80/UDP", &["|8080-8080|80/udp"]),
            ("127.0.0.1::80", &["127.0.0.1||80/tcp"]),
            ("127.0.0.1:8080:80", &["127.0.0.1|8080-8080|80/tcp"]),
            ("[::1]:8080:80/tcp", &["::1|8080-8080|80/tcp"]),
            ("::1:8080:80", &["::1|8080-8080|80/tcp"]),
            ("0.0.0.0:53:53/udp", &["0.0.0.0|53-53|53/udp"]),
            ("0:80", &["||80/tcp"]),
            ("8000-8002:80", &["|8000-8002|80/tcp"]),
            ("8000-8001:80-81", &["|8000-8000|80/tcp", "|8001-8001|81/tcp"]),
            ("80-81", &["||80/tcp", "||81/tcp"]),
            ("target=80,published=8080,protocol=udp,mode=host", &["|8080-8080|80/udp"]),
            ("target=80", &["||80/tcp"]),
        ] {
            assert_eq!(shown(text), result, "{text}");
        }
    }

    #[test]
    fn errors_of_docker() {
        for (text, why) in [
            ("", "no port specified: <empty>"),
            ("8080:", "no port specified: 8080:<empty>"),
            ("8080:/tcp", "no port specified"),
            ("80/icmp", "invalid proto: icmp"),
            ("80/sctp", "SCTP"),
            ("host:80:80", "invalid IP address: host"),
            ("[::1:80:80", "invalid IP address: [::1"),
            ("1.2.3.4.5:80:80", "invalid IP address: 1.2.3.4.5"),
            ("x:80", "invalid hostPort: x"),
            ("70000:80", "invalid hostPort: 70000"),
            ("9-8:80", "invalid hostPort: 9-8"),
            ("80:x", "invalid containerPort: x"),
            ("80:0", "invalid containerPort: 0"),
            ("80:+5", "invalid containerPort: +5"),
            ("8000-8002:80-81", "invalid ranges specified for container and host Ports: 80-81 and 8000-8002"),
            ("8000:80-81", "invalid ranges"),
            ("target=80,colour=red", "invalid publish opts format"),
            ("published=80", "no port specified"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn all_that_is_exposed_is_published_once() {
        let spec = ContainerSpec {
            ports: parse("8080:80").unwrap(),
            publish_all: true,
            exposed_ports: ["80/tcp", "53/udp", "9/sctp"].map(str::to_owned).into(),
            ..ContainerSpec::default()
        };
        let ports: Vec<u16> = spec.ports_to_publish().iter().map(|port| port.container).collect();
        assert_eq!(ports, [80, 53]);
        assert_eq!(ContainerSpec { publish_all: false, ..spec }.ports_to_publish().len(), 1);
    }
}

//! The texts of /etc/hosts and /etc/hostname, as docker writes them.

use std::fmt::Write as _;
use std::net::IpAddr;

use dhow_error::{Failure, FailureKind};
use dhow_model::container::{ContainerSpec, NetworkMode};
use dhow_model::network::NetworkEndpoint;

/// What the texts depend on; the default is a container on no network.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct NetworkFileContext<'a> {
    pub endpoints: &'a [NetworkEndpoint],
    /// Whether it is on no network but the default one, which has no DNS.
    pub default_network: bool,
    pub gateways: &'a [IpAddr],
    /// Linked containers on the default network: an address of each, and its names.
    pub links: &'a [(IpAddr, String)],
}

const LOOPBACK: &str = "127.0.0.1\tlocalhost\n";
const LOOPBACK6: &str = "::1\tlocalhost ip6-localhost ip6-loopback\nfe00::\tip6-localnet\nff00::\tip6-mcastprefix\n\
                         ff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n";
/// Sysctls that leave a container without IPv6.
const NO_V6: [&str; 2] = ["net.ipv6.conf.all.disable_ipv6", "net.ipv6.conf.lo.disable_ipv6"];

/// /etc/hosts: loopback, `--add-host`, links, and the container's own addresses. On the host's network it is
/// the host's file, unless `--add-host` is used.
pub(crate) fn hosts_text(spec: &ContainerSpec, context: &NetworkFileContext<'_>) -> Result<String, Failure> {
    let host_network = spec.namespaces.network == Some(NetworkMode::Host);
    if host_network && spec.extra_hosts.is_empty() {
        return Ok(std::fs::read_to_string("/etc/hosts").unwrap_or_else(|_| [LOOPBACK, LOOPBACK6].concat()));
    }
    let mut text = LOOPBACK.to_owned();
    if has_v6(spec) {
        text.push_str(LOOPBACK6);
    }
    for (name, address) in &spec.extra_hosts {
        match address.as_str() {
            "host-gateway" => {
                for gateway in host_gateways(spec, name, context)? {
                    text += &hosts_line(spec, gateway, name);
                }
            }
            address => drop(writeln!(text, "{address}\t{name}")),
        }
    }
    for (address, names) in context.links {
        text += &hosts_line(spec, *address, names);
    }
    Ok(context.endpoints.iter().fold(text, |text, endpoint| add_hosts_lines(&text, spec, endpoint)))
}

fn host_gateways(
    spec: &ContainerSpec,
    name: &str,
    context: &NetworkFileContext<'_>,
) -> Result<Vec<IpAddr>, Failure> {
    if spec.namespaces.network == Some(NetworkMode::Host) {
        return Ok(vec![std::net::Ipv4Addr::LOCALHOST.into()]);
    }
    // A container that has left all its networks may be connected again.
    if context.gateways.is_empty() && spec.namespaces.network != Some(NetworkMode::Networks) {
        let message = format!("--add-host {name}:host-gateway needs a network that reaches the host");
        return Err(Failure::new(FailureKind::Unsupported, message)
            .hint("use --network host, or a network other than none"));
    }
    Ok(context.gateways.to_vec())
}

/// The text after the container was connected to a network.
pub(crate) fn add_hosts_lines(text: &str, spec: &ContainerSpec, endpoint: &NetworkEndpoint) -> String {
    let mut text = text.to_owned();
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text + &own_lines(spec, endpoint).concat()
}

/// The text after the container was disconnected from a network.
pub(crate) fn remove_hosts_lines(text: &str, spec: &ContainerSpec, endpoint: &NetworkEndpoint) -> String {
    let removed = own_lines(spec, endpoint);
    // Only exact matches: a line that the container has changed stays.
    text.split_inclusive('\n').filter(|line| !removed.iter().any(|own| own == line)).collect()
}

/// The container's name on a network: with its domain, then without.
fn own_lines(spec: &ContainerSpec, endpoint: &NetworkEndpoint) -> Vec<String> {
    let mut names = spec.host_name();
    if let Some(domain) = spec.domainname.as_ref().filter(|domain| !domain.is_empty()) {
        names = format!("{names}.{domain}");
    }
    if let Some((first, _)) = names.split_once('.') {
        names = format!("{names} {first}");
    }
    endpoint.addresses().map(|address| hosts_line(spec, address, &names)).collect()
}

/// Empty for an IPv6 address in a container without IPv6.
fn hosts_line(spec: &ContainerSpec, address: IpAddr, names: &str) -> String {
    if address.is_ipv4() || has_v6(spec) { format!("{address}\t{names}\n") } else { String::new() }
}

fn has_v6(spec: &ContainerSpec) -> bool {
    !NO_V6.iter().any(|name| spec.sysctls.get(*name).is_some_and(|value| value.trim() == "1"))
}

pub(crate) fn hostname_text(spec: &ContainerSpec) -> String {
    let name = match (&spec.hostname, spec.namespaces.uts_host) {
        (Some(name), false) => name.clone(),
        _ => rustix::system::uname().nodename().to_string_lossy().into_owned(),
    };
    name + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use dhow_model::network::MacAddress;

    fn spec() -> ContainerSpec {
        ContainerSpec { id: "0123456789abcdef".repeat(4), ..ContainerSpec::default() }
    }

    fn endpoint(v4: &str, v6: Option<&str>) -> NetworkEndpoint {
        NetworkEndpoint {
            network: "n".into(),
            interface: "eth0".into(),
            v4: Some(v4.parse().unwrap()),
            v6: v6.map(|v6| v6.parse().unwrap()),
            mac: MacAddress::default(),
            aliases: Vec::new(),
            links: Vec::new(),
            link_local: Vec::new(),
            default_route: true,
        }
    }

    #[test]
    fn on_a_network_there_are_loopback_extra_hosts_links_and_its_own_addresses() {
        let mut spec = spec();
        spec.extra_hosts = vec![("buoy".into(), "192.0.2.7".into()), ("host".into(), "host-gateway".into())];
        let context = NetworkFileContext {
            endpoints: &[endpoint("172.17.0.2/16", Some("2001:db8::2/64"))],
            default_network: true,
            gateways: &["172.17.0.1".parse().unwrap(), "2001:db8::1".parse().unwrap()],
            links: &[("172.17.0.3".parse().unwrap(), "db fedcba987654 store".into())],
        };
        assert_eq!(
            hosts_text(&spec, &context).unwrap(),
            "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::\tip6-localnet\n\
             ff00::\tip6-mcastprefix\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n192.0.2.7\tbuoy\n\
             172.17.0.1\thost\n2001:db8::1\thost\n172.17.0.3\tdb fedcba987654 store\n\
             172.17.0.2\t0123456789ab\n2001:db8::2\t0123456789ab\n"
        );
        spec.sysctls = [("net.ipv6.conf.all.disable_ipv6".to_owned(), "1".to_owned())].into();
        assert_eq!(
            hosts_text(&spec, &context).unwrap(),
            "127.0.0.1\tlocalhost\n192.0.2.7\tbuoy\n172.17.0.1\thost\n172.17.0.3\tdb fedcba987654 store\n\
             172.17.0.2\t0123456789ab\n"
        );
    }

    #[test]
    fn a_name_with_a_domain_comes_with_its_first_label() {
        let names = |hostname: Option<&str>, domain: Option<&str>| {
            let mut spec = spec();
            (spec.hostname, spec.domainname) = (hostname.map(Into::into), domain.map(Into::into));
            add_hosts_lines("", &spec, &endpoint("192.0.2.2/24", None))
        };
        assert_eq!(names(Some("web"), None), "192.0.2.2\tweb\n");
        assert_eq!(names(Some("web.example.org"), None), "192.0.2.2\tweb.example.org web\n");
        assert_eq!(names(Some("web"), Some("example.org")), "192.0.2.2\tweb.example.org web\n");
        assert_eq!(names(Some("a.b"), Some("c")), "192.0.2.2\ta.b.c a\n");
        assert_eq!(names(None, Some("c")), "192.0.2.2\t0123456789ab.c 0123456789ab\n");
    }

    #[test]
    fn leaving_takes_what_joining_brought_and_nothing_else() {
        let (spec, context) = (spec(), endpoint("192.0.2.2/24", Some("2001:db8::2/64")));
        let before = "192.0.2.2\tother\n# 192.0.2.2\t0123456789ab\n192.0.2.20\t0123456789ab\n";
        let joined = add_hosts_lines(before, &spec, &context);
        assert_eq!(joined, format!("{before}192.0.2.2\t0123456789ab\n2001:db8::2\t0123456789ab\n"));
        assert_eq!(remove_hosts_lines(&joined, &spec, &context), before);
        // An editor may leave the last line without its end.
        assert_eq!(
            add_hosts_lines("x", &spec, &endpoint("192.0.2.2/24", None)),
            "x\n192.0.2.2\t0123456789ab\n"
        );
        assert_eq!(remove_hosts_lines("x", &spec, &context), "x");
    }

    #[test]
    fn without_networks_of_its_own() {
        let mut spec = spec();
        spec.hostname = Some("web".into());
        let loopback = [LOOPBACK, LOOPBACK6].concat();
        assert_eq!(hosts_text(&spec, &NetworkFileContext::default()).unwrap(), loopback);
        spec.extra_hosts = vec![("host".into(), "host-gateway".into())];
        assert!(hosts_text(&spec, &NetworkFileContext::default()).is_err());
        spec.namespaces.network = Some(NetworkMode::Host);
        assert_eq!(
            hosts_text(&spec, &NetworkFileContext::default()).unwrap(),
            format!("{loopback}127.0.0.1\thost\n")
        );
        spec.extra_hosts.clear();
        assert_eq!(
            hosts_text(&spec, &NetworkFileContext::default()).unwrap(),
            std::fs::read_to_string("/etc/hosts").unwrap()
        );
    }
}

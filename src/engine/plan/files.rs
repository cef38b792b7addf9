//! The texts of /etc/hosts, /etc/hostname and /etc/resolv.conf.

use std::fmt::Write as _;
use std::net::IpAddr;

use crate::error::{Failure, Kind};
use crate::model::container::{ContainerSpec, NetworkMode};
use crate::model::network::Endpoint;
use crate::network::dns;

/// Where the container is, for the texts; the default is on no network.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::engine) struct Place<'a> {
    /// Its places on networks.
    pub(in crate::engine) endpoints: &'a [Endpoint],
    /// Whether all it is on is the default network, where there are no names.
    pub(in crate::engine) default_network: bool,
    /// Addresses of the networks' gateways.
    pub(in crate::engine) gateways: &'a [IpAddr],
}

/// /etc/hosts: the host's own with its network, else loopback, its own addresses, and what was asked to be added.
pub(in crate::engine) fn hosts(spec: &ContainerSpec, place: &Place<'_>) -> Result<String, Failure> {
    let host_network = spec.namespaces.network == Some(NetworkMode::Host);
    let mut text = match host_network {
        true => std::fs::read_to_string("/etc/hosts").unwrap_or_else(|_| LOOPBACK.into()),
        false => LOOPBACK.into(),
    };
    if !text.ends_with('\n') {
        text.push('\n');
    }
    if !place.endpoints.is_empty() {
        return Ok(hosts_on_networks(text, spec, place));
    }
    if let (Some(name), false) = (&spec.hostname, host_network) {
        // Programs look up their own name; without a network it leads to the loopback interface, as Debian has it.
        let _ = writeln!(text, "127.0.1.1\t{name}");
    }
    for (name, address) in &spec.extra_hosts {
        let address = match (address.as_str(), host_network) {
            ("host-gateway", true) => "127.0.0.1",
            ("host-gateway", false) => {
                return Err(Failure::new(
                    Kind::Unsupported,
                    format!("--add-host {name}:host-gateway needs a network that reaches the host"),
                )
                .hint("use --network host"));
            }
            (address, _) => address,
        };
        let _ = writeln!(text, "{address}\t{name}");
    }
    Ok(text)
}

fn hosts_on_networks(mut text: String, spec: &ContainerSpec, place: &Place<'_>) -> String {
    for (name, address) in &spec.extra_hosts {
        match address.as_str() {
            "host-gateway" => {
                for gateway in place.gateways {
                    let _ = writeln!(text, "{gateway}\t{name}");
                }
            }
            address => drop(writeln!(text, "{address}\t{name}")),
        }
    }
    place.endpoints.iter().fold(text, |text, endpoint| hosts_joined(&text, spec, endpoint))
}

/// The text of a container that has come on a network.
pub(in crate::engine) fn hosts_joined(text: &str, spec: &ContainerSpec, endpoint: &Endpoint) -> String {
    let mut text = text.to_owned();
    let short: String = spec.id.chars().take(12).collect();
    let name = spec.hostname.as_deref().unwrap_or(&short);
    for address in endpoint_addresses(endpoint) {
        let _ = match &spec.domainname {
            Some(domain) => writeln!(text, "{address}\t{name}.{domain} {name}"),
            None => writeln!(text, "{address}\t{name}"),
        };
    }
    text
}

/// The text of a container that has left a network.
pub(in crate::engine) fn hosts_left(text: &str, endpoint: &Endpoint) -> String {
    let gone: Vec<String> = endpoint_addresses(endpoint).map(|address| format!("{address}\t")).collect();
    let stays = |line: &&str| !gone.iter().any(|start| line.starts_with(start.as_str()));
    text.lines().filter(stays).map(|line| format!("{line}\n")).collect()
}

fn endpoint_addresses(endpoint: &Endpoint) -> impl Iterator<Item = IpAddr> {
    let v4 = endpoint.v4.map(|net| IpAddr::from(net.addr()));
    v4.into_iter().chain(endpoint.v6.map(|net| IpAddr::from(net.addr())))
}

const LOOPBACK: &str = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::\tip6-localnet\nff00::\tip6-mcastprefix\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n";

/// /etc/hostname.
pub(super) fn hostname(spec: &ContainerSpec) -> String {
    let name = match (&spec.hostname, spec.namespaces.uts_host) {
        (Some(name), false) => name.clone(),
        _ => rustix::system::uname().nodename().to_string_lossy().into_owned(),
    };
    name + "\n"
}

/// /etc/resolv.conf: the host's, with what was asked for in place of its lines of the same kind.
/// On networks the name service of the network helper is asked, but for servers that were given on the default one.
pub(super) fn resolv_conf(spec: &ContainerSpec, place: &Place<'_>) -> String {
    let host = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    if place.endpoints.is_empty() || (place.default_network && !spec.dns.servers.is_empty()) {
        return merge_resolv(&host, spec);
    }
    let mut spec = spec.clone();
    spec.dns.servers = vec![dns::ADDRESS.to_string()];
    if !place.default_network && !spec.dns.options.iter().any(|option| option.starts_with("ndots:")) {
        spec.dns.options.push("ndots:0".into());
    }
    merge_resolv(&host, &spec)
}

fn merge_resolv(host: &str, spec: &ContainerSpec) -> String {
    let host_network = spec.namespaces.network == Some(NetworkMode::Host);
    let mut text = String::new();
    for line in host.lines() {
        let mut words = line.split_whitespace();
        let replaced = match words.next().unwrap_or_default() {
            "nameserver" => {
                !spec.dns.servers.is_empty() || (!host_network && words.next().is_some_and(is_loopback))
            }
            "search" | "domain" => !spec.dns.search.is_empty(),
            "options" => !spec.dns.options.is_empty(),
            _ => true,
        };
        if !replaced {
            let _ = writeln!(text, "{line}");
        }
    }
    for server in &spec.dns.servers {
        let _ = writeln!(text, "nameserver {server}");
    }
    let search: Vec<&str> =
        spec.dns.search.iter().map(String::as_str).filter(|domain| *domain != ".").collect();
    if !search.is_empty() {
        let _ = writeln!(text, "search {}", search.join(" "));
    }
    if !spec.dns.options.is_empty() {
        let _ = writeln!(text, "options {}", spec.dns.options.join(" "));
    }
    text
}

fn is_loopback(address: &str) -> bool {
    address.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asked_lines_replace_the_hosts() {
        let host =
            "# comment\nnameserver 127.0.0.53\nnameserver 192.0.2.1\nsearch example.org\noptions ndots:1\n";
        let mut spec = ContainerSpec::default();
        assert_eq!(merge_resolv(host, &spec), "nameserver 192.0.2.1\nsearch example.org\noptions ndots:1\n");
        spec.dns.servers = vec!["192.0.2.9".into()];
        spec.dns.search = vec![".".into()];
        spec.dns.options = vec!["ndots:5".into()];
        assert_eq!(merge_resolv(host, &spec), "nameserver 192.0.2.9\noptions ndots:5\n");
        spec.dns = crate::model::container::DnsSpec::default();
        spec.namespaces.network = Some(NetworkMode::Host);
        assert!(merge_resolv(host, &spec).starts_with("nameserver 127.0.0.53\n"));
    }
}

//! The texts of /etc/hosts, /etc/hostname and /etc/resolv.conf.

use std::fmt::Write as _;
use std::net::IpAddr;

use crate::error::{Failure, Kind};
use crate::model::container::{ContainerSpec, NetworkMode};

/// /etc/hosts: the host's own with its network, else loopback and what was asked to be added.
pub(super) fn hosts(spec: &ContainerSpec) -> Result<String, Failure> {
    let host_network = spec.namespaces.network == Some(NetworkMode::Host);
    let mut text = match host_network {
        true => std::fs::read_to_string("/etc/hosts").unwrap_or_else(|_| LOOPBACK.into()),
        false => LOOPBACK.into(),
    };
    if !text.ends_with('\n') {
        text.push('\n');
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
pub(super) fn resolv_conf(spec: &ContainerSpec) -> String {
    let host = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    merge_resolv(&host, spec)
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

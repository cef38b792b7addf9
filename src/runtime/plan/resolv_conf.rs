//! The text of /etc/resolv.conf (resolv.conf(5)), derived from the host's as docker does.

use std::net::IpAddr;

use super::hosts::NetworkFileContext;
use dhow_model::container::{ContainerSpec, DnsSpec, NetworkMode};
use dhow_network::dns;

/// A parsed resolv.conf.
#[derive(Debug, Default, PartialEq, Eq)]
struct ResolvConf {
    servers: Vec<String>,
    search: Vec<String>,
    options: Vec<String>,
    /// Lines with other keywords, kept as they are.
    other: Vec<String>,
}

/// /etc/resolv.conf: the host's, with `--dns` and the like in place of its lines. On a network it names the
/// network helper's DNS server, except that servers given with `--dns` are used directly on the default
/// network.
pub(crate) fn resolv_conf_text(spec: &ContainerSpec, context: &NetworkFileContext<'_>) -> String {
    from_host(&std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default(), spec, context)
}

fn from_host(host: &str, spec: &ContainerSpec, context: &NetworkFileContext<'_>) -> String {
    let host_network = spec.namespaces.network == Some(NetworkMode::Host);
    if host_network && spec.dns == DnsSpec::default() {
        return host.to_owned();
    }
    let mut conf = ResolvConf::parse(host);
    conf.replace(&spec.dns);
    let servers_given = !spec.dns.servers.is_empty();
    if context.endpoints.is_empty() {
        if !servers_given && !host_network {
            // The host's loopback servers cannot be reached from the container's loopback interface.
            conf.servers.retain(|server| !is_loopback(server));
        }
    } else if !context.default_network {
        conf.servers = vec![dns::ADDRESS.to_string()];
        conf.require_ndots();
    } else if !servers_given {
        conf.servers = vec![dns::ADDRESS.to_string()];
    }
    conf.text()
}

impl ResolvConf {
    fn parse(text: &str) -> Self {
        let mut conf = Self::default();
        for line in text.lines() {
            let mut words = line.split_whitespace();
            let Some(keyword) = words.next().filter(|word| !word.starts_with(['#', ';'])) else { continue };
            let values: Vec<String> = words.map(str::to_owned).collect();
            match (keyword, values.first()) {
                ("nameserver" | "domain" | "search" | "options", None) => {}
                ("nameserver", Some(server)) if address(server).is_some() => {
                    conf.servers.push(server.clone())
                }
                ("nameserver", Some(_)) => {}
                // Of several such lines the last one counts.
                ("domain" | "search", Some(_)) => conf.search = values,
                ("options", Some(_)) => conf.options.extend(values),
                _ => conf.other.push(line.to_owned()),
            }
        }
        conf
    }

    fn replace(&mut self, spec: &DnsSpec) {
        if !spec.servers.is_empty() {
            self.servers.clone_from(&spec.servers);
        }
        if !spec.search.is_empty() {
            // `--dns-search .` asks for no search domains.
            self.search = spec.search.iter().filter(|domain| *domain != ".").cloned().collect();
        }
        if !spec.options.is_empty() {
            self.options.clone_from(&spec.options);
        }
    }

    /// Single-label names are containers' names first, so they must be asked for as they are; unless the user
    /// set `ndots`.
    fn require_ndots(&mut self) {
        let valid = |option: &String| {
            option.strip_prefix("ndots").is_none_or(|rest| match rest.strip_prefix(':') {
                Some(number) => number.parse::<u32>().is_ok(),
                None => !rest.is_empty(),
            })
        };
        self.options.retain(valid);
        if !self.options.iter().any(|option| option.starts_with("ndots:")) {
            self.options.push("ndots:0".into());
        }
    }

    fn text(&self) -> String {
        let servers = self.servers.iter().map(|server| format!("nameserver {server}\n"));
        let joined = [("search", &self.search), ("options", &self.options)];
        let joined = joined.into_iter().filter(|(_, words)| !words.is_empty());
        let joined = joined.map(|(keyword, words)| format!("{keyword} {}\n", words.join(" ")));
        let other = self.other.iter().map(|line| format!("{line}\n"));
        servers.chain(joined).chain(other).collect()
    }
}

/// An IPv6 address may be followed by a zone.
fn address(server: &str) -> Option<IpAddr> {
    server.split('%').next()?.parse().ok()
}

fn is_loopback(server: &str) -> bool {
    address(server).is_some_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;
    use dhow_model::network::{MacAddress, NetworkEndpoint};

    const HOST: &str = "# comment\nnameserver 127.0.0.53\nnameserver 192.0.2.1\nnameserver fe80::1%eth0\n\
                        nameserver nonsense\ndomain old.example\nsearch example.org\tsub.example.org\n\
                        options edns0\noptions trust-ad\nsortlist 192.0.2.0\n\n;x\nsearch\n";

    fn asked(servers: &[&str], search: &[&str], options: &[&str]) -> ContainerSpec {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        let dns = DnsSpec { servers: texts(servers), search: texts(search), options: texts(options) };
        ContainerSpec { dns, ..ContainerSpec::default() }
    }

    fn on(default_network: bool, host: &str, spec: &ContainerSpec) -> String {
        let endpoint = NetworkEndpoint {
            network: "n".into(),
            interface: "eth0".into(),
            v4: None,
            v6: None,
            mac: MacAddress::default(),
            aliases: Vec::new(),
            links: Vec::new(),
            link_local: Vec::new(),
            default_route: true,
        };
        from_host(
            host,
            spec,
            &NetworkFileContext { endpoints: &[endpoint], default_network, ..NetworkFileContext::default() },
        )
    }

    #[test]
    fn on_networks_the_helper_is_asked() {
        let none = asked(&[], &[], &[]);
        let rest = "search example.org sub.example.org\noptions edns0 trust-ad";
        assert_eq!(
            on(false, HOST, &none),
            format!("nameserver 127.0.0.11\n{rest} ndots:0\nsortlist 192.0.2.0\n")
        );
        assert_eq!(on(true, HOST, &none), format!("nameserver 127.0.0.11\n{rest}\nsortlist 192.0.2.0\n"));
        assert_eq!(on(false, "", &none), "nameserver 127.0.0.11\noptions ndots:0\n");
        let all = asked(&["192.0.2.9", "::1"], &["a", "b"], &["ndots:5"]);
        assert_eq!(
            on(false, HOST, &all),
            "nameserver 127.0.0.11\nsearch a b\noptions ndots:5\nsortlist 192.0.2.0\n"
        );
        assert_eq!(
            on(true, HOST, &all),
            "nameserver 192.0.2.9\nnameserver ::1\nsearch a b\noptions ndots:5\nsortlist 192.0.2.0\n"
        );
    }

    #[test]
    fn ndots_is_left_alone_where_it_says_something() {
        let options = |host: &str| on(false, &format!("options {host}\n"), &asked(&[], &[], &[]));
        assert_eq!(options("ndots:2"), "nameserver 127.0.0.11\noptions ndots:2\n");
        for wrong in ["ndots:x", "ndots:-1", "ndots:", "ndots"] {
            assert_eq!(options(wrong), "nameserver 127.0.0.11\noptions ndots:0\n", "{wrong}");
        }
    }

    #[test]
    fn without_networks_the_hosts_servers_are_left_as_far_as_they_mean_something() {
        let context = NetworkFileContext::default();
        let spec = asked(&[], &["."], &[]);
        let rest = "options edns0 trust-ad\nsortlist 192.0.2.0\n";
        assert_eq!(
            from_host(HOST, &spec, &context),
            format!("nameserver 192.0.2.1\nnameserver fe80::1%eth0\n{rest}")
        );
        let mut host = spec;
        host.namespaces.network = Some(NetworkMode::Host);
        assert!(from_host(HOST, &host, &context).starts_with("nameserver 127.0.0.53\n"));
        host.dns = DnsSpec::default();
        assert_eq!(from_host(HOST, &host, &context), HOST);
    }
}

//! Proxies from the environment: `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`.
//!
//! Lower-case variables take precedence, as in curl. Loopback is never accessed through a proxy.

use std::net::IpAddr;

use anyhow::Result;
use ureq::Proxy;
use ureq::http::Uri;

use super::text::{host_and_port, is_loopback, split_port};
use dhow_error::invalid;
use dhow_model::environment::Environment;

#[derive(Debug, Default)]
pub(crate) struct ProxySettings {
    http: Option<Proxy>,
    https: Option<Proxy>,
    exceptions: Vec<NoProxyRule>,
}

impl ProxySettings {
    /// Reads the variables. The error for a malformed URL names the variable but not the value, which may
    /// contain a password.
    pub(crate) fn from_environment(environment: &Environment) -> Result<Self> {
        let all = read_proxy(environment, "all_proxy")?;
        Ok(Self {
            http: read_proxy(environment, "http_proxy")?.or_else(|| all.clone()),
            https: read_proxy(environment, "https_proxy")?.or(all),
            exceptions: variable(environment, "no_proxy")
                .map_or_else(Vec::new, |(_, text)| parse_no_proxy(text)),
        })
    }

    /// The proxy for `uri`, if any.
    pub(crate) fn choose(&self, uri: &Uri) -> Option<&Proxy> {
        let (host, port) = host_and_port(uri);
        let host = host.trim_matches(['[', ']']);
        if is_loopback(host) || self.exceptions.iter().any(|exception| exception.matches(host, port)) {
            return None;
        }
        if uri.scheme_str() == Some("http") { self.http.as_ref() } else { self.https.as_ref() }
    }
}

fn variable<'a>(environment: &'a Environment, name: &str) -> Option<(String, &'a str)> {
    [name.to_owned(), name.to_ascii_uppercase()]
        .into_iter()
        .find_map(|name| environment.text(&name).map(|value| (name, value.trim())))
}

fn read_proxy(environment: &Environment, name: &str) -> Result<Option<Proxy>> {
    let Some((name, value)) = variable(environment, name) else { return Ok(None) };
    Proxy::new(value).map(Some).map_err(|_| {
        invalid(format!("the environment variable {name} does not hold a proxy's URL"))
            .hint("it looks like http://proxy.example:3128, https://… or socks5://…")
            .into()
    })
}

#[derive(Debug, PartialEq, Eq)]
struct NoProxyRule {
    hosts: NoProxyHosts,
    port: Option<u16>,
}

#[derive(Debug, PartialEq, Eq)]
enum NoProxyHosts {
    Every,
    /// An address with a prefix length.
    Network(IpAddr, u8),
    /// The domain's subdomains, and the domain itself unless it was written with a leading dot.
    Domain {
        name: String,
        itself: bool,
    },
}

fn parse_no_proxy(text: &str) -> Vec<NoProxyRule> {
    text.split([',', ' ']).map(str::trim).filter(|item| !item.is_empty()).map(parse_rule).collect()
}

fn parse_rule(item: &str) -> NoProxyRule {
    if item == "*" {
        return NoProxyRule { hosts: NoProxyHosts::Every, port: None };
    }
    if let Some((address, bits)) = parse_network(item) {
        return NoProxyRule { hosts: NoProxyHosts::Network(address, bits), port: None };
    }
    let (host, port) = split_port(item);
    if let Ok(address) = host.parse::<IpAddr>() {
        // in_network clamps the bits to 32 for IPv4.
        return NoProxyRule { hosts: NoProxyHosts::Network(address, 128), port };
    }
    // `*.example.org` is another spelling of `.example.org`.
    let name = host.trim_start_matches('*');
    let itself = !name.starts_with('.');
    let name = name.trim_start_matches('.').trim_end_matches('.').to_ascii_lowercase();
    NoProxyRule { hosts: NoProxyHosts::Domain { name, itself }, port }
}

impl NoProxyRule {
    fn matches(&self, host: &str, port: u16) -> bool {
        if self.port.is_some_and(|wanted| wanted != port) {
            return false;
        }
        match &self.hosts {
            NoProxyHosts::Every => true,
            NoProxyHosts::Network(network, bits) => {
                host.parse::<IpAddr>().is_ok_and(|address| in_network(address, *network, *bits))
            }
            NoProxyHosts::Domain { name, itself } => {
                let host = host.trim_end_matches('.');
                (*itself && host == name)
                    || host.strip_suffix(name.as_str()).is_some_and(|rest| rest.ends_with('.'))
            }
        }
    }
}

/// Parses `address/bits`.
pub(crate) fn parse_network(text: &str) -> Option<(IpAddr, u8)> {
    let (address, bits) = text.split_once('/')?;
    let address: IpAddr = address.parse().ok()?;
    let bits: u8 = bits.parse().ok()?;
    (bits <= if address.is_ipv4() { 32 } else { 128 }).then_some((address, bits))
}

/// Whether `address` is in the network `network/bits`.
pub(crate) fn in_network(address: IpAddr, network: IpAddr, bits: u8) -> bool {
    let differing = match (address, network) {
        (IpAddr::V4(a), IpAddr::V4(b)) => u128::from(a.to_bits() ^ b.to_bits()) << 96,
        (IpAddr::V6(a), IpAddr::V6(b)) => a.to_bits() ^ b.to_bits(),
        _ => return false,
    };
    differing.leading_zeros() >= u32::from(bits).min(if network.is_ipv4() { 32 } else { 128 })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(pairs: &[(&str, &str)]) -> ProxySettings {
        ProxySettings::from_environment(&pairs.iter().copied().collect()).unwrap()
    }

    fn chosen(proxies: &ProxySettings, url: &str) -> Option<String> {
        proxies.choose(&url.parse().unwrap()).map(|proxy| proxy.host().to_owned())
    }

    #[test]
    fn each_scheme_has_its_own() {
        let set =
            proxies(&[("HTTP_PROXY", "http://one:1"), ("https_proxy", "two:2"), ("HTTPS_PROXY", "three")]);
        assert_eq!(chosen(&set, "http://r.example/").as_deref(), Some("one"));
        assert_eq!(chosen(&set, "https://r.example/").as_deref(), Some("two"));
        let all = proxies(&[("ALL_PROXY", "socks5://s:1")]);
        assert_eq!(chosen(&all, "https://r.example/").as_deref(), Some("s"));
        for local in ["http://localhost:5000/", "https://127.0.0.1/", "http://[::1]:1/"] {
            assert_eq!(chosen(&all, local), None, "{local}");
        }
    }

    #[test]
    fn exceptions_by_name_address_network_and_port() {
        let set = proxies(&[
            ("all_proxy", "http://p"),
            ("NO_PROXY", "example.com, .sub.org,10.0.0.0/8,1.2.3.4:99,*.star.net,host:8080,fe80::/10"),
        ]);
        for direct in [
            "https://example.com/",
            "https://EXAMPLE.com/",
            "https://a.example.com/",
            "https://x.sub.org/",
            "https://10.1.2.3/",
            "http://1.2.3.4:99/",
            "https://a.star.net/",
            "http://host:8080/",
            "http://[fe80::1]/",
        ] {
            assert_eq!(chosen(&set, direct), None, "{direct}");
        }
        for through in [
            "https://notexample.com/",
            "https://sub.org/",
            "https://11.1.2.3/",
            "http://1.2.3.4/",
            "https://star.net/",
            "http://host/",
            "http://[fec0::1]/",
        ] {
            assert!(chosen(&set, through).is_some(), "{through}");
        }
        assert_eq!(chosen(&proxies(&[("all_proxy", "p"), ("no_proxy", "*")]), "https://x/"), None);
    }

    #[test]
    fn a_malformed_proxy_is_named_without_its_password() {
        let environment = Environment::from_iter([("HTTPS_PROXY", "gopher://user:secret@host")]);
        let message = ProxySettings::from_environment(&environment).unwrap_err().to_string();
        assert!(message.contains("HTTPS_PROXY") && !message.contains("secret"), "{message}");
    }
}

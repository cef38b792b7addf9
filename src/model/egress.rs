//! `--egress-allow HOST[:PORT]`: the destinations that containers of a network may reach.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

use super::flags::hosts::is_dns_label;
use super::network::{EgressHost, EgressRule};
use dhow_error::{Failure, invalid};

/// The longest domain name in bytes (RFC 1035, section 2.3.4, without the length bytes at both ends).
const NAME: usize = 253;

/// Parses `example.org`, `*.example.org:443`, `192.0.2.0/24:443`, `2001:db8::/32` or `[2001:db8::1]:443`.
pub fn parse(text: &str) -> Result<EgressRule, Failure> {
    let text = text.trim();
    let malformed = |why: &str| {
        invalid(format!("invalid destination `{}` for --egress-allow: {why}", text.escape_debug()))
            .hint("HOST[:PORT], as in example.org:443, *.example.org, 192.0.2.0/24 or [2001:db8::1]:53")
    };
    let port = |text: &str| match text.parse::<u16>() {
        // Rust's parser accepts a plus sign.
        Ok(port) if port > 0 && !text.starts_with('+') => Ok(port),
        _ => Err(malformed("the port is not a number from 1 to 65535")),
    };
    if let Some(rest) = text.strip_prefix('[') {
        let (inner, rest) = rest.split_once(']').ok_or_else(|| malformed("`]` is missing"))?;
        // Brackets only belong around IPv6, where they separate the port.
        let net = network(inner).filter(|net| net.network().is_ipv6());
        let host = EgressHost::Net(net.ok_or_else(|| malformed("not an IPv6 address or subnet"))?);
        return match rest.strip_prefix(':') {
            Some(rest) => Ok(EgressRule { host, port: Some(port(rest)?) }),
            None if rest.is_empty() => Ok(EgressRule { host, port: None }),
            None => Err(malformed("what follows `]` is not a port")),
        };
    }
    // Before splitting at a colon: an IPv6 address without brackets has no port.
    if let Some(net) = network(text) {
        return Ok(EgressRule { host: EgressHost::Net(net), port: None });
    }
    let (host, port) = match text.split_once(':') {
        Some((host, rest)) => (host, Some(port(rest)?)),
        None => (text, None),
    };
    let host = match network(host) {
        Some(net) => EgressHost::Net(net),
        None => EgressHost::Name(name(host).map_err(malformed)?),
    };
    Ok(EgressRule { host, port })
}

/// An address or subnet, host bits cleared.
fn network(text: &str) -> Option<IpNet> {
    let net = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    net.ok().map(|net| net.trunc())
}

fn name(text: &str) -> Result<String, &'static str> {
    // The trailing dot of an absolute name; queries are compared without it.
    let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    let labels = name.strip_prefix("*.").unwrap_or(&name);
    if !name.is_ascii() {
        return Err("write the name in its ASCII form (xn--…)");
    }
    // A numeric last label means a mistyped address (RFC 3696, section 2).
    if labels.rsplit('.').next().is_some_and(|label| label.bytes().all(|b| b.is_ascii_digit())) {
        return Err("neither an address nor a name");
    }
    if name.len() > NAME || !labels.split('.').all(is_dns_label) {
        return Err("neither an address, nor a subnet, nor a name");
    }
    Ok(name)
}

impl fmt::Display for EgressRule {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.host, self.port) {
            (EgressHost::Net(IpNet::V6(net)), Some(port)) => write!(out, "[{net}]:{port}"),
            (EgressHost::Net(net), Some(port)) => write!(out, "{net}:{port}"),
            (EgressHost::Net(net), None) => write!(out, "{net}"),
            (EgressHost::Name(name), Some(port)) => write!(out, "{name}:{port}"),
            (EgressHost::Name(name), None) => out.write_str(name),
        }
    }
}

impl EgressHost {
    /// Whether this is a name that matches `query` (lower case, no trailing dot), directly or by its
    /// wildcard.
    pub fn allows_name(&self, query: &str) -> bool {
        let Self::Name(name) = self else { return false };
        match name.strip_prefix('*') {
            // The suffix keeps its dot, so neither the name itself nor `notexample.org` matches.
            Some(suffix) => query.len() > suffix.len() && query.ends_with(suffix),
            None => query == name,
        }
    }

    /// Whether this is a subnet that contains `address`.
    pub fn allows_address(&self, address: IpAddr) -> bool {
        matches!(self, Self::Net(net) if net.contains(&address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn destinations_are_read_and_written() {
        for (text, written) in [
            ("example.org", "example.org"),
            ("Example.ORG.:443", "example.org:443"),
            ("*.example.org:443", "*.example.org:443"),
            ("localhost", "localhost"),
            ("_dmarc.example.org", "_dmarc.example.org"),
            ("192.0.2.1", "192.0.2.1/32"),
            ("192.0.2.9/24:443", "192.0.2.0/24:443"),
            ("2001:db8::1", "2001:db8::1/128"),
            ("2001:db8::1/32", "2001:db8::/32"),
            ("[2001:db8::1]:443", "[2001:db8::1/128]:443"),
            ("[2001:db8::/32]:53", "[2001:db8::/32]:53"),
            ("[2001:db8::/32]", "2001:db8::/32"),
        ] {
            let egress = parse(text).unwrap();
            assert_eq!(egress.to_string(), written, "{text}");
            assert_eq!(parse(written).unwrap(), egress);
        }
    }

    #[test]
    fn what_means_nothing_is_refused() {
        let long = "a".repeat(64);
        for bad in [
            "",
            ":",
            ":80",
            "a:",
            "a:0",
            "a:65536",
            "a:+1",
            "a:b",
            "a b",
            "a..b",
            "-a",
            "*",
            "*.",
            "a.*",
            "*a.b",
            "**.a",
            "1.2.3",
            "1.2.3.4.5",
            "192.0.2.0/33",
            "[192.0.2.1]:80",
            "[::1",
            "[::1]80",
            "[::1]:",
            "ü.example",
            &long,
            "a/b",
            "http://example.org",
            "a\nb",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_wildcard_stands_for_what_is_below_and_not_for_the_name_itself() {
        let host = |text: &str| parse(text).unwrap().host;
        assert!(host("*.example.org").allows_name("a.b.example.org"));
        for other in ["example.org", ".example.org", "badexample.org", "example.org.evil"] {
            assert!(!host("*.example.org").allows_name(other), "{other}");
        }
        assert!(host("example.org").allows_name("example.org"));
        assert!(!host("example.org").allows_name("a.example.org"));
        assert!(host("192.0.2.0/24").allows_address("192.0.2.255".parse().unwrap()));
        assert!(!host("192.0.2.0/24").allows_address("2001:db8::1".parse().unwrap()));
        assert!(!host("192.0.2.0/24").allows_name("192.0.2.1"));
    }
}

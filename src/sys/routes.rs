//! Local addresses and routes of the network namespace, from /proc/net.
//!
//! `fib_trie` (Linux 2.6) lists the leaves of all IPv4 tables, including local addresses, as an address followed by
//! lines `/LENGTH SCOPE TYPE`. `ipv6_route` has one line per route, which starts with 32 hexadecimal digits and the
//! prefix length in hexadecimal.

use std::fs::read_to_string;
use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// Local addresses and route destinations of this process's network namespace, without default routes.
/// Unreadable files count as empty.
pub fn routed_networks() -> Vec<IpNet> {
    let text = |path| read_to_string(path).unwrap_or_default();
    let mut nets = parse_v4(&text("/proc/net/fib_trie"));
    nets.extend(parse_v6(&text("/proc/net/ipv6_route")));
    nets
}

fn parse_v4(text: &str) -> Vec<IpNet> {
    let mut nets = Vec::new();
    let mut leaf = None;
    for line in text.lines() {
        let line = line.trim_start();
        if let Some(address) = line.strip_prefix("|-- ") {
            leaf = address.trim().parse::<Ipv4Addr>().ok();
        } else if let (Some(address), Some(rest)) = (leaf, line.strip_prefix('/')) {
            let length = rest.split_whitespace().next().and_then(|length| length.parse::<u8>().ok());
            let net =
                length.filter(|length| *length > 0).and_then(|length| Ipv4Net::new(address, length).ok());
            nets.extend(net.map(IpNet::V4));
        }
    }
    nets
}

fn parse_v6(text: &str) -> Vec<IpNet> {
    let route = |line: &str| {
        let mut words = line.split_whitespace();
        let address = u128::from_str_radix(words.next()?, 16).ok()?;
        let length = u8::from_str_radix(words.next()?, 16).ok().filter(|length| *length > 0)?;
        Ipv6Net::new(Ipv6Addr::from_bits(address), length).ok().map(IpNet::V6)
    };
    text.lines().filter_map(route).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_tables_are_read() {
        let trie = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 0.0.0.0\n        /0 universe UNICAST\n     |-- 192.0.2.0\n        /24 link UNICAST\nLocal:\n     |-- 192.0.2.2\n        /32 host LOCAL\n";
        let shown: Vec<_> = parse_v4(trie).iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["192.0.2.0/24", "192.0.2.2/32"]);
        let routes = "20010db8000000000000000000000000 40 00000000000000000000000000000000 00 x\n00000000000000000000000000000000 00 y\nbad\n";
        let shown: Vec<_> = parse_v6(routes).iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["2001:db8::/64"]);
    }
}

//! Anti-spoofing on a bridge: frames of a port must carry the hardware address and an address of the
//! container behind it, so that no container can impersonate another or the gateway, by IP, ARP or neighbour
//! discovery.

use std::net::IpAddr;

use super::expression::{
    CmpOp, FIRST, MetaKey, PayloadBase, accept, compare, drop, in_set, l4_protocol_is, load, load_bytes,
};
use super::{ChainHook, NftTransaction, TableFamily};
use dhow_model::network::MacAddress;

const TABLE: &str = "dhow";
const CHAIN: &str = "from";
/// Before everything else on the bridge, which learns hardware addresses only later.
const PRIORITY: i32 = -300;
const V4: &str = "v4";
const V6: &str = "v6";

/// EtherTypes.
const ETHER_IPV4: [u8; 2] = [0x08, 0x00];
const ETHER_ARP: [u8; 2] = [0x08, 0x06];
const ETHER_IPV6: [u8; 2] = [0x86, 0xdd];

/// ICMPv6 types (RFC 4861): router advertisement and redirect, which only routers may send, and neighbour
/// advertisement.
const ADVERTISEMENT_OF_ROUTER: u8 = 134;
const ADVERTISEMENT: u8 = 136;
const REDIRECT: u8 = 137;

/// The rules, with empty sets: nobody may send yet.
pub(crate) fn rules(v6: bool) -> NftTransaction {
    let mut rules = NftTransaction::new(TableFamily::Bridge, TABLE);
    rules.add_table();
    rules.add_set(V4, 16);
    rules.add_chain("filter", CHAIN, ChainHook::Prerouting, PRIORITY, false);
    let ether = |kind: [u8; 2]| [load(MetaKey::Protocol, FIRST), compare(CmpOp::Equal, &kind)].concat();
    // The set's key: port index, hardware address (in two registers), and the address at `offset`.
    let key = |base, offset, length| {
        [
            load(MetaKey::InIndex, FIRST),
            load_bytes(PayloadBase::Link, 6, 6, FIRST + 1),
            load_bytes(base, offset, length, FIRST + 3),
        ]
        .concat()
    };
    rules
        .add_rule(CHAIN, &[ether(ETHER_IPV4), key(PayloadBase::Network, 12, 4), in_set(V4, false), accept()]);
    rules.add_rule(CHAIN, &[ether(ETHER_ARP), key(PayloadBase::Network, 14, 4), in_set(V4, false), accept()]);
    if v6 {
        rules.add_set(V6, 28);
        let icmp = |kind: u8| {
            let kind = [load_bytes(PayloadBase::Transport, 0, 1, FIRST), compare(CmpOp::Equal, &[kind])];
            [ether(ETHER_IPV6), l4_protocol_is(libc::IPPROTO_ICMPV6), kind.concat()].concat()
        };
        for kind in [ADVERTISEMENT_OF_ROUTER, REDIRECT] {
            rules.add_rule(CHAIN, &[icmp(kind), drop()]);
        }
        let target = key(PayloadBase::Transport, 8, 16);
        rules.add_rule(CHAIN, &[icmp(ADVERTISEMENT), target, in_set(V6, true), drop()]);
        rules.add_rule(
            CHAIN,
            &[ether(ETHER_IPV6), key(PayloadBase::Network, 8, 16), in_set(V6, false), accept()],
        );
    }
    rules
}

/// Allows the container behind the port with the index `port` to use `addresses`, or no longer.
pub(crate) fn change_allowed(add: bool, port: u32, mac: MacAddress, addresses: &[IpAddr]) -> NftTransaction {
    let mut change = NftTransaction::new(TableFamily::Bridge, TABLE);
    let (v4, v6): (Vec<IpAddr>, _) = addresses.iter().partition(|address| address.is_ipv4());
    change.change_set(V4, add, &set_keys(port, mac, &v4));
    change.change_set(V6, add, &set_keys(port, mac, &v6));
    change
}

fn set_keys(port: u32, mac: MacAddress, addresses: &[IpAddr]) -> Vec<Vec<u8>> {
    let key = |address: &IpAddr| {
        let mut key = port.to_ne_bytes().to_vec();
        key.extend(mac.0);
        // Padding: the hardware address takes two registers of four bytes.
        key.extend([0, 0]);
        match address {
            IpAddr::V4(address) => key.extend(address.octets()),
            IpAddr::V6(address) => key.extend(address.octets()),
        }
        key
    };
    addresses.iter().map(key).collect()
}

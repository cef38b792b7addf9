//! Leads TCP to a listener by destination NAT, for kernels without `tproxy`. Only connections that the
//! interceptor lets through are tracked and translated; nothing else from containers is tracked.

use ipnet::IpNet;

use super::expression::{
    Base, FIRST, Is, Meta, accept, came_by, compare, destination, load, load_bytes, load_direction, mask,
    opening, set_mark, transport, untracked,
};
use super::tproxy::{CHAIN, Interfaces, PRIORITY, to_gate};
use super::{Family, Hook, IPV4, IPV6, MARK_SOCKET, Port, Transaction};

/// Before connection tracking (`NF_IP_PRI_RAW`), and at destination NAT (`NF_IP_PRI_NAT_DST`).
const RAW: i32 = -300;
const TRANSLATION: i32 = -100;
const TRACKED: &str = "tracked";
const TO_LISTENER: &str = "to_listener";
/// Directions of a connection, `IP_CT_DIR_*`.
const FORTH: u8 = 0;
const BACK: u8 = 1;

/// The rules, with listeners at `port` of the gateway's `addresses`, which have the prefix lengths of its subnets.
///
/// They also hold if the kernel passes bridged packets through them (`bridge-nf-call-iptables`), as it does by default
/// once `br_netfilter` is loaded: traffic between containers of a network is not tracked.
pub(crate) fn rules(on: Interfaces, port: Port, addresses: &[IpNet]) -> Transaction {
    let mut rules = Transaction::new(Family::Inet, "dhow");
    rules.add_table();
    let tcp = || transport(libc::IPPROTO_TCP);
    let begins = || [came_by(on.gate), tcp(), opening(Is::Equal)].concat();
    let goes_on = || [on.inside(), tcp(), opening(Is::Not)].concat();
    rules.add_chain("filter", TRACKED, Hook::Prerouting, RAW, true);
    for address in addresses {
        rules.add_rule(TRACKED, &[on.inside(), to_neighbour(address), untracked(), accept()]);
    }
    rules.add_rule(TRACKED, &[begins(), accept()]);
    rules.add_rule(TRACKED, &[goes_on(), accept()]);
    for packets in [on.inside(), came_by(on.gate)] {
        rules.add_rule(TRACKED, &[packets, untracked()]);
    }
    rules.add_chain("filter", CHAIN, Hook::Prerouting, PRIORITY, true);
    let direction = |which| [load_direction(), compare(Is::Equal, &[which])].concat();
    // Answers to clients of published ports are for a local socket, whatever its address.
    rules.add_rule(CHAIN, &[goes_on(), direction(BACK), set_mark(MARK_SOCKET), accept()]);
    rules.add_rule(CHAIN, &[goes_on(), direction(FORTH), accept()]);
    to_gate(&mut rules, &on.inside(), addresses.iter().any(|address| address.addr().is_ipv6()));
    rules.add_chain("nat", TO_LISTENER, Hook::Prerouting, TRANSLATION, true);
    for address in addresses {
        // A segment of an unknown connection, as after the loss of a gateway, goes to the listener, which
        // resets it.
        for which in [begins(), goes_on()] {
            rules.add_rule(TO_LISTENER, &[family(address), which, destination(address.addr(), port)]);
        }
    }
    rules
}

/// Continues for packets of the family of `address`.
fn family(address: &IpNet) -> Vec<u8> {
    let family = if address.addr().is_ipv4() { IPV4 } else { IPV6 };
    [load(Meta::Family, FIRST), compare(Is::Equal, &[family])].concat()
}

/// Continues for packets to the subnet of `gateway`, except to the gateway itself.
fn to_neighbour(gateway: &IpNet) -> Vec<u8> {
    // Offset of the destination address in the header.
    let (at, own, net, bits) = match gateway {
        IpNet::V4(own) => (
            16,
            own.addr().octets().to_vec(),
            own.network().octets().to_vec(),
            own.netmask().octets().to_vec(),
        ),
        IpNet::V6(own) => (
            24,
            own.addr().octets().to_vec(),
            own.network().octets().to_vec(),
            own.netmask().octets().to_vec(),
        ),
    };
    let length = if gateway.addr().is_ipv4() { 4 } else { 16 };
    let target = || load_bytes(Base::Network, at, length, FIRST);
    let in_net = [target(), mask(&bits), compare(Is::Equal, &net)].concat();
    [family(gateway), in_net, target(), compare(Is::Not, &own)].concat()
}

//! Leads TCP to a transparent listener; SYNs, and everything but TCP, to the forwarder.

use super::expression::{
    Base, FIRST, Is, Meta, accept, came_by, came_by_other_than, compare, drop, load, load_bytes, opening,
    set_mark, tproxy, transport,
};
use super::{Family, Hook, IPV4, IPV6, MARK_GATE, MARK_SOCKET, Port, Transaction};

pub(super) const CHAIN: &str = "pre";
/// Before routing, which marks take effect on (`NF_IP_PRI_MANGLE`).
pub(super) const PRIORITY: i32 = -150;

/// A gateway's interfaces, by index.
#[derive(Clone, Copy)]
pub(crate) struct Interfaces {
    /// The bridge, if containers' packets come in through it alone.
    pub(crate) bridge: Option<u32>,
    /// The device of the forwarder.
    pub(crate) gate: u32,
}

impl Interfaces {
    /// Continues for packets from containers.
    pub(super) fn inside(self) -> Vec<u8> {
        self.bridge.map_or_else(|| came_by_other_than(self.gate), came_by)
    }
}

/// The rules, with a listener at `port` in this namespace.
pub(crate) fn rules(on: Interfaces, port: Port, v4: bool, v6: bool) -> Transaction {
    let mut rules = Transaction::new(Family::Inet, "dhow");
    rules.add_table();
    rules.add_chain("filter", CHAIN, Hook::Prerouting, PRIORITY, true);
    let family = match (v4, v6) {
        (true, true) => 0,
        (_, true) => IPV6,
        _ => IPV4,
    };
    let tcp = || transport(libc::IPPROTO_TCP);
    let to_socket = || [tproxy(family, port), set_mark(MARK_SOCKET), accept()].concat();
    // SYNs that the interceptor sends back.
    rules.add_rule(CHAIN, &[came_by(on.gate), tcp(), opening(Is::Equal), to_socket()]);
    // Established connections have a socket with the same four-tuple, which is found without being assigned.
    // Assigning it here would be in vain where `br_netfilter` passes bridged frames through these rules: the
    // assignment is lost on the way up.
    rules.add_rule(CHAIN, &[on.inside(), tcp(), opening(Is::Not), set_mark(MARK_SOCKET), accept()]);
    to_gate(&mut rules, &on.inside(), v6);
    rules
}

/// Adds the rules for what containers (`inside`) send to the forwarder: everything that is not neighbour
/// discovery with this machine.
pub(super) fn to_gate(rules: &mut Transaction, inside: &[u8], v6: bool) {
    if v6 {
        let neighbourly = [
            load_bytes(Base::Transport, 0, 1, FIRST),
            compare(Is::AtLeast, &[133]),
            compare(Is::AtMost, &[137]),
        ];
        rules.add_rule(
            CHAIN,
            &[inside.to_vec(), transport(libc::IPPROTO_ICMPV6), neighbourly.concat(), accept()],
        );
        // Multicast and link-local destinations end here.
        let target = || [load(Meta::Family, FIRST), compare(Is::Equal, &[IPV6])].concat();
        let first = || load_bytes(Base::Network, 24, 1, FIRST);
        rules.add_rule(CHAIN, &[inside.to_vec(), target(), first(), compare(Is::AtLeast, &[0xfe]), drop()]);
    }
    rules.add_rule(CHAIN, &[inside.to_vec(), set_mark(MARK_GATE), accept()]);
}

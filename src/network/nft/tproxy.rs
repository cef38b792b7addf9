//! TCP to a transparent listener; first segments, and all that is not TCP, to the gate.

use super::expression::{
    Base, FIRST, Is, Meta, accept, came_by, came_by_other_than, compare, drop, load, load_bytes, opening,
    set_mark, tproxy, transport,
};
use super::{Family, Hook, IPV4, IPV6, MARK_GATE, MARK_SOCKET, Port, Transaction};

pub(super) const CHAIN: &str = "pre";
/// Before routing, where marks have an effect on it (`NF_IP_PRI_MANGLE`).
pub(super) const PRIORITY: i32 = -150;

/// The interfaces of a gateway.
#[derive(Clone, Copy)]
pub(crate) struct Interfaces {
    /// The bridge, where containers come in by that alone.
    pub(crate) bridge: Option<u32>,
    /// The way to and from the gate.
    pub(crate) gate: u32,
}

impl Interfaces {
    /// Goes on with what containers send.
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
    // What the gate lets begin.
    rules.add_rule(CHAIN, &[came_by(on.gate), tcp(), opening(Is::Equal), to_socket()]);
    // What has begun has a socket with just these four numbers, which is found without being named. To name it here would
    // be in vain where `br_netfilter` has the rules see frames on the bridge: what they assign is lost on the way up.
    rules.add_rule(CHAIN, &[on.inside(), tcp(), opening(Is::Not), set_mark(MARK_SOCKET), accept()]);
    to_gate(&mut rules, &on.inside(), v6);
    rules
}

/// The rules for what comes from `inside` and goes to the gate, in `CHAIN`: all that is not for this machine as a
/// neighbour.
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
        // Groups and link-local addresses end here.
        let target = || [load(Meta::Family, FIRST), compare(Is::Equal, &[IPV6])].concat();
        let first = || load_bytes(Base::Network, 24, 1, FIRST);
        rules.add_rule(CHAIN, &[inside.to_vec(), target(), first(), compare(Is::AtLeast, &[0xfe]), drop()]);
    }
    rules.add_rule(CHAIN, &[inside.to_vec(), set_mark(MARK_GATE), accept()]);
}

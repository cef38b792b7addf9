//! TCP to a listener by translation of addresses, where the kernel has no `tproxy`: what the gate lets begin is tracked
//! and translated; nothing else is tracked that comes from containers.

use std::net::IpAddr;

use super::expression::{
    FIRST, Is, Meta, accept, came_by, compare, destination, load, load_direction, opening, set_mark,
    transport, untracked,
};
use super::tproxy::{CHAIN, Interfaces, PRIORITY, to_gate};
use super::{Family, Hook, IPV4, IPV6, MARK_SOCKET, Port, Transaction};

/// Before connections are tracked (`NF_IP_PRI_RAW`), and where addresses are translated (`NF_IP_PRI_NAT_DST`).
const RAW: i32 = -300;
const TRANSLATION: i32 = -100;
const TRACKED: &str = "tracked";
const TO_LISTENER: &str = "to_listener";
/// The direction of a connection's answers, `IP_CT_DIR_REPLY`.
const REPLY: u8 = 1;

/// The rules, with listeners at `port` of the addresses in `gateways`.
pub(crate) fn rules(on: Interfaces, port: Port, gateways: &[IpAddr]) -> Transaction {
    let mut rules = Transaction::new(Family::Inet, "dhow");
    rules.add_table();
    let tcp = || transport(libc::IPPROTO_TCP);
    let begins = || [came_by(on.gate), tcp(), opening(Is::Equal)].concat();
    let goes_on = || [came_by(on.bridge), tcp(), opening(Is::Not)].concat();
    rules.add_chain("filter", TRACKED, Hook::Prerouting, RAW, true);
    rules.add_rule(TRACKED, &[begins(), accept()]);
    rules.add_rule(TRACKED, &[goes_on(), accept()]);
    for interface in [on.bridge, on.gate] {
        rules.add_rule(TRACKED, &[came_by(interface), untracked()]);
    }
    rules.add_chain("filter", CHAIN, Hook::Prerouting, PRIORITY, true);
    // The answers to who came by a published port are for a socket here, whosever address it has.
    let answers = [load_direction(), compare(Is::Equal, &[REPLY])].concat();
    rules.add_rule(CHAIN, &[goes_on(), answers, set_mark(MARK_SOCKET), accept()]);
    rules.add_rule(CHAIN, &[goes_on(), accept()]);
    to_gate(&mut rules, on.bridge, gateways.iter().any(IpAddr::is_ipv6));
    rules.add_chain("nat", TO_LISTENER, Hook::Prerouting, TRANSLATION, true);
    for gateway in gateways {
        let family = if gateway.is_ipv4() { IPV4 } else { IPV6 };
        let of_family = || [load(Meta::Family, FIRST), compare(Is::Equal, &[family])].concat();
        // What goes on without being known, as after the loss of a gateway, is for the listener to reset.
        for which in [begins(), goes_on()] {
            rules.add_rule(TO_LISTENER, &[of_family(), which, destination(*gateway, port)]);
        }
    }
    rules
}

//! Leads TCP to a transparent listener; SYNs, and everything but TCP, to the forwarder.

use super::expression::{
    CmpOp, FIRST, MetaKey, PayloadBase, accept, compare, drop, input_is, input_is_not, l4_protocol_is, load,
    load_bytes, set_mark, tcp_syn, tproxy,
};
use super::{ChainHook, IPV4, IPV6, MARK_FORWARDER, MARK_SOCKET, NftTransaction, SocketPort, TableFamily};

pub(super) const CHAIN: &str = "pre";
/// Before routing, which marks take effect on (`NF_IP_PRI_MANGLE`).
pub(super) const PRIORITY: i32 = -150;

/// A gateway's interfaces, by index.
#[derive(Clone, Copy)]
pub(crate) struct GatewayInterfaces {
    /// The bridge, if containers' packets come in through it alone.
    pub bridge: Option<u32>,
    /// The device of the forwarder.
    pub(crate) forwarder: u32,
}

impl GatewayInterfaces {
    /// Continues for packets from containers.
    pub(super) fn match_containers(self) -> Vec<u8> {
        self.bridge.map_or_else(|| input_is_not(self.forwarder), input_is)
    }
}

/// The rules, with a listener at `port` in this namespace.
pub(crate) fn rules(interfaces: GatewayInterfaces, port: SocketPort, v4: bool, v6: bool) -> NftTransaction {
    let mut rules = NftTransaction::new(TableFamily::Inet, "dhow");
    rules.add_table();
    rules.add_chain("filter", CHAIN, ChainHook::Prerouting, PRIORITY, true);
    let family = match (v4, v6) {
        (true, true) => 0,
        (_, true) => IPV6,
        _ => IPV4,
    };
    let tcp = || l4_protocol_is(libc::IPPROTO_TCP);
    let to_socket = || [tproxy(family, port), set_mark(MARK_SOCKET), accept()].concat();
    // SYNs that the interceptor sends back.
    rules.add_rule(CHAIN, &[input_is(interfaces.forwarder), tcp(), tcp_syn(CmpOp::Equal), to_socket()]);
    // Established connections have a socket with the same four-tuple, which is found without being assigned.
    // Assigning it here would be in vain where `br_netfilter` passes bridged frames through these rules: the
    // assignment is lost on the way up.
    rules.add_rule(
        CHAIN,
        &[interfaces.match_containers(), tcp(), tcp_syn(CmpOp::Not), set_mark(MARK_SOCKET), accept()],
    );
    push_forwarder_rules(&mut rules, &interfaces.match_containers(), v6);
    rules
}

/// Adds the rules for what containers (`inside`) send to the forwarder: everything that is not neighbour
/// discovery with this machine.
pub(super) fn push_forwarder_rules(rules: &mut NftTransaction, inside: &[u8], v6: bool) {
    if v6 {
        let neighbour_discovery = [
            load_bytes(PayloadBase::Transport, 0, 1, FIRST),
            compare(CmpOp::AtLeast, &[133]),
            compare(CmpOp::AtMost, &[137]),
        ];
        rules.add_rule(
            CHAIN,
            &[inside.to_vec(), l4_protocol_is(libc::IPPROTO_ICMPV6), neighbour_discovery.concat(), accept()],
        );
        // Multicast and link-local destinations end here.
        let target = || [load(MetaKey::Family, FIRST), compare(CmpOp::Equal, &[IPV6])].concat();
        let first = || load_bytes(PayloadBase::Network, 24, 1, FIRST);
        rules
            .add_rule(CHAIN, &[inside.to_vec(), target(), first(), compare(CmpOp::AtLeast, &[0xfe]), drop()]);
    }
    rules.add_rule(CHAIN, &[inside.to_vec(), set_mark(MARK_FORWARDER), accept()]);
}

//! Leads TCP to a listener by destination NAT, for kernels without `tproxy`. Only connections that the
//! interceptor lets through are tracked and translated; nothing else from containers is tracked.

use ipnet::IpNet;

use super::expression::{
    CmpOp, FIRST, MetaKey, PayloadBase, accept, compare, dnat, input_is, l4_protocol_is, load, load_bytes,
    load_direction, mask, notrack, set_mark, tcp_syn,
};
use super::tproxy::{CHAIN, GatewayInterfaces, PRIORITY, push_forwarder_rules};
use super::{ChainHook, IPV4, IPV6, MARK_SOCKET, NftTransaction, SocketPort, TableFamily};

/// Before connection tracking (`NF_IP_PRI_RAW`), and at destination NAT (`NF_IP_PRI_NAT_DST`).
const RAW: i32 = -300;
const TRANSLATION: i32 = -100;
const TRACKED: &str = "tracked";
const TO_LISTENER: &str = "to_listener";
/// Directions of a connection, `IP_CT_DIR_*`.
const FORTH: u8 = 0;
const BACK: u8 = 1;

/// The rules, with listeners at `port` of the gateway's `addresses`, which have the prefix lengths of its
/// subnets.
///
/// They also hold if the kernel passes bridged packets through them (`bridge-nf-call-iptables`), as it does
/// by default once `br_netfilter` is loaded: traffic between containers of a network is not tracked.
pub(crate) fn rules(interfaces: GatewayInterfaces, port: SocketPort, addresses: &[IpNet]) -> NftTransaction {
    let mut rules = NftTransaction::new(TableFamily::Inet, "dhow");
    rules.add_table();
    let tcp = || l4_protocol_is(libc::IPPROTO_TCP);
    let begins = || [input_is(interfaces.forwarder), tcp(), tcp_syn(CmpOp::Equal)].concat();
    let goes_on = || [interfaces.match_containers(), tcp(), tcp_syn(CmpOp::Not)].concat();
    rules.add_chain("filter", TRACKED, ChainHook::Prerouting, RAW, true);
    for address in addresses {
        rules
            .add_rule(TRACKED, &[interfaces.match_containers(), to_own_subnet(address), notrack(), accept()]);
    }
    rules.add_rule(TRACKED, &[begins(), accept()]);
    rules.add_rule(TRACKED, &[goes_on(), accept()]);
    for packets in [interfaces.match_containers(), input_is(interfaces.forwarder)] {
        rules.add_rule(TRACKED, &[packets, notrack()]);
    }
    rules.add_chain("filter", CHAIN, ChainHook::Prerouting, PRIORITY, true);
    let direction = |code| [load_direction(), compare(CmpOp::Equal, &[code])].concat();
    // Answers to clients of published ports are for a local socket, whatever its address.
    rules.add_rule(CHAIN, &[goes_on(), direction(BACK), set_mark(MARK_SOCKET), accept()]);
    rules.add_rule(CHAIN, &[goes_on(), direction(FORTH), accept()]);
    push_forwarder_rules(
        &mut rules,
        &interfaces.match_containers(),
        addresses.iter().any(|address| address.addr().is_ipv6()),
    );
    rules.add_chain("nat", TO_LISTENER, ChainHook::Prerouting, TRANSLATION, true);
    for address in addresses {
        // A segment of an unknown connection, as after the loss of a gateway, goes to the listener, which
        // resets it.
        for packets in [begins(), goes_on()] {
            rules.add_rule(TO_LISTENER, &[family(address), packets, dnat(address.addr(), port)]);
        }
    }
    rules
}

/// Continues for packets of the family of `address`.
fn family(address: &IpNet) -> Vec<u8> {
    let family = if address.addr().is_ipv4() { IPV4 } else { IPV6 };
    [load(MetaKey::Family, FIRST), compare(CmpOp::Equal, &[family])].concat()
}

/// Continues for packets to the subnet of `gateway`, except to the gateway itself.
fn to_own_subnet(gateway: &IpNet) -> Vec<u8> {
    // Offset of the destination address in the header.
    let (offset, own, net, bits) = match gateway {
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
    let target = || load_bytes(PayloadBase::Network, offset, length, FIRST);
    let in_net = [target(), mask(&bits), compare(CmpOp::Equal, &net)].concat();
    [family(gateway), in_net, target(), compare(CmpOp::Not, &own)].concat()
}

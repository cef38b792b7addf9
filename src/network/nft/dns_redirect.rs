//! Redirects port 53 of an address to another port without connection tracking, so that a container can run
//! its own server on port 53 of all its addresses.

use std::net::Ipv4Addr;

use super::expression::{
    CmpOp, FIRST, MetaKey, PayloadBase, accept, compare, l4_protocol_is, load, load_bytes, store_bytes, value,
};
use super::{ChainHook, NftTransaction, SocketPort, TableFamily};
use crate::netlink::{NetlinkFamily, NetlinkSocket};

const CHAIN: &str = "out";
/// Before routing decisions are revised (`NF_IP_PRI_MANGLE`); ports play no part in those.
const PRIORITY: i32 = -150;
/// The index of `lo` in every network namespace.
const LOOPBACK: u32 = 1;
const SERVICE: SocketPort = 53;

/// Installs the rules in the network namespace of the calling thread, which needs CAP_NET_ADMIN over it.
pub(crate) fn forward_names(address: Ipv4Addr, port: u16) -> anyhow::Result<()> {
    let socket = NetlinkSocket::open(NetlinkFamily::Netfilter)?;
    match rules(address, port, NftTransaction::add_new_table).commit(&socket) {
        // Left by a helper that was killed.
        Err(error) if error.is_errno(libc::EEXIST) => {
            rules(address, port, NftTransaction::replace_table).commit(&socket)?;
        }
        other => other?,
    }
    Ok(())
}

/// Rewrites the destination port 53 of `address` to `port`, for UDP and TCP, and the source port of the
/// answers back.
fn rules(address: Ipv4Addr, port: SocketPort, add_table: fn(&mut NftTransaction)) -> NftTransaction {
    let mut rules = NftTransaction::new(TableFamily::Ip, "dhow_dns");
    add_table(&mut rules);
    rules.add_chain("filter", CHAIN, ChainHook::Output, PRIORITY, true);
    let elsewhere = [load(MetaKey::OutIndex, FIRST), compare(CmpOp::Not, &LOOPBACK.to_ne_bytes())];
    rules.add_rule(CHAIN, &[elsewhere.concat(), accept()]);
    // Offsets of the addresses in the IPv4 header, the ports in the UDP and TCP headers, and their checksums.
    for (address_offset, port_offset, from, to) in [(16, 2, SERVICE, port), (12, 0, port, SERVICE)] {
        for (protocol, checksum) in [(libc::IPPROTO_UDP, 6), (libc::IPPROTO_TCP, 16)] {
            let address_matches = [
                load_bytes(PayloadBase::Network, address_offset, 4, FIRST),
                compare(CmpOp::Equal, &address.octets()),
            ];
            let port_matches = [
                load_bytes(PayloadBase::Transport, port_offset, 2, FIRST),
                compare(CmpOp::Equal, &from.to_be_bytes()),
            ];
            let rewrite = [value(&to.to_be_bytes()), store_bytes(port_offset, 2, checksum)];
            rules.add_rule(
                CHAIN,
                &[
                    address_matches.concat(),
                    l4_protocol_is(protocol),
                    port_matches.concat(),
                    rewrite.concat(),
                ],
            );
        }
    }
    rules
}

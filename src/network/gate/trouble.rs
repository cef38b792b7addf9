//! What came back from the host's network in place of an answer, as a container is to see it.

use std::net::{IpAddr, SocketAddr};

use super::Settings;
use crate::network::packet::build::Ip;
use crate::network::packet::icmp::{self, Error};
use crate::network::packet::{protocol, udp};
use crate::sys::datagram::Trouble;

/// The error and the address that it comes from, for a container that has named the peer `named`; `None` where it was
/// not ICMP that brought it, or it says nothing about the peer.
pub(super) fn told(trouble: &Trouble, named: SocketAddr, settings: &Settings) -> Option<(Error, IpAddr)> {
    let (kind, code) = trouble.icmp?;
    match (named.is_ipv4(), kind) {
        // Unreachable, time exceeded, parameter problem (RFC 792); those of ICMPv6 are below 128 (RFC 4443).
        (true, 3 | 11 | 12) | (false, 1..=4) => {}
        _ => return None,
    }
    let from = match trouble.offender {
        Some(offender) if Some(offender) == trouble.to.map(|to| to.ip()) => named.ip(),
        // The host itself, and what the container cannot know of.
        Some(offender) if offender.is_loopback() || offender.is_ipv4() != named.is_ipv4() => {
            settings.gateway(named.ip())?
        }
        Some(offender) if !offender.is_unspecified() => offender,
        _ => named.ip(),
    };
    let too_big = matches!((named.is_ipv4(), kind, code), (true, 3, 4) | (false, 2, _));
    let info = if too_big { trouble.info } else { 0 };
    Some((Error::Other { kind, code, info }, from))
}

/// The datagram that `container` had sent to `named`, as far as `payload` was given back.
pub(super) fn datagram(container: SocketAddr, named: SocketAddr, payload: &[u8]) -> Option<Vec<u8>> {
    let ip = Ip::answer(container.ip(), named.ip(), protocol::UDP);
    let mut bytes = udp::headers(&ip, (container.port(), named.port()), payload.len())?.to_vec();
    bytes.extend_from_slice(payload);
    Some(bytes)
}

/// The request for an echo that `container`, whose port is its ident, had sent to `named`.
pub(super) fn echo(container: SocketAddr, named: IpAddr, sequence: u16, data: &[u8]) -> Option<Vec<u8>> {
    let protocol = if named.is_ipv4() { protocol::ICMP } else { protocol::ICMPV6 };
    let ip = Ip::answer(container.ip(), named, protocol);
    icmp::echo(&ip, icmp::Way::Request, container.port(), sequence, data)
}

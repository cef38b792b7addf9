//! ICMP errors from the host's network, rewritten for the container.

use std::net::{IpAddr, SocketAddr};

use super::ForwarderSettings;
use crate::packet::build::IpFields;
use crate::packet::icmp::{self, IcmpError};
use crate::packet::{protocol, udp};
use dhow_sys::datagram::QueuedError;

/// The error and its source address, for a container that knows the peer as `named`. `None` for errors that
/// did not come by ICMP or that say nothing about the peer.
pub(crate) fn translate(
    trouble: &QueuedError,
    named: SocketAddr,
    settings: &ForwarderSettings,
) -> Option<(IcmpError, IpAddr)> {
    let (kind, code) = trouble.icmp?;
    match (named.is_ipv4(), kind) {
        // Unreachable, time exceeded, parameter problem (RFC 792); those of ICMPv6 are below 128 (RFC 4443).
        (true, 3 | 11 | 12) | (false, 1..=4) => {}
        _ => return None,
    }
    let from = match trouble.offender {
        Some(offender) if Some(offender) == trouble.to.map(|to| to.ip()) => named.ip(),
        // The host itself, or a router of a family that the container does not have.
        Some(offender) if offender.is_loopback() || offender.is_ipv4() != named.is_ipv4() => {
            settings.gateway(named.ip())?
        }
        Some(offender) if !offender.is_unspecified() => offender,
        _ => named.ip(),
    };
    let too_big = matches!((named.is_ipv4(), kind, code), (true, 3, 4) | (false, 2, _));
    let info = if too_big { trouble.info } else { 0 };
    Some((IcmpError::Other { kind, code, info }, from))
}

/// Rebuilds the datagram that `container` had sent to `named`, as far as `payload` was returned.
pub(crate) fn quote_datagram(container: SocketAddr, named: SocketAddr, payload: &[u8]) -> Option<Vec<u8>> {
    let ip = IpFields::reply(container.ip(), named.ip(), protocol::UDP);
    let mut bytes = udp::build_headers(&ip, (container.port(), named.port()), payload.len())?.to_vec();
    bytes.extend_from_slice(payload);
    Some(bytes)
}

/// Rebuilds the echo request that `container`, whose port is its ident, had sent to `named`.
pub(crate) fn quote_echo(
    container: SocketAddr,
    named: IpAddr,
    sequence: u16,
    data: &[u8],
) -> Option<Vec<u8>> {
    let protocol = if named.is_ipv4() { protocol::ICMP } else { protocol::ICMPV6 };
    let ip = IpFields::reply(container.ip(), named, protocol);
    icmp::build_echo(&ip, icmp::EchoKind::Request, container.port(), sequence, data)
}

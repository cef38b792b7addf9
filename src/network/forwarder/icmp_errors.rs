//! ICMP errors from the host's network, rewritten for the container.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd as _;

use super::context::ForwarderContext;
use super::flow_table::FlowSocket;
use super::{ForwarderSettings, PacketSink as _};
use crate::packet::build::IpFields;
use crate::packet::icmp::{self, IcmpError};
use crate::packet::{protocol, udp};
use crate::policy::{EgressFlow, FlowProtocol};
use dhow_sys::datagram::{self, QueuedError};

impl ForwarderContext {
    /// Passes the errors queued at `socket` on to the container. Returns the path MTU if the kernel itself
    /// reported one.
    pub(super) fn drain_errors(
        &self,
        flow_protocol: FlowProtocol,
        socket: &FlowSocket,
        container: SocketAddr,
    ) -> Option<u32> {
        let mut mtu = None;
        while let Ok(Some(error)) = datagram::next_queued_error(socket.fd.as_fd()) {
            if error.icmp.is_none() && error.error.raw_os_error() == Some(libc::EMSGSIZE) {
                mtu = Some(error.info);
            }
            let to = match flow_protocol {
                FlowProtocol::Echo => error.to.map(|to| SocketAddr::new(to.ip(), 0)),
                _ => error.to,
            };
            let Some(peer) = to.and_then(|to| socket.visible_peer(to)) else { continue };
            let Some((icmp_error, from)) = translate(&error, peer, &self.settings) else { continue };
            let flow = EgressFlow { protocol: flow_protocol, source: container, target: peer };
            self.policy.note(&flow, Err(&error.error));
            let quote = match flow_protocol {
                FlowProtocol::Echo => quote_echo(container, peer.ip(), &error.payload),
                _ => quote_datagram(container, peer, &error.payload),
            };
            let answer =
                quote.and_then(|quote| icmp::build_error_quoting(container.ip(), &quote, icmp_error, from));
            answer.iter().for_each(|answer| self.writer.packet(answer));
        }
        mtu
    }
}

/// The error and its source address, for a container that knows the other side as `peer`. `None` for errors
/// that did not come by ICMP or that say nothing about the peer.
fn translate(
    error: &QueuedError,
    peer: SocketAddr,
    settings: &ForwarderSettings,
) -> Option<(IcmpError, IpAddr)> {
    let (kind, code) = error.icmp?;
    match (peer.is_ipv4(), kind) {
        // Unreachable, time exceeded, parameter problem (RFC 792); those of ICMPv6 are below 128 (RFC 4443).
        (true, 3 | 11 | 12) | (false, 1..=4) => {}
        _ => return None,
    }
    let from = match error.offender {
        Some(offender) if Some(offender) == error.to.map(|to| to.ip()) => peer.ip(),
        // The host itself, or a router of a family that the container does not have.
        Some(offender) if offender.is_loopback() || offender.is_ipv4() != peer.is_ipv4() => {
            settings.gateway(peer.ip())?
        }
        Some(offender) if !offender.is_unspecified() => offender,
        _ => peer.ip(),
    };
    let too_big = matches!((peer.is_ipv4(), kind, code), (true, 3, 4) | (false, 2, _));
    let info = if too_big { error.info } else { 0 };
    Some((IcmpError::Other { kind, code, info }, from))
}

/// Rebuilds the datagram that `container` had sent to `peer`, as far as `payload` was returned.
fn quote_datagram(container: SocketAddr, peer: SocketAddr, payload: &[u8]) -> Option<Vec<u8>> {
    let ip = IpFields::reply(container.ip(), peer.ip(), protocol::UDP);
    let mut bytes = udp::build_headers(&ip, (container.port(), peer.port()), payload.len())?.to_vec();
    bytes.extend_from_slice(payload);
    Some(bytes)
}

/// Rebuilds the echo request that `container`, whose port is its ident, had sent to `peer`, from the ICMP
/// message that was returned.
fn quote_echo(container: SocketAddr, peer: IpAddr, message: &[u8]) -> Option<Vec<u8>> {
    let ([_, _, _, _, _, _, s0, s1], data) = message.split_first_chunk::<8>()?;
    let protocol = if peer.is_ipv4() { protocol::ICMP } else { protocol::ICMPV6 };
    let ip = IpFields::reply(container.ip(), peer, protocol);
    icmp::build_echo(&ip, icmp::EchoKind::Request, container.port(), u16::from_be_bytes([*s0, *s1]), data)
}

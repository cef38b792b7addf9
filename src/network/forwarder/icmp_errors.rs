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
            let Some(named) = to.and_then(|to| socket.visible_peer(to)) else { continue };
            let Some((why, from)) = translate(&error, named, &self.settings) else { continue };
            let flow = EgressFlow { protocol: flow_protocol, source: container, target: named };
            self.policy.note(&flow, Err(&error.error));
            let quote = match flow_protocol {
                FlowProtocol::Echo => quote_echo(container, named.ip(), &error.payload),
                _ => quote_datagram(container, named, &error.payload),
            };
            let answer = quote.and_then(|quote| icmp::build_error_quoting(container.ip(), &quote, why, from));
            answer.iter().for_each(|answer| self.writer.packet(answer));
        }
        mtu
    }
}

/// The error and its source address, for a container that knows the peer as `named`. `None` for errors that
/// did not come by ICMP or that say nothing about the peer.
fn translate(
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
fn quote_datagram(container: SocketAddr, named: SocketAddr, payload: &[u8]) -> Option<Vec<u8>> {
    let ip = IpFields::reply(container.ip(), named.ip(), protocol::UDP);
    let mut bytes = udp::build_headers(&ip, (container.port(), named.port()), payload.len())?.to_vec();
    bytes.extend_from_slice(payload);
    Some(bytes)
}

/// Rebuilds the echo request that `container`, whose port is its ident, had sent to `named`, from the ICMP
/// message that was returned.
fn quote_echo(container: SocketAddr, named: IpAddr, message: &[u8]) -> Option<Vec<u8>> {
    let ([_, _, _, _, _, _, s0, s1], data) = message.split_first_chunk::<8>()?;
    let protocol = if named.is_ipv4() { protocol::ICMP } else { protocol::ICMPV6 };
    let ip = IpFields::reply(container.ip(), named, protocol);
    icmp::build_echo(&ip, icmp::EchoKind::Request, container.port(), u16::from_be_bytes([*s0, *s1]), data)
}

//! ICMP echo between containers and the host's network, through unprivileged ping sockets (icmp(7), allowed
//! by `net.ipv4.ping_group_range`): one per address and ident of a container.

use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd as _, OwnedFd, RawFd};
use std::time::Instant;

use rustix::net::{SocketType, ipproto};

use super::FlowLimits;
use super::context::ForwarderContext;
use super::flow_table::{FlowTable, SocketWatcher};
use super::host_socket::set_dont_fragment;
use crate::packet::build::IpFields;
use crate::packet::{IpPacket, icmp, protocol};
use crate::policy::{EgressFlow, FlowProtocol, FlowVerdict};
use crate::socket::open_socket;
use dhow_sys::datagram::{self, OutgoingDatagram, ReceiveBatch, ReportOptions};

/// Replies received by one call.
const BATCH: usize = 8;

/// Pings are rare: all limits are this fraction of those for UDP.
const FLOW_FRACTION: usize = 8;

/// Whether the host lets this user send pings.
pub(crate) fn is_ping_allowed() -> bool {
    open_ping_socket(false).is_ok()
}

fn open_ping_socket(v6: bool) -> io::Result<OwnedFd> {
    let protocol = if v6 { ipproto::ICMPV6 } else { ipproto::ICMP };
    let fd = open_socket(v6, SocketType::DGRAM, Some(protocol))?;
    datagram::enable_reports(
        fd.as_fd(),
        v6,
        ReportOptions { errors: true, tos: true, ..ReportOptions::default() },
    )?;
    Ok(fd)
}

/// The pings of a gateway. In the addresses of its flows, the ident stands in place of a container's port.
pub(crate) struct EchoForwarder {
    flows: FlowTable,
    inbox: ReceiveBatch,
    context: ForwarderContext,
}

impl EchoForwarder {
    pub(super) fn new(watch: SocketWatcher, context: ForwarderContext) -> Self {
        let udp_limits = context.settings.limits;
        let limits = FlowLimits {
            sockets: udp_limits.sockets / FLOW_FRACTION,
            sockets_per_container: udp_limits.sockets_per_container / FLOW_FRACTION,
            flows: udp_limits.flows / FLOW_FRACTION,
            flows_per_container: udp_limits.flows_per_container / FLOW_FRACTION,
            // A container that pings does so every second, or has stopped.
            replied: udp_limits.unreplied,
            ..udp_limits
        };
        let inbox = ReceiveBatch::new(BATCH, 1 << 16);
        Self { flows: FlowTable::new(watch, limits), inbox, context }
    }

    /// Forwards a container's request; `dont_fragment` if it may not be fragmented.
    pub(crate) fn outbound(
        &mut self,
        packet: &IpPacket<'_>,
        echo: &icmp::EchoRequest<'_>,
        dont_fragment: bool,
        now: Instant,
    ) {
        let source = SocketAddr::new(packet.source, echo.ident);
        let target = SocketAddr::new(packet.target, 0);
        let outcome = self.send(packet, echo, (source, target), dont_fragment, now);
        let Err(error) = outcome else { return };
        let icmp_error = match error.raw_os_error() {
            Some(libc::EMSGSIZE) => icmp::IcmpError::TooBig(self.drain_errors(source).unwrap_or(1280)),
            Some(libc::EAGAIN | libc::ENOBUFS) => return,
            // A ping has no port that could refuse, so answer as a router that forbids it.
            Some(libc::ECONNREFUSED) => icmp::IcmpError::Prohibited,
            _ => match icmp::IcmpError::from_io(&error) {
                Some(icmp_error) => icmp_error,
                None => return,
            },
        };
        self.context.writer.refuse(packet, icmp_error, self.context.settings.gateway(packet.source));
    }

    fn send(
        &mut self,
        packet: &IpPacket<'_>,
        echo: &icmp::EchoRequest<'_>,
        (source, target): (SocketAddr, SocketAddr),
        dont_fragment: bool,
        now: Instant,
    ) -> io::Result<()> {
        if self.flows.find(source, target, now).is_none() {
            let flow = EgressFlow { protocol: FlowProtocol::Echo, source, target };
            let outcome = self.open(&flow, now);
            self.context.policy.note(&flow, outcome.as_ref().copied());
            outcome?;
        }
        let mut retry = true;
        loop {
            let Some((socket, host)) = self.flows.find(source, target, now) else { return Ok(()) };
            if socket.dont_fragment != Some(dont_fragment)
                && set_dont_fragment(socket.fd.as_fd(), host, dont_fragment).is_ok()
            {
                socket.dont_fragment = Some(dont_fragment);
            }
            let hops = super::forwarded_hop_limit(packet.hops);
            let parts = [IoSlice::new(echo.message)];
            let message =
                OutgoingDatagram { to: host, from: None, parts: &parts, segment: 0, tos: packet.tos, hops };
            match datagram::send(socket.fd.as_fd(), &[message]) {
                Ok(_) => return Ok(()),
                // The error may belong to an earlier request: drain the error queue and try once more.
                Err(error) if retry && error.raw_os_error() != Some(libc::EMSGSIZE) => {
                    retry = false;
                    self.drain_errors(source);
                    if error.kind() == io::ErrorKind::WouldBlock {
                        return Err(error);
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn open(&mut self, flow: &EgressFlow, now: Instant) -> io::Result<()> {
        let host = match self
            .context
            .policy
            .judge(&EgressFlow { source: SocketAddr::new(flow.source.ip(), 0), ..*flow })
        {
            FlowVerdict::Pass(host) if host.is_ipv4() == flow.source.is_ipv4() => {
                SocketAddr::new(host.ip(), 0)
            }
            FlowVerdict::Pass(_) => return Err(io::Error::from_raw_os_error(libc::ENETUNREACH)),
            FlowVerdict::Refuse => return Err(io::Error::from_raw_os_error(libc::ECONNREFUSED)),
        };
        self.flows.set_share(self.context.settings.forwarders.count());
        self.flows.open(flow.source, flow.target, host, now, || open_ping_socket(host.is_ipv6()))
    }

    /// Receives from the socket with this number.
    pub(crate) fn ready(&mut self, fd: RawFd, now: Instant) {
        if let Some(container) = self.flows.source(fd) {
            self.inbound(container, now);
        }
    }

    fn inbound(&mut self, container: SocketAddr, now: Instant) {
        let Some(socket) = self.flows.socket(container) else { return };
        if self.inbox.receive(socket.fd.as_fd()).is_err() {
            self.drain_errors(container);
            return;
        }
        for reply in self.inbox.iter() {
            let from = SocketAddr::new(reply.from.ip(), 0);
            let Some(peer) = socket.note_reply(from, now) else { continue };
            let Some(([_, _, _, _, _, _, s0, s1], data)) = reply.bytes.split_first_chunk::<8>() else {
                continue;
            };
            // The kernel writes its own ident into the request, so put the container's back.
            let protocol = if peer.is_ipv4() { protocol::ICMP } else { protocol::ICMPV6 };
            let ip = IpFields { tos: reply.tos, ..IpFields::reply(peer.ip(), container.ip(), protocol) };
            self.context.writer.echo_reply(ip, container.port(), u16::from_be_bytes([*s0, *s1]), data);
        }
    }

    /// Passes ICMP errors on to the container. Returns the path MTU if the kernel itself reported one.
    fn drain_errors(&mut self, container: SocketAddr) -> Option<u32> {
        let socket = self.flows.socket(container)?;
        self.context.drain_errors(FlowProtocol::Echo, socket, container)
    }

    pub(crate) fn expire(&mut self, now: Instant) -> Option<Instant> {
        self.flows.expire(now)
    }

    pub(crate) fn forget(&mut self, container: IpAddr) {
        self.flows.forget(container);
    }
}

//! UDP between containers and the host's network: one host socket per address and port of a container,
//! whatever its peers (endpoint-independent mapping, RFC 4787 §4.1). Only peers that the container has sent
//! to may answer.

use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd, RawFd};
use std::time::Instant;

use rustix::net::SocketType;

use super::context::ForwarderContext;
use super::flow_table::{FlowTable, SocketWatcher};
use super::gso::for_each_gso_run;
use super::host_socket::{enlarge_buffers, set_dont_fragment};
use super::publish::UdpPublications;
use crate::packet::{IpPacket, icmp, udp};
use crate::policy::{EgressFlow, FlowProtocol, FlowVerdict};
use crate::socket::open_socket;
use dhow_sys::datagram::{self, MAX_SEGMENTS, OutgoingDatagram, ReceiveBatch, ReportOptions};

/// Datagrams received by one call, and calls before other sockets get their turn.
const BATCH: usize = 32;
const ROUNDS: usize = 4;

/// Maximum payload of one GSO send, in bytes.
const MAX_GSO_BYTES: usize = udp::MAX_PAYLOAD_V4 - 40;

/// A datagram of a container.
#[derive(Clone, Copy)]
pub(crate) struct OutboundDatagram<'a> {
    packet: IpPacket<'a>,
    datagram: udp::UdpDatagram<'a>,
    /// Length of each datagram if this is several (the last maybe shorter), or 0.
    segment: u16,
    /// Whether it may not be fragmented.
    dont_fragment: bool,
}

impl<'a> OutboundDatagram<'a> {
    /// The datagram in `packet`, or several of `segment` bytes each.
    pub(super) fn parse(packet: IpPacket<'a>, segment: u16, dont_fragment: bool) -> Option<Self> {
        let datagram = match segment {
            0 => packet.udp()?,
            _ => udp::UdpDatagram::parse_gso(packet.payload)?,
        };
        Some(Self { packet, datagram, segment, dont_fragment })
    }

    fn source(&self) -> SocketAddr {
        SocketAddr::new(self.packet.source, self.datagram.source)
    }

    fn target(&self) -> SocketAddr {
        SocketAddr::new(self.packet.target, self.datagram.target)
    }

    /// Whether both can be sent by one call.
    fn batches_with(&self, other: &OutboundDatagram<'_>) -> bool {
        self.datagram.source == other.datagram.source
            && self.datagram.target == other.datagram.target
            && self.packet.source == other.packet.source
            && self.packet.target == other.packet.target
            && self.dont_fragment == other.dont_fragment
    }

    fn hops(&self) -> Option<u8> {
        super::forwarded_hop_limit(self.packet.hops)
    }
}

/// The UDP flows of a gateway.
pub(crate) struct UdpForwarder {
    flows: FlowTable,
    pub published: UdpPublications,
    inbox: ReceiveBatch,
    context: ForwarderContext,
}

impl UdpForwarder {
    pub(super) fn new(watch: SocketWatcher, context: ForwarderContext) -> Self {
        Self {
            flows: FlowTable::new(watch, context.settings.limits),
            published: UdpPublications::new(context.settings.clone()),
            inbox: ReceiveBatch::new(BATCH, 1 << 16),
            context,
        }
    }

    pub(super) fn publish(&mut self, id: u64, socket: OwnedFd, container: SocketAddr) -> io::Result<()> {
        self.flows.watcher.add(socket.as_fd())?;
        self.published.add(id, socket, container)
    }

    /// Forwards what containers have sent.
    pub(super) fn outbound(&mut self, items: &[OutboundDatagram<'_>], now: Instant) {
        for run in items.chunk_by(OutboundDatagram::batches_with) {
            let Some(first) = run.first() else { continue };
            let (source, target) = (first.source(), first.target());
            if let Some((socket, client, local)) = self.published.reply_route(source, target, now) {
                // An unreachable client is treated like one that does not listen.
                let _ = send_batch(socket, run, client, Some(local), &mut true);
                continue;
            }
            if target.port() == 0 {
                continue;
            }
            if self.flows.find(source, target, now).is_none()
                && let Err(error) = self.open(source, target, now)
            {
                self.refuse(run, &error);
                continue;
            }
            self.send(run, now);
        }
    }

    /// Opens a new flow, if the policy allows it.
    fn open(&mut self, source: SocketAddr, target: SocketAddr, now: Instant) -> io::Result<()> {
        let flow = EgressFlow { protocol: FlowProtocol::Udp, source, target };
        let outcome = match self.context.policy.judge(&flow) {
            FlowVerdict::Refuse => Err(io::Error::from_raw_os_error(libc::ECONNREFUSED)),
            FlowVerdict::Pass(host) if host.is_ipv4() != source.is_ipv4() => {
                Err(io::Error::from_raw_os_error(libc::ENETUNREACH))
            }
            FlowVerdict::Pass(host) => {
                self.flows.set_share(self.context.settings.forwarders.count());
                self.flows.open(source, target, host, now, || open_udp_socket(host.is_ipv6()))
            }
        };
        self.context.policy.note(&flow, outcome.as_ref().copied());
        outcome
    }

    fn send(&mut self, mut run: &[OutboundDatagram<'_>], now: Instant) {
        let Some((first, container)) = run.first().map(|first| (*first, first.source())) else { return };
        let Some((socket, host)) = self.flows.find(container, first.target(), now) else { return };
        if socket.dont_fragment != Some(first.dont_fragment)
            && set_dont_fragment(socket.fd.as_fd(), host, first.dont_fragment).is_ok()
        {
            socket.dont_fragment = Some(first.dont_fragment);
        }
        // The error may belong to an earlier datagram; the error queue knows which.
        let mut retry = true;
        loop {
            let Some((socket, _)) = self.flows.find(container, first.target(), now) else { return };
            let Err((sent, error)) = send_batch(socket.fd.as_fd(), run, host, None, &mut socket.gso) else {
                return;
            };
            run = run.get(sent..).unwrap_or_default();
            if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::ENOBUFS | libc::EINTR)) {
                return;
            }
            let mtu = self.drain_errors(container);
            if std::mem::take(&mut retry) {
                continue;
            }
            let Some((failed, rest)) = run.split_first() else { return };
            if error.raw_os_error() == Some(libc::EMSGSIZE) {
                self.refuse_too_big(failed, mtu);
            } else {
                let flow =
                    EgressFlow { protocol: FlowProtocol::Udp, source: container, target: failed.target() };
                self.context.policy.note(&flow, Err(&error));
                self.refuse(&[*failed], &error);
            }
            (run, retry) = (rest, true);
        }
    }

    /// Answers all datagrams of `run` with an ICMP error.
    fn refuse(&self, run: &[OutboundDatagram<'_>], error: &io::Error) {
        let Some(icmp_error) = icmp::IcmpError::from_io(error) else { return };
        for item in run {
            // The target itself reports a closed port; a router reports everything else.
            let from = if icmp_error == icmp::IcmpError::Port {
                None
            } else {
                self.context.settings.gateway(item.packet.source)
            };
            self.context.writer.refuse(&item.packet, icmp_error, from);
        }
    }

    fn refuse_too_big(&self, item: &OutboundDatagram<'_>, mtu: Option<u32>) {
        // The minimum MTU of IPv6 is less than any path is likely to have.
        let icmp_error = icmp::IcmpError::TooBig(mtu.unwrap_or(1280));
        self.context.writer.refuse(
            &item.packet,
            icmp_error,
            self.context.settings.gateway(item.packet.source),
        );
    }

    /// Passes ICMP errors on to the container. Returns the path MTU if the kernel itself reported one.
    fn drain_errors(&mut self, container: SocketAddr) -> Option<u32> {
        let socket = self.flows.socket(container)?;
        self.context.drain_errors(FlowProtocol::Udp, socket, container)
    }

    /// Receives from the socket with this number.
    pub(super) fn ready(&mut self, fd: RawFd, now: Instant) {
        if self.published.contains(fd) {
            self.published.ready(fd, &mut self.inbox, &self.context.writer, now);
        } else if let Some(container) = self.flows.source(fd) {
            self.inbound(container, now);
        }
    }

    fn inbound(&mut self, container: SocketAddr, now: Instant) {
        for _ in 0..ROUNDS {
            let Some(socket) = self.flows.socket(container) else { return };
            match self.inbox.receive(socket.fd.as_fd()) {
                Ok(count) => {
                    for_each_gso_run(&self.inbox, |first, parts| {
                        if let Some(peer) = socket.note_reply(first.from, now) {
                            self.context.writer.datagrams(peer, container, first.tos, parts, first.segment);
                        }
                    });
                    if count < BATCH {
                        return;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    // Readable but empty: only the error queue has entries.
                    self.drain_errors(container);
                    return;
                }
                Err(_) => drop(self.drain_errors(container)),
            }
        }
    }

    pub(crate) fn expire(&mut self, now: Instant) -> Option<Instant> {
        let clients = self.published.expire(now);
        self.flows.expire(now).into_iter().chain(clients).min()
    }

    pub(super) fn forget(&mut self, container: IpAddr) {
        self.flows.forget(container);
        self.published.forget(container);
    }
}

/// A UDP socket in the host's network namespace.
fn open_udp_socket(v6: bool) -> io::Result<OwnedFd> {
    let fd = open_socket(v6, SocketType::DGRAM, None)?;
    let reports = ReportOptions { errors: true, gro: true, tos: true, local: false };
    datagram::enable_reports(fd.as_fd(), v6, reports)?;
    enlarge_buffers(&fd);
    Ok(fd)
}

/// Sends `items` to `to`, several as one (GSO) while `gso` is set; clears it if the path does not support
/// that. On error, also returns how many were sent before.
fn send_batch(
    fd: BorrowedFd<'_>,
    items: &[OutboundDatagram<'_>],
    to: SocketAddr,
    from: Option<IpAddr>,
    gso: &mut bool,
) -> Result<(), (usize, io::Error)> {
    let mut sent = 0;
    while let Some(rest) = items.get(sent..).filter(|rest| !rest.is_empty()) {
        let parts: Vec<IoSlice<'_>> = rest.iter().map(|item| IoSlice::new(item.datagram.payload)).collect();
        let mut messages = Vec::with_capacity(rest.len());
        let mut ends = Vec::with_capacity(rest.len());
        let mut start = 0;
        while let Some(first) = rest.get(start) {
            let count = if *gso { gso_run_length(rest.get(start..).unwrap_or_default()) } else { 1 };
            let segment = if count > 1 { first.datagram.payload.len() as u16 } else { first.segment };
            let parts = parts.get(start..start + count).unwrap_or_default();
            let (tos, hops) = (first.packet.tos, first.hops());
            messages.push(OutgoingDatagram { to, from, parts, segment, tos, hops });
            start += count;
            ends.push(start);
        }
        match datagram::send(fd, &messages) {
            Ok(count) => match count.checked_sub(1).and_then(|last| ends.get(last)) {
                Some(end) => sent += end,
                None => return Ok(()),
            },
            // The interface cannot do GSO: payload too long for it (EINVAL, EMSGSIZE), or no checksum offload
            // (EIO).
            Err(error)
                if messages.first().is_some_and(|message| message.segment != 0)
                    && matches!(error.raw_os_error(), Some(libc::EINVAL | libc::EIO | libc::EMSGSIZE)) =>
            {
                *gso = false;
                match send_individually(
                    fd,
                    rest.get(..ends.first().copied().unwrap_or(1)).unwrap_or_default(),
                    to,
                    from,
                ) {
                    Ok(()) => sent += ends.first().copied().unwrap_or(1),
                    Err((count, error)) => return Err((sent + count, error)),
                }
            }
            Err(error) => return Err((sent, error)),
        }
    }
    Ok(())
}

/// Sends datagrams one by one, splitting those that came as one.
fn send_individually(
    fd: BorrowedFd<'_>,
    items: &[OutboundDatagram<'_>],
    to: SocketAddr,
    from: Option<IpAddr>,
) -> Result<(), (usize, io::Error)> {
    for (index, item) in items.iter().enumerate() {
        let size = if item.segment == 0 { usize::MAX } else { item.segment.into() };
        let payload = item.datagram.payload;
        let mut rest = Some(payload);
        while let Some(part) = rest {
            let (part, following) = part.split_at(size.min(part.len()));
            rest = (!following.is_empty()).then_some(following);
            let parts = [IoSlice::new(part)];
            let (tos, hops) = (item.packet.tos, item.hops());
            let message = OutgoingDatagram { to, from, parts: &parts, segment: 0, tos, hops };
            datagram::send(fd, &[message]).map_err(|error| (index, error))?;
        }
    }
    Ok(())
}

/// How many of the first `items` can be sent as one: of the same length, except the last.
fn gso_run_length(items: &[OutboundDatagram<'_>]) -> usize {
    let Some(first) = items.first() else { return 0 };
    let size = first.datagram.payload.len();
    let (mut total, mut count) = (0, 0);
    for item in items.iter().take(MAX_SEGMENTS) {
        let length = item.datagram.payload.len();
        let alike = item.packet.tos == first.packet.tos && item.packet.hops == first.packet.hops;
        if item.segment != 0 || length == 0 || length > size || !alike || total + length > MAX_GSO_BYTES {
            break;
        }
        (total, count) = (total + length, count + 1);
        if length < size {
            break;
        }
    }
    count.max(1)
}

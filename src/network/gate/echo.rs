//! ICMP echo between containers and the host's network, through unprivileged ping sockets (icmp(7), allowed
//! by `net.ipv4.ping_group_range`): one per address and ident of a container.

use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd as _, OwnedFd, RawFd};
use std::sync::Arc;
use std::time::Instant;

use rustix::net::{AddressFamily, SocketFlags, SocketType, ipproto};

use super::flows::{Flows, Watch};
use super::udp::set_whole;
use super::writer::Writer;
use super::{Limits, PacketOut as _, Settings, trouble};
use crate::network::packet::build::Ip;
use crate::network::packet::{Packet, icmp, protocol};
use crate::network::policy::{Flow, Kind, Policy, Verdict};
use crate::sys::datagram::{self, Inbox, Message, Reports};

/// Replies received by one call.
const BATCH: usize = 8;

/// Pings are rare: all limits are this fraction of those for UDP.
const SHARE: usize = 8;

/// Whether the host lets this user send pings.
pub fn allowed() -> bool {
    socket(false).is_ok()
}

fn socket(v6: bool) -> io::Result<OwnedFd> {
    let (family, protocol) =
        if v6 { (AddressFamily::INET6, ipproto::ICMPV6) } else { (AddressFamily::INET, ipproto::ICMP) };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let fd = rustix::net::socket_with(family, SocketType::DGRAM, flags, Some(protocol))?;
    datagram::report(fd.as_fd(), v6, Reports { errors: true, tos: true, ..Reports::default() })?;
    Ok(fd)
}

/// The pings of a gateway. In the addresses of its flows, the ident stands in place of a container's port.
pub(super) struct Echo {
    flows: Flows,
    inbox: Inbox,
    writer: Arc<Writer>,
    policy: Arc<dyn Policy>,
    settings: Arc<Settings>,
}

impl Echo {
    pub(super) fn new(
        watch: Watch,
        writer: Arc<Writer>,
        policy: Arc<dyn Policy>,
        settings: Arc<Settings>,
    ) -> Self {
        let all = settings.limits;
        let limits = Limits {
            sockets: all.sockets / SHARE,
            sockets_per_container: all.sockets_per_container / SHARE,
            flows: all.flows / SHARE,
            flows_per_container: all.flows_per_container / SHARE,
            // A container that pings does so every second, or has stopped.
            replied: all.unreplied,
            ..all
        };
        let inbox = Inbox::new(BATCH, 1 << 16);
        Self { flows: Flows::new(watch, limits), inbox, writer, policy, settings }
    }

    /// Forwards a container's request; `whole` if it may not be fragmented.
    pub(super) fn outbound(&mut self, packet: &Packet<'_>, echo: &icmp::Echo<'_>, whole: bool, now: Instant) {
        let source = SocketAddr::new(packet.source, echo.ident);
        let target = SocketAddr::new(packet.target, 0);
        let outcome = self.send(packet, echo, (source, target), whole, now);
        let Err(error) = outcome else { return };
        let why = match error.raw_os_error() {
            Some(libc::EMSGSIZE) => icmp::Error::TooBig(self.troubles(source).unwrap_or(1280)),
            Some(libc::EAGAIN | libc::ENOBUFS) => return,
            // A ping has no port that could refuse, so answer as a router that forbids it.
            Some(libc::ECONNREFUSED) => icmp::Error::Prohibited,
            _ => match icmp::Error::of(&error) {
                Some(why) => why,
                None => return,
            },
        };
        self.writer.refuse(packet, why, self.settings.gateway(packet.source));
    }

    fn send(
        &mut self,
        packet: &Packet<'_>,
        echo: &icmp::Echo<'_>,
        (source, target): (SocketAddr, SocketAddr),
        whole: bool,
        now: Instant,
    ) -> io::Result<()> {
        if self.flows.find(source, target, now).is_none() {
            let flow = Flow { kind: Kind::Echo, source, target };
            let outcome = self.open(&flow, now);
            self.policy.note(&flow, outcome.as_ref().copied());
            outcome?;
        }
        let mut again = true;
        loop {
            let Some((socket, host)) = self.flows.find(source, target, now) else { return Ok(()) };
            if socket.whole != Some(whole) && set_whole(socket.fd.as_fd(), host, whole).is_ok() {
                socket.whole = Some(whole);
            }
            let hops = super::meant(packet.hops);
            let parts = [IoSlice::new(echo.message)];
            let message = Message { to: host, from: None, parts: &parts, segment: 0, tos: packet.tos, hops };
            match datagram::send(socket.fd.as_fd(), &[message]) {
                Ok(_) => return Ok(()),
                // The error may belong to an earlier request: drain the error queue and try once more.
                Err(error) if again && error.raw_os_error() != Some(libc::EMSGSIZE) => {
                    again = false;
                    self.troubles(source);
                    if error.kind() == io::ErrorKind::WouldBlock {
                        return Err(error);
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn open(&mut self, flow: &Flow, now: Instant) -> io::Result<()> {
        let host = match self.policy.judge(&Flow { source: SocketAddr::new(flow.source.ip(), 0), ..*flow }) {
            Verdict::Pass(host) if host.is_ipv4() == flow.source.is_ipv4() => SocketAddr::new(host.ip(), 0),
            Verdict::Pass(_) => return Err(io::Error::from_raw_os_error(libc::ENETUNREACH)),
            Verdict::Refuse => return Err(io::Error::from_raw_os_error(libc::ECONNREFUSED)),
        };
        self.flows.share(self.settings.gates.count());
        self.flows.open(flow.source, flow.target, host, now, || socket(host.is_ipv6()))
    }

    /// Receives from the socket with this number.
    pub(super) fn ready(&mut self, fd: RawFd, now: Instant) {
        if let Some(container) = self.flows.source(fd) {
            self.inbound(container, now);
        }
    }

    fn inbound(&mut self, container: SocketAddr, now: Instant) {
        let Some(socket) = self.flows.socket(container) else { return };
        if self.inbox.receive(socket.fd.as_fd()).is_err() {
            self.troubles(container);
            return;
        }
        for one in self.inbox.iter() {
            let from = SocketAddr::new(one.from.ip(), 0);
            let Some(named) = socket.answered(from, now) else { continue };
            let Some(([_, _, _, _, _, _, s0, s1], data)) = one.bytes.split_first_chunk::<8>() else {
                continue;
            };
            // The kernel writes its own ident into the request, so put the container's back.
            let protocol = if named.is_ipv4() { protocol::ICMP } else { protocol::ICMPV6 };
            let ip = Ip { tos: one.tos, ..Ip::answer(named.ip(), container.ip(), protocol) };
            self.writer.echo_reply(ip, container.port(), u16::from_be_bytes([*s0, *s1]), data);
        }
    }

    /// Passes ICMP errors on to the container. Returns the path MTU if the kernel itself reported one.
    fn troubles(&mut self, container: SocketAddr) -> Option<u32> {
        let Self { flows, writer, settings, policy, .. } = self;
        let mut mtu = None;
        let socket = flows.socket(container)?;
        while let Ok(Some(trouble)) = datagram::trouble(socket.fd.as_fd()) {
            if trouble.icmp.is_none() && trouble.error.raw_os_error() == Some(libc::EMSGSIZE) {
                mtu = Some(trouble.info);
            }
            let to = trouble.to.map(|to| SocketAddr::new(to.ip(), 0));
            let Some(named) = to.and_then(|to| socket.named(to)) else { continue };
            let Some((why, from)) = trouble::told(&trouble, named, settings) else { continue };
            policy.note(&Flow { kind: Kind::Echo, source: container, target: named }, Err(&trouble.error));
            let Some(([_, _, _, _, _, _, s0, s1], data)) = trouble.payload.split_first_chunk::<8>() else {
                continue;
            };
            let quote = trouble::echo(container, named.ip(), u16::from_be_bytes([*s0, *s1]), data);
            let answer = quote.and_then(|quote| icmp::error_quoting(container.ip(), &quote, why, from));
            answer.iter().for_each(|answer| writer.packet(answer));
        }
        mtu
    }

    pub(super) fn expire(&mut self, now: Instant) -> Option<Instant> {
        self.flows.expire(now)
    }

    pub(super) fn forget(&mut self, container: IpAddr) {
        self.flows.forget(container);
    }
}

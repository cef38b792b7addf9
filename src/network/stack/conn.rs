//! A connection of the user-space stack: smoltcp's TCP towards the container, a host socket towards the rest
//! of the world. Each connection has a smoltcp interface of its own, so that no packet has to be matched
//! against the others.
//!
//! As in the relay, a FIN is passed on as a FIN of that direction alone, a reset or any other error as a
//! reset, and nothing times out while both sides are there.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;

use rustix::event::epoll::EventFlags;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown};
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::socket::tcp::{Socket, SocketBuffer, State};
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{HardwareAddress, IpAddress, IpCidr, IpEndpoint};

use super::link::ConnLink;
use crate::forwarder::PacketSink;
use crate::relay::QuotaPermit;

/// How long the container may take to answer during the handshake, or to acknowledge the last segment.
/// Otherwise silence is allowed.
const PEER_TIMEOUT: Duration = Duration::from_secs(60);

/// The two ends of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ConnEnds {
    pub(super) container: SocketAddr,
    /// The other end, as the container knows it.
    pub(super) other: SocketAddr,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StackTurn {
    /// Blocked until the next event.
    Idle,
    /// Both directions have ended.
    Finished,
    /// It was reset.
    Broken,
}

pub(super) struct StackConn {
    interface: Interface,
    sockets: SocketSet<'static>,
    handle: SocketHandle,
    mtu: usize,
    /// Towards the rest of the world.
    host: OwnedFd,
    readable: bool,
    writable: bool,
    /// The host's side had an error.
    broken: bool,
    /// The host's side has ended, and the container has been told.
    ended: bool,
    /// The container's side has ended, and the host's side has been told.
    finished: bool,
    /// The container has sent its FIN.
    container_done: bool,
    finished_cleanly: bool,
    pub(super) ends: ConnEnds,
    /// See [`crate::relay::RelayPair::owner`].
    pub(super) owner: u64,
    _permit: QuotaPermit,
}

/// What a connection is made of.
pub(super) struct StackConnParts {
    pub(super) ends: ConnEnds,
    pub(super) host: OwnedFd,
    pub(super) owner: u64,
    pub(super) permit: QuotaPermit,
    pub(super) mtu: usize,
    /// Size of the buffer per direction, in bytes.
    pub(super) buffer: usize,
    /// Seed of the initial sequence number.
    pub(super) seed: u64,
}

impl StackConn {
    fn new(parts: StackConnParts, now: Instant) -> Self {
        let StackConnParts { ends, host, owner, permit, mtu, buffer, seed } = parts;
        // Without it, it is merely slower.
        let _ = rustix::net::sockopt::set_tcp_nodelay(&host, true);
        let mut config = Config::new(HardwareAddress::Ip);
        config.random_seed = seed;
        let mut link = ConnLink { packet: None, out: &NullSink, mtu };
        let mut interface = Interface::new(config, &mut link, now);
        let own = IpAddress::from(ends.other.ip());
        interface.update_ip_addrs(|addresses| {
            // The list has room for two.
            let _ = addresses.push(IpCidr::new(own, if ends.other.is_ipv4() { 32 } else { 128 }));
        });
        let _ = match ends.other.ip() {
            IpAddr::V4(own) => interface.routes_mut().add_default_ipv4_route(own).map(drop),
            IpAddr::V6(own) => interface.routes_mut().add_default_ipv6_route(own).map(drop),
        };
        let buffer = || SocketBuffer::new(vec![0; buffer]);
        let mut socket = Socket::new(buffer(), buffer());
        socket.set_nagle_enabled(false);
        socket.set_timeout(Some(PEER_TIMEOUT));
        let mut sockets = SocketSet::new(Vec::new());
        let handle = sockets.add(socket);
        Self {
            interface,
            sockets,
            handle,
            mtu,
            host,
            readable: true,
            writable: true,
            broken: false,
            ended: false,
            finished: false,
            container_done: false,
            finished_cleanly: false,
            ends,
            owner,
            _permit: permit,
        }
    }

    /// A connection that the container opens; its SYN must be the next packet to [`Self::take`].
    pub(super) fn listening(parts: StackConnParts, now: Instant) -> io::Result<Self> {
        let mut conn = Self::new(parts, now);
        let own = endpoint(conn.ends.other);
        conn.socket().listen(own).map_err(|error| io::Error::other(error.to_string()))?;
        Ok(conn)
    }

    /// A connection that is opened to the container.
    pub(super) fn connecting(parts: StackConnParts, now: Instant) -> io::Result<Self> {
        let mut conn = Self::new(parts, now);
        let (to, from) = (endpoint(conn.ends.container), endpoint(conn.ends.other));
        let Self { sockets, handle, interface, .. } = &mut conn;
        let socket = sockets.get_mut::<Socket<'_>>(*handle);
        socket.connect(interface.context(), to, from).map_err(|error| io::Error::other(error.to_string()))?;
        Ok(conn)
    }

    fn socket(&mut self) -> &mut Socket<'static> {
        self.sockets.get_mut(self.handle)
    }

    pub(super) fn host(&self) -> &OwnedFd {
        &self.host
    }

    /// Handles a packet from the container; its consequences follow in the next turn.
    pub(super) fn take(&mut self, packet: &[u8], now: Instant, out: &dyn PacketSink) {
        let mut link = ConnLink { packet: Some(packet), out, mtu: self.mtu };
        self.interface.poll_ingress_single(now, &mut link, &mut self.sockets);
    }

    /// Records an epoll event of the host's side.
    pub(super) fn notice(&mut self, flags: EventFlags) {
        let ended = flags.intersects(EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR);
        self.readable |= ended || flags.contains(EventFlags::IN);
        self.writable |= flags.intersects(EventFlags::OUT | EventFlags::ERR);
        self.broken |= flags.contains(EventFlags::ERR);
    }

    /// Moves bytes and sends packets, as far as possible now.
    pub(super) fn turn(&mut self, now: Instant, out: &dyn PacketSink) -> StackTurn {
        let moved = self.move_bytes();
        let broken = moved.is_err() || self.broken;
        if broken {
            self.socket().abort();
        }
        let mut link = ConnLink { packet: None, out, mtu: self.mtu };
        self.interface.poll(now, &mut link, &mut self.sockets);
        if broken {
            return StackTurn::Broken;
        }
        self.finished_cleanly = self.finished && self.ended;
        match self.socket().state() {
            State::Closed | State::TimeWait if self.finished_cleanly => StackTurn::Finished,
            // The container has gone, but what the host's side has not taken yet is still being passed on.
            State::Closed if self.container_done && self.ended => StackTurn::Idle,
            // A handshake that was aborted by the container leaves the socket listening.
            State::Closed | State::Listen => StackTurn::Broken,
            _ => StackTurn::Idle,
        }
    }

    /// Resets both sides.
    pub(super) fn abort(&mut self, now: Instant, out: &dyn PacketSink) {
        self.finished_cleanly = false;
        self.socket().abort();
        let mut link = ConnLink { packet: None, out, mtu: self.mtu };
        self.interface.poll(now, &mut link, &mut self.sockets);
    }

    /// When [`Self::turn`] must be called at the latest.
    pub(super) fn due(&mut self, now: Instant) -> Option<Instant> {
        self.interface.poll_at(now, &self.sockets)
    }

    fn move_bytes(&mut self) -> io::Result<()> {
        let socket = self.sockets.get_mut::<Socket<'_>>(self.handle);
        while self.writable && socket.can_recv() {
            let host = &self.host;
            let sent = socket.recv(|bytes| {
                let sent = ready(rustix::net::send(host, bytes, SendFlags::NOSIGNAL));
                (sent.as_ref().ok().copied().flatten().unwrap_or(0), sent)
            });
            self.writable = sent.map_err(|error| io::Error::other(error.to_string()))??.is_some();
        }
        let state = socket.state();
        self.container_done |=
            matches!(state, State::CloseWait | State::LastAck | State::Closing | State::TimeWait);
        if self.container_done && socket.recv_queue() == 0 && !self.finished {
            rustix::net::shutdown(&self.host, Shutdown::Write)?;
            self.finished = true;
        }
        while self.readable && !self.ended && socket.can_send() {
            let host = &self.host;
            let received = socket.send(|room| {
                let received = ready(rustix::net::recv(host, room, RecvFlags::empty()));
                let received = received.map(|received| received.map(|(count, _)| count));
                (received.as_ref().ok().copied().flatten().unwrap_or(0), received)
            });
            match received.map_err(|error| io::Error::other(error.to_string()))?? {
                Some(0) => {
                    self.ended = true;
                    socket.close();
                }
                Some(_) => {}
                None => self.readable = false,
            }
        }
        // smoltcp's time-out also covers data, and a silent but healthy peer must not be cut off.
        let handshaking = matches!(state, State::Listen | State::SynSent | State::SynReceived);
        let timeout = (handshaking || (self.ended && self.finished)).then_some(PEER_TIMEOUT);
        if socket.timeout() != timeout {
            socket.set_timeout(timeout);
        }
        Ok(())
    }
}

impl Drop for StackConn {
    fn drop(&mut self) {
        if self.finished_cleanly {
            // Send what is left, instead of a reset.
            let _ = rustix::net::sockopt::set_socket_linger(&self.host, None);
        }
    }
}

fn endpoint(address: SocketAddr) -> IpEndpoint {
    IpEndpoint::new(address.ip().into(), address.port())
}

/// Maps EAGAIN to `None`.
fn ready<T>(result: rustix::io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(Errno::AGAIN | Errno::INTR) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Discards packets: an interface asks its device for its capabilities before there are any.
struct NullSink;

impl PacketSink for NullSink {
    fn packet(&self, _packet: &[u8]) {}
}

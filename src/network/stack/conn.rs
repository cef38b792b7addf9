//! One connection: towards the container smoltcp's TCP, with an interface for it alone so that no packet is searched a
//! place for among the others; towards the rest of the world a socket of the host.
//!
//! What goes on from one side to the other is what the relay passes on: a FIN as a FIN of that direction alone, a reset
//! or any other error as a reset, and no time-out of our own while both sides are there.

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

use super::link::Link;
use crate::network::gate::PacketOut;
use crate::network::relay::Permit;

/// How long a container may take to answer while a connection is made or its last segment is on its way. Otherwise
/// silence is none of our business.
const PATIENCE: Duration = Duration::from_secs(60);

/// Whose connection it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ends {
    /// The container.
    pub(super) container: SocketAddr,
    /// The other side, as the container knows it.
    pub(super) other: SocketAddr,
}

/// How a turn ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Nothing more can be done until something happens.
    Idle,
    /// Both directions have ended.
    Over,
    /// It was reset.
    Broken,
}

pub(super) struct Conn {
    interface: Interface,
    sockets: SocketSet<'static>,
    handle: SocketHandle,
    mtu: usize,
    /// Towards the rest of the world.
    host: OwnedFd,
    readable: bool,
    writable: bool,
    /// An error was seen there.
    broken: bool,
    /// The host's side has ended, and the container has been told.
    ended: bool,
    /// The container's has, and the host's side has been told.
    finished: bool,
    /// The container will send no more.
    last: bool,
    over: bool,
    pub(super) ends: Ends,
    /// See [`crate::network::relay::Pair::owner`].
    pub(super) owner: u64,
    _permit: Permit,
}

/// What a connection is made of.
pub(super) struct Parts {
    pub(super) ends: Ends,
    pub(super) host: OwnedFd,
    pub(super) owner: u64,
    pub(super) permit: Permit,
    pub(super) mtu: usize,
    /// What is on its way in each direction at most, in bytes.
    pub(super) buffer: usize,
    /// What its first sequence number follows from.
    pub(super) seed: u64,
}

impl Conn {
    fn new(parts: Parts, now: Instant) -> Self {
        let Parts { ends, host, owner, permit, mtu, buffer, seed } = parts;
        // At worst it is slower.
        let _ = rustix::net::sockopt::set_tcp_nodelay(&host, true);
        let mut config = Config::new(HardwareAddress::Ip);
        config.random_seed = seed;
        let mut link = Link { packet: None, out: &Nowhere, mtu };
        let mut interface = Interface::new(config, &mut link, now);
        let own = IpAddress::from(ends.other.ip());
        interface.update_ip_addrs(|addresses| {
            // There is room for two.
            let _ = addresses.push(IpCidr::new(own, if ends.other.is_ipv4() { 32 } else { 128 }));
        });
        let _ = match ends.other.ip() {
            IpAddr::V4(own) => interface.routes_mut().add_default_ipv4_route(own).map(drop),
            IpAddr::V6(own) => interface.routes_mut().add_default_ipv6_route(own).map(drop),
        };
        let buffer = || SocketBuffer::new(vec![0; buffer]);
        let mut socket = Socket::new(buffer(), buffer());
        socket.set_nagle_enabled(false);
        socket.set_timeout(Some(PATIENCE));
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
            last: false,
            over: false,
            ends,
            owner,
            _permit: permit,
        }
    }

    /// One that the container makes; its first segment is to be [`Self::take`]n next.
    pub(super) fn listening(parts: Parts, now: Instant) -> io::Result<Self> {
        let mut conn = Self::new(parts, now);
        let own = endpoint(conn.ends.other);
        conn.socket().listen(own).map_err(|error| io::Error::other(error.to_string()))?;
        Ok(conn)
    }

    /// One that is made to the container.
    pub(super) fn connecting(parts: Parts, now: Instant) -> io::Result<Self> {
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

    /// The socket of the host.
    pub(super) fn host(&self) -> &OwnedFd {
        &self.host
    }

    /// Takes a packet of the container's; what follows from it is for the next turn.
    pub(super) fn take(&mut self, packet: &[u8], now: Instant, out: &dyn PacketOut) {
        let mut link = Link { packet: Some(packet), out, mtu: self.mtu };
        self.interface.poll_ingress_single(now, &mut link, &mut self.sockets);
    }

    /// Takes notice of an event of the host's side.
    pub(super) fn notice(&mut self, flags: EventFlags) {
        let ended = flags.intersects(EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR);
        self.readable |= ended || flags.contains(EventFlags::IN);
        self.writable |= flags.intersects(EventFlags::OUT | EventFlags::ERR);
        self.broken |= flags.contains(EventFlags::ERR);
    }

    /// Does what can be done now.
    pub(super) fn turn(&mut self, now: Instant, out: &dyn PacketOut) -> Turn {
        let moved = self.move_bytes();
        let broken = moved.is_err() || self.broken;
        if broken {
            self.socket().abort();
        }
        let mut link = Link { packet: None, out, mtu: self.mtu };
        self.interface.poll(now, &mut link, &mut self.sockets);
        if broken {
            return Turn::Broken;
        }
        self.over = self.finished && self.ended;
        match self.socket().state() {
            State::Closed | State::TimeWait if self.over => Turn::Over,
            // What has come is still being passed on.
            State::Closed if self.last && self.ended => Turn::Idle,
            // A first segment that was taken back leaves it listening.
            State::Closed | State::Listen => Turn::Broken,
            _ => Turn::Idle,
        }
    }

    /// Resets both sides.
    pub(super) fn abort(&mut self, now: Instant, out: &dyn PacketOut) {
        self.over = false;
        self.socket().abort();
        let mut link = Link { packet: None, out, mtu: self.mtu };
        self.interface.poll(now, &mut link, &mut self.sockets);
    }

    /// When there will be something to do, whatever happens until then.
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
        self.last |= matches!(state, State::CloseWait | State::LastAck | State::Closing | State::TimeWait);
        if self.last && socket.recv_queue() == 0 && !self.finished {
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
        let making = matches!(state, State::Listen | State::SynSent | State::SynReceived);
        let patience = (making || (self.ended && self.finished)).then_some(PATIENCE);
        if socket.timeout() != patience {
            socket.set_timeout(patience);
        }
        Ok(())
    }
}

impl Drop for Conn {
    fn drop(&mut self) {
        if self.over {
            // What is not sent yet still will be.
            let _ = rustix::net::sockopt::set_socket_linger(&self.host, None);
        }
    }
}

fn endpoint(address: SocketAddr) -> IpEndpoint {
    IpEndpoint::new(address.ip().into(), address.port())
}

/// `None` where it would block.
fn ready<T>(result: rustix::io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(Errno::AGAIN | Errno::INTR) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Takes no packets: an interface is asked for what it can do before it has any.
struct Nowhere;

impl PacketOut for Nowhere {
    fn packet(&self, _packet: &[u8]) {}
}

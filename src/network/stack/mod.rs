//! TCP of containers without the kernel's: smoltcp answers them, behind the same SYN interceptor, so that a
//! connection succeeds, is refused or times out as the host's own would.
//!
//! ```text
//!  container            gateway           helper, in the host's netns
//!  connect() ─── SYN ──▶ device ──▶ TcpStack ──▶ SynInterceptor: connect() to the destination; it answers errors
//!            ◀── SYN,ACK ── a StackConn takes the SYN ◀── the same SYN, once the host's side is connected
//!  data      ◀──────────▶ device ◀──▶ StackConn ◀──▶ host socket
//!  accept()  ◀── SYN ───────────────── StackConn ◀── publish: a client of a published port, by its own address
//! ```
//!
//! Everything runs on the forwarder's thread. A batch of packets is handed to the connections first, and then
//! each connection takes one turn, so that packets that arrive together are answered together. Other threads
//! send commands through the [`StackMailbox`].

mod conn;
mod link;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::io;
use std::mem::MaybeUninit;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex};

use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use smoltcp::time::Instant;

use self::conn::{ConnEnds, StackConn, StackConnParts, StackTurn};
use super::forwarder::device::PacketDevice;
use super::forwarder::syn_interceptor::SynInterceptor;
use super::forwarder::{PacketSink, ProtocolHandler};
use super::packet::{IpPacket, tcp};
use super::policy::FlowPolicy;
use super::publish::{self, PublishedClient};
use super::relay::{QuotaPermit, RelayPair, TcpRelay};
use super::sync::lock;
use super::wake::Waker;

/// Maximum number of connections per network, and per container: each has two buffers.
const MAX_CONNECTIONS: usize = 4096;
const MAX_PER_CONTAINER: usize = 3072;
/// Up to this number of connections, new ones get large buffers, then small ones (sizes in bytes): 240 MB in
/// total at most. Memory is only touched as it is used.
const LARGE_BUFFER_LIMIT: usize = 512;
const LARGE_BUFFER: usize = 128 << 10;
const SMALL_BUFFER: usize = 16 << 10;
/// Maximum number of queued commands; each may hold a descriptor.
const MAX_COMMANDS: usize = 4096;
/// Events per epoll_wait(2).
const EVENTS: usize = 64;
/// First of the dynamic ports, and their number (RFC 6335 §6).
const FIRST_PORT: u16 = 49_152;
const PORTS: u16 = 16_384;

/// Epoll tokens; connections have theirs from `FIRST` on.
const WAKE: u64 = 0;
const TIMER: u64 = 1;
const FIRST: u64 = 2;

/// The stack of one gateway: the forwarder's handler for TCP.
pub(crate) struct TcpStack {
    interceptor: SynInterceptor,
    mailbox: Arc<StackMailbox>,
    epoll: OwnedFd,
    timer: OwnedFd,
    mtu: usize,
    /// The owner number of the connections that containers open.
    owner: u64,
    since: std::time::Instant,
    conns: HashMap<u64, ConnEntry>,
    by_ends: HashMap<(SocketAddr, SocketAddr), u64>,
    per_container: HashMap<IpAddr, usize>,
    next: u64,
    next_port: u16,
    /// Connections that need a turn.
    dirty: Vec<u64>,
    due: BTreeSet<(Instant, u64)>,
    /// When the timer is set to expire.
    timer_deadline: Option<Instant>,
}

struct ConnEntry {
    conn: StackConn,
    due: Option<Instant>,
    /// It is in `dirty`.
    dirty: bool,
}

/// How other threads reach a stack.
pub(crate) struct StackMailbox {
    commands: Mutex<Vec<StackCommand>>,
    waker: Waker,
}

enum StackCommand {
    /// The SYN of a connection whose host side is connected.
    AcceptSyn(Box<[u8]>),
    /// A client of a published port.
    ConnectClient(Box<PublishedClient>),
    /// Resets the connections of an owner.
    ResetOwner(u64),
}

/// The interceptor's packets: SYNs come back to the stack, everything else goes to the container.
struct SynReturn {
    mailbox: Arc<StackMailbox>,
    device: Arc<dyn PacketDevice>,
}

impl PacketSink for SynReturn {
    fn packet(&self, bytes: &[u8]) {
        let first = |packet: IpPacket<'_>| packet.tcp().is_some_and(|segment| segment.is_first());
        if IpPacket::parse(bytes).is_ok_and(first) {
            self.mailbox.send(StackCommand::AcceptSyn(bytes.into()));
        } else {
            PacketSink::packet(&self.device, bytes);
        }
    }
}

impl StackMailbox {
    fn send(&self, command: StackCommand) {
        let mut commands = lock(&self.commands);
        // A reset must not get lost; other commands are dropped like packets.
        if commands.len() < MAX_COMMANDS || matches!(command, StackCommand::ResetOwner(_)) {
            commands.push(command);
        }
        drop(commands);
        self.waker.wake();
    }
}

impl publish::ContainerDialer for StackMailbox {
    fn connect_client(&self, client: PublishedClient) -> Option<RelayPair> {
        self.send(StackCommand::ConnectClient(Box::new(client)));
        None
    }

    fn reset_owner(&self, owner: u64) {
        self.send(StackCommand::ResetOwner(owner));
    }
}

impl fmt::Debug for StackMailbox {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("StackMailbox").finish_non_exhaustive()
    }
}

impl TcpStack {
    /// A stack that sends its packets to `device`, with at most `mtu` bytes; `policy` decides which
    /// connections are allowed.
    pub(crate) fn new(
        device: Arc<dyn PacketDevice>,
        mtu: u16,
        relay: &TcpRelay,
        policy: Arc<dyn FlowPolicy>,
    ) -> io::Result<Self> {
        let mailbox = Arc::new(StackMailbox { commands: Mutex::default(), waker: Waker::new()? });
        let interceptor =
            SynInterceptor::new(relay, policy, Arc::new(SynReturn { mailbox: Arc::clone(&mailbox), device }));
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        epoll::add(&epoll, &mailbox.waker, EventData::new_u64(WAKE), EventFlags::IN)?;
        epoll::add(&epoll, &timer, EventData::new_u64(TIMER), EventFlags::IN)?;
        Ok(Self {
            interceptor,
            mailbox,
            epoll,
            timer,
            mtu: mtu.into(),
            owner: relay.pool().next_owner(),
            since: std::time::Instant::now(),
            conns: HashMap::new(),
            by_ends: HashMap::new(),
            per_container: HashMap::new(),
            next: FIRST,
            next_port: 0,
            dirty: Vec::new(),
            due: BTreeSet::new(),
            timer_deadline: None,
        })
    }

    pub(crate) fn interceptor(&self) -> &SynInterceptor {
        &self.interceptor
    }

    pub(crate) fn mailbox(&self) -> &Arc<StackMailbox> {
        &self.mailbox
    }

    fn now(&self) -> Instant {
        Instant::from_micros(i64::try_from(self.since.elapsed().as_micros()).unwrap_or(i64::MAX))
    }

    fn mark(&mut self, id: u64) {
        if let Some(entry) = self.conns.get_mut(&id)
            && !entry.dirty
        {
            entry.dirty = true;
            self.dirty.push(id);
        }
    }

    fn run_commands(&mut self, commands: Vec<StackCommand>, out: &dyn PacketSink) {
        for command in commands {
            match command {
                StackCommand::AcceptSyn(syn) => {
                    self.accept_syn(&syn, out);
                }
                StackCommand::ConnectClient(client) => {
                    self.connect_client(*client);
                }
                StackCommand::ResetOwner(owner) => self.abort_all(|conn| conn.owner == owner, out),
            }
        }
    }

    /// Answers a SYN whose host side is connected.
    fn accept_syn(&mut self, syn: &[u8], out: &dyn PacketSink) -> Option<()> {
        let packet = IpPacket::parse(syn).ok()?;
        let segment = packet.tcp()?;
        let container = SocketAddr::new(packet.source, segment.source);
        let other = SocketAddr::new(packet.target, segment.target);
        let (host, permit) = self.interceptor.take_connected(container, other)?;
        let owner = self.owner;
        let ends = ConnEnds { container, other };
        // Without room: the container must hear of it, since its SYN will not be answered.
        let Some(parts) = self.parts(ends, host, owner, permit) else {
            tcp::build_reset(&packet).iter().for_each(|reset| out.packet(reset));
            return None;
        };
        let now = self.now();
        let mut conn = StackConn::listening(parts, now).ok()?;
        conn.take(syn, now, out);
        self.insert(conn)
    }

    /// Opens a connection to a container, for a client of a published port.
    fn connect_client(&mut self, client: PublishedClient) -> Option<()> {
        let PublishedClient { socket, mut from, to, owner, permit } = client;
        rustix::io::ioctl_fionbio(&socket, true).ok()?;
        // The client may be connected through another host port, from the same port of its own.
        if from.port() == 0 || self.by_ends.contains_key(&(to, from)) {
            from.set_port(self.free_port(from.ip(), to)?);
        }
        let parts = self.parts(ConnEnds { container: to, other: from }, socket, owner, permit)?;
        let conn = StackConn::connecting(parts, self.now()).ok()?;
        self.insert(conn)
    }

    fn free_port(&mut self, from: IpAddr, to: SocketAddr) -> Option<u16> {
        (0..PORTS).find_map(|_| {
            self.next_port = (self.next_port + 1) % PORTS;
            let port = FIRST_PORT + self.next_port;
            (!self.by_ends.contains_key(&(to, SocketAddr::new(from, port)))).then_some(port)
        })
    }

    /// What a new connection is made of; `None` if there is no room, which resets the host's side.
    fn parts(
        &self,
        ends: ConnEnds,
        host: OwnedFd,
        owner: u64,
        permit: QuotaPermit,
    ) -> Option<StackConnParts> {
        let container_conns = self.per_container.get(&ends.container.ip()).copied().unwrap_or(0);
        let seed = dhow_sys::random::random_bytes().map(u64::from_ne_bytes);
        if self.conns.len() >= MAX_CONNECTIONS
            || container_conns >= MAX_PER_CONTAINER
            || self.by_ends.contains_key(&(ends.container, ends.other))
        {
            return None;
        }
        let buffer = if self.conns.len() < LARGE_BUFFER_LIMIT { LARGE_BUFFER } else { SMALL_BUFFER };
        Some(StackConnParts { ends, host, owner, permit, mtu: self.mtu, buffer, seed: seed.ok()? })
    }

    fn insert(&mut self, conn: StackConn) -> Option<()> {
        let id = self.next;
        self.next += 1;
        // Edge-triggered: each turn moves all that can be moved.
        let interest = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        epoll::add(&self.epoll, conn.host(), EventData::new_u64(id), interest).ok()?;
        let ends = conn.ends;
        self.by_ends.insert((ends.container, ends.other), id);
        *self.per_container.entry(ends.container.ip()).or_default() += 1;
        self.conns.insert(id, ConnEntry { conn, due: None, dirty: false });
        self.mark(id);
        Some(())
    }

    fn remove(&mut self, id: u64) -> Option<StackConn> {
        let ConnEntry { conn, due, .. } = self.conns.remove(&id)?;
        let ends = conn.ends;
        self.by_ends.remove(&(ends.container, ends.other));
        if let Some(due) = due {
            self.due.remove(&(due, id));
        }
        if let Some(count) = self.per_container.get_mut(&ends.container.ip()) {
            *count -= 1;
            if *count == 0 {
                self.per_container.remove(&ends.container.ip());
            }
        }
        Some(conn)
    }

    fn abort_all(&mut self, filter: impl Fn(&StackConn) -> bool, out: &dyn PacketSink) {
        let now = self.now();
        let ids = self.conns.iter().filter(|(_, entry)| filter(&entry.conn)).map(|(id, _)| *id);
        for id in ids.collect::<Vec<_>>() {
            if let Some(mut conn) = self.remove(id) {
                conn.abort(now, out);
            }
        }
    }

    /// Gives a turn to every connection that needs one.
    fn process_dirty(&mut self, out: &dyn PacketSink) {
        let now = self.now();
        while let Some((due, id)) = self.due.first().copied().filter(|(due, _)| *due <= now) {
            self.due.remove(&(due, id));
            if let Some(entry) = self.conns.get_mut(&id) {
                entry.due = None;
            }
            self.mark(id);
        }
        for id in std::mem::take(&mut self.dirty) {
            let Some(entry) = self.conns.get_mut(&id) else { continue };
            entry.dirty = false;
            if entry.conn.turn(now, out) == StackTurn::Idle {
                let due = entry.conn.due(now);
                if due != entry.due {
                    if let Some(old) = std::mem::replace(&mut entry.due, due) {
                        self.due.remove(&(old, id));
                    }
                    if let Some(due) = due {
                        self.due.insert((due, id));
                    }
                }
            } else {
                // Resets the host's side, unless both directions have ended cleanly.
                drop(self.remove(id));
            }
        }
        self.set_timer(now);
    }

    fn set_timer(&mut self, now: Instant) {
        let next = self.due.first().map(|(due, _)| *due);
        if next == self.timer_deadline {
            return;
        }
        self.timer_deadline = next;
        // A value of 0 would disarm the timer, so a time that has passed becomes 1 µs.
        let wait = next.map_or(0, |next| if next > now { (next - now).total_micros() } else { 1 });
        let tv_sec = i64::try_from(wait / 1_000_000).unwrap_or_default();
        let tv_nsec = i64::try_from(wait % 1_000_000 * 1000).unwrap_or_default();
        let once = Itimerspec {
            it_interval: Timespec { tv_sec: 0, tv_nsec: 0 },
            it_value: Timespec { tv_sec, tv_nsec },
        };
        // Fails only for invalid times.
        let _ = timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &once);
    }
}

impl ProtocolHandler for TcpStack {
    fn packet(&mut self, packet: &IpPacket<'_>, out: &dyn PacketSink) {
        let Some(segment) = packet.tcp() else { return };
        let container = SocketAddr::new(packet.source, segment.source);
        let other = SocketAddr::new(packet.target, segment.target);
        let Some(id) = self.by_ends.get(&(container, other)).copied() else {
            if segment.is_first() {
                self.interceptor.handle_syn(packet);
            } else {
                tcp::build_reset(packet).iter().for_each(|reset| out.packet(reset));
            }
            return;
        };
        let now = self.now();
        if let Some(entry) = self.conns.get_mut(&id) {
            entry.conn.take(packet.bytes, now, out);
        }
        // The first packet of a batch wakes the loop, which runs the turns after the whole batch.
        if self.dirty.is_empty() {
            self.mailbox.waker.wake();
        }
        self.mark(id);
    }

    fn fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.epoll.as_fd())
    }

    fn ready(&mut self, out: &dyn PacketSink) {
        let mut room = [MaybeUninit::uninit(); EVENTS];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        let Ok((events, _)) = epoll::wait(&self.epoll, &mut room, Some(&now)) else { return };
        let events: Vec<_> = events.iter().map(|event| (event.data.u64(), event.flags)).collect();
        for (token, flags) in events {
            match token {
                WAKE => {
                    self.mailbox.waker.reset();
                    let commands = std::mem::take(&mut *lock(&self.mailbox.commands));
                    self.run_commands(commands, out);
                }
                TIMER => {
                    // Read only so that it is not reported again.
                    let _ = rustix::io::read(&self.timer, &mut [0_u8; 8][..]);
                    self.timer_deadline = None;
                }
                id => {
                    if let Some(entry) = self.conns.get_mut(&id) {
                        entry.conn.notice(flags);
                        self.mark(id);
                    }
                }
            }
        }
        self.process_dirty(out);
    }

    fn forget(&mut self, container: IpAddr) {
        self.interceptor.forget(container);
        self.abort_all(|conn| conn.ends.container.ip() == container, &DiscardSink);
    }
}

/// Discards packets: the container is gone.
struct DiscardSink;

impl PacketSink for DiscardSink {
    fn packet(&self, _packet: &[u8]) {}
}

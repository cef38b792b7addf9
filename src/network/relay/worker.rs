//! A worker thread of the relay: waits for events, accepts connections and moves their bytes in turn.

use std::collections::VecDeque;
use std::io;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use nix::sys::signal::SigSet;
use rustix::event::Timespec;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::SocketFlags;

use super::conn::{RelayConn, RelayTurn, WorkerBuffers};
use super::slab::{Slab, SlabKey};
use super::{EventSource, RelayListener, WorkerCommand, WorkerMailbox, WorkerPool, token};
use crate::socket::ReserveFd;
use crate::sync::lock;

/// Events per epoll_wait(2).
const EVENTS: usize = 256;
/// Connections accepted from one listener before others get their turn.
const BATCH: usize = 32;
/// Connections that get a turn before new events are looked for.
const MAX_TURNS: usize = 64;
/// Interval of the expiry timer.
const TICK: Duration = Duration::from_secs(1);
/// On shutdown, how long the peers of containers that are gone may take to read what is left.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a listener is paused when accept(2) fails.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

#[derive(Debug)]
struct SourceSlot {
    id: u64,
    source: Box<dyn EventSource>,
    /// It has events to handle in this round.
    ready: bool,
}

/// The state of a worker.
#[derive(Debug)]
pub(super) struct RelayWorker {
    pool: Arc<WorkerPool>,
    number: usize,
    conns: Slab<Box<RelayConn>>,
    listeners: Slab<Arc<RelayListener>>,
    sources: Vec<SourceSlot>,
    /// Connections that wait for their turn.
    queue: VecDeque<SlabKey>,
    buffers: WorkerBuffers,
    reserve_fd: ReserveFd,
    /// Listeners that are paused, and until when.
    paused_listeners: Vec<(Instant, SlabKey)>,
    next_tick: Option<Instant>,
    /// The deadline for shutting down.
    stop_deadline: Option<Instant>,
}

impl RelayWorker {
    /// The worker of mailbox `number`.
    pub(super) fn new(pool: &Arc<WorkerPool>, number: usize) -> io::Result<Self> {
        let mut worker = Self {
            pool: Arc::clone(pool),
            number,
            conns: Slab::new(),
            listeners: Slab::new(),
            sources: Vec::new(),
            queue: VecDeque::new(),
            buffers: WorkerBuffers::new(),
            reserve_fd: ReserveFd::default(),
            paused_listeners: Vec::new(),
            next_tick: None,
            stop_deadline: None,
        };
        let mailbox = pool.mailboxes.get(number).ok_or(io::ErrorKind::NotFound)?;
        worker.reserve_fd.refill(&mailbox.waker);
        Ok(worker)
    }

    /// Runs until it is told to stop.
    pub(super) fn run(mut self) {
        // Signals belong to the main thread. And splice(2) has no MSG_NOSIGNAL, so SIGPIPE must be blocked.
        let _ = SigSet::all().thread_block();
        while self.run_round() {}
        self.stop();
    }

    /// Waits for events and handles them. Returns whether to go on.
    fn run_round(&mut self) -> bool {
        let mut space = [MaybeUninit::uninit(); EVENTS];
        let wait = self.poll_timeout();
        let wait = wait.and_then(|wait| Timespec::try_from(wait).ok());
        let Some(mailbox) = self.mailbox() else { return false };
        let events = match epoll::wait(&mailbox.epoll, &mut space, wait.as_ref()) {
            Ok((events, _)) => &*events,
            Err(error) => return error == Errno::INTR,
        };
        let mut has_commands = false;
        for event in events {
            let (kind, number) = token::decode(event.data.u64());
            let key = SlabKey::from_number(number);
            match kind {
                token::WAKE => has_commands = true,
                token::LISTENER => self.accept(key),
                token::CONNECT => self.connect_finished(key),
                token::SOURCE => self.notify_source(number),
                kind => self.notice(key, usize::from(kind == token::OUTER), event.flags),
            }
        }
        for slot in &mut self.sources {
            if std::mem::take(&mut slot.ready) {
                slot.source.run_ready();
            }
        }
        for _ in 0..self.queue.len().min(MAX_TURNS) {
            if let Some(key) = self.queue.pop_front() {
                self.turn(key);
            }
        }
        let go_on = !has_commands || self.run_commands();
        self.run_timers();
        go_on
    }

    fn mailbox(&self) -> Option<&WorkerMailbox> {
        self.pool.mailboxes.get(self.number)
    }

    /// How long to wait for events; `None` for no limit.
    fn poll_timeout(&self) -> Option<Duration> {
        if !self.queue.is_empty() {
            return Some(Duration::ZERO);
        }
        let times = self
            .paused_listeners
            .iter()
            .map(|(until, _)| *until)
            .chain(self.next_tick)
            .chain(self.stop_deadline);
        let times = times.chain(self.sources.iter().filter_map(|slot| slot.source.deadline()));
        times.min().map(|next| next.saturating_duration_since(Instant::now()))
    }

    fn run_timers(&mut self) {
        if self.paused_listeners.is_empty() && self.next_tick.is_none() && self.sources.is_empty() {
            return;
        }
        let now = Instant::now();
        for slot in &mut self.sources {
            if slot.source.deadline().is_some_and(|next| next <= now) {
                slot.source.run_ready();
            }
        }
        if self.next_tick.is_some_and(|tick| tick <= now) {
            self.next_tick = self.pool.run_expiry(now).then(|| now + TICK);
        }
        for (until, key) in std::mem::take(&mut self.paused_listeners) {
            if until <= now { self.listen(key) } else { self.paused_listeners.push((until, key)) }
        }
    }

    /// Runs the queued commands. Returns whether to go on.
    fn run_commands(&mut self) -> bool {
        let Some(mailbox) = self.mailbox() else { return false };
        // The eventfd is edge-triggered; it is read only so that it does not overflow.
        mailbox.waker.reset();
        let commands = lock(&mailbox.commands).as_mut().map(std::mem::take).unwrap_or_default();
        // Only the first worker runs the expiry timer.
        if self.number == 0 && self.next_tick.is_none() && self.pool.expiry_pending.load(Ordering::SeqCst) {
            self.next_tick = Some(Instant::now() + TICK);
        }
        for command in commands {
            match command {
                WorkerCommand::Listen(listener) => {
                    if let Ok(key) = self.listeners.insert(listener) {
                        self.listen(key);
                    }
                }
                WorkerCommand::CloseOwner(owner, done) => {
                    for key in self.listeners.keys(|listener| listener.owner == owner) {
                        self.unlisten(key);
                        self.listeners.remove(key);
                    }
                    self.release_containers(|conn| conn.owner == owner);
                    // Nobody waits any more if this fails.
                    let _ = done.send(());
                }
                WorkerCommand::ResetContainer(owner, container) => {
                    self.release_containers(|conn| conn.owner == owner && conn.container == container);
                }
                WorkerCommand::MoveConn(conn) => self.add_conn(conn),
                // The epoll set is level-triggered for sources: events that came before are reported again.
                WorkerCommand::AddSource(number, source) => {
                    self.sources.push(SourceSlot { id: number, source, ready: false })
                }
                WorkerCommand::RemoveSource(number, to) => {
                    if let Some(index) = self.sources.iter().position(|slot| slot.id == number) {
                        // Fails only if the receiver has gone.
                        let _ = to.send(self.sources.swap_remove(index).source);
                    }
                }
                WorkerCommand::Stop => return false,
            }
        }
        true
    }

    fn stop(mut self) {
        self.release_containers(|_| true);
        let until = Instant::now() + DRAIN_TIMEOUT;
        self.stop_deadline = Some(until);
        while !self.conns.keys(|_| true).is_empty() && Instant::now() < until {
            self.run_round();
        }
        self.reset_all(|_| true);
        if let Some(mailbox) = self.mailbox() {
            *lock(&mailbox.commands) = None;
        }
    }

    /// Resets connections whose containers are gone, except those that the container had closed cleanly:
    /// they end when the remaining bytes have been passed on.
    fn release_containers(&mut self, filter: impl Fn(&RelayConn) -> bool) {
        for key in self.conns.keys(|conn| filter(conn) && !conn.orphaned) {
            let Some(conn) = self.conns.get_mut(key) else { continue };
            if conn.orphan() {
                if !std::mem::replace(&mut conn.queued, true) {
                    self.queue.push_back(key);
                }
            } else if let Some(conn) = self.take_conn(key) {
                conn.reset(&mut self.buffers.pipes);
            }
        }
    }

    fn reset_all(&mut self, filter: impl Fn(&RelayConn) -> bool) {
        for key in self.conns.keys(|conn| filter(conn)) {
            if let Some(conn) = self.take_conn(key) {
                conn.reset(&mut self.buffers.pipes);
            }
        }
    }

    fn listen(&mut self, key: SlabKey) {
        let data = EventData::new_u64(token::encode(token::LISTENER, key.number()));
        let interest = EventFlags::IN | EventFlags::EXCLUSIVE;
        if let Some(listener) = self.listeners.get_mut(key)
            && let Some(mailbox) = self.pool.mailboxes.get(self.number)
            && epoll::add(&mailbox.epoll, &listener.socket, data, interest).is_err()
        {
            self.paused_listeners.push((Instant::now() + ACCEPT_PAUSE, key));
        }
    }

    fn unlisten(&mut self, key: SlabKey) {
        if let Some(listener) = self.listeners.get_mut(key)
            && let Some(mailbox) = self.pool.mailboxes.get(self.number)
        {
            // A paused listener is not in the set.
            let _ = epoll::delete(&mailbox.epoll, &listener.socket);
        }
    }

    fn notify_source(&mut self, number: u64) {
        let (number, source_token) = token::decode_source(number);
        if let Some(slot) = self.sources.iter_mut().find(|slot| slot.id == number) {
            slot.source.notice(source_token);
            slot.ready = true;
        }
    }

    /// Accepts pending connections.
    fn accept(&mut self, key: SlabKey) {
        let Some(listener) = self.listeners.get_mut(key).map(|listener| Arc::clone(listener)) else { return };
        for _ in 0..BATCH {
            match accept(&listener.socket) {
                Ok(Some((socket, peer))) => {
                    if let Some(pair) = listener.handler.accepted(socket, peer) {
                        self.add_conn(Box::new(RelayConn::from(pair)));
                    }
                }
                Ok(None) => {}
                Err(Errno::AGAIN) => return,
                Err(Errno::MFILE | Errno::NFILE) if self.refuse_one(&listener) => {}
                Err(_) => {
                    // Level-triggered, it would be reported again at once. Pause it until there are resources
                    // again.
                    self.unlisten(key);
                    self.paused_listeners.push((Instant::now() + ACCEPT_PAUSE, key));
                    return;
                }
            }
        }
    }

    /// Accepts and resets a connection in spite of EMFILE. Returns whether that worked.
    fn refuse_one(&mut self, listener: &RelayListener) -> bool {
        let Some(mailbox) = self.pool.mailboxes.get(self.number) else { return false };
        self.reserve_fd.refuse_one(&mailbox.waker, || accept(&listener.socket))
    }

    fn connect_finished(&mut self, key: SlabKey) {
        let entry = self.mailbox().and_then(|mailbox| lock(&mailbox.connects).remove(key));
        if let Some(entry) = entry {
            entry.handler.connect_finished(entry.flow);
        }
    }

    /// Adds a connection to the epoll set and to this worker.
    fn add_conn(&mut self, mut conn: Box<RelayConn>) {
        // Edge-triggered epoll reports the current state when a socket is added, so nothing is missed.
        conn.queued = false;
        let key = match self.conns.insert(conn) {
            Ok(key) => key,
            Err(conn) => return conn.reset(&mut self.buffers.pipes),
        };
        let Some(conn) = self.conns.get_mut(key) else { return };
        let Some(mailbox) = self.pool.mailboxes.get(self.number) else { return };
        mailbox.heavy.fetch_add(usize::from(conn.heavy), Ordering::Relaxed);
        let interest =
            EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::PRI | EventFlags::ET;
        let added = [token::CONN, token::OUTER].into_iter().zip(&conn.sockets).all(|(kind, socket)| {
            let data = EventData::new_u64(token::encode(kind, key.number()));
            epoll::add(&mailbox.epoll, socket, data, interest).is_ok()
        });
        if !added && let Some(conn) = self.take_conn(key) {
            conn.reset(&mut self.buffers.pipes);
        }
    }

    /// Takes a connection out. Its sockets stay in the epoll set until they are closed.
    fn take_conn(&mut self, key: SlabKey) -> Option<Box<RelayConn>> {
        let conn = self.conns.remove(key)?;
        if let Some(mailbox) = self.mailbox() {
            mailbox.heavy.fetch_sub(usize::from(conn.heavy), Ordering::Relaxed);
        }
        Some(conn)
    }

    fn notice(&mut self, key: SlabKey, side: usize, flags: EventFlags) {
        let Some(conn) = self.conns.get_mut(key) else { return };
        conn.notice(side, flags);
        if !conn.queued {
            conn.queued = true;
            self.queue.push_back(key);
        }
    }

    fn turn(&mut self, key: SlabKey) {
        let Some(conn) = self.conns.get_mut(key) else { return };
        conn.queued = false;
        let turn = conn.turn(&mut self.buffers);
        if turn == RelayTurn::More {
            conn.queued = true;
            self.queue.push_back(key);
        }
        if matches!(turn, RelayTurn::More | RelayTurn::Idle) {
            if !conn.heavy && conn.is_heavy() {
                self.rebalance(key);
            }
            return;
        }
        if let Some(conn) = self.take_conn(key) {
            match turn {
                RelayTurn::Broken => conn.reset(&mut self.buffers.pipes),
                _ => conn.close(&mut self.buffers.pipes),
            }
        }
    }

    /// A connection has become heavy: hands it to the worker that has the fewest of those.
    fn rebalance(&mut self, key: SlabKey) {
        let Some(own) = self.pool.mailboxes.get(self.number) else { return };
        let Some(conn) = self.conns.get_mut(key) else { return };
        conn.heavy = true;
        let own_load = own.heavy.fetch_add(1, Ordering::Relaxed) + 1;
        let load = |mailbox: &&WorkerMailbox| mailbox.heavy.load(Ordering::Relaxed);
        // Reversed, because min_by_key takes the first of equals: prefer the last workers, which are no
        // acceptors.
        let Some(idlest) = self.pool.mailboxes.iter().rev().min_by_key(load) else { return };
        let is_acceptor = |number: usize| number < self.pool.acceptors;
        let relief = is_acceptor(self.number) && self.pool.acceptors < self.pool.mailboxes.len();
        if own_load <= load(&idlest) + usize::from(!relief) {
            return;
        }
        for socket in &conn.sockets {
            // Pending events still carry the old key, which is dead.
            let _ = epoll::delete(&own.epoll, socket.as_fd());
        }
        own.heavy.fetch_sub(1, Ordering::Relaxed);
        if let Some(conn) = self.conns.remove(key) {
            idlest.send(WorkerCommand::MoveConn(conn));
        }
    }
}

/// Accepts a connection. `None` if it failed already: accept(2) reports pending network errors of the new
/// socket.
fn accept(listener: &OwnedFd) -> Result<Option<(OwnedFd, SocketAddr)>, Errno> {
    match rustix::net::acceptfrom_with(listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
        Ok((socket, peer)) => Ok(peer.and_then(|peer| Some((socket, peer.try_into().ok()?)))),
        Err(
            Errno::CONNABORTED
            | Errno::INTR
            | Errno::PROTO
            | Errno::NETDOWN
            | Errno::NETUNREACH
            | Errno::HOSTUNREACH
            | Errno::PERM
            | Errno::TIMEDOUT,
        ) => Ok(None),
        Err(error) => Err(error),
    }
}

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

use super::conn::{Conn, Tools, Turn};
use super::slab::{Key, Slab};
use super::{Crew, Desk, Guest, Listener, Order, guest, lock};

/// Events per epoll_wait(2).
const EVENTS: usize = 256;
/// Connections accepted from one listener before others get their turn.
const BATCH: usize = 32;
/// Connections that get a turn before new events are looked for.
const ROUND: usize = 64;
/// Interval of the expiry timer.
const TICK: Duration = Duration::from_secs(1);
/// On shutdown, how long the peers of containers that are gone may take to read what is left.
const LAST: Duration = Duration::from_secs(5);
/// How long a listener is paused when accept(2) fails.
const REST: Duration = Duration::from_millis(100);

/// The 64 bits of an epoll event: a kind in the lowest bits, and a number.
pub(super) mod token {
    const BITS: u32 = 3;
    pub(in super::super) const WAKE: u64 = 0;
    pub(in super::super) const LISTENER: u64 = 1;
    pub(in super::super) const DIAL: u64 = 2;
    /// The inner socket of a connection; the outer one is the next kind.
    pub(in super::super) const CONN: u64 = 3;
    pub(in super::super) const OUTER: u64 = 4;
    pub(in super::super) const GUEST: u64 = 5;

    pub(in super::super) fn of(kind: u64, number: u64) -> u64 {
        number << BITS | kind
    }

    pub(in super::super) fn split(token: u64) -> (u64, u64) {
        (token & ((1 << BITS) - 1), token >> BITS)
    }
}

#[derive(Debug)]
struct Hosted {
    number: u64,
    guest: Box<dyn Guest>,
    /// It has events to handle in this round.
    called: bool,
}

/// The state of a worker.
#[derive(Debug)]
pub(super) struct Worker {
    crew: Arc<Crew>,
    number: usize,
    conns: Slab<Box<Conn>>,
    listeners: Slab<Arc<Listener>>,
    guests: Vec<Hosted>,
    /// Connections that wait for their turn.
    queue: VecDeque<Key>,
    tools: Tools,
    /// Reserved, to be closed when accept(2) fails with EMFILE.
    spare: Option<OwnedFd>,
    /// Listeners that are paused, and until when.
    resting: Vec<(Instant, Key)>,
    next_tick: Option<Instant>,
    /// The deadline for shutting down.
    last: Option<Instant>,
}

impl Worker {
    /// The worker of mailbox `number`.
    pub(super) fn new(crew: &Arc<Crew>, number: usize) -> io::Result<Self> {
        let mut worker = Self {
            crew: Arc::clone(crew),
            number,
            conns: Slab::new(),
            listeners: Slab::new(),
            guests: Vec::new(),
            queue: VecDeque::new(),
            tools: Tools::new(),
            spare: None,
            resting: Vec::new(),
            next_tick: None,
            last: None,
        };
        worker.desk().ok_or(io::ErrorKind::NotFound)?;
        worker.save_descriptor();
        Ok(worker)
    }

    /// Runs until it is told to stop.
    pub(super) fn run(mut self) {
        // Signals belong to the main thread. And splice(2) has no MSG_NOSIGNAL, so SIGPIPE must be blocked.
        let _ = SigSet::all().thread_block();
        while self.round() {}
        self.stop();
    }

    /// Waits for events and handles them. Returns whether to go on.
    fn round(&mut self) -> bool {
        let mut space = [MaybeUninit::uninit(); EVENTS];
        let wait = self.wait();
        let wait = wait.and_then(|wait| Timespec::try_from(wait).ok());
        let Some(desk) = self.desk() else { return false };
        let events = match epoll::wait(&desk.epoll, &mut space, wait.as_ref()) {
            Ok((events, _)) => &*events,
            Err(error) => return error == Errno::INTR,
        };
        let mut orders = false;
        for event in events {
            let (kind, number) = token::split(event.data.u64());
            let key = Key::from_number(number);
            match kind {
                token::WAKE => orders = true,
                token::LISTENER => self.accept(key),
                token::DIAL => self.dialed(key),
                token::GUEST => self.call(number),
                kind => self.notice(key, usize::from(kind == token::OUTER), event.flags),
            }
        }
        for hosted in &mut self.guests {
            if std::mem::take(&mut hosted.called) {
                hosted.guest.round();
            }
        }
        for _ in 0..self.queue.len().min(ROUND) {
            if let Some(key) = self.queue.pop_front() {
                self.turn(key);
            }
        }
        let go_on = !orders || self.take_orders();
        self.look_at_clock();
        go_on
    }

    fn desk(&self) -> Option<&Desk> {
        self.crew.desks.get(self.number)
    }

    /// How long to wait for events; `None` for no limit.
    fn wait(&self) -> Option<Duration> {
        if !self.queue.is_empty() {
            return Some(Duration::ZERO);
        }
        let times = self.resting.iter().map(|(until, _)| *until).chain(self.next_tick).chain(self.last);
        let times = times.chain(self.guests.iter().filter_map(|hosted| hosted.guest.next()));
        times.min().map(|next| next.saturating_duration_since(Instant::now()))
    }

    fn look_at_clock(&mut self) {
        if self.resting.is_empty() && self.next_tick.is_none() && self.guests.is_empty() {
            return;
        }
        let now = Instant::now();
        for hosted in &mut self.guests {
            if hosted.guest.next().is_some_and(|next| next <= now) {
                hosted.guest.round();
            }
        }
        if self.next_tick.is_some_and(|tick| tick <= now) {
            self.next_tick = self.crew.do_chores(now).then(|| now + TICK);
        }
        for (until, key) in std::mem::take(&mut self.resting) {
            if until <= now { self.listen(key) } else { self.resting.push((until, key)) }
        }
    }

    /// Runs the queued commands. Returns whether to go on.
    fn take_orders(&mut self) -> bool {
        let Some(desk) = self.desk() else { return false };
        // The eventfd is edge-triggered; it is read only so that it does not overflow.
        let _ = rustix::io::read(&desk.wake, &mut [0; 8]);
        let orders = lock(&desk.orders).as_mut().map(std::mem::take).unwrap_or_default();
        // Only the first worker runs the expiry timer.
        if self.number == 0 && self.next_tick.is_none() && self.crew.expecting.load(Ordering::SeqCst) {
            self.next_tick = Some(Instant::now() + TICK);
        }
        for order in orders {
            match order {
                Order::Listen(listener) => {
                    if let Ok(key) = self.listeners.insert(listener) {
                        self.listen(key);
                    }
                }
                Order::Dismiss(owner, done) => {
                    for key in self.listeners.keys(|listener| listener.owner == owner) {
                        self.unlisten(key);
                        self.listeners.remove(key);
                    }
                    self.let_go(|conn| conn.owner == owner);
                    // Nobody waits any more if this fails.
                    let _ = done.send(());
                }
                Order::Forget(owner, container) => {
                    self.let_go(|conn| conn.owner == owner && conn.container == container);
                }
                Order::Take(conn) => self.keep(conn),
                // The epoll set is level-triggered for sources: events that came before are reported again.
                Order::Host(number, guest) => self.guests.push(Hosted { number, guest, called: false }),
                Order::Expel(number, to) => {
                    if let Some(at) = self.guests.iter().position(|hosted| hosted.number == number) {
                        // Fails only if the receiver has gone.
                        let _ = to.send(self.guests.swap_remove(at).guest);
                    }
                }
                Order::Stop => return false,
            }
        }
        true
    }

    fn stop(mut self) {
        self.let_go(|_| true);
        let until = Instant::now() + LAST;
        self.last = Some(until);
        while !self.conns.keys(|_| true).is_empty() && Instant::now() < until {
            self.round();
        }
        self.reset_all(|_| true);
        if let Some(desk) = self.desk() {
            *lock(&desk.orders) = None;
        }
    }

    /// Resets connections whose containers are gone, except those that the container had closed cleanly:
    /// they end when the remaining bytes have been passed on.
    fn let_go(&mut self, wanted: impl Fn(&Conn) -> bool) {
        for key in self.conns.keys(|conn| wanted(conn) && !conn.orphaned) {
            let Some(conn) = self.conns.get_mut(key) else { continue };
            if conn.orphan() {
                if !std::mem::replace(&mut conn.queued, true) {
                    self.queue.push_back(key);
                }
            } else if let Some(conn) = self.release(key) {
                conn.reset(&mut self.tools.pipes);
            }
        }
    }

    fn reset_all(&mut self, wanted: impl Fn(&Conn) -> bool) {
        for key in self.conns.keys(|conn| wanted(conn)) {
            if let Some(conn) = self.release(key) {
                conn.reset(&mut self.tools.pipes);
            }
        }
    }

    fn listen(&mut self, key: Key) {
        let data = EventData::new_u64(token::of(token::LISTENER, key.number()));
        let interest = EventFlags::IN | EventFlags::EXCLUSIVE;
        if let Some(listener) = self.listeners.get_mut(key)
            && let Some(desk) = self.crew.desks.get(self.number)
            && epoll::add(&desk.epoll, &listener.socket, data, interest).is_err()
        {
            self.resting.push((Instant::now() + REST, key));
        }
    }

    fn unlisten(&mut self, key: Key) {
        if let Some(listener) = self.listeners.get_mut(key)
            && let Some(desk) = self.crew.desks.get(self.number)
        {
            // A paused listener is not in the set.
            let _ = epoll::delete(&desk.epoll, &listener.socket);
        }
    }

    fn call(&mut self, number: u64) {
        let (number, what) = guest::split(number);
        if let Some(hosted) = self.guests.iter_mut().find(|hosted| hosted.number == number) {
            hosted.guest.notice(what);
            hosted.called = true;
        }
    }

    /// Accepts pending connections.
    fn accept(&mut self, key: Key) {
        let Some(listener) = self.listeners.get_mut(key).map(|listener| Arc::clone(listener)) else { return };
        for _ in 0..BATCH {
            match accept(&listener.socket) {
                Ok(Some((socket, peer))) => {
                    if let Some(pair) = listener.accept.accepted(socket, peer) {
                        self.keep(Box::new(Conn::from(pair)));
                    }
                }
                Ok(None) => {}
                Err(Errno::AGAIN) => return,
                Err(Errno::MFILE | Errno::NFILE) if self.refuse(&listener) => {}
                Err(_) => {
                    // Level-triggered, it would be reported again at once. Pause it until there are resources
                    // again.
                    self.unlisten(key);
                    self.resting.push((Instant::now() + REST, key));
                    return;
                }
            }
        }
    }

    /// Accepts the next connection with the reserved descriptor and resets it, so that the client does not
    /// wait in vain. Returns whether that worked.
    fn refuse(&mut self, listener: &Listener) -> bool {
        let Some(spare) = self.spare.take() else {
            self.save_descriptor();
            return false;
        };
        drop(spare);
        let refused = accept(&listener.socket);
        let worked = refused.is_ok();
        drop(refused);
        self.save_descriptor();
        worked
    }

    fn save_descriptor(&mut self) {
        let copy = self.desk().and_then(|desk| rustix::io::fcntl_dupfd_cloexec(&desk.wake, 0).ok());
        self.spare = copy;
    }

    fn dialed(&mut self, key: Key) {
        let outgoing = self.desk().and_then(|desk| lock(&desk.dials).remove(key));
        if let Some(outgoing) = outgoing {
            outgoing.dial.dialed(outgoing.flow);
        }
    }

    /// Adds a connection to the epoll set and to this worker.
    fn keep(&mut self, mut conn: Box<Conn>) {
        // Edge-triggered epoll reports the current state when a socket is added, so nothing is missed.
        conn.queued = false;
        let key = match self.conns.insert(conn) {
            Ok(key) => key,
            Err(conn) => return conn.reset(&mut self.tools.pipes),
        };
        let Some(conn) = self.conns.get_mut(key) else { return };
        let Some(desk) = self.crew.desks.get(self.number) else { return };
        desk.heavy.fetch_add(usize::from(conn.heavy), Ordering::Relaxed);
        let interest =
            EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::PRI | EventFlags::ET;
        let added = [token::CONN, token::OUTER].into_iter().zip(&conn.sockets).all(|(kind, socket)| {
            let data = EventData::new_u64(token::of(kind, key.number()));
            epoll::add(&desk.epoll, socket, data, interest).is_ok()
        });
        if !added && let Some(conn) = self.release(key) {
            conn.reset(&mut self.tools.pipes);
        }
    }

    /// Takes a connection out. Its sockets stay in the epoll set until they are closed.
    fn release(&mut self, key: Key) -> Option<Box<Conn>> {
        let conn = self.conns.remove(key)?;
        if let Some(desk) = self.desk() {
            desk.heavy.fetch_sub(usize::from(conn.heavy), Ordering::Relaxed);
        }
        Some(conn)
    }

    fn notice(&mut self, key: Key, side: usize, flags: EventFlags) {
        let Some(conn) = self.conns.get_mut(key) else { return };
        conn.notice(side, flags);
        if !conn.queued {
            conn.queued = true;
            self.queue.push_back(key);
        }
    }

    fn turn(&mut self, key: Key) {
        let Some(conn) = self.conns.get_mut(key) else { return };
        conn.queued = false;
        let turn = conn.turn(&mut self.tools);
        if turn == Turn::More {
            conn.queued = true;
            self.queue.push_back(key);
        }
        if matches!(turn, Turn::More | Turn::Idle) {
            if !conn.heavy && conn.is_heavy() {
                self.pass_on(key);
            }
            return;
        }
        if let Some(conn) = self.release(key) {
            match turn {
                Turn::Broken => conn.reset(&mut self.tools.pipes),
                _ => conn.close(&mut self.tools.pipes),
            }
        }
    }

    /// A connection has become heavy: hands it to the worker that has the fewest of those.
    fn pass_on(&mut self, key: Key) {
        let Some(own) = self.crew.desks.get(self.number) else { return };
        let Some(conn) = self.conns.get_mut(key) else { return };
        conn.heavy = true;
        let mine = own.heavy.fetch_add(1, Ordering::Relaxed) + 1;
        let load = |desk: &&Desk| desk.heavy.load(Ordering::Relaxed);
        // Reversed, because min_by_key takes the first of equals: prefer the last workers, which are no
        // acceptors.
        let Some(idlest) = self.crew.desks.iter().rev().min_by_key(load) else { return };
        let takes = |number: usize| number < self.crew.open;
        let relief = takes(self.number) && self.crew.open < self.crew.desks.len();
        if mine <= load(&idlest) + usize::from(!relief) {
            return;
        }
        for socket in &conn.sockets {
            // Pending events still carry the old key, which is dead.
            let _ = epoll::delete(&own.epoll, socket.as_fd());
        }
        own.heavy.fetch_sub(1, Ordering::Relaxed);
        if let Some(conn) = self.conns.remove(key) {
            idlest.order(Order::Take(conn));
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

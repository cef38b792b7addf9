//! Moves the bytes of TCP connections between two sockets each: the same few threads for all gateways.
//!
//! ```text
//!  transparent listeners ─┐  accept, pair with the parked socket (gate::tcp)      ┌ worker: epoll, its connections,
//!  published ports ───────┴─ accept, connect to the container (publish) ── Pair ──┤ one buffer, some pipes
//!  host sockets that connect ── outcome to gate::tcp                              └ worker …
//! ```
//!
//! Half of the workers take connections: every listener wakes one of them (`EPOLLEXCLUSIVE`), which keeps what it
//! accepts, and they look after the gates beside that ([`Guest`]). So a short connection is seen to by one thread from
//! its first packet on, and most of what it costs would otherwise be threads waking each other. A connection that proves
//! to move much is given once to the worker that has fewest of those, to one that takes none if it can be. What others
//! want of the workers is left on their desks.

mod conn;
mod guest;
mod pipes;
mod quota;
mod slab;
#[cfg(test)]
mod tests;
mod worker;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::event::{EventfdFlags, eventfd};

pub(crate) use conn::{Pair, reset_on_close};
pub(crate) use guest::{Guest, Nest, Stay};
pub(crate) use quota::Limits;
pub use quota::{Permit, Quota, Sharers};
use slab::{Key, Slab};
use worker::{Worker, token};

/// The most workers; more than a few do not pay beside the containers' own work.
const WORKERS: usize = 4;
/// The stack of a worker in bytes; its buffer is not on it.
const STACK: usize = 256 << 10;
/// How long to wait for the workers to let a listener go.
const PATIENCE: Duration = Duration::from_secs(5);

/// The workers; dropping this stops them and resets their connections.
#[derive(Debug)]
pub struct Relay {
    crew: Arc<Crew>,
    threads: Vec<JoinHandle<()>>,
}

/// What the workers and those who give them work share.
#[derive(Debug)]
pub(crate) struct Crew {
    desks: Vec<Desk>,
    /// How many of them, from the first on, take connections and have guests.
    open: usize,
    owners: AtomicU64,
    next_desk: AtomicUsize,
    /// What the descriptors allow.
    pub(crate) limits: Limits,
    /// The gates, which have what of the descriptors is not for connections.
    pub(crate) gates: Sharers,
    /// All connections, made and being made.
    pub(crate) all: Arc<Quota>,
    chores: Mutex<Vec<Weak<dyn Chore>>>,
    /// Whether the first worker looks at the clock.
    expecting: AtomicBool,
}

/// Where one worker finds its orders.
#[derive(Debug)]
struct Desk {
    epoll: OwnedFd,
    wake: OwnedFd,
    /// `None` once nobody reads them any more.
    orders: Mutex<Option<Vec<Order>>>,
    dials: Mutex<Slab<Outgoing>>,
    /// How many connections that move much the worker has.
    heavy: AtomicUsize,
}

#[derive(Debug)]
enum Order {
    Listen(Arc<Listener>),
    /// Lets go the listeners of an owner and resets its connections; then says so.
    Dismiss(u64, Sender<()>),
    /// Resets the connections of an owner with a container.
    Forget(u64, IpAddr),
    /// A connection that another worker gives away.
    Take(Box<conn::Conn>),
    /// Something else to look after, under this number.
    Host(u64, Box<dyn Guest>),
    /// Gives it back.
    Expel(u64, Sender<Box<dyn Guest>>),
    Stop,
}

/// A socket whose connections are to be taken.
#[derive(Debug)]
struct Listener {
    socket: OwnedFd,
    owner: u64,
    accept: Arc<dyn Accept>,
}

#[derive(Debug)]
struct Outgoing {
    dial: Arc<dyn Dial>,
    flow: (SocketAddr, SocketAddr),
}

/// Knows what to do with accepted connections.
pub(crate) trait Accept: Send + Sync + std::fmt::Debug {
    /// The other half of a connection that `peer` made, which is reset when it is closed; `None` where it has been dealt
    /// with already.
    fn accepted(&self, socket: OwnedFd, peer: SocketAddr) -> Option<Pair>;
}

/// Knows what to do when a socket is connected, or is not going to be.
pub(crate) trait Dial: Send + Sync + std::fmt::Debug {
    /// Something has become of the socket that was made for the connection from `flow.0` to `flow.1`.
    fn dialed(&self, flow: (SocketAddr, SocketAddr));
}

/// Has things that get old.
pub(crate) trait Chore: Send + Sync + std::fmt::Debug {
    /// Drops what is too old; whether there is anything left that will be.
    fn expire(&self, now: Instant) -> bool;
}

/// Waits for a socket to be connected; no longer, once dropped.
#[derive(Debug)]
pub(crate) struct Ticket {
    crew: Weak<Crew>,
    desk: usize,
    key: Key,
}

impl Relay {
    /// Starts the workers, as many as there are processors but no more than four, and raises the limit of this process on
    /// descriptors as far as it may. No process may be forked afterwards.
    pub fn start() -> io::Result<Self> {
        let count = std::thread::available_parallelism().map_or(1, usize::from).min(WORKERS);
        Self::with(count, Limits::raise())
    }

    fn with(workers: usize, limits: Limits) -> io::Result<Self> {
        let desks = (0..workers).map(|_| Desk::new()).collect::<io::Result<_>>()?;
        let crew = Arc::new(Crew {
            desks,
            open: workers.div_ceil(2),
            owners: AtomicU64::new(0),
            next_desk: AtomicUsize::new(0),
            limits,
            gates: Sharers::default(),
            all: Quota::new(limits.connections),
            chores: Mutex::default(),
            expecting: AtomicBool::new(false),
        });
        let mut relay = Self { crew, threads: Vec::new() };
        for number in 0..workers {
            let worker = Worker::new(&relay.crew, number)?;
            let thread = std::thread::Builder::new().name(format!("relay {number}")).stack_size(STACK);
            relay.threads.push(thread.spawn(move || worker.run())?);
        }
        Ok(relay)
    }

    /// How many connections there are, those included that are being made.
    pub fn connections(&self) -> usize {
        self.crew.all.used()
    }

    /// What hands work to the workers.
    pub(crate) fn crew(&self) -> &Arc<Crew> {
        &self.crew
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.crew.desks.iter().for_each(|desk| desk.order(Order::Stop));
        for thread in self.threads.drain(..) {
            // A worker that has panicked has closed its connections too.
            let _ = thread.join();
        }
    }
}

impl Crew {
    /// A number for a new owner of connections.
    pub(crate) fn owner(&self) -> u64 {
        self.owners.fetch_add(1, Ordering::Relaxed)
    }

    /// Where connections are taken.
    fn open(&self) -> &[Desk] {
        self.desks.get(..self.open).unwrap_or_default()
    }

    /// The number of one of those, of each in turn.
    fn next(&self) -> usize {
        self.next_desk.fetch_add(1, Ordering::Relaxed) % self.open.max(1)
    }

    /// Takes the connections to a listening socket that does not block.
    pub(crate) fn listen(&self, socket: OwnedFd, owner: u64, accept: Arc<dyn Accept>) {
        // Accepted sockets have it from here.
        reset_on_close(&socket);
        let listener = Arc::new(Listener { socket, owner, accept });
        self.open().iter().for_each(|desk| desk.order(Order::Listen(Arc::clone(&listener))));
    }

    /// Closes the listeners of `owner` and resets its connections. The ports are free when this returns.
    pub(crate) fn dismiss(&self, owner: u64) {
        let (done, all_done) = channel();
        for desk in &self.desks {
            desk.order(Order::Dismiss(owner, done.clone()));
        }
        drop(done);
        let until = Instant::now() + PATIENCE;
        while all_done.recv_timeout(until.saturating_duration_since(Instant::now())).is_ok() {}
    }

    /// Resets the connections of `owner` with `container`.
    pub(crate) fn forget(&self, owner: u64, container: IpAddr) {
        self.desks.iter().for_each(|desk| desk.order(Order::Forget(owner, container)));
    }

    /// Tells `dial` when `socket`, which is connecting, has done so or failed.
    pub(crate) fn await_dial(
        self: &Arc<Self>,
        socket: BorrowedFd<'_>,
        dial: Arc<dyn Dial>,
        flow: (SocketAddr, SocketAddr),
    ) -> io::Result<Ticket> {
        let number = self.next();
        let desk = self.desks.get(number).ok_or(io::ErrorKind::NotConnected)?;
        let mut dials = lock(&desk.dials);
        let key = dials.insert(Outgoing { dial, flow }).map_err(|_| io::ErrorKind::QuotaExceeded)?;
        let interest = EventFlags::OUT | EventFlags::ONESHOT;
        let data = EventData::new_u64(token::of(token::DIAL, key.number()));
        if let Err(error) = epoll::add(&desk.epoll, socket, data, interest) {
            dials.remove(key);
            return Err(error.into());
        }
        Ok(Ticket { crew: Arc::downgrade(self), desk: number, key })
    }

    /// Has `chore` done every second as long as it says so, beginning with the next [`Crew::expect`].
    pub(crate) fn add_chore(&self, chore: Weak<dyn Chore>) {
        let mut chores = lock(&self.chores);
        chores.retain(|chore| chore.strong_count() > 0);
        chores.push(chore);
    }

    /// There is something that will get old.
    pub(crate) fn expect(&self) {
        if !self.expecting.swap(true, Ordering::SeqCst)
            && let Some(first) = self.desks.first()
        {
            first.ring();
        }
    }

    /// Does the chores; whether there will be more.
    fn do_chores(&self, now: Instant) -> bool {
        // Whoever brings something from here on rings again.
        self.expecting.store(false, Ordering::SeqCst);
        let chores: Vec<_> = lock(&self.chores).iter().filter_map(Weak::upgrade).collect();
        let more = chores.iter().fold(false, |more, chore| chore.expire(now) | more);
        if more {
            self.expecting.store(true, Ordering::SeqCst);
        }
        more
    }
}

impl Desk {
    fn new() -> io::Result<Self> {
        let desk = Self {
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            wake: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
            orders: Mutex::new(Some(Vec::new())),
            dials: Mutex::new(Slab::new()),
            heavy: AtomicUsize::new(0),
        };
        epoll::add(
            &desk.epoll,
            &desk.wake,
            EventData::new_u64(token::of(token::WAKE, 0)),
            EventFlags::IN | EventFlags::ET,
        )?;
        Ok(desk)
    }

    fn order(&self, order: Order) {
        if let Some(orders) = &mut *lock(&self.orders) {
            orders.push(order);
        }
        self.ring();
    }

    fn ring(&self) {
        // It can fail only where the bell has been rung 2⁶⁴ times and not been heard.
        let _ = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
    }
}

impl Ticket {
    /// The wait for `socket` is over: it may be waited for elsewhere.
    pub(crate) fn finish(self, socket: BorrowedFd<'_>) {
        if let Some(crew) = self.crew.upgrade()
            && let Some(desk) = crew.desks.get(self.desk)
        {
            // It has reported once and is in there still, though asleep.
            let _ = epoll::delete(&desk.epoll, socket);
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let Some(crew) = self.crew.upgrade()
            && let Some(desk) = crew.desks.get(self.desk)
        {
            lock(&desk.dials).remove(self.key);
        }
    }
}

/// What a thread that has panicked left behind is whole: nothing is done in several steps under these locks.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

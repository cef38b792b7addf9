//! Relays TCP connections: moves bytes between two sockets each, with the same few threads for all gateways.
//!
//! ```text
//!  transparent listeners ─┐  accept, pair with the parked socket (syn_interceptor)  ┌ worker: epoll, its connections,
//!  published ports ───────┴─ accept, connect to the container (publish) ── RelayPair┤ one buffer, some pipes
//!  connecting host sockets ── outcome to syn_interceptor                            └ worker …
//! ```
//!
//! # Terms
//!
//! - **Worker**: a thread with an epoll instance and the connections it owns. Others talk to it only through
//!   its [`WorkerMailbox`]: a queue of [`WorkerCommand`]s and an eventfd.
//! - **Acceptor**: the first half of the workers. Every listener is in the epoll set of each acceptor and
//!   wakes one of them (`EPOLLEXCLUSIVE`), which keeps what it accepts. Acceptors also run the forwarders, as
//!   [`EventSource`]s. So one thread handles a short connection from its first packet on; otherwise most of
//!   its cost would be threads waking each other.
//! - **Heavy connection**: one that has proved to move much data. It is moved once, to the worker with the
//!   fewest of them, preferably one that is no acceptor.
//! - **Owner**: a number that groups connections and listeners, so that all of a gateway or of a set of
//!   published ports can be closed together.
//!
//! # Invariants
//!
//! - A socket resets its connection when it is closed, until both directions have ended cleanly: a crash of
//!   the helper must not look like the end of a stream.
//! - A connection holds a [`QuotaPermit`] from the moment it is attempted, so the number of descriptors is
//!   bounded.
//! - No process may fork once the workers run.

mod conn;
mod event_source;
mod pipes;
mod quota;
mod slab;
#[cfg(test)]
mod tests;
mod token;
mod worker;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::epoll::{self, EventData, EventFlags};

pub(crate) use conn::RelayPair;
pub(crate) use event_source::{EventSource, SourceHandle, SourceRegistration};
pub(crate) use quota::ConnectionLimits;
pub(crate) use quota::{ConnectionQuota, QuotaPermit, ShareCount};
use slab::{Slab, SlabKey};
use worker::RelayWorker;

use super::socket::reset_on_close;
use super::sync::lock;
use super::wake::Waker;

/// Maximum number of workers. More do not pay off next to the containers' own load.
const MAX_WORKERS: usize = 4;
/// Stack size of a worker, in bytes; its buffer is on the heap.
const STACK_SIZE: usize = 256 << 10;
/// How long to wait for the workers to close a listener.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// The workers. Dropping this stops them and resets their connections.
#[derive(Debug)]
pub(crate) struct TcpRelay {
    pool: Arc<WorkerPool>,
    threads: Vec<JoinHandle<()>>,
}

/// What the workers share with those who give them work.
#[derive(Debug)]
pub(crate) struct WorkerPool {
    mailboxes: Vec<WorkerMailbox>,
    /// How many workers, from the first on, are acceptors.
    acceptors: usize,
    owners: AtomicU64,
    next_mailbox: AtomicUsize,
    /// What the limit on descriptors allows.
    pub limits: ConnectionLimits,
    /// The running forwarders. They share the descriptors that are not reserved for connections.
    pub(crate) forwarders: ShareCount,
    /// All connections, established or being made.
    pub all: Arc<ConnectionQuota>,
    expiry_handlers: Mutex<Vec<Weak<dyn ExpiryHandler>>>,
    /// Whether the first worker's expiry timer runs.
    expiry_pending: AtomicBool,
}

/// How other threads reach one worker.
#[derive(Debug)]
struct WorkerMailbox {
    epoll: OwnedFd,
    waker: Waker,
    /// `None` once the worker has stopped.
    commands: Mutex<Option<Vec<WorkerCommand>>>,
    connects: Mutex<Slab<ConnectEntry>>,
    /// How many heavy connections the worker has.
    heavy: AtomicUsize,
}

#[derive(Debug)]
enum WorkerCommand {
    Listen(Arc<RelayListener>),
    /// Closes the listeners of an owner and resets its connections, then reports through the channel.
    CloseOwner(u64, Sender<()>),
    /// Resets an owner's connections with one container.
    ResetContainer(u64, IpAddr),
    /// A connection that another worker hands over.
    MoveConn(Box<conn::RelayConn>),
    /// An event source to run, with its number.
    AddSource(u64, Box<dyn EventSource>),
    /// Removes an event source and hands it back.
    RemoveSource(u64, Sender<Box<dyn EventSource>>),
    Stop,
}

/// A listening socket whose connections the acceptors take.
#[derive(Debug)]
struct RelayListener {
    socket: OwnedFd,
    owner: u64,
    handler: Arc<dyn AcceptHandler>,
}

#[derive(Debug)]
struct ConnectEntry {
    handler: Arc<dyn ConnectHandler>,
    flow: (SocketAddr, SocketAddr),
}

/// What to do with accepted connections.
pub(crate) trait AcceptHandler: Send + Sync + std::fmt::Debug {
    /// Returns both halves of the connection that `peer` made; `None` if it has been dealt with. `socket`
    /// resets its connection when it is closed.
    fn accepted(&self, socket: OwnedFd, peer: SocketAddr) -> Option<RelayPair>;
}

/// Told when a non-blocking connect(2) has finished.
pub(crate) trait ConnectHandler: Send + Sync + std::fmt::Debug {
    /// The socket for the connection from `flow.0` to `flow.1` is connected, or has failed.
    fn connect_finished(&self, flow: (SocketAddr, SocketAddr));
}

/// Has entries that time out.
pub(crate) trait ExpiryHandler: Send + Sync + std::fmt::Debug {
    /// Drops entries that have timed out. Returns whether any are left.
    fn expire(&self, now: Instant) -> bool;
}

/// A wait for a socket to be connected; dropping it ends the wait.
#[derive(Debug)]
pub(crate) struct PendingConnect {
    pool: Weak<WorkerPool>,
    mailbox: usize,
    key: SlabKey,
}

impl TcpRelay {
    /// Starts the workers, one per CPU but at most four, and raises this process's limit on descriptors as
    /// far as allowed. No process may fork afterwards.
    pub(crate) fn start() -> io::Result<Self> {
        let count = std::thread::available_parallelism().map_or(1, usize::from).min(MAX_WORKERS);
        Self::with_workers(count, ConnectionLimits::raise())
    }

    fn with_workers(workers: usize, limits: ConnectionLimits) -> io::Result<Self> {
        let mailboxes = (0..workers).map(|_| WorkerMailbox::new()).collect::<io::Result<_>>()?;
        let pool = Arc::new(WorkerPool {
            mailboxes,
            acceptors: workers.div_ceil(2),
            owners: AtomicU64::new(0),
            next_mailbox: AtomicUsize::new(0),
            limits,
            forwarders: ShareCount::default(),
            all: ConnectionQuota::new(limits.connections),
            expiry_handlers: Mutex::default(),
            expiry_pending: AtomicBool::new(false),
        });
        let mut relay = Self { pool, threads: Vec::new() };
        for number in 0..workers {
            let worker = RelayWorker::new(&relay.pool, number)?;
            let thread = std::thread::Builder::new().name(format!("relay {number}")).stack_size(STACK_SIZE);
            relay.threads.push(thread.spawn(move || worker.run())?);
        }
        Ok(relay)
    }

    /// The number of connections, including those being made.
    #[cfg(test)]
    pub(crate) fn connections(&self) -> usize {
        self.pool.all.used()
    }

    pub(crate) fn pool(&self) -> &Arc<WorkerPool> {
        &self.pool
    }
}

impl Drop for TcpRelay {
    fn drop(&mut self) {
        self.pool.mailboxes.iter().for_each(|mailbox| mailbox.send(WorkerCommand::Stop));
        for thread in self.threads.drain(..) {
            // A worker that has panicked has closed its connections too.
            let _ = thread.join();
        }
    }
}

impl WorkerPool {
    /// A new owner number.
    pub(crate) fn next_owner(&self) -> u64 {
        self.owners.fetch_add(1, Ordering::Relaxed)
    }

    fn acceptors(&self) -> &[WorkerMailbox] {
        self.mailboxes.get(..self.acceptors).unwrap_or_default()
    }

    /// The number of an acceptor, in round-robin order.
    fn next_acceptor(&self) -> usize {
        self.next_mailbox.fetch_add(1, Ordering::Relaxed) % self.acceptors.max(1)
    }

    /// Accepts connections on a non-blocking listening socket.
    pub(crate) fn listen(&self, socket: OwnedFd, owner: u64, handler: Arc<dyn AcceptHandler>) {
        // Accepted sockets inherit SO_LINGER.
        reset_on_close(&socket);
        let listener = Arc::new(RelayListener { socket, owner, handler });
        self.acceptors()
            .iter()
            .for_each(|mailbox| mailbox.send(WorkerCommand::Listen(Arc::clone(&listener))));
    }

    /// Closes the listeners of `owner` and resets its connections. The ports are free when this returns.
    pub(crate) fn close_owner(&self, owner: u64) {
        let (done, all_done) = channel();
        for mailbox in &self.mailboxes {
            mailbox.send(WorkerCommand::CloseOwner(owner, done.clone()));
        }
        // Ends when every worker has answered and dropped its sender.
        drop(done);
        let until = Instant::now() + CLOSE_TIMEOUT;
        while all_done.recv_timeout(until.saturating_duration_since(Instant::now())).is_ok() {}
    }

    /// Resets the connections of `owner` with `container`.
    pub(crate) fn reset_container(&self, owner: u64, container: IpAddr) {
        self.mailboxes
            .iter()
            .for_each(|mailbox| mailbox.send(WorkerCommand::ResetContainer(owner, container)));
    }

    /// Tells `handler` when `socket`, which is connecting, is connected or has failed.
    pub(crate) fn watch_connect(
        self: &Arc<Self>,
        socket: BorrowedFd<'_>,
        handler: Arc<dyn ConnectHandler>,
        flow: (SocketAddr, SocketAddr),
    ) -> io::Result<PendingConnect> {
        let number = self.next_acceptor();
        let mailbox = self.mailboxes.get(number).ok_or(io::ErrorKind::NotConnected)?;
        // Held until epoll_ctl(2) returned: the worker may see the event before this returns, and must find
        // the entry.
        let mut connects = lock(&mailbox.connects);
        let key =
            connects.insert(ConnectEntry { handler, flow }).map_err(|_| io::ErrorKind::QuotaExceeded)?;
        let interest = EventFlags::OUT | EventFlags::ONESHOT;
        let data = EventData::new_u64(token::encode(token::CONNECT, key.number()));
        if let Err(error) = epoll::add(&mailbox.epoll, socket, data, interest) {
            connects.remove(key);
            return Err(error.into());
        }
        Ok(PendingConnect { pool: Arc::downgrade(self), mailbox: number, key })
    }

    /// Calls `handler` once a second while it has entries, from the next [`WorkerPool::schedule_expiry`] on.
    pub(crate) fn add_expiry_handler(&self, handler: Weak<dyn ExpiryHandler>) {
        let mut handlers = lock(&self.expiry_handlers);
        handlers.retain(|handler| handler.strong_count() > 0);
        handlers.push(handler);
    }

    /// Starts the expiry timer; to be called after an entry was added.
    pub(crate) fn schedule_expiry(&self) {
        if !self.expiry_pending.swap(true, Ordering::SeqCst)
            && let Some(first) = self.mailboxes.first()
        {
            first.waker.wake();
        }
    }

    /// Runs all expiry handlers. Returns whether entries are left.
    fn run_expiry(&self, now: Instant) -> bool {
        // Cleared before the handlers run: an entry that is added meanwhile starts the timer again.
        self.expiry_pending.store(false, Ordering::SeqCst);
        let handlers: Vec<_> = lock(&self.expiry_handlers).iter().filter_map(Weak::upgrade).collect();
        let more = handlers.iter().fold(false, |more, handler| handler.expire(now) | more);
        if more {
            self.expiry_pending.store(true, Ordering::SeqCst);
        }
        more
    }
}

impl WorkerMailbox {
    fn new() -> io::Result<Self> {
        let mailbox = Self {
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            waker: Waker::new()?,
            commands: Mutex::new(Some(Vec::new())),
            connects: Mutex::new(Slab::new()),
            heavy: AtomicUsize::new(0),
        };
        epoll::add(
            &mailbox.epoll,
            &mailbox.waker,
            EventData::new_u64(token::encode(token::WAKE, 0)),
            EventFlags::IN | EventFlags::ET,
        )?;
        Ok(mailbox)
    }

    fn send(&self, command: WorkerCommand) {
        if let Some(commands) = &mut *lock(&self.commands) {
            commands.push(command);
        }
        self.waker.wake();
    }
}

impl PendingConnect {
    /// Ends the wait for `socket` but keeps the socket, which may then be watched elsewhere.
    pub(crate) fn finish(self, socket: BorrowedFd<'_>) {
        if let Some(pool) = self.pool.upgrade()
            && let Some(mailbox) = pool.mailboxes.get(self.mailbox)
        {
            // EPOLLONESHOT has disabled the socket, but not removed it from the set.
            let _ = epoll::delete(&mailbox.epoll, socket);
        }
    }
}

impl Drop for PendingConnect {
    fn drop(&mut self) {
        if let Some(pool) = self.pool.upgrade()
            && let Some(mailbox) = pool.mailboxes.get(self.mailbox)
        {
            lock(&mailbox.connects).remove(self.key);
        }
    }
}

//! Event sources that a worker runs besides its connections.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Instant;

use rustix::event::epoll::{self, EventData, EventFlags};

use super::{WorkerCommand, WorkerPool, token};

/// Has descriptors in a worker's epoll set, added through its [`SourceRegistration`].
pub(crate) trait EventSource: Send {
    /// The descriptor registered under `source_token` is readable.
    fn notice(&mut self, source_token: u64);

    /// Handles what was noticed and what is due, without waiting.
    fn run_ready(&mut self);

    /// When [`Self::run_ready`] must be called at the latest.
    fn deadline(&self) -> Option<Instant>;
}

impl fmt::Debug for dyn EventSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EventSource")
    }
}

/// Where an event source registers its descriptors: directly in the worker's epoll set, because a nested
/// epoll instance would cost time on every packet.
#[derive(Debug)]
pub(crate) struct SourceRegistration {
    epoll: OwnedFd,
    /// The bits of an event that identify this source.
    base: u64,
}

impl SourceRegistration {
    /// A private epoll instance, for a source without a worker.
    pub(crate) fn standalone() -> io::Result<Self> {
        Ok(Self { epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?, base: 0 })
    }

    /// Reports when `fd` is readable, with `source_token`, which has at most 34 bits. Ends when `fd`
    /// is closed.
    pub(crate) fn add(&self, fd: impl AsFd, source_token: u64) -> io::Result<()> {
        let number = self.base | source_token;
        Ok(epoll::add(
            &self.epoll,
            fd,
            EventData::new_u64(token::encode(token::SOURCE, number)),
            EventFlags::IN,
        )?)
    }

    pub(crate) fn remove(&self, fd: impl AsFd) {
        // It may not be registered.
        let _ = epoll::delete(&self.epoll, fd);
    }

    /// The source's token of an event of [`Self::epoll`].
    pub(crate) fn source_token(event: &epoll::Event) -> u64 {
        token::decode_source(token::decode(event.data.u64()).1).1
    }

    /// The epoll instance, for a source that runs its own loop.
    pub(crate) fn epoll(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}

/// Keeps an event source registered with a worker. Dropping this takes it back and drops it here, not in the
/// worker: its destructor may have to wait for the workers.
#[derive(Debug)]
pub(crate) struct SourceHandle {
    pool: Arc<WorkerPool>,
    mailbox: usize,
    number: u64,
}

impl WorkerPool {
    /// Registers the event source that `make` creates with one of the acceptors.
    pub(crate) fn register_source<G: EventSource + 'static>(
        self: &Arc<Self>,
        make: impl FnOnce(SourceRegistration) -> io::Result<G>,
    ) -> io::Result<SourceHandle> {
        let handle =
            SourceHandle { pool: Arc::clone(self), mailbox: self.next_acceptor(), number: self.next_owner() };
        let mailbox = self.mailboxes.get(handle.mailbox).ok_or(io::ErrorKind::NotConnected)?;
        let epoll = rustix::io::fcntl_dupfd_cloexec(&mailbox.epoll, 0)?;
        let source = make(SourceRegistration { epoll, base: token::source_base(handle.number) })?;
        mailbox.send(WorkerCommand::AddSource(handle.number, Box::new(source)));
        Ok(handle)
    }
}

impl Drop for SourceHandle {
    fn drop(&mut self) {
        let (sender, receiver) = channel();
        if let Some(mailbox) = self.pool.mailboxes.get(self.mailbox) {
            mailbox.send(WorkerCommand::RemoveSource(self.number, sender));
            // A worker that has stopped has dropped it already.
            drop(receiver.recv());
        }
    }
}

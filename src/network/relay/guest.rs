//! Event sources that a worker runs besides its connections.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Instant;

use rustix::event::epoll::{self, EventData, EventFlags};

use super::worker::token;
use super::{Crew, Order};

/// Has descriptors in a worker's epoll set, added through its [`SourceRegistration`].
pub(crate) trait Guest: Send {
    /// The descriptor registered under `what` is readable.
    fn notice(&mut self, what: u64);

    /// Handles what was noticed and what is due, without waiting.
    fn round(&mut self);

    /// When [`Self::run_ready`] must be called at the latest.
    fn next(&self) -> Option<Instant>;
}

impl fmt::Debug for dyn Guest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Guest")
    }
}

/// Where an event source registers its descriptors: directly in the worker's epoll set, because a nested
/// epoll instance would cost time on every packet.
#[derive(Debug)]
pub(crate) struct Nest {
    epoll: OwnedFd,
    /// The bits of an event that identify this source.
    base: u64,
}

/// Number of token bits that a source may use.
const WHAT: u32 = 34;

impl Nest {
    /// A private epoll instance, for a source without a worker.
    pub(crate) fn alone() -> io::Result<Self> {
        Ok(Self { epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?, base: 0 })
    }

    /// Reports when `fd` is readable, with the token `what` of at most 34 bits. Ends when `fd` is closed.
    pub(crate) fn add(&self, fd: impl AsFd, what: u64) -> io::Result<()> {
        let number = self.base | what;
        Ok(epoll::add(&self.epoll, fd, EventData::new_u64(token::of(token::GUEST, number)), EventFlags::IN)?)
    }

    pub(crate) fn remove(&self, fd: impl AsFd) {
        // It may not be registered.
        let _ = epoll::delete(&self.epoll, fd);
    }

    /// The source's token of an event of [`Self::epoll`].
    pub(crate) fn name(event: &epoll::Event) -> u64 {
        split(token::split(event.data.u64()).1).1
    }

    /// The epoll instance, for a source that runs its own loop.
    pub(crate) fn epoll(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}

/// Splits a number into the source's number and its token.
pub(super) fn split(number: u64) -> (u64, u64) {
    (number >> WHAT, number & ((1 << WHAT) - 1))
}

/// Keeps an event source registered with a worker. Dropping this takes it back and drops it here, not in the
/// worker: its destructor may have to wait for the workers.
#[derive(Debug)]
pub(crate) struct Stay {
    crew: Arc<Crew>,
    desk: usize,
    number: u64,
}

impl Crew {
    /// Registers the event source that `make` creates with one of the acceptors.
    pub(crate) fn host<G: Guest + 'static>(
        self: &Arc<Self>,
        make: impl FnOnce(Nest) -> io::Result<G>,
    ) -> io::Result<Stay> {
        let stay = Stay { crew: Arc::clone(self), desk: self.next(), number: self.owner() };
        let desk = self.desks.get(stay.desk).ok_or(io::ErrorKind::NotConnected)?;
        let epoll = rustix::io::fcntl_dupfd_cloexec(&desk.epoll, 0)?;
        let guest = make(Nest { epoll, base: stay.number << WHAT })?;
        desk.order(Order::Host(stay.number, Box::new(guest)));
        Ok(stay)
    }
}

impl Drop for Stay {
    fn drop(&mut self) {
        let (sender, receiver) = channel();
        if let Some(desk) = self.crew.desks.get(self.desk) {
            desk.order(Order::Expel(self.number, sender));
            // A worker that has stopped has dropped it already.
            drop(receiver.recv());
        }
    }
}

//! What a worker looks after beside its connections.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Instant;

use rustix::event::epoll::{self, EventData, EventFlags};

use super::worker::token;
use super::{Crew, Order};

/// Has descriptors that say when there is something to do; which ones they are, its [`Nest`] knows.
pub(crate) trait Guest: Send {
    /// What is called `what` is readable.
    fn notice(&mut self, what: u64);

    /// Does what was noticed and what is due, without waiting for more.
    fn round(&mut self);

    /// When it is to have a round at the latest, whatever is readable.
    fn next(&self) -> Option<Instant>;
}

impl fmt::Debug for dyn Guest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Guest")
    }
}

/// Where a guest has its descriptors waited for: right beside the worker's own, for each epoll instance in another one
/// takes time on the way of every packet.
#[derive(Debug)]
pub(crate) struct Nest {
    epoll: OwnedFd,
    /// All bits of an event but those for what the guest calls it.
    base: u64,
}

/// The bits for that.
const WHAT: u32 = 34;

impl Nest {
    /// One of its own, for who is no guest.
    pub(crate) fn alone() -> io::Result<Self> {
        Ok(Self { epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?, base: 0 })
    }

    /// Has the guest be told when `fd` is readable, by the name `what`, which has no more than 34 bits. It ends when `fd`
    /// is closed.
    pub(crate) fn add(&self, fd: impl AsFd, what: u64) -> io::Result<()> {
        let number = self.base | what;
        Ok(epoll::add(&self.epoll, fd, EventData::new_u64(token::of(token::GUEST, number)), EventFlags::IN)?)
    }

    /// No more.
    pub(crate) fn remove(&self, fd: impl AsFd) {
        // It may not be there.
        let _ = epoll::delete(&self.epoll, fd);
    }

    /// What an event of [`Self::epoll`] is called.
    pub(crate) fn name(event: &epoll::Event) -> u64 {
        split(token::split(event.data.u64()).1).1
    }

    /// For those who wait themselves.
    pub(crate) fn epoll(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}

/// The guest's number and what it calls the event.
pub(super) fn split(number: u64) -> (u64, u64) {
    (number >> WHAT, number & ((1 << WHAT) - 1))
}

/// A guest's stay with a worker. When this is dropped, the guest is too, by who drops it and not by the worker: what it
/// holds may have to wait for the workers.
#[derive(Debug)]
pub(crate) struct Stay {
    crew: Arc<Crew>,
    desk: usize,
    number: u64,
}

impl Crew {
    /// Has the guest that `make` makes looked after by one of the workers.
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
            // A worker that has stopped has none any more.
            drop(receiver.recv());
        }
    }
}

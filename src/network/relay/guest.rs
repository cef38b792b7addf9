//! What a worker looks after beside its connections.

use std::fmt;
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Instant;

use super::{Crew, Order};

/// Has a descriptor that says when there is something to do.
pub(crate) trait Guest: Send {
    /// Readable when [`Self::round`] has something to do.
    fn fd(&self) -> BorrowedFd<'_>;

    /// Does what there is to do, without waiting for more.
    fn round(&mut self);

    /// When it is to have a round at the latest, readable or not.
    fn next(&self) -> Option<Instant>;
}

impl fmt::Debug for dyn Guest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Guest")
    }
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
    /// Has `guest` looked after by one of the workers.
    pub(crate) fn host(self: &Arc<Self>, guest: Box<dyn Guest>) -> io::Result<Stay> {
        let stay = Stay { crew: Arc::clone(self), desk: self.next(), number: self.owner() };
        let desk = self.desks.get(stay.desk).ok_or(io::ErrorKind::NotConnected)?;
        desk.order(Order::Host(stay.number, guest));
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

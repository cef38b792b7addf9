//! One poll(2) over everything that a caller waits for, with what each descriptor means to it.

use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use anyhow::Result;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

/// The descriptors to wait for, and what each of them means.
pub struct PollSet<'a, E> {
    events: Vec<E>,
    fds: Vec<PollFd<'a>>,
}

impl<E> Default for PollSet<'_, E> {
    fn default() -> Self {
        Self { events: Vec::new(), fds: Vec::new() }
    }
}

impl<'a, E> PollSet<'a, E> {
    /// Waits until `fd` is readable or at its end.
    pub fn add_readable(&mut self, event: E, fd: BorrowedFd<'a>) {
        self.events.push(event);
        self.fds.push(PollFd::from_borrowed_fd(fd, PollFlags::IN));
    }

    /// Waits until `fd` is writable.
    pub(crate) fn add_writable(&mut self, event: E, fd: BorrowedFd<'a>) {
        self.events.push(event);
        self.fds.push(PollFd::from_borrowed_fd(fd, PollFlags::OUT));
    }

    /// Waits for events or `deadline`. Empty at the deadline, and when a signal interrupts the wait.
    pub fn wait(mut self, deadline: Option<Instant>) -> Result<Vec<E>> {
        let timeout = deadline.map(|deadline| timespec(deadline.saturating_duration_since(Instant::now())));
        match poll(&mut self.fds, timeout.as_ref()) {
            Ok(_) => {}
            Err(Errno::INTR) => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        }
        // POLLHUP and POLLERR count as well: the read that follows tells which it is.
        let happened = |fd: &PollFd<'_>| !fd.revents().is_empty();
        let polled = self.events.into_iter().zip(&self.fds);
        Ok(polled.filter(|(_, fd)| happened(fd)).map(|(event, _)| event).collect())
    }
}

/// Rounded up, so that the deadline has passed when poll(2) returns.
fn timespec(span: Duration) -> Timespec {
    let span = span + Duration::from_millis(1);
    Timespec {
        tv_sec: i64::try_from(span.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: span.subsec_nanos().into(),
    }
}

/// `None` means never.
pub(crate) fn earlier_deadline(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

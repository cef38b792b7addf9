//! What a supervisor waits for: one poll(2) over everything that can happen.

use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use anyhow::Result;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::clients::Id;
use crate::model::log::Stream;

/// Something that happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// The container's first process has ended.
    Ended,
    /// The network helper is gone.
    Network,
    /// A signal came.
    Signal,
    /// A command wants to connect.
    Connection,
    /// A command says something, or is gone.
    Order(Id),
    /// A command has input.
    ClientInput(Id),
    /// A command takes more output.
    ClientOutput(Id, Stream),
    /// The container takes more input.
    Input,
    /// The container has output.
    Output(Stream),
    /// A health check has output.
    CheckOutput,
    /// A health check has ended.
    CheckEnded,
}

/// A list of what to wait for.
#[derive(Default)]
pub(super) struct Watch<'a> {
    events: Vec<Event>,
    fds: Vec<PollFd<'a>>,
}

impl<'a> Watch<'a> {
    /// Waits for something to read, or the end of what there is.
    pub(super) fn read(&mut self, event: Event, fd: BorrowedFd<'a>) {
        self.events.push(event);
        self.fds.push(PollFd::from_borrowed_fd(fd, PollFlags::IN));
    }

    /// Waits for room to write.
    pub(super) fn write(&mut self, event: Event, fd: BorrowedFd<'a>) {
        self.events.push(event);
        self.fds.push(PollFd::from_borrowed_fd(fd, PollFlags::OUT));
    }

    /// Waits until something of the list happens or `deadline` comes; then says what.
    pub(super) fn wait(mut self, deadline: Option<Instant>) -> Result<Vec<Event>> {
        let timeout = deadline.map(|deadline| timespec(deadline.saturating_duration_since(Instant::now())));
        match poll(&mut self.fds, timeout.as_ref()) {
            Ok(_) => {}
            Err(Errno::INTR) => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        }
        let happened = |fd: &PollFd<'_>| !fd.revents().is_empty();
        let both = self.events.into_iter().zip(&self.fds);
        Ok(both.filter(|(_, fd)| happened(fd)).map(|(event, _)| event).collect())
    }
}

/// Rounded up, so that a deadline is over when the wait is.
fn timespec(span: Duration) -> Timespec {
    let span = span + Duration::from_millis(1);
    Timespec {
        tv_sec: i64::try_from(span.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: span.subsec_nanos().into(),
    }
}

/// The earlier of two moments, either of which may never come.
pub(super) fn earlier(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

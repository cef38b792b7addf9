//! `logs`: shows what a container has written, and follows what it writes.

pub(crate) mod journal;
use std::os::fd::OwnedFd;

use anyhow::{Context as _, Result};
use jiff::Timestamp;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use crate::directory_watch::{discard_events, watch_directory};
use dhow_error::{Failure, unsupported};
use dhow_model::log::LogDriver;
use dhow_model::timestamp;
use dhow_runtime::control::protocol::ControlClient;
use dhow_store::{ContainerDir, LogEntry, Store};

#[derive(Clone, Debug, Default)]
pub struct LogQuery {
    pub since: Option<Timestamp>,
    pub until: Option<Timestamp>,
    /// Only this many of the last lines.
    pub tail: Option<usize>,
    /// Continue until the container exits.
    pub follow: bool,
}

impl LogQuery {
    /// Parses the values as the user typed them.
    pub fn new(since: Option<&str>, until: Option<&str>, tail: &str, follow: bool) -> Result<Self, Failure> {
        let now = Timestamp::now();
        let time = |text: Option<&str>| text.map(|text| timestamp::parse(text, now)).transpose();
        // Anything but a number means all lines, as with docker.
        let tail = tail.parse::<i64>().ok().and_then(|lines| usize::try_from(lines).ok());
        Ok(Self { since: time(since)?, until: time(until)?, tail, follow })
    }

    /// Hands `entry` to `take` if it is in the time range. Returns `false` if it and all after it are too late.
    fn pass(&self, entry: LogEntry, take: &mut dyn FnMut(LogEntry) -> Result<()>) -> Result<bool> {
        let accepted = self.accepts(&entry);
        if accepted == Some(true) {
            take(entry)?;
        }
        Ok(accepted.is_some())
    }

    /// Whether `entry` is in the time range; `None` if it and all after it are too late.
    fn accepts(&self, entry: &LogEntry) -> Option<bool> {
        let Ok(time) = entry.time.parse::<Timestamp>() else { return Some(true) };
        if self.until.is_some_and(|until| time > until) {
            return None;
        }
        Some(self.since.is_none_or(|since| time >= since))
    }
}

/// Calls `take` for each line in the log of the container `text`.
pub fn logs(
    store: &Store,
    text: &str,
    query: &LogQuery,
    take: &mut dyn FnMut(LogEntry) -> Result<()>,
) -> Result<()> {
    let container = store.find_container(text)?;
    let spec = container.spec();
    let driver = spec.log.plan()?.driver;
    match driver {
        LogDriver::None => {
            return Err(unsupported("configured logging driver does not support reading").into());
        }
        LogDriver::Journald => return journal::journal_logs(&container, query, take),
        LogDriver::JsonFile | LogDriver::Local => {}
    }
    let mut filtered = |entry: LogEntry| query.pass(entry, take);
    let follower = query.follow.then(|| LogFollower::new(&container)).transpose()?;
    let mut reader = container.read_log(query.tail)?;
    loop {
        // Checked before reading: what was written before the exit is read below.
        let ended = follower.as_ref().is_none_or(LogFollower::has_ended);
        if !reader.read(&mut filtered)? || ended {
            return Ok(());
        }
        if let Some(follower) = &follower {
            follower.wait()?;
        }
    }
}

/// Waits for more lines, and for the exit of the supervisor that writes them.
struct LogFollower {
    changes: OwnedFd,
    /// The supervisor closes this socket when it exits; `None` if the container does not run.
    supervisor: Option<ControlClient>,
}

impl LogFollower {
    fn new(container: &ContainerDir) -> Result<Self> {
        let changes = watch_directory(container.path()).context("cannot watch the log")?;
        Ok(Self { changes, supervisor: ControlClient::connect(container)? })
    }

    fn has_ended(&self) -> bool {
        let Some(supervisor) = &self.supervisor else { return true };
        let mut fds = [PollFd::from_borrowed_fd(supervisor.as_fd(), PollFlags::IN)];
        let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut fds, Some(&now)).is_ok_and(|ready| ready > 0)
    }

    fn wait(&self) -> Result<()> {
        let mut fds = vec![PollFd::new(&self.changes, PollFlags::IN)];
        if let Some(supervisor) = &self.supervisor {
            fds.push(PollFd::from_borrowed_fd(supervisor.as_fd(), PollFlags::IN));
        }
        match poll(&mut fds, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        discard_events(&self.changes);
        Ok(())
    }
}

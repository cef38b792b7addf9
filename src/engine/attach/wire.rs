//! What a command and the supervisor of its container say to each other while the command is attached.

use std::os::fd::{BorrowedFd, OwnedFd};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::error::Failure;
use crate::sys::socket::{MAX_MESSAGE, Socket};

/// From the supervisor.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Report {
    /// The program runs. The master side of its terminal comes along, if it has one.
    Started,
    /// It could not be started.
    Failed(Failure),
    /// It has ended with this exit code, and what was to be removed is removed.
    Ended(i32),
}

/// From the command.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Order {
    /// Send this signal to the container's first process.
    Signal(i32),
    /// The user has detached: go on alone.
    Detach,
}

/// The supervisor's end.
#[derive(Debug)]
pub(crate) struct Supervisor(Socket);

/// The command's end.
#[derive(Debug)]
pub(crate) struct Command(Socket);

/// A connected pair.
pub(crate) fn pair() -> Result<(Supervisor, Command)> {
    let (a, b) = Socket::pair().context("making a socket pair")?;
    Ok((Supervisor(a), Command(b)))
}

impl Supervisor {
    /// Reports; a command that is gone is told nothing.
    pub(crate) fn report(&self, report: &Report, fd: Option<BorrowedFd<'_>>) {
        let Ok(mut bytes) = serde_json::to_vec(report) else { return };
        if let (Report::Failed(failure), true) = (report, bytes.len() > MAX_MESSAGE) {
            let short = Failure::new(failure.kind(), "the container could not be started");
            bytes = serde_json::to_vec(&Report::Failed(short)).unwrap_or_default();
        }
        let _ = self.0.send(&bytes, fd);
    }

    /// The next order; `None` where the command is gone.
    pub(crate) fn order(&self) -> Result<Option<Order>> {
        let message = self.0.receive()?;
        if message.bytes.is_empty() {
            return Ok(None);
        }
        Ok(Some(serde_json::from_slice(&message.bytes)?))
    }

    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Command {
    /// Gives an order; a supervisor that is gone shows in the next report.
    pub(crate) fn order(&self, order: &Order) {
        if let Ok(bytes) = serde_json::to_vec(order) {
            let _ = self.0.send(&bytes, None);
        }
    }

    /// The next report; `None` where the supervisor is gone.
    pub(crate) fn report(&self) -> Result<Option<(Report, Option<OwnedFd>)>> {
        let message = self.0.receive()?;
        if message.bytes.is_empty() {
            return Ok(None);
        }
        Ok(Some((serde_json::from_slice(&message.bytes)?, message.fd)))
    }

    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

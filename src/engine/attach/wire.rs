//! What commands and the supervisor of a container say to each other.
//!
//! The command that starts a container has a connection to its supervisor from the start; others connect to the socket
//! `control` in the container's directory.

use std::os::fd::{BorrowedFd, OwnedFd};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use super::session::Peer;
use crate::error::Failure;
use crate::model::network::Attachment;
use crate::store::ContainerDir;
use crate::sys::socket::{Listener, MAX_MESSAGE, Socket};

/// The socket's name.
pub(crate) const NAME: &str = "control";

/// From the supervisor.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Report {
    /// The program runs, or the command is attached to it.
    Started,
    /// What was asked for failed.
    Failed(Failure),
    /// It has ended with this exit code, and what was to be removed is removed.
    Ended(i32),
    /// What was asked for is done.
    Done,
}

/// From a command.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Order {
    /// Copy output to the descriptors that come along, and input from them: standard input, output and error, as far
    /// as they are wanted. Answered by `Started`, and by `Ended` at the end.
    Attach([bool; 3]),
    /// Pass this signal on to the container's first process. Not answered.
    Signal(i32),
    /// The container's terminal has these rows and columns. Not answered.
    Resize(u16, u16),
    /// The user has detached: go on alone. Not answered.
    Detach,
    /// Send this signal as a user who ends the container. Answered by `Done`.
    Kill(i32),
    /// End the container. Answered by `Ended`.
    Stop(Ending),
    /// End it and start it again. Answered by `Started`.
    Restart(Ending),
    /// Hold all processes. Answered by `Done`.
    Pause,
    /// Let them go on. Answered by `Done`.
    Unpause,
    /// The specification has changed. Answered by `Done`.
    Reload,
    /// Put it on one more network, which its specification has already; by ID. Answered by `Done`.
    Connect(Attachment),
    /// Take it off a network, which its specification has no more. Answered by `Done`.
    Disconnect {
        /// The ID.
        network: String,
        /// Whatever stands in the way.
        force: bool,
    },
    /// Tell of the end. Answered by `Ended`.
    Wait,
}

/// How a container is to be ended. What is not given is as the container's specification has it.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Ending {
    /// The signal to begin with.
    pub(crate) signal: Option<i32>,
    /// Seconds until it is killed; negative means never.
    pub(crate) timeout: Option<i64>,
}

/// The supervisor's end of a connection.
#[derive(Debug)]
pub(crate) struct Supervisor(Socket);

/// The command's end.
#[derive(Debug)]
pub(crate) struct Command(Socket);

/// Where a supervisor takes connections.
#[derive(Debug)]
pub(crate) struct Control(Listener);

/// A connected pair.
pub(crate) fn pair() -> Result<(Supervisor, Command)> {
    let (a, b) = Socket::pair().context("making a socket pair")?;
    Ok((Supervisor(a), Command(b)))
}

impl Control {
    /// Takes connections for `container`, which this process holds: a socket that is there is a dead supervisor's.
    pub(crate) fn open(container: &ContainerDir) -> Result<Self> {
        let dir = crate::sys::fs::open_dir(container.path())?;
        match rustix::fs::unlinkat(&dir, NAME, rustix::fs::AtFlags::empty()) {
            Ok(()) | Err(rustix::io::Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
        let listener = Listener::bind(std::os::fd::AsFd::as_fd(&dir), NAME)
            .context("opening the container's control socket")?;
        Ok(Self(listener))
    }

    /// The next connection, if it is still there.
    pub(crate) fn accept(&self) -> Result<Option<Supervisor>> {
        Ok(self.0.accept()?.map(Supervisor))
    }

    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Supervisor {
    /// Reports; a command that is gone, or does not listen, is told nothing.
    pub(crate) fn report(&self, report: &Report) {
        let Ok(mut bytes) = serde_json::to_vec(report) else { return };
        if let (Report::Failed(failure), true) = (report, bytes.len() > MAX_MESSAGE) {
            let short = Failure::new(failure.kind(), "the container could not be started");
            bytes = serde_json::to_vec(&Report::Failed(short)).unwrap_or_default();
        }
        let _ = self.0.send_now(&bytes, &[]);
    }

    /// The next order with the descriptors that came along; `None` where the command is gone.
    pub(crate) fn order(&self) -> Result<Option<(Order, Vec<OwnedFd>)>> {
        let message = self.0.receive()?;
        if message.bytes.is_empty() {
            return Ok(None);
        }
        Ok(Some((serde_json::from_slice(&message.bytes)?, message.fds)))
    }

    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Command {
    /// Connects to the container's supervisor; `None` where there is none, or none yet.
    pub(crate) fn connect(container: &ContainerDir) -> Result<Option<Self>> {
        let dir = match crate::sys::fs::open_dir(container.path()) {
            Ok(dir) => dir,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        match Socket::connect(std::os::fd::AsFd::as_fd(&dir), NAME) {
            Ok(socket) => Ok(Some(Self(socket))),
            Err(error) => match error.raw_os_error() {
                Some(libc::ENOENT | libc::ECONNREFUSED | libc::EAGAIN) => Ok(None),
                _ => Err(error).context("connecting to the container's supervisor"),
            },
        }
    }

    /// Gives an order; a supervisor that is gone shows in the next report.
    pub(crate) fn order(&self, order: &Order, fds: &[BorrowedFd<'_>]) {
        if let Ok(bytes) = serde_json::to_vec(order) {
            let _ = self.0.send(&bytes, fds);
        }
    }

    /// The next report; `None` where the supervisor is gone.
    pub(crate) fn report(&self) -> Result<Option<Report>> {
        let message = match self.0.receive() {
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return Ok(None),
            other => other?,
        };
        if message.bytes.is_empty() {
            return Ok(None);
        }
        Ok(Some(serde_json::from_slice(&message.bytes)?))
    }

    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Peer for Command {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    fn has_started(&self) -> bool {
        false
    }

    fn order(&self, order: &Order) {
        self.order(order, &[]);
    }

    fn report(&self) -> Result<Option<Report>> {
        self.report()
    }
}

//! The protocol between commands and the supervisor of a container.
//!
//! # Transport
//!
//! A `SOCK_SEQPACKET` socket: one JSON message per packet, descriptors as `SCM_RIGHTS`. The command that starts a
//! container is connected to its supervisor from the fork; others connect to the socket `control` in the
//! container's directory.
//!
//! # Messages
//!
//! A command sends a [`ControlRequest`] and receives a [`ControlReport`] for it, except for the requests that are
//! documented as not answered. After `Attach`, `Stop`, `Wait` and the initial connection the supervisor also sends
//! `Ended` when the container exits for good.
//!
//! # Compatibility
//!
//! A supervisor may be older or newer than the command (dhow was upgraded while the container ran), so the names
//! of the variants and fields are part of the protocol.

use std::os::fd::{BorrowedFd, OwnedFd};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use dhow_error::Failure;
use dhow_model::network::NetworkAttachment;
use dhow_store::ContainerDir;
use dhow_sys::socket::{MAX_MESSAGE, SeqpacketListener, SeqpacketSocket};

pub(crate) const SOCKET_NAME: &str = "control";

/// From the supervisor to a command.
#[derive(Debug, Serialize, Deserialize)]
pub enum ControlReport {
    /// The program is running, or the command is attached to it.
    Started,
    /// The request failed.
    Failed(Failure),
    /// The container exited with this code, and with `--rm` it is removed.
    Ended(i32),
    /// The request was carried out.
    Done,
}

/// From a command to the supervisor.
#[derive(Debug, Serialize, Deserialize)]
pub enum ControlRequest {
    /// Copy output to the descriptors that come with the message, and input from them: standard input, output
    /// and error, those that are `true`. Answered by `Started`, and by `Ended` at the exit.
    Attach([bool; 3]),
    /// Send this signal to the container's first process. Not answered.
    Signal(i32),
    /// The terminal has this many rows and columns. Not answered.
    Resize(u16, u16),
    /// The user has detached; the container keeps running. Not answered.
    Detach,
    /// `docker kill`: like `Signal`, but counts as stopping the container by hand if it is its stop signal.
    /// Answered by `Done`.
    Kill(i32),
    /// Stop the container. Answered by `Ended`.
    Stop(StopOptions),
    /// Stop it and start it again. Answered by `Started`.
    Restart(StopOptions),
    /// Freeze all processes. Answered by `Done`.
    Pause,
    /// Thaw them. Answered by `Done`.
    Unpause,
    /// The specification on disk has changed. Answered by `Done`.
    Reload,
    /// Connect it to one more network, which is in its specification already; by ID. Answered by `Done`.
    Connect(NetworkAttachment),
    /// Disconnect it from a network, which is no longer in its specification. Answered by `Done`.
    Disconnect {
        /// The network's ID.
        network: String,
        /// Also if the network is in a bad state.
        force: bool,
    },
    /// Wait for the exit. Answered by `Ended`.
    Wait,
}

/// How to stop a container. What is `None` comes from the container's specification.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct StopOptions {
    /// The first signal to send.
    pub signal: Option<i32>,
    /// Seconds until SIGKILL; negative means never.
    pub timeout: Option<i64>,
}

/// The supervisor's end of a connection.
#[derive(Debug)]
pub(crate) struct ControlConnection(SeqpacketSocket);

/// The command's end of a connection.
#[derive(Debug)]
pub struct ControlClient(SeqpacketSocket);

/// The supervisor's listening socket.
#[derive(Debug)]
pub(crate) struct ControlListener(SeqpacketListener);

pub(crate) fn connected_pair() -> Result<(ControlConnection, ControlClient)> {
    let (supervisor, command) = SeqpacketSocket::pair().context("making a socket pair")?;
    Ok((ControlConnection(supervisor), ControlClient(command)))
}

impl ControlListener {
    /// Binds the socket of `container`, whose lock this process holds: so a socket that exists is left over
    /// from a supervisor that was killed.
    pub(crate) fn open(container: &ContainerDir) -> Result<Self> {
        let dir = dhow_sys::fs::open_dir(container.path())?;
        match rustix::fs::unlinkat(&dir, SOCKET_NAME, rustix::fs::AtFlags::empty()) {
            Ok(()) | Err(rustix::io::Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
        let listener = SeqpacketListener::bind(std::os::fd::AsFd::as_fd(&dir), SOCKET_NAME)
            .context("opening the container's control socket")?;
        Ok(Self(listener))
    }

    /// `None` if the command gave up meanwhile.
    pub(crate) fn accept(&self) -> Result<Option<ControlConnection>> {
        Ok(self.0.accept()?.map(ControlConnection))
    }

    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl ControlConnection {
    /// Sends a report. A command that is gone or does not read is not waited for.
    pub(crate) fn send_report(&self, report: &ControlReport) {
        let Ok(mut bytes) = serde_json::to_vec(report) else { return };
        // A failure may quote a whole script; a packet is limited.
        if let (ControlReport::Failed(failure), true) = (report, bytes.len() > MAX_MESSAGE) {
            let short = Failure::new(failure.kind(), "the container could not be started");
            bytes = serde_json::to_vec(&ControlReport::Failed(short)).unwrap_or_default();
        }
        // Nonblocking: a client that does not read must not hold up the supervisor.
        let _ = self.0.send_now(&bytes, &[]);
    }

    /// The next request with its descriptors; `None` if the command is gone.
    pub(crate) fn receive_request(&self) -> Result<Option<(ControlRequest, Vec<OwnedFd>)>> {
        let message = self.0.receive()?;
        // No message is empty: this is the end of the connection (recv(2)).
        if message.bytes.is_empty() {
            return Ok(None);
        }
        Ok(Some((serde_json::from_slice(&message.bytes)?, message.fds)))
    }

    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl ControlClient {
    /// Connects to the container's supervisor; `None` if there is none, or not yet.
    pub fn connect(container: &ContainerDir) -> Result<Option<Self>> {
        let dir = match dhow_sys::fs::open_dir(container.path()) {
            Ok(dir) => dir,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        match SeqpacketSocket::connect(std::os::fd::AsFd::as_fd(&dir), SOCKET_NAME) {
            // ENOENT: it never ran. ECONNREFUSED: killed, or just exiting. EAGAIN: its backlog is full
            // (connect(2)).
            Ok(socket) => Ok(Some(Self(socket))),
            Err(error) => match error.raw_os_error() {
                Some(libc::ENOENT | libc::ECONNREFUSED | libc::EAGAIN) => Ok(None),
                _ => Err(error).context("connecting to the container's supervisor"),
            },
        }
    }

    /// Sends a request. A supervisor that is gone shows in the next report.
    pub fn send_request(&self, request: &ControlRequest, fds: &[BorrowedFd<'_>]) {
        if let Ok(bytes) = serde_json::to_vec(request) {
            let _ = self.0.send(&bytes, fds);
        }
    }

    /// The next report; `None` if the supervisor is gone.
    pub fn receive_report(&self) -> Result<Option<ControlReport>> {
        let message = match self.0.receive() {
            // ECONNRESET: the supervisor exited with a request of ours unread.
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return Ok(None),
            other => other?,
        };
        if message.bytes.is_empty() {
            return Ok(None);
        }
        Ok(Some(serde_json::from_slice(&message.bytes)?))
    }

    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// The other end of an attachment: a container through its supervisor, or a process that `exec` started in
/// one.
pub trait AttachPeer {
    /// Readable when there is a report to receive.
    fn as_fd(&self) -> BorrowedFd<'_>;
    /// Whether it is running already and will send no `Started` report.
    fn has_started(&self) -> bool;
    /// Sends a request. If the peer is gone, the next report says so.
    fn send_request(&self, request: &ControlRequest);
    /// The next report; `None` if the peer is gone.
    fn receive_report(&self) -> Result<Option<ControlReport>>;
}

impl AttachPeer for ControlClient {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    fn has_started(&self) -> bool {
        false
    }

    fn send_request(&self, request: &ControlRequest) {
        self.send_request(request, &[]);
    }

    fn receive_report(&self) -> Result<Option<ControlReport>> {
        self.receive_report()
    }
}

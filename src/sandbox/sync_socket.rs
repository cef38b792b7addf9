//! The protocol between the supervisor and a process on its way into a container, until its program runs.
//!
//! Inward: "go", once for each step that the process waits for (see [`crate::launch`]). Outward: the new process's
//! pidfd, if an intermediate process created it; the terminal's master side; the owner listener; at most one failure.
//! The socket is close-on-exec, so end of file means that the program runs.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use anyhow::{Context as _, Result};
use dhow_error::{Failure, FailureKind};
use dhow_sys::process::ChildProcess;
use dhow_sys::socket::{MAX_MESSAGE, SeqpacketSocket};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::Serialize;

/// The text that comes with an owner listener.
const LISTENER: &[u8] = b"listener";

/// One end of the connection.
pub(crate) struct SyncSocket(SeqpacketSocket);

/// A message from inside.
pub(crate) enum SyncMessage {
    /// The terminal's master side.
    Terminal(OwnedFd),
    /// The seccomp listener for the first process's changes of owner.
    Listener(OwnedFd),
    /// A process that an intermediate process created; its pid is as the creator sees it.
    Process(ChildProcess),
    Failed(Failure),
    /// End of file: exec closed the socket.
    Running,
}

/// A connected pair: the supervisor's end and the container's.
pub(crate) fn socket_pair() -> Result<(SyncSocket, SyncSocket)> {
    let (ours, theirs) = SeqpacketSocket::pair()?;
    Ok((SyncSocket(ours), SyncSocket(theirs)))
}

/// A failure as a message, in the form that `wrap` gives it. One that is too long would not arrive at all, so it is
/// replaced by `summary`.
pub(crate) fn encode_failure<T: Serialize>(
    failure: &Failure,
    summary: &str,
    wrap: impl Fn(Failure) -> T,
) -> Vec<u8> {
    let encode = |failure: Failure| serde_json::to_vec(&wrap(failure)).unwrap_or_default();
    let message = encode(failure.clone());
    match message.is_empty() || message.len() > MAX_MESSAGE {
        true => encode(Failure::new(failure.kind(), summary)),
        false => message,
    }
}

impl SyncSocket {
    /// Lets the other side proceed.
    pub(crate) fn send_go(&self) -> Result<()> {
        Ok(self.0.send(b"go", &[])?)
    }

    /// Waits for [`SyncSocket::send_go`]. Fails if the other side has failed or is gone.
    pub(crate) fn await_go(&self) -> Result<()> {
        let message = self.0.receive()?.bytes;
        if let Ok(failure) = serde_json::from_slice::<Failure>(&message) {
            return Err(failure.into());
        }
        match message.is_empty() {
            false => Ok(()),
            true => Err(Failure::new(FailureKind::Interrupted, "the supervisor has ended").into()),
        }
    }

    /// Fails if the other side is gone.
    pub(crate) fn check_open(&self) -> Result<()> {
        match self.0.is_connected()? {
            true => Ok(()),
            false => Err(Failure::new(FailureKind::Interrupted, "the supervisor has ended").into()),
        }
    }

    pub(crate) fn send_terminal(&self, master: &OwnedFd) -> Result<()> {
        Ok(self.0.send(b"terminal", &[master.as_fd()])?)
    }

    pub(crate) fn send_listener(&self, listener: &OwnedFd) -> Result<()> {
        Ok(self.0.send(LISTENER, &[listener.as_fd()])?)
    }

    pub(crate) fn send_process(&self, process: &ChildProcess) -> Result<()> {
        Ok(self.0.send(process.pid.to_string().as_bytes(), &[process.pidfd()])?)
    }

    /// Duplicates this end at descriptor `first` or above.
    pub(crate) fn at_or_above(&self, first: i32) -> Result<Self> {
        Ok(Self(self.0.at_or_above(first)?))
    }

    /// For poll(2), and to exempt it when other descriptors are closed.
    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// Reports why the container did not start; nothing can be done if even that fails.
    pub(crate) fn send_failure(&self, failure: &Failure) {
        let message = encode_failure(failure, "the container could not be started", |failure| failure);
        let _ = self.0.send(&message, &[]);
    }

    /// The failure that the other side reported before it ended; skips everything sent earlier.
    pub(crate) fn drain_failure(&self) -> Option<Failure> {
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        loop {
            let mut fds = [PollFd::from_borrowed_fd(self.as_fd(), PollFlags::IN)];
            if !poll(&mut fds, Some(&now)).is_ok_and(|ready| ready > 0) {
                return None;
            }
            match self.receive() {
                Ok(SyncMessage::Failed(failure)) => return Some(failure),
                Ok(SyncMessage::Terminal(_) | SyncMessage::Listener(_) | SyncMessage::Process(_)) => {}
                Ok(SyncMessage::Running) | Err(_) => return None,
            }
        }
    }

    /// Waits for the next message from inside.
    pub(crate) fn receive(&self) -> Result<SyncMessage> {
        // Told apart by shape: a descriptor with a number, with "listener", or with anything else; no
        // descriptor: a failure.
        let mut message = self.0.receive().context("waiting for the container to start")?;
        let number = str::from_utf8(&message.bytes).ok().and_then(|text| text.parse().ok());
        Ok(match message.fds.pop() {
            Some(fd) => match number {
                Some(pid) => SyncMessage::Process(ChildProcess::from_parts(pid, fd)),
                None if message.bytes == LISTENER => SyncMessage::Listener(fd),
                None => SyncMessage::Terminal(fd),
            },
            None if message.bytes.is_empty() => SyncMessage::Running,
            None => SyncMessage::Failed(
                serde_json::from_slice(&message.bytes).context("reading why the container failed")?,
            ),
        })
    }
}

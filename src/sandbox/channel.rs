//! What the supervisor and the process that becomes the container say to each other before its program runs.
//!
//! Inward goes one byte, "your ids are mapped". Outward come, of a process that joins a container, the process itself;
//! the master side of the terminal, if there is one; and at most one failure. The socket closes by exec, so its end
//! means "running".

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use anyhow::{Context as _, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::error::{Failure, Kind};
use crate::sys::process::Child;
use crate::sys::socket::{MAX_MESSAGE, Socket};

/// What comes with a listener.
const LISTENER: &[u8] = b"listener";

/// One end.
pub(super) struct Channel(Socket);

/// What came from inside.
pub(super) enum Said {
    /// The terminal's master side.
    Terminal(OwnedFd),
    /// Where the first process's changes of owner are told.
    Listener(OwnedFd),
    /// The process that goes on; its number is the maker's, not the listener's.
    Process(Child),
    /// It failed for this reason.
    Failed(Failure),
    /// The program runs.
    Running,
}

/// A connected pair: the supervisor's end and the container's.
pub(super) fn pair() -> Result<(Channel, Channel)> {
    let (ours, theirs) = Socket::pair()?;
    Ok((Channel(ours), Channel(theirs)))
}

impl Channel {
    /// Lets the other side go on.
    pub(super) fn go(&self) -> Result<()> {
        Ok(self.0.send(b"go", &[])?)
    }

    /// Waits for [`Channel::go`]. Fails where the other side has failed or is gone.
    pub(super) fn await_go(&self) -> Result<()> {
        let said = self.0.receive()?.bytes;
        if let Ok(failure) = serde_json::from_slice::<Failure>(&said) {
            return Err(failure.into());
        }
        match said.is_empty() {
            false => Ok(()),
            true => Err(Failure::new(Kind::Interrupted, "the supervisor has ended").into()),
        }
    }

    /// Fails where the other side is gone.
    pub(super) fn check_open(&self) -> Result<()> {
        match self.0.is_connected()? {
            true => Ok(()),
            false => Err(Failure::new(Kind::Interrupted, "the supervisor has ended").into()),
        }
    }

    /// Hands over the terminal.
    pub(super) fn send_terminal(&self, master: &OwnedFd) -> Result<()> {
        Ok(self.0.send(b"terminal", &[master.as_fd()])?)
    }

    /// Hands over where changes of owner are told.
    pub(super) fn send_listener(&self, listener: &OwnedFd) -> Result<()> {
        Ok(self.0.send(LISTENER, &[listener.as_fd()])?)
    }

    /// Hands over a process that was made.
    pub(super) fn send_process(&self, process: &Child) -> Result<()> {
        Ok(self.0.send(process.pid.to_string().as_bytes(), &[process.pidfd()])?)
    }

    /// The same end under a number of at least `first`.
    pub(super) fn at_or_above(&self, first: i32) -> Result<Self> {
        Ok(Self(self.0.at_or_above(first)?))
    }

    /// For poll(2), and to be kept where other descriptors are closed.
    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// Reports why the container did not start. Nothing can be done where even that fails.
    pub(super) fn send_failure(&self, failure: &Failure) {
        let mut text = serde_json::to_vec(failure).unwrap_or_default();
        if text.is_empty() || text.len() > MAX_MESSAGE {
            let short = Failure::new(failure.kind(), "the container could not be started");
            text = serde_json::to_vec(&short).unwrap_or_default();
        }
        let _ = self.0.send(&text, &[]);
    }

    /// The failure that the other side, which has ended, told before that.
    pub(super) fn last_words(&self) -> Option<Failure> {
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        loop {
            let mut fds = [PollFd::from_borrowed_fd(self.as_fd(), PollFlags::IN)];
            if !poll(&mut fds, Some(&now)).is_ok_and(|ready| ready > 0) {
                return None;
            }
            match self.listen() {
                Ok(Said::Failed(failure)) => return Some(failure),
                Ok(Said::Terminal(_) | Said::Listener(_) | Said::Process(_)) => {}
                Ok(Said::Running) | Err(_) => return None,
            }
        }
    }

    /// Waits for the next word from inside.
    pub(super) fn listen(&self) -> Result<Said> {
        let mut message = self.0.receive().context("waiting for the container to start")?;
        let number = str::from_utf8(&message.bytes).ok().and_then(|text| text.parse().ok());
        Ok(match message.fds.pop() {
            Some(fd) => match number {
                Some(pid) => Said::Process(Child::adopted(pid, fd)),
                None if message.bytes == LISTENER => Said::Listener(fd),
                None => Said::Terminal(fd),
            },
            None if message.bytes.is_empty() => Said::Running,
            None => Said::Failed(
                serde_json::from_slice(&message.bytes).context("reading why the container failed")?,
            ),
        })
    }
}

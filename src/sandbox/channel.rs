//! What the supervisor and the process that becomes the container say to each other before its program runs.
//!
//! A socket pair that keeps messages apart. Inward goes one byte, "your ids are mapped". Outward come the master side
//! of the terminal, if there is one, and at most one failure. The socket closes by exec, so its end means "running".

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};

use anyhow::{Context as _, Result};
use rustix::net::{AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType};

use crate::error::{Failure, Kind};

/// A message is far smaller; a longer failure text is cut.
const MAX_MESSAGE: usize = 32 << 10;

/// One end.
pub struct Channel(OwnedFd);

/// What came from inside.
pub enum Said {
    /// The terminal's master side.
    Terminal(OwnedFd),
    /// It failed for this reason.
    Failed(Failure),
    /// The program runs.
    Running,
}

/// A connected pair: the supervisor's end and the container's.
pub fn pair() -> Result<(Channel, Channel)> {
    let (a, b) = rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    Ok((Channel(a), Channel(b)))
}

impl Channel {
    /// Lets the other side go on.
    pub fn go(&self) -> Result<()> {
        rustix::net::send(&self.0, b"g", SendFlags::NOSIGNAL)?;
        Ok(())
    }

    /// Waits for [`Channel::go`]. Fails where the other side is gone.
    pub fn await_go(&self) -> Result<()> {
        let mut byte = [0_u8; 1];
        let (length, _) = rustix::net::recv(&self.0, &mut byte, RecvFlags::empty())?;
        if length == 1 { Ok(()) } else { Err(Failure::new(Kind::Interrupted, "the supervisor has ended").into()) }
    }

    /// Hands over the terminal.
    pub fn send_terminal(&self, master: &OwnedFd) -> Result<()> {
        let fds = [master.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        control.push(SendAncillaryMessage::ScmRights(&fds));
        rustix::net::sendmsg(&self.0, &[IoSlice::new(b"t")], &mut control, SendFlags::NOSIGNAL)?;
        Ok(())
    }

    /// Reports why the container did not start. Nothing can be done where even that fails.
    pub fn send_failure(&self, failure: &Failure) {
        let mut text = serde_json::to_vec(failure).unwrap_or_default();
        if text.len() > MAX_MESSAGE {
            text = serde_json::to_vec(&Failure::new(failure.kind(), "the container could not be started")).unwrap_or_default();
        }
        let _ = rustix::net::send(&self.0, &text, SendFlags::NOSIGNAL);
    }

    /// Waits for the next word from inside.
    pub fn listen(&self) -> Result<Said> {
        let mut buffer = vec![0_u8; MAX_MESSAGE];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let message = rustix::io::retry_on_intr(|| {
            rustix::net::recvmsg(&self.0, &mut [IoSliceMut::new(&mut buffer)], &mut control, RecvFlags::CMSG_CLOEXEC)
        });
        let length = message.context("waiting for the container to start")?.bytes;
        for item in control.drain() {
            if let RecvAncillaryMessage::ScmRights(mut fds) = item
                && let Some(fd) = fds.next()
            {
                return Ok(Said::Terminal(fd));
            }
        }
        if length == 0 {
            return Ok(Said::Running);
        }
        Ok(Said::Failed(serde_json::from_slice(&buffer[..length]).context("reading the failure of a container's start")?))
    }
}

//! Wakes threads that wait in epoll_wait(2) or poll(2): an eventfd, and a command channel that comes with
//! one.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};

use rustix::event::{EventfdFlags, eventfd};

/// An eventfd(2), readable from a [`Self::wake`] to the next [`Self::reset`].
#[derive(Debug)]
pub(crate) struct Waker(OwnedFd);

impl Waker {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?))
    }

    pub(crate) fn wake(&self) {
        // Fails only if the counter is at its maximum, and then the reader is awake already.
        let _ = rustix::io::write(&self.0, &1_u64.to_ne_bytes());
    }

    pub(crate) fn reset(&self) {
        // Fails only if nobody has called `wake` meanwhile.
        let _ = rustix::io::read(&self.0, &mut [0_u8; 8][..]);
    }
}

impl AsFd for Waker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Sends commands to the thread that has the [`CommandReceiver`], and wakes it.
pub(crate) struct CommandSender<T> {
    sender: Sender<T>,
    waker: Arc<Waker>,
}

/// Receives commands; its thread waits for [`Self::waker`].
pub(crate) struct CommandReceiver<T> {
    receiver: Receiver<T>,
    waker: Arc<Waker>,
}

/// A queue of commands for a thread with an event loop.
pub(crate) fn command_channel<T>() -> io::Result<(CommandSender<T>, CommandReceiver<T>)> {
    let waker = Arc::new(Waker::new()?);
    let (sender, receiver) = channel();
    Ok((CommandSender { sender, waker: Arc::clone(&waker) }, CommandReceiver { receiver, waker }))
}

impl<T> CommandSender<T> {
    /// `None` if the receiver is gone.
    pub(crate) fn send(&self, command: T) -> Option<()> {
        self.sender.send(command).ok()?;
        self.waker.wake();
        Some(())
    }
}

impl<T> CommandReceiver<T> {
    pub(crate) fn try_recv(&self) -> Result<T, TryRecvError> {
        self.receiver.try_recv()
    }

    pub(crate) fn waker(&self) -> &Waker {
        &self.waker
    }
}

impl<T> Clone for CommandSender<T> {
    fn clone(&self) -> Self {
        Self { sender: self.sender.clone(), waker: Arc::clone(&self.waker) }
    }
}

impl<T> fmt::Debug for CommandSender<T> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("CommandSender")
    }
}

impl<T> fmt::Debug for CommandReceiver<T> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("CommandReceiver")
    }
}

//! The supervisor's side of a container's standard streams: pipes, or the master side of its terminal.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use anyhow::Result;
use rustix::fs::OFlags;
use rustix::io::Errno;

use crate::engine::attach::streams::{null, pipe};
use crate::model::log::Stream;
use crate::sys;

/// The most that is read at once: it fits into a pipe.
const CHUNK: usize = 32 << 10;

/// What the container gets.
pub(super) type Ends = [OwnedFd; 3];

/// What the supervisor keeps.
#[derive(Default)]
pub(super) struct Streams {
    /// Where the container's input is written to, while it is open.
    input: Option<OwnedFd>,
    /// Input that the container has not taken yet.
    pending: Vec<u8>,
    /// Where its output comes from, until that ends.
    outputs: Vec<(Stream, OwnedFd)>,
    /// Its terminal.
    terminal: Option<OwnedFd>,
}

/// What a read brought.
pub(super) enum Got<'a> {
    /// Output.
    Bytes(&'a [u8]),
    /// Nothing now.
    Nothing,
    /// The end of the stream.
    End,
}

impl Streams {
    /// Pipes for a container without a terminal; its input is empty unless it is kept open.
    pub(super) fn pipes(keep_input: bool) -> Result<(Ends, Self)> {
        let (input, ours) = match keep_input {
            true => {
                let (read, write) = pipe()?;
                (read, Some(nonblocking(write)?))
            }
            false => (null()?, None),
        };
        let (out, their_out) = pipe()?;
        let (error, their_error) = pipe()?;
        let outputs = vec![(Stream::Stdout, nonblocking(out)?), (Stream::Stderr, nonblocking(error)?)];
        Ok(([input, their_out, their_error], Self { input: ours, outputs, ..Self::default() }))
    }

    /// The same for a container that is to have a terminal: its streams are that, once it is there.
    pub(super) fn none() -> Result<Ends> {
        Ok([null()?, null()?, null()?])
    }

    /// The master side of a terminal.
    pub(super) fn terminal(master: OwnedFd) -> Result<Self> {
        let master = nonblocking(master)?;
        Ok(Self {
            input: Some(master.try_clone()?),
            outputs: vec![(Stream::Stdout, master.try_clone()?)],
            terminal: Some(master),
            pending: Vec::new(),
        })
    }

    /// Sources of output that are open.
    pub(super) fn outputs(&self) -> impl Iterator<Item = (Stream, BorrowedFd<'_>)> {
        self.outputs.iter().map(|(stream, fd)| (*stream, fd.as_fd()))
    }

    /// Reads what is there of `stream` into `buffer`.
    pub(super) fn read<'a>(&mut self, stream: Stream, buffer: &'a mut Buffer) -> Got<'a> {
        let Some(index) = self.outputs.iter().position(|(known, _)| *known == stream) else {
            return Got::Nothing;
        };
        let Some((_, fd)) = self.outputs.get(index) else { return Got::Nothing };
        match rustix::io::read(fd, &mut buffer.0[..]) {
            Ok(length) if length > 0 => Got::Bytes(buffer.0.get(..length).unwrap_or_default()),
            Err(Errno::AGAIN | Errno::INTR) => Got::Nothing,
            // The end; EIO is that of a terminal whose other side is closed.
            Ok(_) | Err(_) => {
                self.outputs.remove(index);
                Got::End
            }
        }
    }

    /// Where input is waiting to be taken.
    pub(super) fn waiting_input(&self) -> Option<BorrowedFd<'_>> {
        self.input.as_ref().filter(|_| !self.pending.is_empty()).map(OwnedFd::as_fd)
    }

    /// Whether more input can be handed over.
    pub(super) fn takes_input(&self) -> bool {
        self.input.is_some() && self.pending.is_empty()
    }

    /// Hands input over; what the container does not take now is kept.
    pub(super) fn write_input(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
        self.flush_input();
    }

    /// Goes on with input that is kept.
    pub(super) fn flush_input(&mut self) {
        let Some(input) = &self.input else { return self.pending.clear() };
        match rustix::io::write(input, &self.pending) {
            Ok(length) => drop(self.pending.drain(..length)),
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(_) => {
                self.input = None;
                self.pending.clear();
            }
        }
    }

    /// Ends the container's input. That of a terminal stays open.
    pub(super) fn close_input(&mut self) {
        if self.terminal.is_none() {
            self.input = None;
        }
    }

    /// Tells the terminal its size.
    pub(super) fn resize(&self, rows: u16, columns: u16) {
        if let Some(terminal) = &self.terminal {
            // A terminal of a container that is about to end may refuse.
            let _ = sys::pty::set_rows_and_columns(terminal.as_fd(), rows, columns);
        }
    }
}

/// Room for one read.
pub(super) struct Buffer([u8; CHUNK]);

impl Buffer {
    pub(super) fn new() -> Self {
        Self([0; CHUNK])
    }
}

fn nonblocking(fd: OwnedFd) -> Result<OwnedFd> {
    let flags = rustix::fs::fcntl_getfl(&fd)?;
    rustix::fs::fcntl_setfl(&fd, flags | OFlags::NONBLOCK)?;
    Ok(fd)
}

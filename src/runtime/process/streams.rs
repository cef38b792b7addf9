//! The parent's side of a container's stdio: pipes, or the master side of its terminal.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use anyhow::Result;
use rustix::fs::OFlags;
use rustix::io::Errno;

use dhow_model::log::OutputStream;
use dhow_sys::stdio::{cloexec_pipe, open_dev_null};

/// Limit on one read; what fits into a pipe.
const CHUNK: usize = 32 << 10;

/// The container's stdin, stdout and stderr.
pub(super) type ContainerStdio = [OwnedFd; 3];

/// The parent's ends.
#[derive(Default)]
pub struct ContainerStreams {
    /// `None` once the input is closed.
    input: Option<OwnedFd>,
    /// Input that the container has not taken yet.
    pending: Vec<u8>,
    /// Open sources of output.
    outputs: Vec<(OutputStream, OwnedFd)>,
    /// The master side.
    terminal: Option<OwnedFd>,
}

pub enum StreamRead<'a> {
    Bytes(&'a [u8]),
    Nothing,
    End,
}

impl ContainerStreams {
    /// Pipes for a container without a terminal. Without `keep_input` (`-i`) its input is /dev/null.
    pub(super) fn pipes(keep_input: bool) -> Result<(ContainerStdio, Self)> {
        let (input, ours) = match keep_input {
            true => {
                let (read, write) = cloexec_pipe()?;
                (read, Some(nonblocking(write)?))
            }
            false => (open_dev_null()?, None),
        };
        // Only our ends are nonblocking: programs do not expect EAGAIN on their stdio.
        let (out, their_out) = cloexec_pipe()?;
        let (error, their_error) = cloexec_pipe()?;
        let outputs =
            vec![(OutputStream::Stdout, nonblocking(out)?), (OutputStream::Stderr, nonblocking(error)?)];
        Ok(([input, their_out, their_error], Self { input: ours, outputs, ..Self::default() }))
    }

    /// For a container with a terminal, which replaces these once it exists.
    pub(super) fn placeholders() -> Result<ContainerStdio> {
        Ok([open_dev_null()?, open_dev_null()?, open_dev_null()?])
    }

    /// The master side of a terminal serves for input and output.
    pub(super) fn terminal(master: OwnedFd) -> Result<Self> {
        let master = nonblocking(master)?;
        Ok(Self {
            input: Some(master.try_clone()?),
            outputs: vec![(OutputStream::Stdout, master.try_clone()?)],
            terminal: Some(master),
            pending: Vec::new(),
        })
    }

    pub fn outputs(&self) -> impl Iterator<Item = (OutputStream, BorrowedFd<'_>)> {
        self.outputs.iter().map(|(stream, fd)| (*stream, fd.as_fd()))
    }

    /// Reads what is available of `stream` into `buffer`.
    pub fn read<'a>(&mut self, stream: OutputStream, buffer: &'a mut ReadBuffer) -> StreamRead<'a> {
        let Some(index) = self.outputs.iter().position(|(known, _)| *known == stream) else {
            return StreamRead::Nothing;
        };
        let Some((_, fd)) = self.outputs.get(index) else { return StreamRead::Nothing };
        buffer.0.clear();
        match rustix::io::read(fd, rustix::buffer::spare_capacity(&mut buffer.0)) {
            Ok(length) if length > 0 => StreamRead::Bytes(&buffer.0),
            Err(Errno::AGAIN | Errno::INTR) => StreamRead::Nothing,
            // End of file; on a terminal whose other side is closed, read(2) fails with EIO.
            Ok(_) | Err(_) => {
                self.outputs.remove(index);
                StreamRead::End
            }
        }
    }

    /// The descriptor to wait for while there is pending input.
    pub(crate) fn waiting_input(&self) -> Option<BorrowedFd<'_>> {
        self.input.as_ref().filter(|_| !self.pending.is_empty()).map(OwnedFd::as_fd)
    }

    /// Whether more input can be accepted.
    pub(crate) fn takes_input(&self) -> bool {
        self.input.is_some() && self.pending.is_empty()
    }

    /// Writes input; what the container does not take now is kept.
    pub(crate) fn write_input(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
        self.flush_input();
    }

    /// Continues writing pending input.
    pub(crate) fn flush_input(&mut self) {
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

    /// Closes the container's input. A terminal stays open, since its output uses the same descriptor.
    pub(crate) fn close_input(&mut self) {
        if self.terminal.is_none() {
            self.input = None;
        }
    }

    pub(crate) fn resize(&self, rows: u16, columns: u16) {
        if let Some(terminal) = &self.terminal {
            // The container may be exiting.
            let _ = dhow_sys::pty::set_rows_and_columns(terminal.as_fd(), rows, columns);
        }
    }
}

/// Space for one read; no memory is touched before that.
pub struct ReadBuffer(Vec<u8>);

impl Default for ReadBuffer {
    fn default() -> Self {
        Self(Vec::with_capacity(CHUNK))
    }
}

fn nonblocking(fd: OwnedFd) -> Result<OwnedFd> {
    let flags = rustix::fs::fcntl_getfl(&fd)?;
    rustix::fs::fcntl_setfl(&fd, flags | OFlags::NONBLOCK)?;
    Ok(fd)
}

//! Copies bytes from one descriptor to another without blocking the loop that drives it.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use rustix::io::Errno;

/// Small enough that a terminal that can take something takes most of it at once.
const CHUNK: usize = 4 << 10;

/// One direction. It is over when the source has ended and all was written, or the target takes no more.
pub(crate) struct Relay {
    source: Option<OwnedFd>,
    target: Option<OwnedFd>,
    pending: Vec<u8>,
    is_output: bool,
}

/// What a relay waits for.
pub(crate) enum Wants<'a> {
    /// The source to have something.
    Read(BorrowedFd<'a>),
    /// The target to take something.
    Write(BorrowedFd<'a>),
}

impl Relay {
    /// From `source` to `target`.
    pub(crate) fn new(source: OwnedFd, target: OwnedFd) -> Self {
        Self { source: Some(source), target: Some(target), pending: Vec::new(), is_output: false }
    }

    /// The same for output of the container, all of which is copied before the command ends.
    pub(crate) fn output(source: OwnedFd, target: OwnedFd) -> Self {
        Self { is_output: true, ..Self::new(source, target) }
    }

    /// Whether it carries output of the container.
    pub(crate) fn is_output(&self) -> bool {
        self.is_output
    }

    /// What it waits for; `None` when it is over.
    pub(crate) fn wants(&self) -> Option<Wants<'_>> {
        let target = self.target.as_ref()?;
        if !self.pending.is_empty() {
            return Some(Wants::Write(target.as_fd()));
        }
        self.source.as_ref().map(|source| Wants::Read(source.as_fd()))
    }

    /// Goes on after poll said that what it wants is there. `filter` sees what was read and may take bytes out.
    pub(crate) fn step(&mut self, filter: impl FnOnce(&mut Vec<u8>)) {
        if self.pending.is_empty() {
            self.read(filter);
        }
        if !self.pending.is_empty() {
            self.write();
        }
        if self.source.is_none() && self.pending.is_empty() {
            self.target = None;
        }
    }

    fn read(&mut self, filter: impl FnOnce(&mut Vec<u8>)) {
        let Some(source) = &self.source else { return };
        let mut buffer = vec![0_u8; CHUNK];
        match rustix::io::read(source, &mut buffer[..]) {
            Ok(length) if length > 0 => {
                buffer.truncate(length);
                filter(&mut buffer);
                self.pending = buffer;
            }
            Err(Errno::AGAIN | Errno::INTR) => {}
            // The end; EIO is that of a terminal whose other side is closed.
            Ok(_) | Err(_) => self.source = None,
        }
    }

    fn write(&mut self) {
        let Some(target) = &self.target else { return };
        match rustix::io::write(target, &self.pending) {
            Ok(length) => drop(self.pending.drain(..length)),
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(_) => {
                self.source = None;
                self.target = None;
                self.pending.clear();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::pipe::pipe;

    #[test]
    fn copies_to_the_end_and_closes_the_target() {
        let (source, feed) = pipe().unwrap();
        let (drain, target) = pipe().unwrap();
        let mut relay = Relay::new(source, target);
        rustix::io::write(&feed, b"hello").unwrap();
        drop(feed);
        while relay.wants().is_some() {
            relay.step(|bytes| bytes.retain(|b| *b != b'l'));
        }
        let mut text = String::new();
        std::io::Read::read_to_string(&mut std::fs::File::from(drain), &mut text).unwrap();
        assert_eq!(text, "heo");
    }
}

//! Copies bytes from one descriptor to another without blocking the event loop that drives it.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use rustix::io::Errno;

/// Small enough that a terminal that polls as writable usually takes all of it in one write.
const CHUNK: usize = 4 << 10;

/// One direction of one stream. It is finished when the source is at its end and everything has been written,
/// or when the target is closed.
pub struct StreamRelay {
    source: Option<OwnedFd>,
    target: Option<OwnedFd>,
    pending: Vec<u8>,
    is_output: bool,
}

/// What a relay has to wait for next.
pub enum RelayInterest<'a> {
    Read(BorrowedFd<'a>),
    Write(BorrowedFd<'a>),
}

impl StreamRelay {
    pub fn new(source: OwnedFd, target: OwnedFd) -> Self {
        Self { source: Some(source), target: Some(target), pending: Vec::new(), is_output: false }
    }

    /// A relay for output of the container, which is drained completely before the command exits.
    pub fn output(source: OwnedFd, target: OwnedFd) -> Self {
        Self { is_output: true, ..Self::new(source, target) }
    }

    pub(crate) fn is_output(&self) -> bool {
        self.is_output
    }

    /// `None` when the relay is finished.
    pub fn interest(&self) -> Option<RelayInterest<'_>> {
        let target = self.target.as_ref()?;
        if !self.pending.is_empty() {
            return Some(RelayInterest::Write(target.as_fd()));
        }
        self.source.as_ref().map(|source| RelayInterest::Read(source.as_fd()))
    }

    /// Makes progress after poll(2) reported what [`StreamRelay::interest`] asked for. `filter` sees the
    /// bytes just read and may remove some.
    pub fn transfer(&mut self, filter: impl FnOnce(&mut Vec<u8>)) {
        if self.pending.is_empty() {
            self.read(filter);
        }
        if !self.pending.is_empty() {
            self.write();
        }
        if self.source.is_none() && self.pending.is_empty() {
            // Closing the target is how the other side learns of the end of file.
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
            // End of file; on a terminal whose other side is closed, read(2) fails with EIO.
            Ok(_) | Err(_) => self.source = None,
        }
    }

    fn write(&mut self) {
        let Some(target) = &self.target else { return };
        match rustix::io::write(target, &self.pending) {
            Ok(length) => drop(self.pending.drain(..length)),
            Err(Errno::AGAIN | Errno::INTR) => {}
            // EPIPE, mostly: nobody reads the target any more, so there is no point in reading the source.
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
        let mut relay = StreamRelay::new(source, target);
        rustix::io::write(&feed, b"hello").unwrap();
        drop(feed);
        while relay.interest().is_some() {
            relay.transfer(|bytes| bytes.retain(|b| *b != b'l'));
        }
        let mut text = String::new();
        std::io::Read::read_to_string(&mut std::fs::File::from(drain), &mut text).unwrap();
        assert_eq!(text, "heo");
    }
}

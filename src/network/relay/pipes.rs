//! Pipes for splice(2). A direction holds one only while bytes are in it, so idle connections cost none.

use std::os::fd::OwnedFd;

use rustix::pipe::{PipeFlags, fcntl_getpipe_size, fcntl_setpipe_size, pipe_with};

/// Intended pipe size in bytes. `pipe-user-pages-soft` (pipe(7); 16,384 pages by default, for all pipes of a
/// user) allows 256 of this size.
const LARGE: usize = 256 << 10;
/// Default size of a pipe, in bytes.
const USUAL: usize = 64 << 10;
/// Maximum number of large pipes and of all pipes per worker: with four workers half of what the user may
/// have. Beyond that, bytes are copied.
const MOST_LARGE: usize = 24;
const MOST: usize = 64;
/// Idle pipes that are kept for reuse.
const SPARE: usize = 8;

#[derive(Debug)]
pub(super) struct Pipe {
    /// The read end.
    pub(super) out: OwnedFd,
    /// The write end.
    pub(super) into: OwnedFd,
    /// Capacity in bytes.
    pub(super) size: usize,
    enlarged: bool,
}

#[derive(Debug, Default)]
pub(super) struct Pipes {
    idle: Vec<Pipe>,
    large: usize,
    all: usize,
}

impl Pipes {
    /// An empty pipe; `None` at the maximum or without descriptors.
    pub(super) fn take(&mut self) -> Option<Pipe> {
        if let Some(pipe) = self.idle.pop() {
            return Some(pipe);
        }
        if self.all >= MOST {
            return None;
        }
        let (out, into) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).ok()?;
        let enlarged = self.large < MOST_LARGE && fcntl_setpipe_size(&into, LARGE).is_ok();
        let size = fcntl_getpipe_size(&into).ok()?;
        if size < USUAL {
            // The user exceeds `pipe-user-pages-soft`: new pipes have one or two pages (Linux 4.5).
            return None;
        }
        self.all += 1;
        self.large += usize::from(enlarged);
        Some(Pipe { out, into, size, enlarged })
    }

    /// Takes back an empty pipe.
    pub(super) fn put(&mut self, pipe: Pipe) {
        if self.idle.len() < SPARE {
            self.idle.push(pipe);
        } else {
            self.lose(pipe);
        }
    }

    /// Closes a pipe and discards its contents.
    pub(super) fn lose(&mut self, pipe: Pipe) {
        self.all = self.all.saturating_sub(1);
        self.large = self.large.saturating_sub(usize::from(pipe.enlarged));
        drop(pipe);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_only_so_many() {
        let mut pipes = Pipes::default();
        let mut taken: Vec<_> = (0..MOST * 2).map_while(|_| pipes.take()).collect();
        assert_eq!(taken.len(), MOST);
        assert!(taken.iter().filter(|pipe| pipe.enlarged).count() <= MOST_LARGE);
        let lost = taken.pop().unwrap();
        pipes.lose(lost);
        taken.into_iter().for_each(|pipe| pipes.put(pipe));
        assert_eq!((pipes.idle.len(), pipes.all), (SPARE, SPARE));
    }
}

//! Pipes for splice(2). A direction holds one only while bytes are in it, so idle connections cost none.

use std::os::fd::OwnedFd;

use rustix::pipe::{PipeFlags, fcntl_getpipe_size, fcntl_setpipe_size, pipe_with};

/// Intended pipe size in bytes. `pipe-user-pages-soft` (pipe(7); 16,384 pages by default, for all pipes of a
/// user) allows 256 of this size.
const LARGE_SIZE: usize = 256 << 10;
/// Default size of a pipe, in bytes.
const DEFAULT_SIZE: usize = 64 << 10;
/// Maximum number of large pipes and of all pipes per worker: with four workers half of what the user may
/// have. Beyond that, bytes are copied.
const MAX_LARGE: usize = 24;
const MAX_PIPES: usize = 64;
/// Idle pipes that are kept for reuse.
const MAX_IDLE: usize = 8;

#[derive(Debug)]
pub(super) struct SplicePipe {
    /// The read end.
    pub(super) out: OwnedFd,
    /// The write end.
    pub(super) into: OwnedFd,
    /// Capacity in bytes.
    pub(super) size: usize,
    enlarged: bool,
}

#[derive(Debug, Default)]
pub(super) struct PipePool {
    idle: Vec<SplicePipe>,
    large: usize,
    all: usize,
}

impl PipePool {
    /// An empty pipe; `None` at the maximum or without descriptors.
    pub(super) fn take(&mut self) -> Option<SplicePipe> {
        if let Some(pipe) = self.idle.pop() {
            return Some(pipe);
        }
        if self.all >= MAX_PIPES {
            return None;
        }
        let (out, into) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).ok()?;
        let enlarged = self.large < MAX_LARGE && fcntl_setpipe_size(&into, LARGE_SIZE).is_ok();
        let size = fcntl_getpipe_size(&into).ok()?;
        if size < DEFAULT_SIZE {
            // The user exceeds `pipe-user-pages-soft`: new pipes have one or two pages (Linux 4.5).
            return None;
        }
        self.all += 1;
        self.large += usize::from(enlarged);
        Some(SplicePipe { out, into, size, enlarged })
    }

    /// Takes back an empty pipe.
    pub(super) fn put(&mut self, pipe: SplicePipe) {
        if self.idle.len() < MAX_IDLE {
            self.idle.push(pipe);
        } else {
            self.discard(pipe);
        }
    }

    /// Closes a pipe and discards its contents.
    pub(super) fn discard(&mut self, pipe: SplicePipe) {
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
        let mut pipes = PipePool::default();
        let mut taken: Vec<_> = (0..MAX_PIPES * 2).map_while(|_| pipes.take()).collect();
        assert_eq!(taken.len(), MAX_PIPES);
        assert!(taken.iter().filter(|pipe| pipe.enlarged).count() <= MAX_LARGE);
        let lost = taken.pop().unwrap();
        pipes.discard(lost);
        taken.into_iter().for_each(|pipe| pipes.put(pipe));
        assert_eq!((pipes.idle.len(), pipes.all), (MAX_IDLE, MAX_IDLE));
    }
}

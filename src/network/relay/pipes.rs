//! Pipes that bytes are spliced through. A direction has one only while bytes are in it, so idle connections cost none.

use std::os::fd::OwnedFd;

use rustix::pipe::{PipeFlags, fcntl_getpipe_size, fcntl_setpipe_size, pipe_with};

/// What one pipe should hold, in bytes. `pipe-user-pages-soft` (pipe(7); 16,384 pages as a rule, for all pipes of a user)
/// allows 256 of this size.
const LARGE: usize = 256 << 10;
/// What a pipe holds as it is made.
const USUAL: usize = 64 << 10;
/// The most pipes of the large size, and the most in all, of one worker: with four workers half of what the user may
/// have. Beyond the latter bytes are copied instead.
const MOST_LARGE: usize = 24;
const MOST: usize = 64;
/// Pipes that are kept for the next one who needs one.
const SPARE: usize = 8;

/// Both ends.
#[derive(Debug)]
pub(super) struct Pipe {
    /// Where bytes come out.
    pub(super) out: OwnedFd,
    /// Where they go in.
    pub(super) into: OwnedFd,
    /// How many bytes it holds at most.
    pub(super) size: usize,
    enlarged: bool,
}

/// The pipes of one worker.
#[derive(Debug, Default)]
pub(super) struct Pipes {
    idle: Vec<Pipe>,
    large: usize,
    all: usize,
}

impl Pipes {
    /// An empty pipe; `None` where there are enough, or no descriptors.
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
            // The user has more pages in pipes than is good; a new one holds a page or two (Linux 4.5).
            return None;
        }
        self.all += 1;
        self.large += usize::from(enlarged);
        Some(Pipe { out, into, size, enlarged })
    }

    /// Takes an empty pipe back.
    pub(super) fn put(&mut self, pipe: Pipe) {
        if self.idle.len() < SPARE {
            self.idle.push(pipe);
        } else {
            self.lose(pipe);
        }
    }

    /// Closes a pipe with what is in it.
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

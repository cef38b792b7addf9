//! Reads many small records with few system calls: paths relative to one open directory, a single read for a record
//! that fits the buffer, and several threads where there are many.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags, openat};
use rustix::io::Errno;

/// Larger records need more than one read.
pub(super) const READ_BUFFER_SIZE: usize = 64 << 10;

/// A directory to read from; `None` if it does not exist.
pub(super) fn open_dir(path: &Path) -> io::Result<Option<OwnedFd>> {
    match rustix::fs::open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()) {
        Err(Errno::NOENT) => Ok(None),
        other => Ok(Some(other?)),
    }
}

pub(super) fn open_file(root: BorrowedFd<'_>, path: &str) -> Result<OwnedFd, Errno> {
    openat(root, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
}

/// Reads one record after the other into the same buffer.
pub(super) struct RecordReader<'a> {
    root: BorrowedFd<'a>,
    buffer: Vec<u8>,
}

impl<'a> RecordReader<'a> {
    pub(super) fn new(root: BorrowedFd<'a>) -> Self {
        Self { root, buffer: Vec::new() }
    }

    pub(super) fn root(&self) -> BorrowedFd<'a> {
        self.root
    }

    /// The content of the file at `path`; `None` if it does not exist.
    pub(super) fn read(&mut self, path: &str) -> io::Result<Option<&[u8]>> {
        let file = match open_file(self.root, path) {
            Err(Errno::NOENT) => return Ok(None),
            other => other?,
        };
        let mut length = 0;
        loop {
            if length == self.buffer.len() {
                self.buffer.resize(length.saturating_mul(2).max(READ_BUFFER_SIZE), 0);
            }
            let room = self.buffer.get_mut(length..).unwrap_or_default();
            let requested = room.len();
            let count = rustix::io::retry_on_intr(|| rustix::io::read(file.as_fd(), &mut *room))?;
            length += count;
            // A short read from a regular file means end of file.
            if count < requested {
                return Ok(self.buffer.get(..length));
            }
        }
    }
}

/// Records per thread: reading them takes a few times longer than starting the thread.
pub(super) const RECORDS_PER_THREAD: usize = 40;
/// Beyond this, threads contend in the kernel.
pub(super) const MAX_THREADS: usize = 8;

/// How many threads are worth starting for so many records.
pub(super) fn threads(records: usize) -> usize {
    if records < 2 * RECORDS_PER_THREAD {
        return 1;
    }
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    (records / RECORDS_PER_THREAD).min(processors).clamp(1, MAX_THREADS)
}

/// The results of `work` on contiguous parts of `items`, in their order. A process that had one thread has one again on
/// return, so that it may fork.
pub(super) fn in_threads<T: Sync, R: Send>(
    items: &[T],
    work: impl Fn(&[T]) -> anyhow::Result<Vec<R>> + Sync,
) -> anyhow::Result<Vec<R>> {
    let threads = threads(items.len());
    if threads == 1 {
        return work(items);
    }
    let was_alone = dhow_sys::process::is_single_threaded().unwrap_or(false);
    let chunk_size = items.len().div_ceil(threads);
    let results = std::thread::scope(|scope| {
        let mut chunks = items.chunks(chunk_size.max(1));
        let first = chunks.next().unwrap_or_default();
        let work = &work;
        let start = |chunk| (chunk, std::thread::Builder::new().spawn_scoped(scope, move || work(chunk)));
        let started: Vec<_> = chunks.map(start).collect();
        let mut results = work(first);
        for (chunk, thread) in started {
            let more = match thread {
                Ok(thread) => thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
                // The account may have no more processes.
                Err(_) => work(chunk),
            };
            results = results.and_then(|mut results| {
                results.extend(more?);
                Ok(results)
            });
        }
        results
    });
    // The kernel counts a thread for a little longer than its end can be waited for.
    while was_alone && !dhow_sys::process::is_single_threaded().unwrap_or(true) {
        std::thread::yield_now();
    }
    results
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_of_every_size_are_read() {
        let dir = tempfile::tempdir().unwrap();
        assert!(open_dir(&dir.path().join("none")).unwrap().is_none());
        let root = open_dir(dir.path()).unwrap().unwrap();
        let mut reader = RecordReader::new(root.as_fd());
        for size in
            [0, 1, READ_BUFFER_SIZE - 1, READ_BUFFER_SIZE, READ_BUFFER_SIZE + 1, 5 * READ_BUFFER_SIZE, 3]
        {
            let content: Vec<u8> = (0..size).map(|n| b"abc"[n % 3]).collect();
            std::fs::write(dir.path().join("record"), &content).unwrap();
            assert!(reader.read("record").unwrap() == Some(&content[..]), "{size}");
        }
        assert_eq!(reader.read("none").unwrap(), None);
    }

    #[test]
    fn order_is_kept_and_errors_are_passed_on() {
        let numbers: Vec<usize> = (0..1000).collect();
        let doubled = in_threads(&numbers, |part| Ok(part.iter().map(|n| 2 * n).collect())).unwrap();
        assert_eq!(doubled, (0..1000).map(|n| 2 * n).collect::<Vec<_>>());
        assert_eq!(in_threads(&[0; 0], |_| Ok(Vec::<()>::new())).unwrap(), []);
        let failing = in_threads(&numbers, |part| {
            anyhow::ensure!(!part.contains(&999), "the last");
            Ok(part.to_vec())
        });
        assert_eq!(failing.unwrap_err().to_string(), "the last");
        assert_eq!((threads(0), threads(79)), (1, 1));
        assert!(threads(100_000) <= MAX_THREADS);
    }
}

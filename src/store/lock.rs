//! Inter-process locks: open-file-description locks (fcntl(2), `F_OFD_SETLK`) held by a guard.
//!
//! They belong to the open file description, so a forked supervisor keeps the lock that the command line
//! took, and the kernel releases it when the last holder exits, however it exits. Unlike flock(2), a lock can
//! be queried (`F_OFD_GETLK`) without taking it.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::fs::{ignore_missing, is_missing, with_dir};
use nix::fcntl::{FcntlArg, fcntl};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockMode {
    Shared,
    Exclusive,
}

/// A held lock. It is released once every process that inherited it has dropped it or exited.
#[derive(Debug)]
pub struct FileLock {
    file: File,
    path: PathBuf,
}

impl FileLock {
    /// Waits for the lock on `path`, creating the file and its directory if needed.
    pub fn acquire(path: &Path, mode: LockMode) -> io::Result<FileLock> {
        loop {
            let file = open(path)?;
            wait_lock_file(&file, mode)?;
            if is_still_at(&file, path)? {
                return Ok(FileLock { file, path: path.to_owned() });
            }
        }
    }

    /// Takes the lock on `path`, or returns `None` if a conflicting lock is held.
    pub(crate) fn try_acquire(path: &Path, mode: LockMode) -> io::Result<Option<FileLock>> {
        loop {
            let file = open(path)?;
            if !try_lock_file(&file, mode)? {
                return Ok(None);
            }
            if is_still_at(&file, path)? {
                return Ok(Some(FileLock { file, path: path.to_owned() }));
            }
        }
    }

    /// Takes the lock on an existing file. `None` if it is held, ENOENT if the file does not exist.
    pub(super) fn try_existing(path: &Path, mode: LockMode) -> io::Result<Option<FileLock>> {
        let file = options().open(path)?;
        Ok(try_lock_file(&file, mode)?.then(|| FileLock { file, path: path.to_owned() }))
    }

    /// Waits for the lock on an existing file.
    pub(super) fn wait_existing(path: &Path, mode: LockMode) -> io::Result<FileLock> {
        let file = options().open(path)?;
        wait_lock_file(&file, mode)?;
        Ok(FileLock { file, path: path.to_owned() })
    }

    /// Whether somebody holds a lock on `path`; takes no lock itself. A missing file counts as not held.
    pub(crate) fn is_held(path: &Path) -> io::Result<bool> {
        let file = match options().open(path) {
            Err(error) if is_missing(&error) => return Ok(false),
            other => other?,
        };
        is_file_held(file.as_fd())
    }

    /// Removes the file, then releases the lock; only for an exclusive holder. Waiters notice and create a
    /// new file.
    pub fn remove_file(self) -> io::Result<()> {
        ignore_missing(std::fs::remove_file(&self.path))
    }
}

impl AsFd for FileLock {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Whether somebody holds a lock on an open file.
pub(super) fn is_file_held(file: BorrowedFd<'_>) -> io::Result<bool> {
    let mut query = flock_request(LockMode::Exclusive);
    retry_on_eintr(|| fcntl(file, FcntlArg::F_OFD_GETLK(&mut query)))?;
    Ok(query.l_type != libc::F_UNLCK as libc::c_short)
}

/// Locks an open file without waiting; `false` if a conflicting lock is held.
pub(super) fn try_lock_file(file: &File, mode: LockMode) -> io::Result<bool> {
    match retry_on_eintr(|| fcntl(file, FcntlArg::F_OFD_SETLK(&flock_request(mode)))) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
        // POSIX allows EACCES as well as EAGAIN for a conflict.
        Err(error) if error.raw_os_error() == Some(libc::EACCES) => Ok(false),
        other => other.map(|()| true),
    }
}

/// Locks an open file, waiting while a conflicting lock is held.
pub(super) fn wait_lock_file(file: &File, mode: LockMode) -> io::Result<()> {
    retry_on_eintr(|| fcntl(file, FcntlArg::F_OFD_SETLKW(&flock_request(mode))))
}

fn retry_on_eintr(mut action: impl FnMut() -> nix::Result<libc::c_int>) -> io::Result<()> {
    loop {
        match action() {
            Err(nix::errno::Errno::EINTR) => {}
            other => return other.map(drop).map_err(io::Error::from),
        }
    }
}

fn flock_request(mode: LockMode) -> libc::flock {
    let kind = match mode {
        LockMode::Shared => libc::F_RDLCK,
        LockMode::Exclusive => libc::F_WRLCK,
    };
    libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    }
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    options
}

fn open(path: &Path) -> io::Result<File> {
    let dir = path.parent().unwrap_or(Path::new("."));
    with_dir(dir, || options().create(true).truncate(false).open(path))
}

/// Whether `path` still refers to `file`: an earlier holder may have unlinked it while we waited.
fn is_still_at(file: &File, path: &Path) -> io::Result<bool> {
    let locked = file.metadata()?;
    match std::fs::metadata(path) {
        Ok(current) => Ok(current.dev() == locked.dev() && current.ino() == locked.ino()),
        Err(error) if is_missing(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn excludes_and_answers_without_taking() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("locks/x");
        assert!(!FileLock::is_held(&path).unwrap());
        let held = FileLock::acquire(&path, LockMode::Exclusive).unwrap();
        assert!(FileLock::is_held(&path).unwrap());
        assert!(FileLock::try_acquire(&path, LockMode::Shared).unwrap().is_none());
        drop(held);
        assert!(!FileLock::is_held(&path).unwrap());
        let first = FileLock::try_acquire(&path, LockMode::Shared).unwrap().unwrap();
        assert!(FileLock::try_acquire(&path, LockMode::Shared).unwrap().is_some());
        assert!(FileLock::try_acquire(&path, LockMode::Exclusive).unwrap().is_none());
        drop(first);
    }

    #[test]
    fn a_waiter_notices_that_the_file_was_removed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        let held = FileLock::acquire(&path, LockMode::Exclusive).unwrap();
        let waiter = {
            let path = path.clone();
            std::thread::spawn(move || FileLock::acquire(&path, LockMode::Exclusive).unwrap())
        };
        held.remove_file().unwrap();
        let got = waiter.join().unwrap();
        assert!(is_still_at(&got.file, &path).unwrap());
    }
}

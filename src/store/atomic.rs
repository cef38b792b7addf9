//! Atomic writes of records: written under a hidden name next to the target, then renamed over it.
//!
//! A reader sees either the old or the new content, never a part. The writer locks the unfinished file, so
//! [`super::Store::sweep`] can tell files being written from those of crashed processes.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::fd::BorrowedFd;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags, openat, renameat, unlinkat};

use super::lock;
use crate::fs::{ignore_missing, random_hex, with_dir};

pub(super) const UNFINISHED_PREFIX: &str = ".new-";

/// Whether a record must survive a power failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// fdatasync(2) before the rename, fsync(2) of the directory after it.
    Synced,
    /// After a power failure the old content, or none, may be found.
    Unsynced,
}

/// Replaces the content of `path`, creating its directory if needed.
pub fn write(path: &Path, content: &[u8], durability: Durability) -> io::Result<()> {
    let dir = path.parent().unwrap_or(Path::new("."));
    loop {
        let unfinished = dir.join(format!("{UNFINISHED_PREFIX}{}", random_hex(8)?));
        let file = with_dir(dir, || create_unfinished(&unfinished))?;
        let cleaner = UnfinishedFile(&unfinished);
        if !lock::try_lock_file(&file, lock::LockMode::Exclusive)? {
            // A concurrent sweep locked the file first and is removing it; start over.
            continue;
        }
        (&file).write_all(content)?;
        if durability == Durability::Synced {
            file.sync_data()?;
        }
        match std::fs::rename(&unfinished, path) {
            // ENOENT: the file was swept between its creation and the lock.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
            Ok(()) => std::mem::forget(cleaner),
        }
        if durability == Durability::Synced {
            File::open(dir)?.sync_all()?;
        }
        return Ok(());
    }
}

/// Durably replaces a file of the user's by one with mode 0600, following symbolic links.
pub fn replace_user_file(path: &Path, content: &[u8]) -> io::Result<()> {
    // rename(2) would replace a symbolic link rather than its target.
    write(&resolve_links(path), content, Durability::Synced)
}

/// Follows a chain of symbolic links; the final target need not exist.
fn resolve_links(path: &Path) -> PathBuf {
    // The limit of the kernel for one path is 40 (path_resolution(7)).
    const LINKS: usize = 40;
    let mut target = path.to_owned();
    for _ in 0..LINKS {
        match std::fs::read_link(&target) {
            Ok(next) => target = target.parent().unwrap_or(Path::new("/")).join(next),
            Err(_) => break,
        }
    }
    target
}

/// Writes a value as JSON; see [`write()`].
pub(crate) fn write_json<T: serde::Serialize>(
    path: &Path,
    value: &T,
    durability: Durability,
) -> io::Result<()> {
    let text = serde_json::to_vec(value).map_err(io::Error::other)?;
    write(path, &text, durability)
}

/// Durably replaces the record `name` in an open directory with `value` as JSON. Unlike [`write()`] it never
/// creates the directory: if the directory was moved meanwhile, the record is written at its new place.
pub(super) fn write_json_at<T: serde::Serialize>(
    dir: BorrowedFd<'_>,
    name: &str,
    value: &T,
) -> io::Result<()> {
    let text = serde_json::to_vec(value).map_err(io::Error::other)?;
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    loop {
        let unfinished = format!("{UNFINISHED_PREFIX}{}", random_hex(8)?);
        let file = File::from(openat(dir, &unfinished, flags, Mode::RUSR | Mode::WUSR)?);
        if !lock::try_lock_file(&file, lock::LockMode::Exclusive)? {
            continue;
        }
        let written = (&file).write_all(&text).and_then(|()| file.sync_data());
        match written.and_then(|()| Ok(renameat(dir, &unfinished, dir, name)?)) {
            // A concurrent sweep removed the file before it was locked.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => {
                // Cleanup is best effort: the next sweep removes it.
                let _ = unlinkat(dir, &unfinished, AtFlags::empty());
                return Err(error);
            }
            Ok(()) => return Ok(()),
        }
    }
}

/// Removes unfinished files of crashed writers in `dir`.
pub(super) fn sweep(dir: &Path) -> io::Result<()> {
    let entries = match std::fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(UNFINISHED_PREFIX) {
            sweep_one(&entry.path())?;
        }
    }
    Ok(())
}

fn sweep_one(path: &PathBuf) -> io::Result<()> {
    let file = match OpenOptions::new().read(true).write(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    // A held lock means that the writer is alive.
    if lock::try_lock_file(&file, lock::LockMode::Exclusive)? {
        ignore_missing(std::fs::remove_file(path))?;
    }
    Ok(())
}

fn create_unfinished(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)
}

struct UnfinishedFile<'a>(&'a Path);

impl Drop for UnfinishedFile<'_> {
    fn drop(&mut self) {
        // Cleanup is best effort: the next sweep removes it.
        let _ = std::fs::remove_file(self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_and_leaves_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/record");
        write(&path, b"one", Durability::Unsynced).unwrap();
        write(&path, b"two", Durability::Synced).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        assert_eq!(std::fs::read_dir(dir.path().join("deep")).unwrap().count(), 1);
    }

    #[test]
    fn failure_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("record");
        std::fs::create_dir_all(path.join("in the way")).unwrap();
        assert!(write(&path, b"x", Durability::Unsynced).is_err());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn sweep_spares_the_living() {
        let dir = tempfile::tempdir().unwrap();
        let dead = dir.path().join(".new-dead");
        let living = dir.path().join(".new-living");
        std::fs::write(&dead, "").unwrap();
        let held = create_unfinished(&living).unwrap();
        assert!(lock::try_lock_file(&held, lock::LockMode::Exclusive).unwrap());
        std::fs::write(dir.path().join("record"), "").unwrap();
        sweep(dir.path()).unwrap();
        assert!(!dead.exists());
        assert!(living.exists());
        assert!(dir.path().join("record").exists());
    }
}

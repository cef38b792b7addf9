//! Copies the image's content at a volume's target into the new, empty volume, as docker does on first use.

use std::collections::HashMap;
use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use anyhow::{Context as _, Result};
use rustix::fs::{AtFlags, Dir, FileType, FlockOperation, Gid, Mode, OFlags, Uid, XattrFlags};
use rustix::io::Errno;

/// Directories nested deeper than this are not copied; no image has them on purpose.
const MAX_DEPTH: u32 = 512;

/// Set on a volume while it is being filled, so that a copy interrupted by a kill is repeated.
const UNFINISHED: &str = "user.dhow.unfinished";

/// Fills the directory `to` with the content of `from`, and copies owner, mode and times, unless `to` is not
/// empty. Does nothing unless both are directories.
pub(super) fn copy_up(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> Result<()> {
    if !is_dir(from)? || !is_dir(to)? {
        return Ok(());
    }
    let (from, to) = (reopen(from)?, reopen(to)?);
    // If two containers start at once, one copies and the other waits. Without locks (some NFS mounts) both
    // may copy, and one of them fails with EEXIST.
    let _ = rustix::fs::flock(&to, FlockOperation::LockExclusive);
    // Left behind by a copy that did not finish.
    let resuming = rustix::fs::fgetxattr(&to, UNFINISHED, &mut [0_u8; 1][..]).is_ok();
    if !resuming && !is_empty(&to)? {
        return Ok(());
    }
    // Ignored: a file system without user attributes cannot mark an unfinished copy.
    let _ = rustix::fs::fsetxattr(&to, UNFINISHED, b"1", XattrFlags::empty());
    TreeCopier { links: HashMap::new(), resuming }.directory(&from, &to, MAX_DEPTH)?;
    let _ = rustix::fs::fremovexattr(&to, UNFINISHED);
    Ok(())
}

pub(super) fn copy_attributes(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> Result<()> {
    let stat = rustix::fs::fstat(from)?;
    dhow_sys::fs::chown_fd(to, stat.st_uid, stat.st_gid)?;
    let to = reopen(to)?;
    Ok(rustix::fs::fchmod(&to, Mode::from_raw_mode(stat.st_mode & 0o7777))?)
}

fn is_dir(fd: BorrowedFd<'_>) -> Result<bool> {
    Ok(dhow_sys::fs::file_type(fd)? == FileType::Directory)
}

/// Turns an `O_PATH` descriptor into one for reading.
fn reopen(dir: BorrowedFd<'_>) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(dir, ".", flags, Mode::empty())?)
}

fn is_empty(dir: &OwnedFd) -> Result<bool> {
    for entry in Dir::read_from(dir)? {
        let name = entry?.file_name().to_owned();
        if ![c".", c"..", c"lost+found"].contains(&name.as_c_str()) {
            return Ok(false);
        }
    }
    Ok(true)
}

struct TreeCopier {
    /// An earlier copy was interrupted: existing files are replaced.
    resuming: bool,
    /// The first copy of each file with several hard links, by device and inode.
    links: HashMap<(u64, u64), (OwnedFd, std::ffi::CString)>,
}

impl TreeCopier {
    fn directory(&mut self, from: &OwnedFd, to: &OwnedFd, depth: u32) -> Result<()> {
        for entry in Dir::read_from(from)? {
            let name = entry?.file_name().to_owned();
            if name.as_c_str() == c"." || name.as_c_str() == c".." {
                continue;
            }
            self.entry(from, to, &name, depth)
                .with_context(|| format!("copying `{}`", name.to_string_lossy().escape_debug()))?;
        }
        copy_metadata(from.as_fd(), to.as_fd())
    }

    fn entry(&mut self, from: &OwnedFd, to: &OwnedFd, name: &CStr, depth: u32) -> Result<()> {
        let stat = rustix::fs::statat(from, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        if self.resuming && kind != FileType::Directory {
            ignore_not_found(rustix::fs::unlinkat(to, name, AtFlags::empty()))?;
        }
        match kind {
            FileType::Directory if depth > 0 => {
                // Closed to others until content, owner and mode are complete.
                match rustix::fs::mkdirat(to, name, Mode::from_raw_mode(0o700)) {
                    Err(Errno::EXIST) if self.resuming => {}
                    made => made?,
                }
                self.directory(&open_dir(from, name)?, &open_dir(to, name)?, depth - 1)
            }
            FileType::RegularFile => self.file(from, to, name, &stat),
            FileType::Symlink => {
                let text = rustix::fs::readlinkat(from, name, Vec::new())?;
                rustix::fs::symlinkat(text.as_c_str(), to, name)?;
                lchown(to, name, &stat)
            }
            FileType::Fifo => {
                rustix::fs::mknodat(to, name, FileType::Fifo, Mode::from_raw_mode(stat.st_mode & 0o7777), 0)?;
                lchown(to, name, &stat)
            }
            // Devices and sockets have no use in a volume.
            _ => Ok(()),
        }
    }

    fn file(&mut self, from: &OwnedFd, to: &OwnedFd, name: &CStr, stat: &rustix::fs::Stat) -> Result<()> {
        let key = (stat.st_dev, stat.st_ino);
        if let Some((dir, first)) = self.links.get(&key) {
            return Ok(rustix::fs::linkat(dir, first.as_c_str(), to, name, AtFlags::empty())?);
        }
        // NONBLOCK: it may have become a FIFO since the stat.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let source = rustix::fs::openat(from, name, flags, Mode::empty())?;
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let target = rustix::fs::openat(to, name, flags, Mode::from_raw_mode(0o600))?;
        std::io::copy(
            &mut std::fs::File::from(source.try_clone()?),
            &mut std::fs::File::from(target.try_clone()?),
        )?;
        copy_metadata(source.as_fd(), target.as_fd())?;
        if stat.st_nlink > 1 {
            self.links.insert(key, (to.try_clone()?, name.to_owned()));
        }
        Ok(())
    }
}

fn ignore_not_found(result: rustix::io::Result<()>) -> rustix::io::Result<()> {
    match result {
        Err(Errno::NOENT) => Ok(()),
        other => other,
    }
}

fn open_dir(dir: &OwnedFd, name: &CStr) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(dir, name, flags, Mode::empty())?)
}

fn lchown(dir: &OwnedFd, name: &CStr, stat: &rustix::fs::Stat) -> Result<()> {
    let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    Ok(rustix::fs::chownat(dir, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?)
}

/// Copies owner, extended attributes, mode and times, in this order: chown(2) clears setuid bits and
/// `security.capability`.
fn copy_metadata(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> Result<()> {
    let stat = rustix::fs::fstat(from)?;
    rustix::fs::fchown(to, Some(Uid::from_raw(stat.st_uid)), Some(Gid::from_raw(stat.st_gid)))?;
    copy_xattrs(from, to);
    rustix::fs::fchmod(to, Mode::from_raw_mode(stat.st_mode & 0o7777))?;
    Ok(rustix::fs::futimens(to, &dhow_sys::fs::times_of(&stat))?)
}

/// Copies what the volume's file system accepts; a volume without attributes is still usable.
fn copy_xattrs(from: BorrowedFd<'_>, to: BorrowedFd<'_>) {
    let mut names = vec![0_u8; 64 << 10];
    let Ok(length) = rustix::fs::flistxattr(from, &mut names[..]) else { return };
    for name in names[..length].split(|b| *b == 0).filter(|name| !name.is_empty()) {
        let mut value = vec![0_u8; 64 << 10];
        if let Ok(length) = rustix::fs::fgetxattr(from, name, &mut value[..]) {
            let _ = rustix::fs::fsetxattr(to, name, &value[..length], XattrFlags::empty());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

    fn open(path: &std::path::Path) -> OwnedFd {
        dhow_sys::fs::open_dir(path).unwrap()
    }

    #[test]
    fn copies_links_modes_and_times_once() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        std::fs::create_dir_all(from.join("sub")).unwrap();
        std::fs::create_dir(&to).unwrap();
        std::fs::write(from.join("sub/a"), "content").unwrap();
        std::fs::hard_link(from.join("sub/a"), from.join("b")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", from.join("link")).unwrap();
        std::fs::set_permissions(from.join("sub/a"), std::fs::Permissions::from_mode(0o4711)).unwrap();
        std::fs::set_permissions(&from, std::fs::Permissions::from_mode(0o1777)).unwrap();
        copy_up(open(&from).as_fd(), open(&to).as_fd()).unwrap();
        assert_eq!(
            std::fs::metadata(to.join("b")).unwrap().ino(),
            std::fs::metadata(to.join("sub/a")).unwrap().ino()
        );
        assert_eq!(std::fs::metadata(to.join("b")).unwrap().mode() & 0o7777, 0o4711);
        assert_eq!(std::fs::metadata(&to).unwrap().mode() & 0o7777, 0o1777);
        assert_eq!(std::fs::read_link(to.join("link")).unwrap(), std::path::Path::new("/etc/passwd"));
        std::fs::remove_file(to.join("b")).unwrap();
        copy_up(open(&from).as_fd(), open(&to).as_fd()).unwrap();
        assert!(!to.join("b").exists(), "a volume with content is left alone");
    }

    #[test]
    fn an_interrupted_copy_is_made_whole() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        for dir in [from.join("sub"), to.join("sub")] {
            std::fs::create_dir_all(dir).unwrap();
        }
        std::fs::write(from.join("sub/a"), "content").unwrap();
        std::fs::hard_link(from.join("sub/a"), from.join("b")).unwrap();
        std::fs::write(to.join("sub/a"), "cont").unwrap();
        let mark = rustix::fs::setxattr(&to, UNFINISHED, b"1", XattrFlags::empty());
        if mark == Err(Errno::NOTSUP) {
            return;
        }
        copy_up(open(&from).as_fd(), open(&to).as_fd()).unwrap();
        assert_eq!(std::fs::read_to_string(to.join("b")).unwrap(), "content");
        std::fs::remove_file(to.join("b")).unwrap();
        copy_up(open(&from).as_fd(), open(&to).as_fd()).unwrap();
        assert!(!to.join("b").exists(), "it is whole now");
    }

    #[test]
    fn two_at_once_copy_once() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        std::fs::create_dir(&from).unwrap();
        std::fs::create_dir(&to).unwrap();
        for n in 0..200 {
            std::fs::write(from.join(n.to_string()), "x").unwrap();
        }
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| copy_up(open(&from).as_fd(), open(&to).as_fd()).unwrap());
            }
        });
        assert_eq!(std::fs::read_dir(&to).unwrap().count(), 200);
    }
}

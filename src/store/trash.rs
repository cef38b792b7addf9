//! Removal: rename into `trash/`, then delete recursively, whatever the modes, depth and names in the tree.
//!
//! The walk uses descriptors and never follows a symbolic link. A directory that denies access is first given
//! mode 0700. Directories nested too deeply are moved up into the trash, so descriptors and stack stay
//! bounded.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Dir, FileType, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use super::Store;
use super::fs::{MAX_ATTEMPTS, random_hex, with_dir};

/// How many levels of directories are held open at a time.
const MAX_DEPTH: usize = 40;

impl Store {
    /// Makes `path` disappear atomically, then deletes it. ENOENT is ignored.
    pub fn discard(&self, path: &Path) -> io::Result<()> {
        self.move_to_trash(path)?.delete()
    }

    /// Makes `path` disappear atomically and leaves the deletion to the caller.
    pub(crate) fn move_to_trash(&self, path: &Path) -> io::Result<TrashedEntry> {
        let trash = self.trash_dir();
        let name = random_hex(12)?;
        // ENOENT may mean the trash, which is then created, or `path` itself.
        with_dir(&trash, || match std::fs::rename(path, trash.join(&name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && path.symlink_metadata().is_err() => {
                Ok(())
            }
            other => other,
        })?;
        Ok(TrashedEntry { trash, name })
    }
}

/// An object that has left its place and still takes up disk space. Dropped without [`TrashedEntry::delete`]
/// it stays in the trash until the next sweep.
#[must_use]
#[derive(Debug)]
pub struct TrashedEntry {
    trash: PathBuf,
    name: String,
}

impl TrashedEntry {
    pub fn path(&self) -> PathBuf {
        self.trash.join(&self.name)
    }

    pub fn delete(self) -> io::Result<()> {
        let root = match open_dir(CWD, &c_string(&self.trash)?) {
            Err(Errno::NOENT) => return Ok(()),
            other => other?,
        };
        TrashRemover { root, pending: Vec::new() }.delete(CString::new(self.name)?)
    }
}

/// Deletes everything in the trash that no other process is deleting.
pub(crate) fn empty_trash(dir: &Path) -> io::Result<()> {
    let root = match open_dir(CWD, &c_string(dir)?) {
        Err(Errno::NOENT) => return Ok(()),
        other => other?,
    };
    let mut trash = TrashRemover { root, pending: Vec::new() };
    let mut result = Ok(());
    for name in entries(trash.root.as_fd())? {
        // One entry that cannot be removed must not keep the others; the last error is returned.
        if let Err(error) = trash.delete(name.0) {
            result = Err(error);
        }
    }
    result
}

struct TrashRemover {
    root: OwnedFd,
    /// Directories moved up from deep levels, by their names in the trash.
    pending: Vec<CString>,
}

impl TrashRemover {
    fn delete(&mut self, name: CString) -> io::Result<()> {
        self.pending.push(name);
        while let Some(name) = self.pending.pop() {
            let root = self.root.try_clone()?;
            let dir = match open_dir_forced(root.as_fd(), &name) {
                Err(Errno::NOTDIR | Errno::LOOP) => {
                    ignore_enoent(rustix::fs::unlinkat(&root, &name, AtFlags::empty()))?;
                    continue;
                }
                Err(Errno::NOENT) => continue,
                other => other?,
            };
            // Held until the directory is gone. On file systems without flock(2) two processes may delete
            // side by side.
            match rustix::fs::flock(&dir, FlockOperation::NonBlockingLockExclusive) {
                Err(Errno::WOULDBLOCK) => continue,
                _ => self.clear(&dir, 0)?,
            }
            // A process that opened the directory before the rename may still create entries in it.
            let mut result = remove_empty(root.as_fd(), &name);
            for _ in 0..MAX_ATTEMPTS {
                if !result.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::DirectoryNotEmpty) {
                    break;
                }
                self.clear(&dir, 0)?;
                result = remove_empty(root.as_fd(), &name);
            }
            result?;
        }
        Ok(())
    }

    fn clear(&mut self, dir: &OwnedFd, depth: usize) -> io::Result<()> {
        for (name, kind) in entries(dir.as_fd())? {
            // File systems without d_type report an unknown type: unlink then tells by EISDIR.
            if kind != FileType::Directory {
                match unlink(dir, &name) {
                    Err(Errno::ISDIR) => {}
                    other => {
                        ignore_enoent(other)?;
                        continue;
                    }
                }
            }
            self.clear_dir(dir, &name, depth)?;
        }
        Ok(())
    }

    fn clear_dir(&mut self, parent: &OwnedFd, name: &CStr, depth: usize) -> io::Result<()> {
        if depth >= MAX_DEPTH {
            return self.hoist(parent, name);
        }
        let dir = match open_dir_forced(parent.as_fd(), name) {
            Err(Errno::NOENT) => return Ok(()),
            other => other?,
        };
        self.clear(&dir, depth + 1)?;
        match remove_empty(parent.as_fd(), name) {
            // EACCES here means that the parent lacks write or search permission.
            Err(error) if error.raw_os_error() == Some(libc::EACCES) => {
                rustix::fs::fchmod(parent, Mode::RWXU)?;
                remove_empty(parent.as_fd(), name)
            }
            other => other,
        }
    }

    fn hoist(&mut self, parent: &OwnedFd, name: &CStr) -> io::Result<()> {
        let new = CString::new(random_hex(12)?)?;
        let rename = || rustix::fs::renameat(parent, name, &self.root, &new);
        match rename() {
            // Moving a directory to another parent needs write access to the directory itself: its `..`
            // changes.
            Err(Errno::ACCESS) => {
                rustix::fs::fchmod(parent, Mode::RWXU)?;
                make_accessible(parent.as_fd(), name)?;
                rename()?;
            }
            other => ignore_enoent(other)?,
        }
        self.pending.push(new);
        Ok(())
    }
}

fn unlink(dir: &OwnedFd, name: &CStr) -> Result<(), Errno> {
    match rustix::fs::unlinkat(dir, name, AtFlags::empty()) {
        Err(Errno::ACCESS) => {
            rustix::fs::fchmod(dir, Mode::RWXU)?;
            rustix::fs::unlinkat(dir, name, AtFlags::empty())
        }
        other => other,
    }
}

fn remove_empty(parent: BorrowedFd<'_>, name: &CStr) -> io::Result<()> {
    ignore_enoent(rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR))
}

fn ignore_enoent(result: Result<(), Errno>) -> io::Result<()> {
    match result {
        Err(Errno::NOENT) => Ok(()),
        other => Ok(other?),
    }
}

fn open_dir(parent: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(parent, name, flags, Mode::empty())
}

/// Opens a directory, fixing its own mode and that of its parent if access is denied.
fn open_dir_forced(parent: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd, Errno> {
    match open_dir(parent, name) {
        Err(Errno::ACCESS) => {}
        other => return other,
    }
    if rustix::fs::accessat(parent, name, rustix::fs::Access::EXISTS, AtFlags::SYMLINK_NOFOLLOW).is_err() {
        rustix::fs::fchmod(parent, Mode::RWXU)?;
    }
    make_accessible(parent, name)?;
    open_dir(parent, name)
}

/// Gives a directory mode 0700. The type is checked first, because chmod follows symbolic links.
fn make_accessible(parent: BorrowedFd<'_>, name: &CStr) -> Result<(), Errno> {
    let stat = rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
        return Err(Errno::NOTDIR);
    }
    rustix::fs::chmodat(parent, name, Mode::RWXU, AtFlags::empty())
}

/// All entries, collected first: removing entries while reading may make readdir skip some.
fn entries(dir: BorrowedFd<'_>) -> io::Result<Vec<(CString, FileType)>> {
    let mut list = Vec::new();
    for entry in Dir::read_from(dir)? {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            list.push((entry.file_name().to_owned(), entry.file_type()));
        }
    }
    Ok(list)
}

fn c_string(path: &Path) -> io::Result<CString> {
    Ok(CString::new(path.as_os_str().as_bytes())?)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::scratch::store;

    #[test]
    fn removes_modes_links_and_files() {
        let (dir, store) = store();
        let kept = dir.path().join("kept");
        std::fs::create_dir(&kept).unwrap();
        std::fs::write(kept.join("file"), "x").unwrap();
        let tree = dir.path().join("tree");
        std::fs::create_dir_all(tree.join("a/b")).unwrap();
        std::fs::write(tree.join("a/b/f"), "x").unwrap();
        std::os::unix::fs::symlink(&kept, tree.join("link")).unwrap();
        for closed in ["a/b", "a"] {
            std::fs::set_permissions(tree.join(closed), std::fs::Permissions::from_mode(0o0)).unwrap();
        }
        store.discard(&tree).unwrap();
        store.discard(&tree).unwrap();
        assert!(!tree.exists());
        assert!(kept.join("file").exists());
        assert_eq!(std::fs::read_dir(store.trash_dir()).unwrap().count(), 0);
    }

    #[test]
    fn removes_trees_deeper_than_a_path_can_say() {
        let (dir, store) = store();
        let tree = dir.path().join("tree");
        std::fs::create_dir(&tree).unwrap();
        let mut at = open_dir(CWD, &c_string(&tree).unwrap()).unwrap();
        let name = CString::new("d".repeat(100)).unwrap();
        for _ in 0..300 {
            rustix::fs::mkdirat(&at, &name, Mode::RWXU).unwrap();
            at = open_dir(at.as_fd(), &name).unwrap();
        }
        store.discard(&tree).unwrap();
        assert_eq!(std::fs::read_dir(store.trash_dir()).unwrap().count(), 0);
    }
}

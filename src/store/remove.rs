//! Removal: rename into `trash/`, then delete at leisure, whatever modes, depth and names the tree has.
//!
//! The walk keeps to descriptors and never follows a link. A directory that refuses is first given mode 0700. Deep
//! trees are cut: a directory far down is moved up into the trash, so descriptors and stack stay bounded.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Dir, FileType, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use super::{PERSISTENCE, Store, random_hex, with_dir};

/// How many directories below one another are held open.
const MAX_DEPTH: usize = 40;

impl Store {
    /// Makes `path` disappear at once, then deletes it. A path that does not exist is fine.
    pub(super) fn discard(&self, path: &Path) -> io::Result<()> {
        self.retire(path)?.delete()
    }

    /// Makes `path` disappear at once and leaves its deletion to the caller.
    pub(super) fn retire(&self, path: &Path) -> io::Result<Retired> {
        let trash = self.trash_dir();
        let name = random_hex(12)?;
        // What is missing may be the trash, which is then made, or the thing itself.
        with_dir(&trash, || match std::fs::rename(path, trash.join(&name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && path.symlink_metadata().is_err() => {
                Ok(())
            }
            other => other,
        })?;
        Ok(Retired { trash, name })
    }
}

/// Something that has no name any more and still takes up room. Dropped without [`Retired::delete`] it stays in the
/// trash, which the next sweep empties.
#[must_use]
#[derive(Debug)]
pub struct Retired {
    trash: PathBuf,
    name: String,
}

impl Retired {
    /// Where it lies.
    pub(super) fn path(&self) -> PathBuf {
        self.trash.join(&self.name)
    }

    /// Deletes it. What is gone already is fine.
    pub fn delete(self) -> io::Result<()> {
        let root = match open_dir(CWD, &c_string(&self.trash)?) {
            Err(Errno::NOENT) => return Ok(()),
            other => other?,
        };
        Trash { root, pending: Vec::new() }.delete(CString::new(self.name)?)
    }
}

/// Deletes all that is in the trash and that nobody else is deleting.
pub(super) fn empty_trash(dir: &Path) -> io::Result<()> {
    let root = match open_dir(CWD, &c_string(dir)?) {
        Err(Errno::NOENT) => return Ok(()),
        other => other?,
    };
    let mut trash = Trash { root, pending: Vec::new() };
    let mut failed = Ok(());
    for name in entries(trash.root.as_fd())? {
        // One entry that cannot be removed must not keep the others.
        if let Err(error) = trash.delete(name.0) {
            failed = Err(error);
        }
    }
    failed
}

struct Trash {
    root: OwnedFd,
    /// Directories moved up from far below, by their names in the trash.
    pending: Vec<CString>,
}

impl Trash {
    fn delete(&mut self, name: CString) -> io::Result<()> {
        self.pending.push(name);
        while let Some(name) = self.pending.pop() {
            let root = self.root.try_clone()?;
            let dir = match open_any(root.as_fd(), &name) {
                Err(Errno::NOTDIR | Errno::LOOP) => {
                    gone_is_fine(rustix::fs::unlinkat(&root, &name, AtFlags::empty()))?;
                    continue;
                }
                Err(Errno::NOENT) => continue,
                other => other?,
            };
            // Held until the directory is gone; where the file system has no such lock, two may delete side by side.
            match rustix::fs::flock(&dir, FlockOperation::NonBlockingLockExclusive) {
                Err(Errno::WOULDBLOCK) => continue,
                _ => self.clear(&dir, 0)?,
            }
            // A process that opened the directory while it had its name may still put something into it.
            let mut last = remove_empty(root.as_fd(), &name);
            for _ in 0..PERSISTENCE {
                if !last.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::DirectoryNotEmpty) {
                    break;
                }
                self.clear(&dir, 0)?;
                last = remove_empty(root.as_fd(), &name);
            }
            last?;
        }
        Ok(())
    }

    /// Removes everything in `dir`.
    fn clear(&mut self, dir: &OwnedFd, depth: usize) -> io::Result<()> {
        for (name, kind) in entries(dir.as_fd())? {
            if kind != FileType::Directory {
                match unlink(dir, &name) {
                    Err(Errno::ISDIR) => {}
                    other => {
                        gone_is_fine(other)?;
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
            return self.move_up(parent, name);
        }
        let dir = match open_any(parent.as_fd(), name) {
            Err(Errno::NOENT) => return Ok(()),
            other => other?,
        };
        self.clear(&dir, depth + 1)?;
        match remove_empty(parent.as_fd(), name) {
            Err(error) if error.raw_os_error() == Some(libc::EACCES) => {
                rustix::fs::fchmod(parent, Mode::RWXU)?;
                remove_empty(parent.as_fd(), name)
            }
            other => other,
        }
    }

    fn move_up(&mut self, parent: &OwnedFd, name: &CStr) -> io::Result<()> {
        let new = CString::new(random_hex(12)?)?;
        let rename = || rustix::fs::renameat(parent, name, &self.root, &new);
        match rename() {
            Err(Errno::ACCESS) => {
                rustix::fs::fchmod(parent, Mode::RWXU)?;
                open_up(parent.as_fd(), name)?;
                rename()?;
            }
            other => gone_is_fine(other)?,
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
    gone_is_fine(rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR))
}

fn gone_is_fine(result: Result<(), Errno>) -> io::Result<()> {
    match result {
        Err(Errno::NOENT) => Ok(()),
        other => Ok(other?),
    }
}

fn open_dir(parent: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(parent, name, flags, Mode::empty())
}

/// Opens a directory whatever its mode and that of its parent.
fn open_any(parent: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd, Errno> {
    match open_dir(parent, name) {
        Err(Errno::ACCESS) => {}
        other => return other,
    }
    if rustix::fs::accessat(parent, name, rustix::fs::Access::EXISTS, AtFlags::SYMLINK_NOFOLLOW).is_err() {
        rustix::fs::fchmod(parent, Mode::RWXU)?;
    }
    open_up(parent, name)?;
    open_dir(parent, name)
}

/// Gives a directory mode 0700. It is looked at first, because chmod follows links.
fn open_up(parent: BorrowedFd<'_>, name: &CStr) -> Result<(), Errno> {
    let stat = rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
        return Err(Errno::NOTDIR);
    }
    rustix::fs::chmodat(parent, name, Mode::RWXU, AtFlags::empty())
}

/// The names in a directory. They are collected first, as removing while reading may skip entries.
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
    use crate::store::scratch::store;

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

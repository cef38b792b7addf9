//! A directory of the layer being written: the layer's own directory, once it exists, over the merged lower
//! layers.

use std::cell::OnceCell;
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::rc::Rc;

use rustix::fs::{AtFlags, FileType, OFlags, Stat};
use rustix::io::Errno;

use super::tree_view::{ViewDir, join, open_dir};
use dhow_sys::overlay::{is_opaque, is_whiteout};

/// A directory, identified by its path without symlinks.
pub struct TargetDir {
    pub parent: Option<Rc<TargetDir>>,
    pub name: CString,
    pub path: Vec<u8>,
    /// The directory in the layer itself (overlayfs: upper), once created.
    upper: OnceCell<OwnedFd>,
    /// What the lower layers contribute: empty if hidden by a whiteout or an opaque directory.
    pub lower: ViewDir,
}

/// A name in a [`TargetDir`].
pub struct TargetEntry {
    pub stat: Stat,
    /// It is in the layer being written.
    pub(crate) in_upper: bool,
}

impl TargetEntry {
    pub fn kind(&self) -> FileType {
        FileType::from_raw_mode(self.stat.st_mode)
    }

    pub fn is_dir(&self) -> bool {
        self.kind() == FileType::Directory
    }
}

impl TargetDir {
    /// The root of a layer over the roots of the lower layers.
    pub fn root(upper: OwnedFd, lower: ViewDir) -> Rc<Self> {
        Rc::new(Self {
            parent: None,
            name: CString::default(),
            path: Vec::new(),
            upper: OnceCell::from(upper),
            lower,
        })
    }

    /// A directory that was just created in the layer and exists in no lower one.
    pub fn new(parent: &Rc<TargetDir>, name: &CStr, upper: OwnedFd) -> Rc<Self> {
        Self::below(parent, name, OnceCell::from(upper), ViewDir::empty())
    }

    fn below(parent: &Rc<TargetDir>, name: &CStr, upper: OnceCell<OwnedFd>, lower: ViewDir) -> Rc<Self> {
        let path = join(&parent.path, name.to_bytes());
        Rc::new(Self { parent: Some(Rc::clone(parent)), name: name.to_owned(), path, upper, lower })
    }

    /// The layer's own directory, if created.
    pub fn own(&self) -> Option<BorrowedFd<'_>> {
        self.upper.get().map(|fd| fd.as_fd())
    }

    /// Called once, right after the directory was created.
    pub(crate) fn set_upper(&self, fd: OwnedFd) {
        // Never set twice: only this thread creates directories here.
        let _ = self.upper.set(fd);
    }

    /// Looks up `name` in the merged view.
    pub fn lookup(&self, name: &CStr) -> Result<Option<TargetEntry>, Errno> {
        if let Some(upper) = self.own() {
            match rustix::fs::statat(upper, name, AtFlags::SYMLINK_NOFOLLOW) {
                Err(Errno::NOENT) => {}
                // A whiteout of the layer hides the lower entry.
                Ok(stat) => return Ok((!is_whiteout(&stat)).then_some(TargetEntry { stat, in_upper: true })),
                Err(error) => return Err(error),
            }
        }
        Ok(self.lower.lookup(name)?.map(|entry| TargetEntry { stat: entry.stat, in_upper: false }))
    }

    pub fn read_link(&self, name: &CStr) -> Result<Vec<u8>, Errno> {
        if let Some(upper) = self.own() {
            match rustix::fs::readlinkat(upper, name, Vec::new()) {
                Err(Errno::NOENT) => {}
                other => return other.map(CString::into_bytes),
            }
        }
        let entry = self.lower.lookup(name)?.ok_or(Errno::NOENT)?;
        self.lower.read_link(&entry, name)
    }

    /// The existing directory `name`.
    pub fn enter(self: &Rc<Self>, name: &CStr) -> Result<Rc<TargetDir>, Errno> {
        let upper = match self.own().map(|upper| open_dir(upper, name)) {
            None | Some(Err(Errno::NOENT)) => None,
            Some(other) => Some(other?),
        };
        let opaque = upper.as_ref().is_some_and(|upper| is_opaque(upper.as_fd()));
        let lower = if opaque { ViewDir::empty() } else { self.lower.enter(name)? };
        Ok(Self::below(self, name, upper.map_or_else(OnceCell::new, OnceCell::from), lower))
    }
}

/// Removes `name` recursively, like `rm -rf`; it is no error if it does not exist.
pub(super) fn remove_tree(dir: BorrowedFd<'_>, name: &CStr) -> Result<(), Errno> {
    match rustix::fs::unlinkat(dir, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        // unlink(2) of a directory: EISDIR on Linux, EPERM by POSIX.
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(error) => return Err(error),
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let inner = rustix::fs::openat(dir, name, flags, rustix::fs::Mode::empty())?;
    for name in ViewDir::host(inner.try_clone().map_err(|_| Errno::MFILE)?).names()? {
        remove_tree(inner.as_fd(), &name)?;
    }
    rustix::fs::unlinkat(dir, name, AtFlags::REMOVEDIR)
}

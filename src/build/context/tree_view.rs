//! A tree to copy from or onto: a directory of the host, or several layers in overlayfs format, merged
//! without mounting.
//!
//! Each directory is held open by one descriptor per layer that has it. Only [`TreeView::resolve`] follows
//! symlinks, and it treats the root of the view as `/`.

use std::collections::VecDeque;
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::rc::Rc;

use anyhow::{Context as _, Result};
use dhow_sys::fs::open_beneath;
use dhow_sys::overlay::{is_opaque, is_whiteout};
use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

/// Symlinks followed in one look-up; the limit of containerd's and Go's resolvers.
pub(super) const MAX_LINKS: usize = 255;

/// A directory in the layers that contribute to it, topmost first.
#[derive(Clone)]
pub struct ViewDir {
    /// With the number of each layer.
    dirs: Vec<(u16, Rc<OwnedFd>)>,
    layered: bool,
}

/// A directory entry.
#[derive(Clone, Copy)]
pub struct ViewEntry {
    pub stat: Stat,
    /// The number of the layer that it comes from.
    pub layer: u16,
}

impl ViewEntry {
    pub fn kind(&self) -> FileType {
        FileType::from_raw_mode(self.stat.st_mode)
    }

    pub fn is_dir(&self) -> bool {
        self.kind() == FileType::Directory
    }
}

impl ViewDir {
    pub fn host(dir: OwnedFd) -> Self {
        Self { dirs: vec![(0, Rc::new(dir))], layered: false }
    }

    /// The merged root of `roots`, topmost first.
    pub fn layers(roots: Vec<OwnedFd>) -> Self {
        let dirs = (0..).zip(roots.into_iter().map(Rc::new)).collect();
        Self { dirs, layered: true }
    }

    pub fn empty() -> Self {
        Self { dirs: Vec::new(), layered: true }
    }

    pub fn is_empty(&self) -> bool {
        self.dirs.is_empty()
    }

    /// The topmost directory, whose metadata counts.
    pub fn top(&self) -> Option<(u16, BorrowedFd<'_>)> {
        self.dirs.first().map(|(layer, dir)| (*layer, dir.as_fd()))
    }

    /// Looks `name` up; a whiteout hides the layers below.
    pub fn lookup(&self, name: &CStr) -> Result<Option<ViewEntry>, Errno> {
        for (layer, dir) in &self.dirs {
            match rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
                Err(Errno::NOENT) => {}
                // Deleted by an upper layer.
                Ok(stat) if self.layered && is_whiteout(&stat) => return Ok(None),
                Ok(stat) => return Ok(Some(ViewEntry { stat, layer: *layer })),
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// The subdirectory `name`; empty if it does not exist.
    pub fn enter(&self, name: &CStr) -> Result<ViewDir, Errno> {
        let mut dirs = Vec::new();
        for (layer, dir) in &self.dirs {
            match open_dir(dir.as_fd(), name) {
                Err(Errno::NOENT) => {}
                // Anything else hides directories of this name in lower layers.
                Err(Errno::NOTDIR | Errno::LOOP) => break,
                Ok(dir) => {
                    let opaque = self.layered && is_opaque(dir.as_fd());
                    dirs.push((*layer, Rc::new(dir)));
                    if opaque {
                        break;
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(ViewDir { dirs, layered: self.layered })
    }

    /// All names, sorted; in layers including those of whiteouts.
    pub fn names(&self) -> Result<Vec<CString>, Errno> {
        let mut names = Vec::new();
        for (_, dir) in &self.dirs {
            for entry in Dir::read_from(dir)? {
                let entry = entry?;
                if entry.file_name() != c"." && entry.file_name() != c".." {
                    names.push(entry.file_name().to_owned());
                }
            }
        }
        names.sort_unstable();
        names.dedup();
        Ok(names)
    }

    pub fn read_link(&self, entry: &ViewEntry, name: &CStr) -> Result<Vec<u8>, Errno> {
        let Some((_, dir)) = self.dirs.iter().find(|(layer, _)| *layer == entry.layer) else {
            return Err(Errno::NOENT);
        };
        rustix::fs::readlinkat(dir, name, Vec::new()).map(CString::into_bytes)
    }

    /// Opens `name` for reading. It may have been replaced since; the caller has to check.
    pub fn open(&self, entry: &ViewEntry, name: &CStr) -> Result<OwnedFd, Errno> {
        let Some((_, dir)) = self.dirs.iter().find(|(layer, _)| *layer == entry.layer) else {
            return Err(Errno::NOENT);
        };
        rustix::fs::openat(dir, name, read_flags(), Mode::empty())
    }
}

pub(crate) struct TreeView {
    root: ViewDir,
}

/// The result of resolving a path.
pub(crate) struct ResolvedPath {
    /// Without symlinks, relative to the root; empty for the root.
    pub path: Vec<u8>,
    /// `None` for the root.
    pub entry: Option<ViewEntry>,
    /// For a directory itself, otherwise its parent.
    pub dir: ViewDir,
}

impl ResolvedPath {
    pub(super) fn is_dir(&self) -> bool {
        self.entry.is_none_or(|entry| entry.is_dir())
    }
}

impl TreeView {
    pub(super) fn host(dir: &Path) -> Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::openat(CWD, dir, flags, Mode::empty())
            .with_context(|| format!("cannot open the directory `{}`", dir.display()))?;
        Ok(Self { root: ViewDir::host(root) })
    }

    /// Topmost first.
    pub(super) fn layers<P: AsRef<Path>>(trees: &[P]) -> Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let open = |tree: &P| {
            rustix::fs::openat(CWD, tree.as_ref(), flags, Mode::empty())
                .with_context(|| format!("cannot open the layer `{}`", tree.as_ref().display()))
        };
        Ok(Self { root: ViewDir::layers(trees.iter().map(open).collect::<Result<_>>()?) })
    }

    pub(super) fn root(&self) -> &ViewDir {
        &self.root
    }

    pub(crate) fn is_layered(&self) -> bool {
        self.root.layered
    }

    /// By layer number.
    pub(super) fn roots(&self) -> Vec<BorrowedFd<'_>> {
        self.root.dirs.iter().map(|(_, dir)| dir.as_fd()).collect()
    }

    /// Resolves `path` inside the view; a final symlink only with `follow`. `None` if it does not exist.
    /// `allowed` is called for each component with its path so far; what it rejects is treated as
    /// nonexistent.
    pub(super) fn resolve(
        &self,
        path: &[u8],
        follow: bool,
        allowed: &mut dyn FnMut(&[u8], &ViewEntry) -> bool,
    ) -> Result<Option<ResolvedPath>, Errno> {
        let mut pending: VecDeque<Vec<u8>> = components(path);
        // The directories on the way, so that `..` after a symlink returns to the real parent.
        let mut stack = vec![(Vec::new(), self.root.clone(), None::<ViewEntry>)];
        let mut links = 0;
        while let Some(part) = pending.pop_front() {
            if part == b".." {
                // At the root, `..` stays there.
                if stack.len() > 1 {
                    stack.pop();
                }
                continue;
            }
            let Some((parent_path, dir, _)) = stack.last() else { return Ok(None) };
            let Ok(name) = CString::new(&part[..]) else { return Ok(None) };
            let Some(entry) = find_or_none(dir, &name)? else { return Ok(None) };
            let current = join(parent_path, &part);
            if !allowed(&current, &entry) {
                return Ok(None);
            }
            match entry.kind() {
                FileType::Symlink if follow || !pending.is_empty() => {
                    links += 1;
                    if links > MAX_LINKS {
                        return Err(Errno::LOOP);
                    }
                    let target = dir.read_link(&entry, &name)?;
                    if target.starts_with(b"/") {
                        // An absolute target starts at the root of the view, not of the host.
                        stack.truncate(1);
                    }
                    for part in components(&target).into_iter().rev() {
                        pending.push_front(part);
                    }
                }
                FileType::Directory => {
                    let subdir = dir.enter(&name)?;
                    stack.push((current, subdir, Some(entry)));
                }
                // Not a directory.
                _ if !pending.is_empty() => return Ok(None),
                _ => return Ok(Some(ResolvedPath { path: current, entry: Some(entry), dir: dir.clone() })),
            }
        }
        Ok(stack.pop().map(|(path, dir, entry)| ResolvedPath { path, entry, dir }))
    }

    /// Opens the file that [`ViewDir::lookup`] returned for `path`, which contains no symlinks.
    pub(super) fn open(&self, path: &[u8], layer: u16) -> Result<OwnedFd, Errno> {
        let Some((_, root)) = self.root.dirs.iter().find(|(number, _)| *number == layer) else {
            return Err(Errno::NOENT);
        };
        open_beneath(root.as_fd(), path, read_flags())
    }
}

fn find_or_none(dir: &ViewDir, name: &CStr) -> Result<Option<ViewEntry>, Errno> {
    match dir.lookup(name) {
        // No file can have such a name, so it does not exist.
        Err(Errno::NAMETOOLONG) => Ok(None),
        other => other,
    }
}

/// Flags for opening a file of unknown type: must not block on a FIFO or acquire a terminal.
pub(crate) fn read_flags() -> OFlags {
    OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY
}

/// Without empty components and `.`.
pub(super) fn components(path: &[u8]) -> VecDeque<Vec<u8>> {
    let parts = path.split(|byte| *byte == b'/').filter(|part| !matches!(*part, b"" | b"."));
    parts.map(<[u8]>::to_vec).collect()
}

pub(super) fn join(dir: &[u8], name: &[u8]) -> Vec<u8> {
    if dir.is_empty() { name.to_vec() } else { [dir, b"/", name].concat() }
}

/// Splits off the last component.
pub(super) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(at) => (&path[..at], &path[at + 1..]),
        None => (b"", path),
    }
}

pub(super) fn open_dir(parent: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd, Errno> {
    rustix::fs::openat(parent, name, read_flags() | OFlags::DIRECTORY, Mode::empty())
}

/// For messages.
pub(crate) fn display_path(path: &[u8]) -> String {
    String::from_utf8_lossy(path).escape_debug().to_string()
}

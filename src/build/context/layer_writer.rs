//! Writes the tree of a layer for COPY, ADD and WORKDIR, on top of lower layers that are never mounted.
//!
//! Paths resolve as in the finished image, through symlinks and merged directories, but never out of it. A
//! directory of a lower layer is copied up, with its metadata, only when something is written below it. Modes
//! and times of directories are set in [`LayerWriter::finish`]: filling a directory changes its mtime, and
//! its final mode may not permit writing.

use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};
use std::ffi::{CStr, CString};
use std::fs::File;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;
use std::rc::Rc;

use anyhow::{Context as _, Result};
use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;

use super::attributes::{self, FileAttributes, FileTime, to_timestamps};
use super::open_root;
use super::owner;
use super::target_dir::{TargetDir, TargetEntry, remove_tree};
use super::tree_view::{MAX_LINKS, TreeView, ViewDir, components, display_path, join, open_dir};
use dhow_error::{invalid, unsupported};
use dhow_model::layer::LayerOwnership;
use dhow_sys::fs::open_beneath;
use dhow_sys::overlay;

/// Owners that the file system cannot record, by path: symlinks and FIFOs cannot have user xattrs, and chown
/// fails for ids that are not mapped.
pub type UnstoredOwners = BTreeMap<Vec<u8>, (u32, u32)>;

/// A layer being written.
pub struct LayerWriter {
    root: Rc<TargetDir>,
    /// The lower layers, for user look-ups.
    lowers: TreeView,
    identity: LayerOwnership,
    epoch: Option<i64>,
    dirs: Vec<DeferredDir>,
    owners: UnstoredOwners,
}

/// Metadata of a directory, set at the end.
struct DeferredDir {
    path: Vec<u8>,
    mode: u32,
    mtime: Option<FileTime>,
}

/// Where a path resolves to.
pub enum TargetSlot {
    /// An existing directory.
    Dir(Rc<TargetDir>),
    /// A name in a directory: nothing is there, or something that is not a directory.
    Name(Rc<TargetDir>, CString),
}

impl LayerWriter {
    /// Starts writing into the empty directory `tree`, on top of `lowers`, topmost first. `epoch`
    /// (`SOURCE_DATE_EPOCH`, seconds since 1970) replaces the current time.
    pub fn open<P: AsRef<Path>>(
        tree: &Path,
        lowers: &[P],
        identity: LayerOwnership,
        epoch: Option<i64>,
    ) -> Result<Self> {
        let lowers = TreeView::layers(lowers)?;
        let upper = open_root(tree)?;
        let below = Self::read_dir_attributes(lowers.root())?;
        if let Some(below) = &below {
            attributes::apply(&upper, identity, below)?;
        }
        let root_metadata = match below {
            Some(below) => DeferredDir { path: Vec::new(), mode: below.mode, mtime: Some(below.mtime) },
            None => DeferredDir { path: Vec::new(), mode: 0o755, mtime: epoch.map(|epoch| (epoch, 0)) },
        };
        let root = TargetDir::root(upper, lowers.root().clone());
        Ok(Self { root, lowers, identity, epoch, dirs: vec![root_metadata], owners: UnstoredOwners::new() })
    }

    /// Hides the lower layers from now on, for `COPY --link`: nothing of them is looked up or copied up.
    pub(crate) fn detach_from_lowers(&mut self) -> Result<()> {
        let upper = self.root.own().ok_or(Errno::BADF)?.try_clone_to_owned()?;
        self.root = TargetDir::root(upper, ViewDir::empty());
        Ok(())
    }

    pub fn root(&self) -> &Rc<TargetDir> {
        &self.root
    }

    /// Resolves `user[:group]` in the lower layers.
    pub fn owner(&self, chown: &str) -> Result<(u32, u32)> {
        owner::owner(&self.lowers, chown)
    }

    /// Creates `path` with its parents. Returns whether it was missing.
    pub fn make_dirs(&mut self, path: &str, owner: (u32, u32)) -> Result<bool> {
        let before = self.dirs.len();
        let root = Rc::clone(&self.root);
        let dir = self.ensure_dir(&root, path.as_bytes(), &FileAttributes::implied(owner))?;
        // Lower directories that were only copied up on the way do not count.
        Ok(dir.lower.is_empty() && self.dirs.len() > before)
    }

    /// Resolves `path` from `base` to a directory; missing ones are created with owner and mode of `implied`.
    pub fn ensure_dir(
        &mut self,
        base: &Rc<TargetDir>,
        path: &[u8],
        implied: &FileAttributes,
    ) -> Result<Rc<TargetDir>> {
        match self.walk_path(base, path, implied, true)? {
            TargetSlot::Dir(dir) => Ok(dir),
            TargetSlot::Name(dir, _) => Ok(dir),
        }
    }

    /// Resolves `path` from `base`, following symlinks; missing parents are created with owner and mode of
    /// `implied`.
    pub fn resolve(
        &mut self,
        base: &Rc<TargetDir>,
        path: &[u8],
        implied: &FileAttributes,
    ) -> Result<TargetSlot> {
        self.walk_path(base, path, implied, false)
    }

    fn walk_path(
        &mut self,
        base: &Rc<TargetDir>,
        path: &[u8],
        implied: &FileAttributes,
        as_dir: bool,
    ) -> Result<TargetSlot> {
        let doing = || format!("on the way through `/{}`", display_path(path));
        let mut current = Rc::clone(base);
        let mut pending: VecDeque<Vec<u8>> = components(path);
        let mut links = 0;
        while let Some(part) = pending.pop_front() {
            // `..` at the root stays there, as in chroot(2).
            if part == b".." {
                current = current.parent.clone().unwrap_or(current);
                continue;
            }
            let last = pending.is_empty() && !as_dir;
            let name = CString::new(part)?;
            let entry = current.lookup(&name).with_context(doing)?;
            match entry.as_ref().map(TargetEntry::kind) {
                None if last => return Ok(TargetSlot::Name(current, name)),
                None => {
                    current = self.new_dir(&current, &name, implied, self.now()).with_context(doing)?;
                }
                Some(FileType::Directory) => current = current.enter(&name).with_context(doing)?,
                Some(FileType::Symlink) => {
                    links += 1;
                    if links > MAX_LINKS {
                        return Err(Errno::LOOP).with_context(doing);
                    }
                    let target = current.read_link(&name).with_context(doing)?;
                    if target.starts_with(b"/") {
                        // An absolute target starts at the root of the image, not of the host.
                        current = Rc::clone(&self.root);
                    }
                    for part in components(&target).into_iter().rev() {
                        pending.push_front(part);
                    }
                }
                Some(_) if last => return Ok(TargetSlot::Name(current, name)),
                Some(_) => {
                    let path = display_path(&join(&current.path, name.to_bytes()));
                    return Err(invalid(format!("cannot copy to non-directory: /{path}")).into());
                }
            }
        }
        Ok(TargetSlot::Dir(current))
    }

    /// The mtime for new directories; `None` leaves the current time.
    fn now(&self) -> Option<FileTime> {
        self.epoch.map(|epoch| (epoch, 0))
    }

    /// The mtime for a copy of a file with `mtime`: files of the host get the epoch, those of images are
    /// clamped to it.
    pub fn time_of_copy(&self, mtime: (i64, u32), host: bool) -> (i64, u32) {
        match self.epoch {
            Some(epoch) if host => (epoch, 0),
            Some(epoch) => mtime.min((epoch, 0)),
            None => mtime,
        }
    }

    /// The layer's own directory for `dir`, copied up from the lower layers if necessary.
    fn ensure_upper<'a>(&mut self, dir: &'a TargetDir) -> Result<BorrowedFd<'a>> {
        if let Some(upper) = dir.own() {
            return Ok(upper);
        }
        let parent = dir.parent.as_deref().context("a layer without a root")?;
        let above = self.ensure_upper(parent)?;
        // 0700 for now: the final mode may not permit writing, and is set in finish().
        rustix::fs::mkdirat(above, &dir.name, Mode::RWXU)?;
        let upper = open_dir(above, &dir.name)?;
        if let Some(below) = Self::read_dir_attributes(&dir.lower)? {
            attributes::apply(&upper, self.identity, &below)?;
            self.dirs.push(DeferredDir {
                path: dir.path.clone(),
                mode: below.mode,
                mtime: Some(below.mtime),
            });
        }
        dir.set_upper(upper);
        dir.own().context("a directory that was just made")
    }

    /// The metadata of the topmost layer's directory.
    fn read_dir_attributes(dir: &ViewDir) -> Result<Option<FileAttributes>> {
        let Some((_, top)) = dir.top() else { return Ok(None) };
        let stat = rustix::fs::fstat(top)?;
        let stored = attributes::read_xattrs(top, true);
        let owner = attributes::effective_owner(&stat, &stored);
        Ok(Some(FileAttributes { owner, xattrs: stored.xattrs, ..FileAttributes::of(&stat) }))
    }

    /// Creates a directory where none is visible, replacing anything else.
    fn new_dir(
        &mut self,
        dir: &Rc<TargetDir>,
        name: &CStr,
        attributes: &FileAttributes,
        mtime: Option<FileTime>,
    ) -> Result<Rc<TargetDir>> {
        let above = self.ensure_upper(dir)?;
        Self::create_replacing(above, name, || rustix::fs::mkdirat(above, name, Mode::RWXU))?;
        let upper = open_dir(above, name)?;
        // What was replaced hid a lower directory, which must not become visible again.
        if dir.lower.lookup(name)?.is_some_and(|entry| entry.is_dir()) {
            // As overlayfs does for a directory that replaces another.
            set_opaque(&upper)?;
        }
        let created = TargetDir::new(dir, name, upper);
        self.apply_dir_attributes(&created, attributes, mtime)?;
        Ok(created)
    }

    fn apply_dir_attributes(
        &mut self,
        dir: &Rc<TargetDir>,
        attributes: &FileAttributes,
        mtime: Option<FileTime>,
    ) -> Result<()> {
        let upper = self.ensure_upper(dir)?;
        self.reset_owner(upper, attributes.owner)?;
        attributes::apply(upper, self.identity, attributes)?;
        self.dirs.push(DeferredDir { path: dir.path.clone(), mode: attributes.mode, mtime });
        Ok(())
    }

    /// Removes a previously recorded owner if the new one is root.
    fn reset_owner(&self, upper: BorrowedFd<'_>, owner: (u32, u32)) -> Result<()> {
        if owner != (0, 0) {
            return Ok(());
        }
        let _ = rustix::fs::fremovexattr(upper, "user.dhow.owner");
        let stat = rustix::fs::fstat(upper)?;
        let root = (rustix::process::geteuid(), rustix::process::getegid());
        if (stat.st_uid, stat.st_gid) == (root.0.as_raw(), root.1.as_raw()) {
            return Ok(());
        }
        rustix::fs::fchown(upper, Some(root.0), Some(root.1)).context("cannot set the owner")
    }

    /// Ensures that the directory `name` exists; an existing one gets `attributes` only with `overwrite`.
    /// With `replace` anything else in its place is removed.
    pub fn make_dir(
        &mut self,
        dir: &Rc<TargetDir>,
        name: &CStr,
        attributes: &FileAttributes,
        overwrite: bool,
        replace: bool,
    ) -> Result<Rc<TargetDir>> {
        match dir.lookup(name)? {
            Some(entry) if entry.is_dir() => {
                let subdir = dir.enter(name)?;
                if overwrite {
                    self.apply_dir_attributes(&subdir, attributes, Some(attributes.mtime))?;
                }
                Ok(subdir)
            }
            Some(_) if !replace => {
                let path = display_path(&join(&dir.path, name.to_bytes()));
                Err(invalid(format!("cannot copy to non-directory: /{path}")).into())
            }
            _ => self.new_dir(dir, name, attributes, Some(attributes.mtime)),
        }
    }

    /// Removes what is at `name` so that a non-directory can be created; a directory only with `replace`.
    fn make_room(&mut self, dir: &Rc<TargetDir>, name: &CStr, replace: bool) -> Result<()> {
        match dir.lookup(name)? {
            Some(entry) if entry.is_dir() && !replace => {
                let path = display_path(&join(&dir.path, name.to_bytes()));
                Err(invalid(format!("cannot replace to directory /{path} with file")).into())
            }
            Some(entry) if entry.in_upper => Ok(remove_tree(self.ensure_upper(dir)?, name)?),
            _ => Ok(()),
        }
    }

    /// Runs `action`, which creates `name`, and retries once if a whiteout is in the way.
    fn create_replacing<T>(
        dir: BorrowedFd<'_>,
        name: &CStr,
        action: impl Fn() -> Result<T, Errno>,
    ) -> Result<T> {
        match action() {
            Err(Errno::EXIST) => {
                remove_tree(dir, name)?;
                Ok(action()?)
            }
            other => Ok(other?),
        }
    }

    /// Creates an empty file to be filled and passed to [`LayerWriter::finish_file`].
    pub fn create(&mut self, dir: &Rc<TargetDir>, name: &CStr, mode: u32, replace: bool) -> Result<File> {
        self.make_room(dir, name, replace)?;
        let upper = self.ensure_upper(dir)?;
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        // Subject to the umask; usually the mode is already right and finish_file need not chmod.
        let mode = Mode::from_raw_mode(mode & 0o777);
        Self::create_replacing(upper, name, || rustix::fs::openat(upper, name, flags, mode)).map(File::from)
    }

    /// Sets owner, xattrs, mode and mtime.
    pub fn finish_file(&self, file: &File, attributes: &FileAttributes) -> Result<()> {
        attributes::apply(file, self.identity, attributes)?;
        // After chown, which clears setuid and setgid.
        if rustix::fs::fstat(file)?.st_mode & 0o7777 != attributes.mode {
            rustix::fs::fchmod(file, Mode::from_raw_mode(attributes.mode)).context("cannot set the mode")?;
        }
        rustix::fs::futimens(file, &to_timestamps(attributes.mtime)).context("cannot set the time")
    }

    pub fn make_symlink(
        &mut self,
        dir: &Rc<TargetDir>,
        name: &CStr,
        target: &[u8],
        attributes: &FileAttributes,
        replace: bool,
    ) -> Result<()> {
        self.make_room(dir, name, replace)?;
        let upper = self.ensure_upper(dir)?;
        Self::create_replacing(upper, name, || rustix::fs::symlinkat(target, upper, name))?;
        self.finish_by_name(dir, name, attributes)
    }

    pub fn make_fifo(
        &mut self,
        dir: &Rc<TargetDir>,
        name: &CStr,
        attributes: &FileAttributes,
        replace: bool,
    ) -> Result<()> {
        self.make_room(dir, name, replace)?;
        let upper = self.ensure_upper(dir)?;
        let mode = Mode::RUSR | Mode::WUSR;
        Self::create_replacing(upper, name, || rustix::fs::mknodat(upper, name, FileType::Fifo, mode, 0))?;
        // fchmodat cannot avoid following symlinks; safe here, as nobody else writes to the tree.
        rustix::fs::chmodat(upper, name, Mode::from_raw_mode(attributes.mode), AtFlags::empty())?;
        self.finish_by_name(dir, name, attributes)
    }

    /// Creates the placeholder for a device node, an empty file: mknod(2) of devices fails in a user
    /// namespace.
    pub fn make_device(
        &mut self,
        dir: &Rc<TargetDir>,
        name: &CStr,
        device: (bool, u32, u32),
        attributes: &FileAttributes,
        replace: bool,
    ) -> Result<()> {
        let file = self.create(dir, name, attributes.mode, replace)?;
        attributes::mark_as_device(&file, device);
        self.finish_file(&file, attributes)
    }

    /// Links `name` to the existing file `from` (directory and name) of this layer.
    pub fn make_hard_link(
        &mut self,
        from: (&Rc<TargetDir>, &CStr),
        dir: &Rc<TargetDir>,
        name: &CStr,
        replace: bool,
    ) -> Result<()> {
        let source = from.0.own().ok_or(Errno::NOENT)?;
        let stat = rustix::fs::statat(source, from.1, AtFlags::SYMLINK_NOFOLLOW)?;
        let old = dir.lookup(name)?.filter(|old| old.in_upper);
        // Already the same file: removing the old name first would lose it.
        if old.is_some_and(|old| (old.stat.st_dev, old.stat.st_ino) == (stat.st_dev, stat.st_ino)) {
            return Ok(());
        }
        self.make_room(dir, name, replace)?;
        let upper = self.ensure_upper(dir)?;
        Self::create_replacing(upper, name, || {
            rustix::fs::linkat(source, from.1, upper, name, AtFlags::empty())
        })
    }

    /// Sets owner and mtime by name, for files that cannot be opened.
    fn finish_by_name(
        &mut self,
        dir: &Rc<TargetDir>,
        name: &CStr,
        attributes: &FileAttributes,
    ) -> Result<()> {
        let upper = self.ensure_upper(dir)?;
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        let path = join(&dir.path, name.to_bytes());
        // A replaced file may have had another owner.
        self.owners.remove(&path);
        if attributes.owner != (0, 0) {
            let (uid, gid) = (Uid::from_raw(attributes.owner.0), Gid::from_raw(attributes.owner.1));
            let result = match self.identity {
                LayerOwnership::Mapped => rustix::fs::chownat(upper, name, Some(uid), Some(gid), flags),
                LayerOwnership::Single => Err(Errno::PERM),
            };
            match result {
                // No xattrs on symlinks and FIFOs; the owner is recorded in the tar-split data instead.
                Err(Errno::INVAL | Errno::PERM) => drop(self.owners.insert(path, attributes.owner)),
                other => other.context("cannot set the owner")?,
            }
        }
        rustix::fs::utimensat(upper, name, &to_timestamps(attributes.mtime), flags)
            .context("cannot set the time")
    }

    /// Sets modes and mtimes of directories, deepest first, since a mode may forbid searching. Returns the
    /// owners that the caller has to record in the layer's tar stream.
    pub fn finish(mut self) -> Result<UnstoredOwners> {
        let depth = |path: &[u8]| path.iter().filter(|b| **b == b'/').count() + usize::from(!path.is_empty());
        // The sort is stable: of several entries for a directory the last one counts.
        self.dirs.sort_by(|a, b| (Reverse(depth(&a.path)), &a.path).cmp(&(Reverse(depth(&b.path)), &b.path)));
        let root = self.root.own().context("a layer without a root")?;
        for (index, deferred) in self.dirs.iter().enumerate() {
            if self.dirs.get(index + 1).is_none_or(|next| next.path != deferred.path) {
                finish_dir(root, deferred)
                    .with_context(|| format!("cannot set the mode of `/{}`", display_path(&deferred.path)))?;
            }
        }
        Ok(self.owners)
    }
}

fn finish_dir(root: BorrowedFd<'_>, deferred: &DeferredDir) -> Result<(), Errno> {
    let dir = match open_beneath(root, &deferred.path, OFlags::RDONLY | OFlags::DIRECTORY) {
        // It was replaced by something else later.
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(()),
        other => other?,
    };
    rustix::fs::fchmod(&dir, Mode::from_raw_mode(deferred.mode))?;
    deferred.mtime.map_or(Ok(()), |mtime| rustix::fs::futimens(&dir, &to_timestamps(mtime)))
}

fn set_opaque(dir: &OwnedFd) -> Result<()> {
    overlay::set_opaque(dir).with_context(|| {
        unsupported("the store's file system cannot hold the attribute `user.overlay.opaque`")
            .hint("choose a store on a local file system with DHOW_ROOT")
    })
}

//! The tree of a layer under construction: every name is resolved inside it by the kernel (openat2(2) with
//! `RESOLVE_IN_ROOT`), and no link can lead out.
//!
//! Directories get their final mode and time at the end, because adding entries changes the time and the mode
//! may forbid it. What the identity mode cannot set is recorded in xattrs (`user.dhow.owner`,
//! `user.dhow.device`, `user.dhow.xattr.NAME`) if the object supports them; the tar-split data has it in any
//! case.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::Context as _;
use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, OFlags, ResolveFlags, Stat, Uid, XattrFlags};
use rustix::io::Errno;

use crate::files::is_reserved;
use crate::tar::{TarMember, TarTime};
use dhow_error::{corrupt, unsupported};
use dhow_model::layer::LayerOwnership;
use dhow_model::layer::{DEVICE_XATTR, ENCODED_XATTR_PREFIX, OWNER_XATTR, owner_value};
use dhow_store::LayerDraft;
use dhow_sys::overlay::{self, is_whiteout};
use dhow_sys::xattr::set_xattr_best_effort;

/// An open directory of the tree.
pub(super) struct ParentDir {
    fd: OwnedFd,
    /// A symbolic link was followed on the way, so that the path may lead elsewhere later.
    through_link: bool,
}

impl ParentDir {
    /// Hides the lower layers' entries of this directory.
    pub(super) fn make_opaque(&self) -> anyhow::Result<()> {
        let dir = open_dir(&self.fd, b".").context("cannot open the directory to make opaque")?;
        set_opaque(&dir)
    }
}

/// A name in a directory of the tree.
pub(super) struct TreeLocation {
    pub(super) parent: Rc<ParentDir>,
    base: Vec<u8>,
}

impl TreeLocation {
    fn stat(&self) -> Result<Stat, Errno> {
        rustix::fs::statat(&self.parent.fd, &self.base[..], AtFlags::SYMLINK_NOFOLLOW)
    }
}

pub(super) struct LayerTree {
    root: OwnedFd,
    identity: LayerOwnership,
    extra: PathBuf,
    scratch: PathBuf,
    /// The directory of the last name, since siblings usually follow one another.
    last: Option<(Vec<u8>, Rc<ParentDir>)>,
    dirs: Vec<PendingDir>,
    /// File contents by inode number: the record in the tar-split data that refers to them.
    contents: HashMap<u64, u32>,
    moved_aside: u64,
}

/// Metadata applied to a directory at the end.
struct PendingDir {
    path: Vec<u8>,
    mode: u32,
    mtime: Option<TarTime>,
}

impl LayerTree {
    pub(super) fn open(draft: &LayerDraft, identity: LayerOwnership) -> anyhow::Result<LayerTree> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::openat(CWD, draft.tree(), flags, Mode::empty())
            .context("cannot open the layer's directory")?;
        Ok(LayerTree {
            root,
            identity,
            extra: draft.extra_dir(),
            scratch: draft.scratch_path(),
            last: None,
            dirs: Vec::new(),
            contents: HashMap::new(),
            moved_aside: 0,
        })
    }

    /// Locates a new name; missing parent directories are created with mode 0755, owned by root, as in
    /// docker.
    pub(super) fn locate(&mut self, dir: &[u8], base: &[u8]) -> anyhow::Result<TreeLocation> {
        let parent = self.parent(dir, true)?;
        Ok(TreeLocation { parent, base: base.to_vec() })
    }

    /// Locates a name that must exist.
    pub(super) fn locate_existing(&mut self, dir: &[u8], base: &[u8]) -> anyhow::Result<TreeLocation> {
        let parent = self.parent(dir, false)?;
        Ok(TreeLocation { parent, base: base.to_vec() })
    }

    fn parent(&mut self, dir: &[u8], make: bool) -> anyhow::Result<Rc<ParentDir>> {
        if let Some((path, parent)) = &self.last
            && path == dir
        {
            return Ok(Rc::clone(parent));
        }
        let parent = match self.resolve(dir) {
            Err(Errno::NOENT | Errno::NOTDIR) if make => self.make_parents(dir)?,
            other => other.with_context(|| resolving(dir))?,
        };
        let parent = Rc::new(parent);
        self.last = Some((dir.to_vec(), Rc::clone(&parent)));
        Ok(parent)
    }

    /// Opens a directory of the tree by its path; symbolic links are resolved as if the tree were the root.
    fn resolve(&self, dir: &[u8]) -> Result<ParentDir, Errno> {
        let path = if dir.is_empty() { b"." } else { dir };
        let in_root = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let open = |resolve| {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            retry_openat2(|| rustix::fs::openat2(&self.root, path, flags, Mode::empty(), resolve))
        };
        match open(in_root | ResolveFlags::NO_SYMLINKS) {
            // ELOOP: there is a link on the way; resolve again, following it.
            Err(Errno::LOOP) => Ok(ParentDir { fd: open(in_root)?, through_link: true }),
            other => Ok(ParentDir { fd: other?, through_link: false }),
        }
    }

    fn make_parents(&mut self, dir: &[u8]) -> anyhow::Result<ParentDir> {
        let mut parent = self.resolve(b"")?;
        let ends = dir.iter().enumerate().filter(|(_, b)| **b == b'/').map(|(at, _)| at).chain([dir.len()]);
        let mut start = 0;
        for end in ends {
            let context = || resolving(&dir[..end]);
            let (path, base) = (&dir[..end], dir[start..end].to_vec());
            start = end + 1;
            parent = match self.resolve(path) {
                Err(Errno::NOENT | Errno::NOTDIR) => {
                    let at = TreeLocation { parent: Rc::new(parent), base };
                    self.make_parent(&at, path).with_context(context)?;
                    self.resolve(path).with_context(context)?
                }
                other => other.with_context(context)?,
            };
        }
        Ok(parent)
    }

    fn make_parent(&mut self, at: &TreeLocation, path: &[u8]) -> anyhow::Result<()> {
        match rustix::fs::mkdirat(&at.parent.fd, &at.base[..], Mode::RWXU) {
            // A whiteout came first, then a member below it: the directory is new in this layer.
            Err(Errno::EXIST) if is_whiteout(&at.stat()?) => self.replace_by_dir(at)?,
            other => other?,
        }
        self.dirs.push(PendingDir { path: path.to_vec(), mode: 0o755, mtime: None });
        Ok(())
    }

    /// Removes what has the name, keeping contents that the tar-split data refers to. The name must exist.
    fn remove_existing(&mut self, at: &TreeLocation) -> anyhow::Result<()> {
        let stat = at.stat()?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => {
                self.last = None;
                let scratch = self.scratch_path()?;
                rustix::fs::renameat(&at.parent.fd, &at.base[..], CWD, &scratch)?;
                self.keep_contents(&scratch)?;
            }
            FileType::RegularFile if self.contents.contains_key(&stat.st_ino) => {
                let number = self.contents.remove(&stat.st_ino).unwrap_or_default();
                let extra = self.extra_path(number)?;
                rustix::fs::renameat(&at.parent.fd, &at.base[..], CWD, &extra)?;
            }
            _ => {
                // It may be a link that led to the cached directory.
                self.last = None;
                rustix::fs::unlinkat(&at.parent.fd, &at.base[..], AtFlags::empty())?;
            }
        }
        Ok(())
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "these directories belong to the draft, and hostile names never reach them"
    )]
    fn scratch_path(&mut self) -> io::Result<PathBuf> {
        if self.moved_aside == 0 {
            std::fs::create_dir(&self.scratch)?;
        }
        self.moved_aside += 1;
        Ok(self.scratch.join(self.moved_aside.to_string()))
    }

    /// Moves contents that the tar-split data refers to out of a directory removed from the tree.
    #[expect(
        clippy::disallowed_methods,
        reason = "these directories belong to the draft, and hostile names never reach them"
    )]
    fn keep_contents(&mut self, dir: &Path) -> anyhow::Result<()> {
        for entry in std::fs::read_dir(dir)?.collect::<Result<Vec<_>, _>>()? {
            let metadata = entry.metadata()?;
            if metadata.is_dir() {
                self.keep_contents(&entry.path())?;
            } else if let Some(number) = self.contents.remove(&metadata.ino()) {
                std::fs::rename(entry.path(), self.extra_path(number)?)?;
            }
        }
        Ok(())
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "these directories belong to the draft, and hostile names never reach them"
    )]
    fn extra_path(&self, number: u32) -> io::Result<PathBuf> {
        match std::fs::create_dir(&self.extra) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => Ok(self.extra.join(number.to_string())),
        }
    }

    /// Runs `action`, which creates a name; on EEXIST, removes what is there and tries again.
    fn create_replacing<T>(
        &mut self,
        at: &TreeLocation,
        mut action: impl FnMut() -> Result<T, Errno>,
    ) -> anyhow::Result<T> {
        match action() {
            Err(Errno::EXIST) => {
                self.remove_existing(at)?;
                Ok(action()?)
            }
            other => Ok(other?),
        }
    }

    pub(super) fn create_file(&mut self, at: &TreeLocation) -> anyhow::Result<File> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR;
        self.create_replacing(at, || rustix::fs::openat(&at.parent.fd, &at.base[..], flags, mode))
            .map(File::from)
    }

    /// Remembers which tar-split record refers to the content of a new file.
    pub(super) fn remember_content(
        &mut self,
        at: &TreeLocation,
        file: &File,
        number: u32,
    ) -> anyhow::Result<()> {
        // Its path in the stream may resolve differently later, so keep the content under `extra/`.
        if at.parent.through_link {
            let extra = self.extra_path(number)?;
            rustix::fs::linkat(&at.parent.fd, &at.base[..], CWD, &extra, AtFlags::empty())?;
        } else {
            self.contents.insert(file.metadata()?.ino(), number);
        }
        Ok(())
    }

    pub(super) fn finish_file(&self, file: &File, member: &TarMember) -> anyhow::Result<()> {
        self.set_owner(file, member)?;
        self.set_xattrs(file, member);
        // After chown(2), which clears the setuid bit.
        rustix::fs::fchmod(file, Mode::from_raw_mode(member.mode)).context("cannot set the mode")?;
        rustix::fs::futimens(file, &member.mtime.timestamps()).context("cannot set the time")
    }

    pub(super) fn make_dir(
        &mut self,
        at: &TreeLocation,
        path: &[u8],
        member: &TarMember,
    ) -> anyhow::Result<()> {
        match rustix::fs::mkdirat(&at.parent.fd, &at.base[..], Mode::RWXU) {
            Err(Errno::EXIST) => {
                if FileType::from_raw_mode(at.stat()?.st_mode) != FileType::Directory {
                    self.replace_by_dir(at)?;
                }
            }
            other => other?,
        }
        let dir = open_dir(&at.parent.fd, &at.base)?;
        self.set_dir(&dir, path, member)
    }

    pub(super) fn set_root(&mut self, member: &TarMember) -> anyhow::Result<()> {
        let root = self.root.try_clone()?;
        self.set_dir(&root, b"", member)
    }

    fn set_dir(&mut self, dir: &OwnedFd, path: &[u8], member: &TarMember) -> anyhow::Result<()> {
        self.set_owner(dir, member)?;
        self.set_xattrs(dir, member);
        self.dirs.push(PendingDir { path: path.to_vec(), mode: member.mode, mtime: Some(member.mtime) });
        Ok(())
    }

    /// Replaces another entry by a directory. In place of a whiteout it must keep hiding the lower layers.
    fn replace_by_dir(&mut self, at: &TreeLocation) -> anyhow::Result<()> {
        let hides = is_whiteout(&at.stat()?);
        self.remove_existing(at)?;
        rustix::fs::mkdirat(&at.parent.fd, &at.base[..], Mode::RWXU)?;
        if hides { set_opaque(&open_dir(&at.parent.fd, &at.base)?) } else { Ok(()) }
    }

    pub(super) fn make_symlink(&mut self, at: &TreeLocation, member: &TarMember) -> anyhow::Result<()> {
        if member.link.is_empty() || member.link.contains(&0) {
            return Err(corrupt("a symbolic link without a usable target").into());
        }
        self.create_replacing(at, || rustix::fs::symlinkat(&member.link[..], &at.parent.fd, &at.base[..]))?;
        self.finish_unopened(at, member)
    }

    pub(super) fn make_fifo(&mut self, at: &TreeLocation, member: &TarMember) -> anyhow::Result<()> {
        let mode = Mode::RUSR | Mode::WUSR;
        self.create_replacing(at, || {
            rustix::fs::mknodat(&at.parent.fd, &at.base[..], FileType::Fifo, mode, 0)
        })?;
        // Nothing else writes to the tree, so the name is still the FIFO just created and no link.
        let mode = Mode::from_raw_mode(member.mode);
        rustix::fs::chmodat(&at.parent.fd, &at.base[..], mode, AtFlags::empty())?;
        self.finish_unopened(at, member)
    }

    /// Sets owner and time of an object that cannot be opened.
    fn finish_unopened(&self, at: &TreeLocation, member: &TarMember) -> anyhow::Result<()> {
        if self.identity == LayerOwnership::Mapped {
            let (uid, gid) = owner(member);
            let flags = AtFlags::SYMLINK_NOFOLLOW;
            match rustix::fs::chownat(&at.parent.fd, &at.base[..], Some(uid), Some(gid), flags) {
                // The user namespace has no such owner, and these objects cannot have `user.*` xattrs; the
                // tar-split data has it.
                Err(Errno::INVAL | Errno::PERM) => {}
                other => other.context("cannot set the owner")?,
            }
        }
        let times = member.mtime.timestamps();
        rustix::fs::utimensat(&at.parent.fd, &at.base[..], &times, AtFlags::SYMLINK_NOFOLLOW)
            .context("cannot set the time")
    }

    /// Devices cannot be created in a user namespace, so an empty file stands for one. This includes 0:0,
    /// which must not become a whiteout by being an ordinary member.
    pub(super) fn make_device(&mut self, at: &TreeLocation, member: &TarMember) -> anyhow::Result<()> {
        let file = self.create_file(at)?;
        set_xattr_best_effort(&file, DEVICE_XATTR, member.device_value().as_bytes());
        self.finish_file(&file, member)
    }

    pub(super) fn make_hard_link(&mut self, source: &TreeLocation, at: &TreeLocation) -> anyhow::Result<()> {
        let stat = source.stat()?;
        if is_whiteout(&stat) {
            // A whiteout is an entry of the disk format, not a file of the layer.
            return Err(Errno::NOENT.into());
        }
        if at.stat().is_ok_and(|old| (old.st_dev, old.st_ino) == (stat.st_dev, stat.st_ino)) {
            return Ok(());
        }
        let (from, to) = (&source.parent.fd, &at.parent.fd);
        self.create_replacing(at, || {
            rustix::fs::linkat(from, &source.base[..], to, &at.base[..], AtFlags::empty())
        })
    }

    /// Hides a name of the lower layers. If this layer has the name too, that entry stays; a directory is
    /// made opaque, so that nothing is merged into it.
    pub(super) fn make_whiteout(&mut self, at: &TreeLocation) -> anyhow::Result<()> {
        let (parent, base) = (&at.parent.fd, &at.base[..]);
        match overlay::make_whiteout(parent, base) {
            Err(Errno::EXIST) if FileType::from_raw_mode(at.stat()?.st_mode) == FileType::Directory => {
                set_opaque(&open_dir(parent, base)?)
            }
            Ok(()) | Err(Errno::EXIST) => Ok(()),
            Err(error @ (Errno::PERM | Errno::OPNOTSUPP)) => Err(error).context(
                unsupported(
                    "the store's file system cannot hold overlayfs whiteouts (character devices 0:0)",
                )
                .hint("choose a store on a local file system with DHOW_ROOT"),
            ),
            Err(error) => Err(error.into()),
        }
    }

    fn set_owner(&self, object: impl AsFd, member: &TarMember) -> anyhow::Result<()> {
        if self.identity == LayerOwnership::Mapped {
            let (uid, gid) = owner(member);
            match rustix::fs::fchown(&object, Some(uid), Some(gid)) {
                // The user namespace has no such owner: record it below.
                Err(Errno::INVAL | Errno::PERM) => {}
                other => return other.context("cannot set the owner"),
            }
        }
        if (member.uid, member.gid) != (0, 0) {
            let value = owner_value((member.uid, member.gid));
            set_xattr_best_effort(&object, OWNER_XATTR, value.as_bytes());
        }
        Ok(())
    }

    fn set_xattrs(&self, object: impl AsFd, member: &TarMember) {
        for (name, value) in &member.xattrs {
            if is_reserved(name) {
                continue;
            }
            // With one id only `user.*` xattrs can be set without privileges.
            let settable = self.identity == LayerOwnership::Mapped || name.starts_with(b"user.");
            let set = |name: &[u8]| rustix::fs::fsetxattr(&object, name, value, XattrFlags::empty());
            if !settable || set(name).is_err() {
                // Best effort: the tar-split data has it in any case.
                let _ = set(&[ENCODED_XATTR_PREFIX.as_bytes(), name].concat());
            }
        }
    }

    /// Sets modes and times of the directories, deepest first: a mode may forbid entering it.
    pub(super) fn finish(mut self) -> anyhow::Result<()> {
        let depth = |path: &[u8]| path.iter().filter(|b| **b == b'/').count() + usize::from(!path.is_empty());
        // The sort is stable: of several members for one directory the last one applies.
        self.dirs.sort_by(|a, b| (Reverse(depth(&a.path)), &a.path).cmp(&(Reverse(depth(&b.path)), &b.path)));
        for (index, dir) in self.dirs.iter().enumerate() {
            if self.dirs.get(index + 1).is_none_or(|next| next.path != dir.path) {
                self.finish_dir(dir)
                    .with_context(|| format!("cannot set the mode of `{}`", display_path(&dir.path)))?;
            }
        }
        Ok(())
    }

    fn finish_dir(&self, pending: &PendingDir) -> Result<(), Errno> {
        let path = if pending.path.is_empty() { b"." } else { &pending.path[..] };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let dir = match retry_openat2(|| rustix::fs::openat2(&self.root, path, flags, Mode::empty(), resolve))
        {
            // A later member replaced the directory.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::ACCESS) => return Ok(()),
            other => other?,
        };
        rustix::fs::fchmod(&dir, Mode::from_raw_mode(pending.mode))?;
        pending.mtime.map_or(Ok(()), |mtime| rustix::fs::futimens(&dir, &mtime.timestamps()))
    }
}

fn set_opaque(dir: &OwnedFd) -> anyhow::Result<()> {
    overlay::set_opaque(dir).with_context(|| {
        unsupported("the store's file system cannot hold the attribute `user.overlay.opaque`")
            .hint("choose a store on a local file system with DHOW_ROOT")
    })
}

fn open_dir(parent: &OwnedFd, base: &[u8]) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(parent, base, flags, Mode::empty())
}

/// Retries openat2(2): with `RESOLVE_IN_ROOT` it fails with EAGAIN if anything on the machine was renamed
/// meanwhile.
fn retry_openat2<T>(mut action: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    loop {
        match action() {
            Err(Errno::AGAIN | Errno::INTR) => {}
            other => return other,
        }
    }
}

fn owner(member: &TarMember) -> (Uid, Gid) {
    (Uid::from_raw(member.uid), Gid::from_raw(member.gid))
}

fn resolving(dir: &[u8]) -> String {
    format!("on the way through `{}`", display_path(dir))
}

fn display_path(path: &[u8]) -> String {
    OsStr::from_bytes(path).to_string_lossy().escape_debug().to_string()
}

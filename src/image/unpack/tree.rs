//! The tree of a layer under construction: every name is resolved inside it by the kernel (openat2(2) with
//! `RESOLVE_IN_ROOT`), and no link can lead out.
//!
//! Directories get their final mode and time at the end, because adding entries changes the time and the mode
//! may forbid it.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::Context as _;
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

use super::metadata;
use crate::tar::{TarMember, TarTime};
use dhow_error::{corrupt, unsupported};
use dhow_model::layer::{DEVICE_XATTR, LayerOwnership};
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

/// A file being created.
pub(super) struct NewFile {
    pub(super) file: File,
    /// Its state when it was empty.
    created: Stat,
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

    pub(super) fn create_file(&mut self, at: &TreeLocation, member: &TarMember) -> anyhow::Result<NewFile> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = metadata::creation_mode(member);
        let file =
            self.create_replacing(at, || rustix::fs::openat(&at.parent.fd, &at.base[..], flags, mode))?;
        Ok(NewFile { created: rustix::fs::fstat(&file)?, file: File::from(file) })
    }

    /// Remembers which tar-split record refers to the content of a new file.
    pub(super) fn remember_content(
        &mut self,
        at: &TreeLocation,
        new: &NewFile,
        number: u32,
    ) -> anyhow::Result<()> {
        // Its path in the stream may resolve differently later, so keep the content under `extra/`.
        if at.parent.through_link {
            let extra = self.extra_path(number)?;
            rustix::fs::linkat(&at.parent.fd, &at.base[..], CWD, &extra, AtFlags::empty())?;
        } else {
            self.contents.insert(new.created.st_ino, number);
        }
        Ok(())
    }

    pub(super) fn finish_file(&self, new: &NewFile, member: &TarMember) -> anyhow::Result<()> {
        metadata::finish_file(&new.file, &new.created, member, self.identity)
    }

    pub(super) fn make_dir(
        &mut self,
        at: &TreeLocation,
        path: &[u8],
        member: &TarMember,
    ) -> anyhow::Result<()> {
        let mode = Mode::from_raw_mode(member.mode & 0o777) | Mode::RWXU;
        match rustix::fs::mkdirat(&at.parent.fd, &at.base[..], mode) {
            Err(Errno::EXIST) => {
                if FileType::from_raw_mode(at.stat()?.st_mode) != FileType::Directory {
                    self.replace_by_dir(at)?;
                }
            }
            other => other?,
        }
        let current = at.stat()?;
        if !metadata::is_owned_plainly(&current, member, self.identity) {
            self.set_dir(&open_dir(&at.parent.fd, &at.base)?, &current, member)?;
        }
        self.finish_later(path, member);
        Ok(())
    }

    pub(super) fn set_root(&mut self, member: &TarMember) -> anyhow::Result<()> {
        self.set_dir(&self.root, &rustix::fs::fstat(&self.root)?, member)?;
        self.finish_later(b"", member);
        Ok(())
    }

    fn set_dir(&self, dir: &OwnedFd, current: &Stat, member: &TarMember) -> anyhow::Result<()> {
        metadata::set_owner(dir, current, member, self.identity)?;
        metadata::set_xattrs(dir, member, self.identity);
        Ok(())
    }

    fn finish_later(&mut self, path: &[u8], member: &TarMember) {
        self.dirs.push(PendingDir { path: path.to_vec(), mode: member.mode, mtime: Some(member.mtime) });
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
        metadata::finish_unopened(&at.parent.fd, &at.base, member, self.identity)
    }

    pub(super) fn make_fifo(&mut self, at: &TreeLocation, member: &TarMember) -> anyhow::Result<()> {
        let mode = Mode::RUSR | Mode::WUSR;
        self.create_replacing(at, || {
            rustix::fs::mknodat(&at.parent.fd, &at.base[..], FileType::Fifo, mode, 0)
        })?;
        // Nothing else writes to the tree, so the name is still the FIFO just created and no link.
        let mode = Mode::from_raw_mode(member.mode);
        rustix::fs::chmodat(&at.parent.fd, &at.base[..], mode, AtFlags::empty())?;
        metadata::finish_unopened(&at.parent.fd, &at.base, member, self.identity)
    }

    /// Devices cannot be created in a user namespace, so an empty file stands for one. This includes 0:0,
    /// which must not become a whiteout by being an ordinary member.
    pub(super) fn make_device(&mut self, at: &TreeLocation, member: &TarMember) -> anyhow::Result<()> {
        let new = self.create_file(at, member)?;
        set_xattr_best_effort(&new.file, DEVICE_XATTR, member.device_value().as_bytes());
        self.finish_file(&new, member)
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
        metadata::set_dir_mode(&dir, pending.mode)?;
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

fn resolving(dir: &[u8]) -> String {
    format!("on the way through `{}`", display_path(dir))
}

fn display_path(path: &[u8]) -> String {
    OsStr::from_bytes(path).to_string_lossy().escape_debug().to_string()
}

//! Builds the root file system, inside the new mount namespace, before it becomes `/`.
//!
//! Each mount target is opened inside the root being built (`openat2`, `RESOLVE_IN_ROOT`) and mounted on by
//! descriptor, so no symbolic link in an image can direct a mount to the host.
//!
//! # Order
//!
//! 1. [`open_sources`]: bind sources, by their paths on the host (ids need not be mapped yet)
//! 2. the root itself on `stage`, then the mounts in the plan's order
//! 3. sysctls, while /proc/sys is writable; then read-only and masked paths
//! 4. the root's own read-only flag, and [`pivot_into`] it

use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;

use super::overlay;
use super::plan::{Bind, Flags, Kin, Mount, MountKind, Overlay, Plan, Propagation, Root, RootSource};
use crate::error::{Failure, Kind, not_found};
use crate::sys;
use crate::sys::fs::Making;
use crate::sys::mount::{Attr, Param};

/// Detached mount trees for the plan's mounts, by index. Opening them needs privileges in the namespaces, but
/// no mapped id.
#[derive(Default)]
pub(super) struct Prepared {
    sources: HashMap<usize, OwnedFd>,
}

/// Opens the sources of the plan's bind mounts; may run while another process maps the ids. A missing source
/// is skipped if the mount is optional, and an error otherwise.
pub(super) fn prepare(mounts: &[Mount]) -> Result<Prepared> {
    let mut prepared = Prepared::default();
    for (index, mount) in mounts.iter().enumerate() {
        if let MountKind::Bind(bind) | MountKind::Handed { bind, .. } = &mount.kind
            && let Some(tree) = open_source(bind, &mount.target)?
        {
            prepared.sources.insert(index, tree);
        }
    }
    Ok(prepared)
}

impl Prepared {
    /// Adds the mounts received from another container.
    pub(super) fn add_kin(&mut self, mounts: &[Mount], mut given: impl FnMut(Kin) -> Option<OwnedFd>) {
        for (index, mount) in mounts.iter().enumerate() {
            if let MountKind::Kin(kin) = mount.kind
                && let Some(tree) = given(kin)
            {
                self.sources.insert(index, tree);
            }
        }
    }
}

fn open_source(bind: &Bind, target: &str) -> Result<Option<OwnedFd>> {
    let opened = rustix::fs::open(&bind.source, OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
    let source = match opened {
        Ok(source) => source,
        Err(Errno::NOENT | Errno::NXIO | Errno::ACCESS) if bind.optional => return Ok(None),
        Err(error) => {
            return Err(std::io::Error::from(error))
                .with_context(|| format!("opening `{}` to mount it at `{target}`", bind.source.display()));
        }
    };
    let source = match &bind.subpath {
        Some(subpath) => {
            sys::fs::open_in_root(source.as_fd(), Path::new(subpath), OFlags::PATH, Mode::empty())
                .with_context(|| format!("opening `{subpath}` inside the volume for `{target}`"))?
        }
        None => source,
    };
    let tree =
        sys::mount::clone_tree(source.as_fd(), bind.recursive).map_err(|error| explain_bind(&error, bind))?;
    Ok(Some(tree))
}

fn explain_bind(error: &std::io::Error, bind: &Bind) -> Failure {
    let failure = Failure::new(Kind::Denied, format!("cannot bind `{}`: {error}", bind.source.display()));
    if error.raw_os_error() == Some(libc::EINVAL) && !bind.recursive {
        return failure.hint(
            "mounts lie below it, which the kernel lets no unprivileged user uncover; bind it recursively",
        );
    }
    failure
}

/// Builds everything on `plan.root.stage` and returns the new root, opened.
pub(super) fn build(plan: &Plan, prepared: Prepared) -> Result<OwnedFd> {
    let builder = put_together(&plan.root, &plan.mounts, prepared)?;
    builder.set_sysctls(&plan.sysctls)?;
    builder.hide(&plan.masked, &plan.read_only)?;
    builder.close(&plan.root)?;
    Ok(builder.root)
}

/// Builds the root and its mounts alone, without sysctls and masked paths, for the file system helper.
pub(super) fn assemble(root: &Root, mounts: &[Mount], prepared: Prepared) -> Result<OwnedFd> {
    let builder = put_together(root, mounts, prepared)?;
    builder.close(root)?;
    Ok(builder.root)
}

fn put_together(root: &Root, mounts: &[Mount], mut prepared: Prepared) -> Result<Builder> {
    let shelf = Shelf { dir: root.shelf.clone(), files: None };
    // Now, while host paths still resolve as they did when the plan was made.
    for (index, mount) in mounts.iter().enumerate() {
        if let MountKind::Layers { overlay, stage, subpath, .. } = &mount.kind {
            let tree = part_of_layers(overlay, stage, subpath)
                .with_context(|| format!("mounting the source of `{}`", mount.target))?;
            prepared.sources.insert(index, tree);
        }
    }
    let attached = attach_root(root)?;
    let making = if root.stubs { Making::stubs_in(attached.as_fd())? } else { Making::Plain };
    let mut builder = Builder { root: attached, shelf, made: 0, making };
    for (index, mount) in mounts.iter().enumerate() {
        let source = prepared.sources.remove(&index);
        builder.mount(mount, source).with_context(|| format!("mounting `{}`", mount.target))?;
    }
    Ok(builder)
}

fn attach_root(root: &Root) -> Result<OwnedFd> {
    match &root.source {
        RootSource::Directory(path) => {
            let dir = sys::fs::open_dir(path)
                .with_context(|| format!("opening the root file system `{}`", path.display()))?;
            let tree = sys::mount::clone_tree(dir.as_fd(), true)?;
            sys::mount::set_attributes(tree.as_fd(), Attr::empty(), libc::MS_PRIVATE, true)?;
            attach_at(&tree, &root.stage)
                .with_context(|| format!("attaching the root file system at `{}`", root.stage.display()))
        }
        RootSource::Overlay(layers) => {
            overlay::attach(layers, &root.stage).context("mounting the image's layers")
        }
    }
}

pub(super) fn attach_at(tree: &OwnedFd, stage: &Path) -> std::io::Result<OwnedFd> {
    let target = sys::fs::open_dir(stage)?;
    sys::mount::attach(tree.as_fd(), target.as_fd())?;
    Ok(rustix::io::fcntl_dupfd_cloexec(tree, 3)?)
}

/// Regular files held in memory, in a tmpfs that is mounted outside the new root and vanishes with the old
/// one in pivot_root.
struct Shelf {
    dir: PathBuf,
    files: Option<OwnedFd>,
}

impl Shelf {
    fn dir(&mut self) -> Result<BorrowedFd<'_>> {
        if self.files.is_none() {
            let attrs = Attr::MOUNT_ATTR_NOSUID | Attr::MOUNT_ATTR_NODEV | Attr::MOUNT_ATTR_NOEXEC;
            let files = sys::mount::new_filesystem(
                "tmpfs",
                &[Param::Text("mode", "0755"), Param::Text("size", "16m")],
                attrs,
            )?;
            let place = sys::fs::open_dir(&self.dir)?;
            sys::mount::attach(files.as_fd(), place.as_fd())?;
            self.files = Some(files);
        }
        self.files
            .as_ref()
            .map(AsFd::as_fd)
            .ok_or_else(|| Failure::new(Kind::Other, "no place for prepared files").into())
    }
}

/// A detached mount of `subpath` in an overlay of its own.
fn part_of_layers(layers: &Overlay, stage: &Path, subpath: &str) -> Result<OwnedFd> {
    let root = overlay::attach(layers, stage)?;
    let part = sys::fs::open_in_root(root.as_fd(), Path::new(subpath), OFlags::PATH, Mode::empty())
        .with_context(|| format!("opening `{subpath}` in it"))?;
    Ok(sys::mount::clone_tree(part.as_fd(), false)?)
}

struct Builder {
    root: OwnedFd,
    shelf: Shelf,
    made: u32,
    making: Making,
}

impl Builder {
    fn mount(&mut self, mount: &Mount, source: Option<OwnedFd>) -> Result<()> {
        let target = Path::new(&mount.target);
        match &mount.kind {
            MountKind::New { kind, params, flags, fallback, optional } => {
                self.new_instance(target, kind, params, *flags, fallback.as_deref(), *optional)
            }
            MountKind::Bind(bind) => match source {
                Some(tree) => self.bind(target, bind, &tree),
                None => Ok(()),
            },
            MountKind::Kin(_) => match source {
                Some(tree) => Ok(sys::mount::attach(tree.as_fd(), self.dir(target)?.as_fd())?),
                None => Ok(()),
            },
            MountKind::Handed { bind, mode, owner } => match source {
                Some(tree) => {
                    hand_over(tree.as_fd(), *mode, *owner)?;
                    self.bind(target, bind, &tree)
                }
                None => Ok(()),
            },
            MountKind::Layers { read_only, .. } => match source {
                Some(tree) => self.part(target, &tree, *read_only),
                None => Ok(()),
            },
            MountKind::File { content, mode, read_only, owner } => {
                self.file(target, content, (*mode, *owner), *read_only)
            }
            MountKind::Marker => Ok(self.file_at(target).map(drop)?),
            MountKind::Symlink(text) => self.symlink(target, text),
            MountKind::Directory => self.dir(target).map(drop),
            MountKind::Scratch { params, flags, keep_mode } => {
                self.scratch(target, params, *flags, *keep_mode)
            }
        }
    }

    fn dir(&self, target: &Path) -> Result<OwnedFd> {
        Ok(sys::fs::make_dir_in_root(self.root.as_fd(), target, self.making)?)
    }

    fn file_at(&self, target: &Path) -> std::io::Result<OwnedFd> {
        sys::fs::make_file_in_root(self.root.as_fd(), target, self.making)
    }

    /// Opens or creates the target of the mount `tree`: a directory, or a file if `tree` is one. True for a
    /// directory.
    fn place_for(&self, target: &Path, tree: &OwnedFd) -> Result<(OwnedFd, bool)> {
        let is_dir = sys::fs::file_type(tree.as_fd())? == FileType::Directory;
        Ok((if is_dir { self.dir(target)? } else { self.file_at(target)? }, is_dir))
    }

    fn part(&self, target: &Path, tree: &OwnedFd, read_only: bool) -> Result<()> {
        let (place, is_dir) = self.place_for(target, tree)?;
        if is_dir != (sys::fs::file_type(place.as_fd())? == FileType::Directory) {
            let (source, target) = if is_dir { ("a directory", "not") } else { ("not a directory", "one") };
            let message = format!("the source is {source} and the target is {target}");
            return Err(Failure::new(Kind::Invalid, message).into());
        }
        let attrs = attributes(Flags { read_only, ..Flags::default() });
        sys::mount::set_attributes(tree.as_fd(), attrs, libc::MS_PRIVATE, false)?;
        Ok(sys::mount::attach(tree.as_fd(), place.as_fd())?)
    }

    fn new_instance(
        &self,
        target: &Path,
        kind: &str,
        params: &[(String, Option<String>)],
        flags: Flags,
        fallback: Option<&Path>,
        optional: bool,
    ) -> Result<()> {
        let target = match self.dir(target) {
            Err(_) if optional => return Ok(()),
            target => target?,
        };
        let mount = match (sys::mount::new_filesystem(kind, &borrowed(params), attributes(flags)), fallback) {
            (Ok(mount), _) => mount,
            // The kernel refuses a new procfs or sysfs while the host's is partly masked
            // (`mount_too_revealing`, fs/namespace.c).
            (Err(_), Some(host)) => bound_instead(host, flags)?,
            (Err(_), None) if optional => return Ok(()),
            (Err(error), None) => return Err(error).with_context(|| format!("making a new {kind}")),
        };
        Ok(sys::mount::attach(mount.as_fd(), target.as_fd())?)
    }

    fn bind(&self, target: &Path, bind: &Bind, tree: &OwnedFd) -> Result<()> {
        let (target, is_dir) = self.place_for(target, tree)?;
        if is_dir != (sys::fs::file_type(target.as_fd())? == FileType::Directory) {
            return Err(not_a_directory(bind, is_dir));
        }
        if bind.copy_up {
            super::copy_up::copy_up(target.as_fd(), tree.as_fd())
                .context("copying the image's content into the new volume")?;
        }
        let propagation = match bind.propagation {
            Propagation::Private => libc::MS_PRIVATE,
            Propagation::Slave => libc::MS_SLAVE,
            Propagation::Shared => libc::MS_SHARED,
        };
        // Two calls: propagation applies to the whole tree, the flags maybe to its top only.
        sys::mount::set_attributes(tree.as_fd(), Attr::empty(), propagation, bind.recursive)?;
        let attrs = attributes(bind.flags);
        if !attrs.is_empty() {
            sys::mount::set_attributes(tree.as_fd(), attrs, 0, bind.recursive && bind.recursive_flags)?;
        }
        Ok(sys::mount::attach(tree.as_fd(), target.as_fd())?)
    }

    fn file(
        &mut self,
        target: &Path,
        content: &[u8],
        (mode, owner): (u32, (u32, u32)),
        read_only: bool,
    ) -> Result<()> {
        let name = format!("{}", self.made);
        self.made += 1;
        let shelf = self.shelf.dir()?;
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR | OFlags::CLOEXEC;
        let file = rustix::fs::openat(shelf, &name, flags, Mode::from_raw_mode(0o600))?;
        if owner != (0, 0) {
            own_if_there(sys::fs::chown_fd(file.as_fd(), owner.0, owner.1))?;
        }
        rustix::fs::fchmod(&file, Mode::from_raw_mode(mode))?;
        std::io::Write::write_all(&mut std::fs::File::from(file), content)?;
        let file = rustix::fs::openat(shelf, &name, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
        let tree = sys::mount::clone_tree(file.as_fd(), false)?;
        if read_only {
            sys::mount::set_attributes(tree.as_fd(), Attr::MOUNT_ATTR_RDONLY, 0, false)?;
        }
        let target = self.file_at(target)?;
        Ok(sys::mount::attach(tree.as_fd(), target.as_fd())?)
    }

    fn symlink(&self, target: &Path, text: &str) -> Result<()> {
        let parent = self.dir(target.parent().unwrap_or(Path::new("/")))?;
        let name =
            target.file_name().and_then(|n| n.to_str()).ok_or_else(|| not_found("a link has no name"))?;
        Ok(sys::fs::symlink_unless_exists(text, parent.as_fd(), name)?)
    }

    fn scratch(
        &self,
        target: &Path,
        params: &[(String, Option<String>)],
        flags: Flags,
        keep_mode: bool,
    ) -> Result<()> {
        let below = self.dir(target)?;
        // Attributes are copied from the directory before the mount covers it.
        let mount = sys::mount::new_filesystem("tmpfs", &borrowed(params), Attr::empty())?;
        if keep_mode {
            super::copy_up::copy_attributes(below.as_fd(), mount.as_fd())?;
        }
        sys::mount::set_attributes(mount.as_fd(), attributes(flags), 0, false)?;
        Ok(sys::mount::attach(mount.as_fd(), below.as_fd())?)
    }

    /// Writes sysctls while /proc/sys is still writable.
    fn set_sysctls(&self, sysctls: &[(String, String)]) -> Result<()> {
        for (path, value) in sysctls {
            let file = Path::new("proc/sys").join(path);
            let written = sys::fs::open_in_root(self.root.as_fd(), &file, OFlags::WRONLY, Mode::empty())
                .and_then(|fd| Ok(rustix::io::write(&fd, value.as_bytes())?));
            written.with_context(|| {
                format!("setting sysctl `{}` to `{}`", path.replace('/', "."), value.escape_debug())
            })?;
        }
        Ok(())
    }

    /// Makes paths read-only and masks others.
    fn hide(&self, masked: &[String], read_only: &[String]) -> Result<()> {
        for path in read_only {
            self.freeze(path).with_context(|| format!("making `{path}` read-only"))?;
        }
        // One empty tmpfs serves all masked directories.
        let mut empty: Option<OwnedFd> = None;
        for path in masked {
            self.mask(path, &mut empty).with_context(|| format!("masking `{path}`"))?;
        }
        Ok(())
    }

    fn freeze(&self, path: &str) -> Result<()> {
        let Some(target) = self.existing(path)? else { return Ok(()) };
        let tree = sys::mount::clone_tree(target.as_fd(), true)?;
        sys::mount::set_attributes(tree.as_fd(), Attr::MOUNT_ATTR_RDONLY, 0, true)?;
        Ok(sys::mount::attach(tree.as_fd(), target.as_fd())?)
    }

    fn mask(&self, path: &str, empty: &mut Option<OwnedFd>) -> Result<()> {
        let Some(target) = self.existing(path)? else { return Ok(()) };
        if sys::fs::file_type(target.as_fd())? == FileType::Directory {
            let attrs = Attr::MOUNT_ATTR_RDONLY
                | Attr::MOUNT_ATTR_NOSUID
                | Attr::MOUNT_ATTR_NODEV
                | Attr::MOUNT_ATTR_NOEXEC;
            let tree = match empty {
                Some(attached) => sys::mount::clone_tree(attached.as_fd(), false)?,
                None => sys::mount::new_filesystem(
                    "tmpfs",
                    &[Param::Text("nr_inodes", "1"), Param::Text("mode", "0755")],
                    attrs,
                )?,
            };
            sys::mount::attach(tree.as_fd(), target.as_fd())?;
            empty.get_or_insert(tree);
            return Ok(());
        }
        // Files are masked by /dev/null, as in runc.
        let null =
            sys::fs::open_in_root(self.root.as_fd(), Path::new("dev/null"), OFlags::PATH, Mode::empty())?;
        let tree = sys::mount::clone_tree(null.as_fd(), false)?;
        Ok(sys::mount::attach(tree.as_fd(), target.as_fd())?)
    }

    /// Makes the root read-only if the plan says so; mounts below are not affected.
    fn close(&self, root: &Root) -> Result<()> {
        if root.read_only {
            sys::mount::set_attributes(self.root.as_fd(), Attr::MOUNT_ATTR_RDONLY, 0, false)
                .context("making the root file system read-only")?;
        }
        Ok(())
    }

    fn existing(&self, path: &str) -> Result<Option<OwnedFd>> {
        match sys::fs::open_in_root(self.root.as_fd(), Path::new(path), OFlags::PATH, Mode::empty()) {
            Ok(fd) => Ok(Some(fd)),
            Err(error)
                if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR | libc::EACCES)) =>
            {
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// Sets owner and mode of something that was made for the container.
fn hand_over(tree: BorrowedFd<'_>, mode: u32, (uid, gid): (u32, u32)) -> Result<()> {
    own_if_there(sys::fs::chown_fd(tree, uid, gid))?;
    let path = sys::fs::fd_path(tree);
    Ok(rustix::fs::chmodat(rustix::fs::CWD, path, Mode::from_raw_mode(mode), rustix::fs::AtFlags::empty())?)
}

/// With a single id, there is no other owner to give it to.
fn own_if_there(owned: std::io::Result<()>) -> std::io::Result<()> {
    match owned {
        Err(error) if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::EPERM)) => Ok(()),
        other => other,
    }
}

fn not_a_directory(bind: &Bind, source_is_dir: bool) -> anyhow::Error {
    let (source, target) = if source_is_dir { ("a directory", "not") } else { ("not a directory", "one") };
    let message = format!(
        "`{}` on the host is {source} and the target in the container is {target}",
        bind.source.display()
    );
    Failure::new(Kind::Invalid, message)
        .hint("check if the host path exists and is of the type you expect")
        .into()
}

/// Binds the host's own tree in place of a new instance that the kernel refuses.
fn bound_instead(host: &Path, flags: Flags) -> Result<OwnedFd> {
    let dir = sys::fs::open_dir(host).with_context(|| format!("opening `{}`", host.display()))?;
    let tree = sys::mount::clone_tree(dir.as_fd(), true)?;
    sys::mount::set_attributes(tree.as_fd(), Attr::empty(), libc::MS_PRIVATE, true)?;
    sys::mount::set_attributes(tree.as_fd(), attributes(flags), 0, true)?;
    Ok(tree)
}

fn attributes(flags: Flags) -> Attr {
    let pairs = [
        (flags.read_only, Attr::MOUNT_ATTR_RDONLY),
        (flags.nosuid, Attr::MOUNT_ATTR_NOSUID),
        (flags.nodev, Attr::MOUNT_ATTR_NODEV),
        (flags.noexec, Attr::MOUNT_ATTR_NOEXEC),
    ];
    pairs.into_iter().filter(|(on, _)| *on).fold(Attr::empty(), |all, (_, attr)| all | attr)
}

fn borrowed(params: &[(String, Option<String>)]) -> Vec<Param<'_>> {
    params
        .iter()
        .map(|(name, value)| value.as_ref().map_or(Param::Flag(name), |value| Param::Text(name, value)))
        .collect()
}

/// Makes `root` the root of this mount namespace and detaches the old one.
pub(super) fn pivot(root: BorrowedFd<'_>) -> Result<()> {
    rustix::process::fchdir(root)?;
    sys::mount::pivot_to_working_directory().context("changing to the new root")?;
    rustix::process::chdir("/")?;
    Ok(())
}

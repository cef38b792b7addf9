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

pub(crate) mod copy_up;
pub mod overlay;
use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;

use super::plan::{
    BindMount, MountAttributes, MountKind, MountPropagation, OverlayLayers, PeerMount, PlannedMount,
    RootPlan, RootSource, SandboxPlan,
};
use dhow_error::{Failure, FailureKind, not_found};
use dhow_sys::fs::CreateMode;
use dhow_sys::mount::{Attr, FsParam};

/// Detached mount trees for the plan's mounts, by index. Opening them needs privileges in the namespaces, but
/// no mapped id.
#[derive(Default)]
pub(super) struct MountSources {
    sources: HashMap<usize, OwnedFd>,
}

/// Opens the sources of the plan's bind mounts; may run while another process maps the ids. A missing source
/// is skipped if the mount is optional, and an error otherwise.
pub(super) fn open_sources(mounts: &[PlannedMount]) -> Result<MountSources> {
    let mut prepared = MountSources::default();
    for (index, mount) in mounts.iter().enumerate() {
        if let MountKind::Bind(bind) | MountKind::OwnedBind { bind, .. } = &mount.kind
            && let Some(tree) = open_source(bind, &mount.target)?
        {
            prepared.sources.insert(index, tree);
        }
    }
    Ok(prepared)
}

impl MountSources {
    /// Adds the mounts received from another container.
    pub(super) fn add_peer_mounts(
        &mut self,
        mounts: &[PlannedMount],
        mut given: impl FnMut(PeerMount) -> Option<OwnedFd>,
    ) {
        for (index, mount) in mounts.iter().enumerate() {
            if let MountKind::FromPeer(kin) = mount.kind
                && let Some(tree) = given(kin)
            {
                self.sources.insert(index, tree);
            }
        }
    }
}

fn open_source(bind: &BindMount, target: &str) -> Result<Option<OwnedFd>> {
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
            dhow_sys::fs::open_in_root(source.as_fd(), Path::new(subpath), OFlags::PATH, Mode::empty())
                .with_context(|| format!("opening `{subpath}` inside the volume for `{target}`"))?
        }
        None => source,
    };
    let tree = dhow_sys::mount::clone_tree(source.as_fd(), bind.recursive)
        .map_err(|error| explain_bind(&error, bind))?;
    Ok(Some(tree))
}

fn explain_bind(error: &std::io::Error, bind: &BindMount) -> Failure {
    let failure =
        Failure::new(FailureKind::Denied, format!("cannot bind `{}`: {error}", bind.source.display()));
    if error.raw_os_error() == Some(libc::EINVAL) && !bind.recursive {
        return failure.hint(
            "mounts lie below it, which the kernel lets no unprivileged user uncover; bind it recursively",
        );
    }
    failure
}

/// Builds everything on `plan.root.stage` and returns the new root, opened.
pub(super) fn build_rootfs(plan: &SandboxPlan, prepared: MountSources) -> Result<OwnedFd> {
    let builder = mount_all(&plan.root, &plan.mounts, prepared)?;
    builder.set_sysctls(&plan.sysctls)?;
    builder.restrict_paths(&plan.masked, &plan.read_only)?;
    builder.finish_root(&plan.root)?;
    Ok(builder.root)
}

/// Builds the root and its mounts alone, without sysctls and masked paths, for the file system helper.
pub(super) fn assemble_root(
    root: &RootPlan,
    mounts: &[PlannedMount],
    prepared: MountSources,
) -> Result<OwnedFd> {
    let builder = mount_all(root, mounts, prepared)?;
    builder.finish_root(root)?;
    Ok(builder.root)
}

fn mount_all(root: &RootPlan, mounts: &[PlannedMount], mut prepared: MountSources) -> Result<RootfsBuilder> {
    let shelf = MemoryFiles { dir: root.memory_files.clone(), files: None };
    // Now, while host paths still resolve as they did when the plan was made.
    for (index, mount) in mounts.iter().enumerate() {
        if let MountKind::EphemeralOverlay { overlay, stage, subpath, .. } = &mount.kind {
            let tree = clone_overlay_subpath(overlay, stage, subpath)
                .with_context(|| format!("mounting the source of `{}`", mount.target))?;
            prepared.sources.insert(index, tree);
        }
    }
    let attached = attach_root(root)?;
    let making =
        if root.mount_stubs { CreateMode::mount_stubs_in(attached.as_fd())? } else { CreateMode::Permanent };
    let mut builder =
        RootfsBuilder { root: attached, memory_files: shelf, file_count: 0, create_mode: making };
    for (index, mount) in mounts.iter().enumerate() {
        let source = prepared.sources.remove(&index);
        builder.mount(mount, source).with_context(|| format!("mounting `{}`", mount.target))?;
    }
    Ok(builder)
}

fn attach_root(root: &RootPlan) -> Result<OwnedFd> {
    match &root.source {
        RootSource::Directory(path) => {
            let dir = dhow_sys::fs::open_dir(path)
                .with_context(|| format!("opening the root file system `{}`", path.display()))?;
            let tree = dhow_sys::mount::clone_tree(dir.as_fd(), true)?;
            dhow_sys::mount::set_attributes(tree.as_fd(), Attr::empty(), libc::MS_PRIVATE, true)?;
            attach_at(&tree, &root.stage)
                .with_context(|| format!("attaching the root file system at `{}`", root.stage.display()))
        }
        RootSource::Overlay(layers) => {
            overlay::attach_overlay(layers, &root.stage).context("mounting the image's layers")
        }
    }
}

pub(super) fn attach_at(tree: &OwnedFd, stage: &Path) -> std::io::Result<OwnedFd> {
    let target = dhow_sys::fs::open_dir(stage)?;
    dhow_sys::mount::attach(tree.as_fd(), target.as_fd())?;
    Ok(rustix::io::fcntl_dupfd_cloexec(tree, 3)?)
}

/// Regular files held in memory, in a tmpfs that is mounted outside the new root and vanishes with the old
/// one in pivot_root.
struct MemoryFiles {
    dir: PathBuf,
    files: Option<OwnedFd>,
}

impl MemoryFiles {
    fn dir(&mut self) -> Result<BorrowedFd<'_>> {
        if self.files.is_none() {
            let attrs = Attr::MOUNT_ATTR_NOSUID | Attr::MOUNT_ATTR_NODEV | Attr::MOUNT_ATTR_NOEXEC;
            let files = dhow_sys::mount::new_filesystem(
                "tmpfs",
                &[FsParam::Text("mode", "0755"), FsParam::Text("size", "16m")],
                attrs,
            )?;
            let place = dhow_sys::fs::open_dir(&self.dir)?;
            dhow_sys::mount::attach(files.as_fd(), place.as_fd())?;
            self.files = Some(files);
        }
        self.files
            .as_ref()
            .map(AsFd::as_fd)
            .ok_or_else(|| Failure::new(FailureKind::Other, "no place for prepared files").into())
    }
}

/// A detached mount of `subpath` in an overlay of its own.
fn clone_overlay_subpath(layers: &OverlayLayers, stage: &Path, subpath: &str) -> Result<OwnedFd> {
    let root = overlay::attach_overlay(layers, stage)?;
    let part = dhow_sys::fs::open_in_root(root.as_fd(), Path::new(subpath), OFlags::PATH, Mode::empty())
        .with_context(|| format!("opening `{subpath}` in it"))?;
    Ok(dhow_sys::mount::clone_tree(part.as_fd(), false)?)
}

struct RootfsBuilder {
    root: OwnedFd,
    memory_files: MemoryFiles,
    file_count: u32,
    create_mode: CreateMode,
}

impl RootfsBuilder {
    fn mount(&mut self, mount: &PlannedMount, source: Option<OwnedFd>) -> Result<()> {
        let target = Path::new(&mount.target);
        match &mount.kind {
            MountKind::NewFilesystem { kind, params, flags, fallback, optional } => {
                self.new_instance(target, kind, params, *flags, fallback.as_deref(), *optional)
            }
            MountKind::Bind(bind) => match source {
                Some(tree) => self.bind(target, bind, &tree),
                None => Ok(()),
            },
            MountKind::FromPeer(_) => match source {
                Some(tree) => Ok(dhow_sys::mount::attach(tree.as_fd(), self.ensure_dir(target)?.as_fd())?),
                None => Ok(()),
            },
            MountKind::OwnedBind { bind, mode, owner } => match source {
                Some(tree) => {
                    set_owner_and_mode(tree.as_fd(), *mode, *owner)?;
                    self.bind(target, bind, &tree)
                }
                None => Ok(()),
            },
            MountKind::EphemeralOverlay { read_only, .. } => match source {
                Some(tree) => self.mount_layers(target, &tree, *read_only),
                None => Ok(()),
            },
            MountKind::File { content, mode, read_only, owner } => {
                self.mount_file(target, content, (*mode, *owner), *read_only)
            }
            MountKind::Marker => Ok(self.ensure_file(target).map(drop)?),
            MountKind::Symlink(text) => self.symlink(target, text),
            MountKind::Directory => self.ensure_dir(target).map(drop),
            MountKind::Tmpfs { params, flags, keep_mode } => {
                self.mount_tmpfs(target, params, *flags, *keep_mode)
            }
        }
    }

    fn ensure_dir(&self, target: &Path) -> Result<OwnedFd> {
        Ok(dhow_sys::fs::make_dir_in_root(self.root.as_fd(), target, self.create_mode)?)
    }

    fn ensure_file(&self, target: &Path) -> std::io::Result<OwnedFd> {
        dhow_sys::fs::make_file_in_root(self.root.as_fd(), target, self.create_mode)
    }

    /// Opens or creates the target of the mount `tree`: a directory, or a file if `tree` is one. True for a
    /// directory.
    fn ensure_target(&self, target: &Path, tree: &OwnedFd) -> Result<(OwnedFd, bool)> {
        let is_dir = dhow_sys::fs::file_type(tree.as_fd())? == FileType::Directory;
        Ok((if is_dir { self.ensure_dir(target)? } else { self.ensure_file(target)? }, is_dir))
    }

    fn mount_layers(&self, target: &Path, tree: &OwnedFd, read_only: bool) -> Result<()> {
        let (place, is_dir) = self.ensure_target(target, tree)?;
        if is_dir != (dhow_sys::fs::file_type(place.as_fd())? == FileType::Directory) {
            let (source, target) = if is_dir { ("a directory", "not") } else { ("not a directory", "one") };
            let message = format!("the source is {source} and the target is {target}");
            return Err(Failure::new(FailureKind::Invalid, message).into());
        }
        let attrs = mount_attributes(MountAttributes { read_only, ..MountAttributes::default() });
        dhow_sys::mount::set_attributes(tree.as_fd(), attrs, libc::MS_PRIVATE, false)?;
        Ok(dhow_sys::mount::attach(tree.as_fd(), place.as_fd())?)
    }

    fn new_instance(
        &self,
        target: &Path,
        kind: &str,
        params: &[(String, Option<String>)],
        flags: MountAttributes,
        fallback: Option<&Path>,
        optional: bool,
    ) -> Result<()> {
        let target = match self.ensure_dir(target) {
            Err(_) if optional => return Ok(()),
            target => target?,
        };
        let mount = match (
            dhow_sys::mount::new_filesystem(kind, &fs_params(params), mount_attributes(flags)),
            fallback,
        ) {
            (Ok(mount), _) => mount,
            // The kernel refuses a new procfs or sysfs while the host's is partly masked
            // (`mount_too_revealing`, fs/namespace.c).
            (Err(_), Some(host)) => bind_host_instead(host, flags)?,
            (Err(_), None) if optional => return Ok(()),
            (Err(error), None) => return Err(error).with_context(|| format!("making a new {kind}")),
        };
        Ok(dhow_sys::mount::attach(mount.as_fd(), target.as_fd())?)
    }

    fn bind(&self, target: &Path, bind: &BindMount, tree: &OwnedFd) -> Result<()> {
        let (target, is_dir) = self.ensure_target(target, tree)?;
        if is_dir != (dhow_sys::fs::file_type(target.as_fd())? == FileType::Directory) {
            return Err(not_a_directory(bind, is_dir));
        }
        if bind.copy_up {
            super::rootfs::copy_up::copy_up(target.as_fd(), tree.as_fd())
                .context("copying the image's content into the new volume")?;
        }
        let propagation = match bind.propagation {
            MountPropagation::Private => libc::MS_PRIVATE,
            MountPropagation::Slave => libc::MS_SLAVE,
            MountPropagation::Shared => libc::MS_SHARED,
        };
        // Two calls: propagation applies to the whole tree, the flags maybe to its top only.
        dhow_sys::mount::set_attributes(tree.as_fd(), Attr::empty(), propagation, bind.recursive)?;
        let attrs = mount_attributes(bind.flags);
        if !attrs.is_empty() {
            dhow_sys::mount::set_attributes(tree.as_fd(), attrs, 0, bind.recursive && bind.recursive_flags)?;
        }
        Ok(dhow_sys::mount::attach(tree.as_fd(), target.as_fd())?)
    }

    fn mount_file(
        &mut self,
        target: &Path,
        content: &[u8],
        (mode, owner): (u32, (u32, u32)),
        read_only: bool,
    ) -> Result<()> {
        let name = format!("{}", self.file_count);
        self.file_count += 1;
        let shelf = self.memory_files.dir()?;
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR | OFlags::CLOEXEC;
        let file = rustix::fs::openat(shelf, &name, flags, Mode::from_raw_mode(0o600))?;
        if owner != (0, 0) {
            ignore_unmapped_owner(dhow_sys::fs::chown_fd(file.as_fd(), owner.0, owner.1))?;
        }
        rustix::fs::fchmod(&file, Mode::from_raw_mode(mode))?;
        std::io::Write::write_all(&mut std::fs::File::from(file), content)?;
        let file = rustix::fs::openat(shelf, &name, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
        let tree = dhow_sys::mount::clone_tree(file.as_fd(), false)?;
        if read_only {
            dhow_sys::mount::set_attributes(tree.as_fd(), Attr::MOUNT_ATTR_RDONLY, 0, false)?;
        }
        let target = self.ensure_file(target)?;
        Ok(dhow_sys::mount::attach(tree.as_fd(), target.as_fd())?)
    }

    fn symlink(&self, target: &Path, text: &str) -> Result<()> {
        let parent = self.ensure_dir(target.parent().unwrap_or(Path::new("/")))?;
        let name =
            target.file_name().and_then(|n| n.to_str()).ok_or_else(|| not_found("a link has no name"))?;
        Ok(dhow_sys::fs::symlink_unless_exists(text, parent.as_fd(), name)?)
    }

    fn mount_tmpfs(
        &self,
        target: &Path,
        params: &[(String, Option<String>)],
        flags: MountAttributes,
        keep_mode: bool,
    ) -> Result<()> {
        let below = self.ensure_dir(target)?;
        // Attributes are copied from the directory before the mount covers it.
        let mount = dhow_sys::mount::new_filesystem("tmpfs", &fs_params(params), Attr::empty())?;
        if keep_mode {
            super::rootfs::copy_up::copy_attributes(below.as_fd(), mount.as_fd())?;
        }
        dhow_sys::mount::set_attributes(mount.as_fd(), mount_attributes(flags), 0, false)?;
        Ok(dhow_sys::mount::attach(mount.as_fd(), below.as_fd())?)
    }

    /// Writes sysctls while /proc/sys is still writable.
    fn set_sysctls(&self, sysctls: &[(String, String)]) -> Result<()> {
        for (path, value) in sysctls {
            let file = Path::new("proc/sys").join(path);
            let written = dhow_sys::fs::open_in_root(self.root.as_fd(), &file, OFlags::WRONLY, Mode::empty())
                .and_then(|fd| Ok(rustix::io::write(&fd, value.as_bytes())?));
            written.with_context(|| {
                format!("setting sysctl `{}` to `{}`", path.replace('/', "."), value.escape_debug())
            })?;
        }
        Ok(())
    }

    /// Makes paths read-only and masks others.
    fn restrict_paths(&self, masked: &[String], read_only: &[String]) -> Result<()> {
        for path in read_only {
            self.make_read_only(path).with_context(|| format!("making `{path}` read-only"))?;
        }
        // One empty tmpfs serves all masked directories.
        let mut empty: Option<OwnedFd> = None;
        for path in masked {
            self.mask(path, &mut empty).with_context(|| format!("masking `{path}`"))?;
        }
        Ok(())
    }

    fn make_read_only(&self, path: &str) -> Result<()> {
        let Some(target) = self.open_existing(path)? else { return Ok(()) };
        let tree = dhow_sys::mount::clone_tree(target.as_fd(), true)?;
        dhow_sys::mount::set_attributes(tree.as_fd(), Attr::MOUNT_ATTR_RDONLY, 0, true)?;
        Ok(dhow_sys::mount::attach(tree.as_fd(), target.as_fd())?)
    }

    fn mask(&self, path: &str, empty: &mut Option<OwnedFd>) -> Result<()> {
        let Some(target) = self.open_existing(path)? else { return Ok(()) };
        if dhow_sys::fs::file_type(target.as_fd())? == FileType::Directory {
            let attrs = Attr::MOUNT_ATTR_RDONLY
                | Attr::MOUNT_ATTR_NOSUID
                | Attr::MOUNT_ATTR_NODEV
                | Attr::MOUNT_ATTR_NOEXEC;
            let tree = match empty {
                Some(attached) => dhow_sys::mount::clone_tree(attached.as_fd(), false)?,
                None => dhow_sys::mount::new_filesystem(
                    "tmpfs",
                    &[FsParam::Text("nr_inodes", "1"), FsParam::Text("mode", "0755")],
                    attrs,
                )?,
            };
            dhow_sys::mount::attach(tree.as_fd(), target.as_fd())?;
            empty.get_or_insert(tree);
            return Ok(());
        }
        // Files are masked by /dev/null, as in runc.
        let null = dhow_sys::fs::open_in_root(
            self.root.as_fd(),
            Path::new("dev/null"),
            OFlags::PATH,
            Mode::empty(),
        )?;
        let tree = dhow_sys::mount::clone_tree(null.as_fd(), false)?;
        Ok(dhow_sys::mount::attach(tree.as_fd(), target.as_fd())?)
    }

    /// Makes the root read-only if the plan says so; mounts below are not affected.
    fn finish_root(&self, root: &RootPlan) -> Result<()> {
        if root.read_only {
            dhow_sys::mount::set_attributes(self.root.as_fd(), Attr::MOUNT_ATTR_RDONLY, 0, false)
                .context("making the root file system read-only")?;
        }
        Ok(())
    }

    fn open_existing(&self, path: &str) -> Result<Option<OwnedFd>> {
        match dhow_sys::fs::open_in_root(self.root.as_fd(), Path::new(path), OFlags::PATH, Mode::empty()) {
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
fn set_owner_and_mode(tree: BorrowedFd<'_>, mode: u32, (uid, gid): (u32, u32)) -> Result<()> {
    ignore_unmapped_owner(dhow_sys::fs::chown_fd(tree, uid, gid))?;
    let path = dhow_sys::fs::fd_path(tree);
    Ok(rustix::fs::chmodat(rustix::fs::CWD, path, Mode::from_raw_mode(mode), rustix::fs::AtFlags::empty())?)
}

/// With a single id, there is no other owner to give it to.
fn ignore_unmapped_owner(owned: std::io::Result<()>) -> std::io::Result<()> {
    match owned {
        Err(error) if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::EPERM)) => Ok(()),
        other => other,
    }
}

fn not_a_directory(bind: &BindMount, source_is_dir: bool) -> anyhow::Error {
    let (source, target) = if source_is_dir { ("a directory", "not") } else { ("not a directory", "one") };
    let message = format!(
        "`{}` on the host is {source} and the target in the container is {target}",
        bind.source.display()
    );
    Failure::new(FailureKind::Invalid, message)
        .hint("check if the host path exists and is of the type you expect")
        .into()
}

/// Binds the host's own tree in place of a new instance that the kernel refuses.
fn bind_host_instead(host: &Path, flags: MountAttributes) -> Result<OwnedFd> {
    let dir = dhow_sys::fs::open_dir(host).with_context(|| format!("opening `{}`", host.display()))?;
    let tree = dhow_sys::mount::clone_tree(dir.as_fd(), true)?;
    dhow_sys::mount::set_attributes(tree.as_fd(), Attr::empty(), libc::MS_PRIVATE, true)?;
    dhow_sys::mount::set_attributes(tree.as_fd(), mount_attributes(flags), 0, true)?;
    Ok(tree)
}

fn mount_attributes(flags: MountAttributes) -> Attr {
    let pairs = [
        (flags.read_only, Attr::MOUNT_ATTR_RDONLY),
        (flags.nosuid, Attr::MOUNT_ATTR_NOSUID),
        (flags.nodev, Attr::MOUNT_ATTR_NODEV),
        (flags.noexec, Attr::MOUNT_ATTR_NOEXEC),
    ];
    pairs.into_iter().filter(|(on, _)| *on).fold(Attr::empty(), |all, (_, attr)| all | attr)
}

fn fs_params(params: &[(String, Option<String>)]) -> Vec<FsParam<'_>> {
    params
        .iter()
        .map(|(name, value)| value.as_ref().map_or(FsParam::Flag(name), |value| FsParam::Text(name, value)))
        .collect()
}

/// Makes `root` the root of this mount namespace and detaches the old one.
pub(super) fn pivot_into(root: BorrowedFd<'_>) -> Result<()> {
    rustix::process::fchdir(root)?;
    dhow_sys::mount::pivot_to_working_directory().context("changing to the new root")?;
    rustix::process::chdir("/")?;
    Ok(())
}

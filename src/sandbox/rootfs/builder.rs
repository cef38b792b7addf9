//! Mounts the parts of a container's root file system one by one, each on a target opened inside the root.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use anyhow::{Context as _, Result};
use dhow_error::{Failure, FailureKind, not_found};
use dhow_sys::fs::{self, CreateMode};
use dhow_sys::mount::{self, Attr};
use rustix::fs::{FileType, Mode, OFlags};

use super::copy_up;
use super::fs_instance::{fs_params, mount_attributes, new_instance};
use super::memory_files::{MemoryFiles, ignore_unmapped_owner};
use super::sources::MountSource;
use crate::plan::{
    BindMount, DeviceDirectory, MountAttributes, MountKind, MountPropagation, PlannedMount, RootPlan,
};

/// A root file system under construction, attached outside of any `/`.
pub(super) struct RootfsBuilder {
    root: OwnedFd,
    memory_files: MemoryFiles,
    /// How missing mount points are created.
    create_mode: CreateMode,
}

impl RootfsBuilder {
    pub(super) fn new(root: OwnedFd, memory_files: MemoryFiles, create_mode: CreateMode) -> Self {
        Self { root, memory_files, create_mode }
    }

    pub(super) fn into_root(self) -> OwnedFd {
        self.root
    }

    /// Mounts one thing.
    pub(super) fn mount(&mut self, planned: &PlannedMount, prepared: MountSource) -> Result<()> {
        let target = Path::new(&planned.target);
        let source = prepared.tree;
        match &planned.kind {
            MountKind::NewFilesystem { kind, params, flags, fallback, optional } => {
                let make = || source.map_or_else(|| new_instance(kind, params, *flags), Ok);
                self.mount_instance(target, kind, make, *flags, fallback.as_deref(), *optional)
            }
            MountKind::Devices(directory) => self.mount_devices(target, directory, source, prepared.nodes),
            MountKind::Bind(bind) => match source {
                Some(tree) => self.bind(target, bind, &tree),
                None => Ok(()),
            },
            MountKind::FromPeer(_) => match source {
                Some(tree) => Ok(mount::attach(tree.as_fd(), self.ensure_dir(target)?.as_fd())?),
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
                self.mount_file(target, content, *mode, *owner, *read_only)
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
        Ok(fs::make_dir_in_root(self.root.as_fd(), target, self.create_mode)?)
    }

    fn ensure_file(&self, target: &Path) -> std::io::Result<OwnedFd> {
        fs::make_file_in_root(self.root.as_fd(), target, self.create_mode)
    }

    /// Opens or creates the target of the mount `tree`: a directory, or a file if `tree` is one. True for a
    /// directory.
    fn ensure_target(&self, target: &Path, tree: &OwnedFd) -> Result<(OwnedFd, bool)> {
        let is_dir = fs::file_type(tree.as_fd())? == FileType::Directory;
        Ok((if is_dir { self.ensure_dir(target)? } else { self.ensure_file(target)? }, is_dir))
    }

    fn mount_layers(&self, target: &Path, tree: &OwnedFd, read_only: bool) -> Result<()> {
        let (mount_point, is_dir) = self.ensure_target(target, tree)?;
        if is_dir != (fs::file_type(mount_point.as_fd())? == FileType::Directory) {
            let (source, target) = if is_dir { ("a directory", "not") } else { ("not a directory", "one") };
            let message = format!("the source is {source} and the target is {target}");
            return Err(Failure::new(FailureKind::Invalid, message).into());
        }
        let attrs = mount_attributes(MountAttributes { read_only, ..MountAttributes::default() });
        mount::set_attributes(tree.as_fd(), attrs, libc::MS_PRIVATE, false)?;
        Ok(mount::attach(tree.as_fd(), mount_point.as_fd())?)
    }

    /// Mounts what `make` makes, a file system of type `kind`.
    fn mount_instance(
        &self,
        target: &Path,
        kind: &str,
        make: impl FnOnce() -> std::io::Result<OwnedFd>,
        flags: MountAttributes,
        fallback: Option<&Path>,
        optional: bool,
    ) -> Result<()> {
        let target = match self.ensure_dir(target) {
            // A read-only image may lack the directory.
            Err(_) if optional => return Ok(()),
            target => target?,
        };
        let tree = match (make(), fallback) {
            (Ok(tree), _) => tree,
            // The kernel refuses a new procfs or sysfs while the host's is partly masked
            // (`mount_too_revealing`, fs/namespace.c).
            (Err(_), Some(host)) => bind_host_instead(host, flags)?,
            (Err(_), None) if optional => return Ok(()),
            (Err(error), None) => return Err(error).with_context(|| format!("making a new {kind}")),
        };
        Ok(mount::attach(tree.as_fd(), target.as_fd())?)
    }

    /// Mounts a tmpfs with the given device nodes and links. Nobody else can change it meanwhile, so its entries are
    /// reached by their names.
    fn mount_devices(
        &self,
        target: &Path,
        directory: &DeviceDirectory,
        tmpfs: Option<OwnedFd>,
        nodes: Vec<(String, OwnedFd)>,
    ) -> Result<()> {
        let tmpfs = tmpfs
            .map_or_else(|| new_instance("tmpfs", &directory.params, directory.flags), Ok)
            .context("making a new tmpfs")?;
        mount::attach(tmpfs.as_fd(), self.ensure_dir(target)?.as_fd())?;
        for (name, tree) in nodes {
            rustix::fs::mknodat(&tmpfs, &name, FileType::RegularFile, Mode::from_raw_mode(0o644), 0)?;
            mount::attach_to_entry(tree.as_fd(), tmpfs.as_fd(), &name)
                .with_context(|| format!("mounting the device `{name}`"))?;
        }
        for (name, text) in &directory.links {
            rustix::fs::symlinkat(text, &tmpfs, name)?;
        }
        Ok(())
    }

    fn bind(&self, target: &Path, bind: &BindMount, tree: &OwnedFd) -> Result<()> {
        let (target, is_dir) = self.ensure_target(target, tree)?;
        if is_dir != (fs::file_type(target.as_fd())? == FileType::Directory) {
            return Err(not_a_directory(bind, is_dir));
        }
        if bind.copy_up {
            copy_up::copy_up(target.as_fd(), tree.as_fd())
                .context("copying the image's content into the new volume")?;
        }
        let propagation = match bind.propagation {
            MountPropagation::Private => libc::MS_PRIVATE,
            MountPropagation::Slave => libc::MS_SLAVE,
            MountPropagation::Shared => libc::MS_SHARED,
        };
        let attrs = mount_attributes(bind.flags);
        if bind.recursive && !bind.recursive_flags && !attrs.is_empty() {
            // Propagation applies to the whole tree, the flags to its top only.
            mount::set_attributes(tree.as_fd(), Attr::empty(), propagation, true)?;
            mount::set_attributes(tree.as_fd(), attrs, 0, false)?;
        } else {
            mount::set_attributes(tree.as_fd(), attrs, propagation, bind.recursive)?;
        }
        Ok(mount::attach(tree.as_fd(), target.as_fd())?)
    }

    fn mount_file(
        &mut self,
        target: &Path,
        content: &[u8],
        mode: u32,
        owner: (u32, u32),
        read_only: bool,
    ) -> Result<()> {
        let tree = self.memory_files.create(content, mode, owner)?;
        let set = if read_only { Attr::MOUNT_ATTR_RDONLY } else { Attr::empty() };
        // A secret that may be executed, as in BuildKit.
        let clear = if mode & 0o111 != 0 { Attr::MOUNT_ATTR_NOEXEC } else { Attr::empty() };
        mount::change_attributes(tree.as_fd(), set, clear, 0, false)?;
        let target = self.ensure_file(target)?;
        Ok(mount::attach(tree.as_fd(), target.as_fd())?)
    }

    fn symlink(&self, target: &Path, text: &str) -> Result<()> {
        let parent = self.ensure_dir(target.parent().unwrap_or(Path::new("/")))?;
        let name =
            target.file_name().and_then(|n| n.to_str()).ok_or_else(|| not_found("a link has no name"))?;
        Ok(fs::symlink_unless_exists(text, parent.as_fd(), name)?)
    }

    fn mount_tmpfs(
        &self,
        target: &Path,
        params: &[(String, Option<String>)],
        flags: MountAttributes,
        keep_mode: bool,
    ) -> Result<()> {
        let directory = self.ensure_dir(target)?;
        let tmpfs = mount::new_filesystem("tmpfs", &fs_params(params), Attr::empty())?;
        if keep_mode {
            // Before the mount covers the directory.
            copy_up::copy_attributes(directory.as_fd(), tmpfs.as_fd())?;
        }
        mount::set_attributes(tmpfs.as_fd(), mount_attributes(flags), 0, false)?;
        Ok(mount::attach(tmpfs.as_fd(), directory.as_fd())?)
    }

    /// Writes sysctls while /proc/sys is still writable.
    pub(super) fn set_sysctls(&self, sysctls: &[(String, String)]) -> Result<()> {
        for (path, value) in sysctls {
            let file = Path::new("proc/sys").join(path);
            let result = fs::open_in_root(self.root.as_fd(), &file, OFlags::WRONLY, Mode::empty())
                .and_then(|fd| Ok(rustix::io::write(&fd, value.as_bytes())?));
            result.with_context(|| {
                format!("setting sysctl `{}` to `{}`", path.replace('/', "."), value.escape_debug())
            })?;
        }
        Ok(())
    }

    /// Makes paths read-only and masks others.
    pub(super) fn restrict_paths(&mut self, masked: &[String], read_only: &[String]) -> Result<()> {
        for path in read_only {
            self.make_read_only(path).with_context(|| format!("making `{path}` read-only"))?;
        }
        let mut null = None;
        for path in masked {
            self.mask(path, &mut null).with_context(|| format!("masking `{path}`"))?;
        }
        Ok(())
    }

    fn make_read_only(&self, path: &str) -> Result<()> {
        let Some(target) = self.open_existing(path)? else { return Ok(()) };
        let tree = mount::clone_tree(target.as_fd(), true)?;
        mount::set_attributes(tree.as_fd(), Attr::MOUNT_ATTR_RDONLY, 0, true)?;
        Ok(mount::attach(tree.as_fd(), target.as_fd())?)
    }

    /// Masks a directory by an empty one, and a file by /dev/null, as in runc. `null` is that once it was opened.
    fn mask(&mut self, path: &str, null: &mut Option<OwnedFd>) -> Result<()> {
        let Some(target) = self.open_existing(path)? else { return Ok(()) };
        if fs::file_type(target.as_fd())? == FileType::Directory {
            let empty = self.memory_files.empty_directory()?;
            return Ok(mount::attach(empty.as_fd(), target.as_fd())?);
        }
        let null = match null {
            Some(null) => null,
            None => null.insert(self.open(Path::new("dev/null"))?),
        };
        let tree = mount::clone_tree(null.as_fd(), false)?;
        Ok(mount::attach(tree.as_fd(), target.as_fd())?)
    }

    /// Makes the root read-only if the plan says so; mounts below are not affected.
    pub(super) fn finish_root(&self, root: &RootPlan) -> Result<()> {
        if root.read_only {
            mount::set_attributes(self.root.as_fd(), Attr::MOUNT_ATTR_RDONLY, 0, false)
                .context("making the root file system read-only")?;
        }
        Ok(())
    }

    fn open(&self, path: &Path) -> std::io::Result<OwnedFd> {
        fs::open_in_root(self.root.as_fd(), path, OFlags::PATH, Mode::empty())
    }

    fn open_existing(&self, path: &str) -> Result<Option<OwnedFd>> {
        match self.open(Path::new(path)) {
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
    ignore_unmapped_owner(fs::chown_fd(tree, uid, gid))?;
    let path = fs::fd_path(tree);
    Ok(rustix::fs::chmodat(rustix::fs::CWD, path, Mode::from_raw_mode(mode), rustix::fs::AtFlags::empty())?)
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
    let dir = fs::open_dir(host).with_context(|| format!("opening `{}`", host.display()))?;
    let tree = mount::clone_tree(dir.as_fd(), true)?;
    mount::set_attributes(tree.as_fd(), Attr::empty(), libc::MS_PRIVATE, true)?;
    mount::set_attributes(tree.as_fd(), mount_attributes(flags), 0, true)?;
    Ok(tree)
}

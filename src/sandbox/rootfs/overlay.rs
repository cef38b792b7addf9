//! Mounts a container's layers with the kernel's overlayfs, by the best method that kernel and file system
//! support.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use rustix::fs::Mode;

use super::merged_layers::MergedLayers;
use crate::plan::OverlayLayers;
use dhow_error::{Failure, FailureKind};
use dhow_sys::mount::{Attr, FsParam, attach_at, new_filesystem, overlay_by_options};

/// The most layers that overlayfs takes (`OVL_MAX_STACK`).
const MAX_LAYERS: usize = 500;

/// The most layers whose descriptors are safe to name in an option string: mount(2) takes at most one page.
const MAX_LAYERS_IN_OPTIONS: usize = 150;

/// Mounts `layers` on `stage` and returns the root.
///
/// Some file systems cannot hold an upper directory (overlayfs, NFS, eCryptfs). If the container is removed when it
/// ends, the upper directory is then put in memory instead.
pub(crate) fn attach_overlay(layers: &OverlayLayers, stage: &Path) -> Result<OwnedFd> {
    // Relative paths keep within the 255 bytes of an fsconfig(2) parameter.
    let base = &layers.base;
    rustix::process::chdir(base).with_context(|| format!("entering `{}`", base.display()))?;
    match mount(layers, stage) {
        // EINVAL is overlayfs's answer to an unsuitable upper directory; the log of the kernel has the
        // reason.
        Err(error)
            if layers.volatile && !layers.must_persist && error.raw_os_error() == Some(libc::EINVAL) =>
        {
            put_upper_in_memory(layers, stage).context("making a writable layer in memory")?;
            mount(layers, stage).map_err(|error| explain(&error, layers).into())
        }
        Err(error) => Err(explain(&error, layers).into()),
        Ok(root) => Ok(root),
    }
}

/// Mounts `layers` on `stage` in a new mount namespace of this process, which has one thread and may mount.
/// Returns the root.
pub fn attach_in_new_mountns(layers: &OverlayLayers, stage: &Path) -> Result<OwnedFd> {
    // `attach_overlay` changes the working directory.
    let working_dir = dhow_sys::fs::open_dir(Path::new("."));
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS).context("making a mount namespace")?;
    let root = attach_overlay(layers, stage)?;
    if let Ok(working_dir) = working_dir {
        rustix::process::fchdir(working_dir).context("going back to the working directory")?;
    }
    Ok(root)
}

fn mount(layers: &OverlayLayers, stage: &Path) -> io::Result<OwnedFd> {
    match mount_by_parameters(layers, stage) {
        // Kernels before 6.5 lack lowerdir+. A path that is too long for a parameter gets here as well.
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => mount_by_options(layers, stage),
        other => other,
    }
}

fn mount_by_parameters(layers: &OverlayLayers, stage: &Path) -> io::Result<OwnedFd> {
    let merged = MergedLayers::new(&layers.lower, MAX_LAYERS, |group, on| {
        let mount = new_filesystem("overlay", &lower_parameters(group), Attr::MOUNT_ATTR_RDONLY)?;
        attach_at(mount, on).map(drop)
    })?;
    let mut params = lower_parameters(&merged.lower);
    params.extend([FsParam::Path("upperdir", &layers.upper), FsParam::Path("workdir", &layers.work)]);
    if layers.volatile {
        params.push(FsParam::Flag("volatile"));
    }
    attach_at(new_filesystem("overlay", &params, Attr::empty())?, stage)
}

fn lower_parameters(lower: &[PathBuf]) -> Vec<FsParam<'_>> {
    // In a user namespace, overlayfs can set only user.overlay.* attributes, not trusted.overlay.* (Linux
    // 5.11).
    let mut params = vec![FsParam::Flag("userxattr")];
    params.extend(lower.iter().map(|layer| FsParam::Path("lowerdir+", layer)));
    params
}

/// Mounts with a single option string, in which layers are named by descriptor to keep it within a page.
fn mount_by_options(layers: &OverlayLayers, stage: &Path) -> io::Result<OwnedFd> {
    let open = |path: &PathBuf| dhow_sys::fs::open_dir(path);
    let merged = MergedLayers::new(&layers.lower, MAX_LAYERS_IN_OPTIONS, |group, on| {
        let lower = group.iter().map(open).collect::<io::Result<Vec<_>>>()?;
        overlay_by_options(on, &CString::new(lower_options(&lower))?)
    })?;
    let lower = merged.lower.iter().map(open).collect::<io::Result<Vec<_>>>()?;
    let (upper, work) = (open(&layers.upper)?, open(&layers.work)?);
    let options = format!(
        "{},upperdir={},workdir={}{}",
        lower_options(&lower),
        dhow_sys::fs::fd_path(upper.as_fd()),
        dhow_sys::fs::fd_path(work.as_fd()),
        if layers.volatile { ",volatile" } else { "" },
    );
    overlay_by_options(stage, &CString::new(options)?)?;
    dhow_sys::fs::open_dir(stage)
}

fn lower_options(lower: &[OwnedFd]) -> String {
    let names: Vec<String> = lower.iter().map(|fd| dhow_sys::fs::fd_path(fd.as_fd())).collect();
    format!("userxattr,lowerdir={}", names.join(":"))
}

/// Covers the parent of the upper and work directories with a tmpfs, so that the same relative paths lead
/// into memory.
pub(crate) fn put_upper_in_memory(layers: &OverlayLayers, stage: &Path) -> Result<()> {
    let tmpfs = new_filesystem("tmpfs", &[FsParam::Text("mode", "0755")], Attr::empty())?;
    for path in [&layers.upper, &layers.work] {
        let name = path
            .file_name()
            .ok_or_else(|| Failure::new(FailureKind::Other, "a writable layer has no name"))?;
        rustix::fs::mkdirat(&tmpfs, name, Mode::from_raw_mode(0o755))?;
    }
    attach_at(tmpfs, stage)?;
    Ok(())
}

/// Explains overlayfs's errors, whose texts usually mislead (`Documentation/filesystems/overlayfs.rst`).
fn explain(error: &io::Error, layers: &OverlayLayers) -> Failure {
    let kind = match error.raw_os_error() {
        Some(libc::EMFILE | libc::ENFILE) => FailureKind::Full,
        _ => FailureKind::Unsupported,
    };
    let failure = Failure::new(kind, format!("overlayfs refused: {error}"));
    match error.raw_os_error() {
        Some(libc::EINVAL) if layers.lower.len() > MAX_LAYERS => failure.hint("the image has more layers than overlayfs takes at once; a data directory (DHOW_ROOT) on a disk of its own, rather than on an overlay, can have more"),
        Some(libc::EINVAL) if layers.must_persist => failure.hint("the data directory's file system does not do for a writable layer (NFS, another overlay): set DHOW_ROOT to a directory on a local disk or a tmpfs"),
        Some(libc::EINVAL) => failure.hint("the data directory's file system does not do for a writable layer (NFS, another overlay): use --rm, which keeps it in memory, or set DHOW_ROOT to a directory on a local disk"),
        Some(libc::ENODEV) => failure.hint("the kernel has no overlayfs; root can load it with `modprobe overlay`"),
        Some(libc::EPERM) => failure.hint("overlayfs in a user namespace needs Linux 5.11 or later"),
        Some(libc::E2BIG) => failure.hint("the image has more layers than this kernel's overlayfs takes; Linux 6.5 and later take more"),
        Some(libc::EMFILE | libc::ENFILE) => failure.hint("each layer takes an open file: see `ulimit -Hn`"),
        Some(libc::ELOOP) => failure.hint("directories of the layers overlap"),
        Some(libc::ENOSPC) => failure.hint("the limit on mounts is reached: /proc/sys/fs/mount-max"),
        Some(libc::ESTALE | libc::ENOENT) => failure.hint("a layer of the image is gone; remove the image and pull it again"),
        _ => failure,
    }
}

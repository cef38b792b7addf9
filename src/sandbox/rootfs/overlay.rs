//! Mounts a container's layers with the kernel's overlayfs, by the best method that kernel and file system
//! support.

use std::ffi::CString;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use rustix::fs::Mode;

use crate::plan::OverlayLayers;
use dhow_error::{Failure, FailureKind};
use dhow_sys::mount::{Attr, FsParam};

/// The longest option string that is safe: mount(2) takes at most one page.
const MAX_OPTIONS: usize = 4000;

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

fn mount(layers: &OverlayLayers, stage: &Path) -> std::io::Result<OwnedFd> {
    // In a user namespace, overlayfs can set only user.overlay.* attributes, not trusted.overlay.* (Linux
    // 5.11).
    let mut params = vec![FsParam::Flag("userxattr")];
    params.extend(layers.lower.iter().map(|layer| FsParam::Path("lowerdir+", layer)));
    params.extend([FsParam::Path("upperdir", &layers.upper), FsParam::Path("workdir", &layers.work)]);
    if layers.volatile {
        params.push(FsParam::Flag("volatile"));
    }
    match dhow_sys::mount::new_filesystem("overlay", &params, Attr::empty()) {
        Ok(mount) => dhow_sys::mount::attach_at(mount, stage),
        // Kernels before 6.5 lack lowerdir+. A path that is too long for a parameter gets here as well.
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => mount_by_options(layers, stage),
        Err(error) => Err(error),
    }
}

/// Mounts with a single option string, in which layers are named by descriptor to keep it within a page.
fn mount_by_options(layers: &OverlayLayers, stage: &Path) -> std::io::Result<OwnedFd> {
    let open = |path: &PathBuf| dhow_sys::fs::open_dir(path);
    let lower = layers.lower.iter().map(open).collect::<std::io::Result<Vec<_>>>()?;
    let names: Vec<String> = lower.iter().map(|fd| dhow_sys::fs::fd_path(fd.as_fd())).collect();
    let (upper, work) = (open(&layers.upper)?, open(&layers.work)?);
    let options = format!(
        "userxattr,lowerdir={},upperdir={},workdir={}{}",
        names.join(":"),
        dhow_sys::fs::fd_path(upper.as_fd()),
        dhow_sys::fs::fd_path(work.as_fd()),
        if layers.volatile { ",volatile" } else { "" },
    );
    if options.len() > MAX_OPTIONS {
        return Err(rustix::io::Errno::TOOBIG.into());
    }
    dhow_sys::mount::overlay_by_options(stage, &CString::new(options)?)?;
    dhow_sys::fs::open_dir(stage)
}

/// Covers the parent of the upper and work directories with a tmpfs, so that the same relative paths lead
/// into memory.
pub(crate) fn put_upper_in_memory(layers: &OverlayLayers, stage: &Path) -> Result<()> {
    let tmpfs = dhow_sys::mount::new_filesystem("tmpfs", &[FsParam::Text("mode", "0755")], Attr::empty())?;
    for path in [&layers.upper, &layers.work] {
        let name = path
            .file_name()
            .ok_or_else(|| Failure::new(FailureKind::Other, "a writable layer has no name"))?;
        rustix::fs::mkdirat(&tmpfs, name, Mode::from_raw_mode(0o755))?;
    }
    dhow_sys::mount::attach_at(tmpfs, stage)?;
    Ok(())
}

/// Explains overlayfs's errors, whose texts usually mislead (`Documentation/filesystems/overlayfs.rst`).
fn explain(error: &std::io::Error, layers: &OverlayLayers) -> Failure {
    let failure = Failure::new(FailureKind::Unsupported, format!("overlayfs refused: {error}"));
    match error.raw_os_error() {
        Some(libc::EINVAL) if layers.must_persist => failure.hint("the data directory's file system does not do for a writable layer (NFS, another overlay): set DHOW_ROOT to a directory on a local disk or a tmpfs"),
        Some(libc::EINVAL) => failure.hint("the data directory's file system does not do for a writable layer (NFS, another overlay): use --rm, which keeps it in memory, or set DHOW_ROOT to a directory on a local disk"),
        Some(libc::ENODEV) => failure.hint("the kernel has no overlayfs; root can load it with `modprobe overlay`"),
        Some(libc::EPERM) => failure.hint("overlayfs in a user namespace needs Linux 5.11 or later"),
        Some(libc::E2BIG) => failure.hint("the image has more layers than this kernel's overlayfs takes; Linux 6.5 and later have no such limit"),
        Some(libc::ELOOP) => failure.hint("directories of the layers overlap"),
        Some(libc::ENOSPC) => failure.hint("the limit on mounts is reached: /proc/sys/fs/mount-max"),
        Some(libc::ESTALE | libc::ENOENT) => failure.hint("a layer of the image is gone; remove the image and pull it again"),
        _ => failure,
    }
}

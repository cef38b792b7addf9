//! Builds the root file system, inside the new mount namespace, before it becomes `/`.
//!
//! Each mount target is opened inside the root being built (`openat2`, `RESOLVE_IN_ROOT`) and mounted on by
//! descriptor, so no symbolic link in an image can direct a mount to the host.
//!
//! # Order
//!
//! 1. `prepare_mounts`: bind sources, by their paths on the host, and new file systems, detached; ids need not be
//!    mapped yet
//! 2. the root itself on `stage`, then the mounts in the plan's order
//! 3. sysctls, while /proc/sys is writable; then read-only and masked paths
//! 4. the root's own read-only flag, and `pivot_into` it
//!
//! `sources` does the first, and `builder` mounts one thing after the other; `overlay` mounts layers; `copy_up` fills new
//! volumes from the image.

mod builder;
mod copy_up;
mod fs_instance;
mod memory_files;
mod merged_layers;
pub mod overlay;
mod sources;

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use anyhow::{Context as _, Result};
use dhow_sys::fs::{self, CreateMode};
use dhow_sys::mount::{self, Attr};
use rustix::fs::{Mode, OFlags};

use self::builder::RootfsBuilder;
use self::memory_files::MemoryFiles;
use crate::plan::{MountKind, OverlayLayers, PlannedMount, RootPlan, RootSource, SandboxPlan};

pub(crate) use self::sources::{MountSources, open_sources, prepare_mounts};

/// Builds everything on `plan.root.stage` and returns the new root, opened.
pub(crate) fn build_rootfs(plan: &SandboxPlan, sources: MountSources) -> Result<OwnedFd> {
    let mut builder = mount_all(&plan.root, &plan.mounts, sources)?;
    builder.set_sysctls(&plan.sysctls)?;
    builder.restrict_paths(&plan.masked, &plan.read_only)?;
    builder.finish_root(&plan.root)?;
    Ok(builder.into_root())
}

/// Builds the root and its mounts alone, without sysctls and masked paths, for the file system helper.
pub(crate) fn assemble_root(
    root: &RootPlan,
    mounts: &[PlannedMount],
    sources: MountSources,
) -> Result<OwnedFd> {
    let builder = mount_all(root, mounts, sources)?;
    builder.finish_root(root)?;
    Ok(builder.into_root())
}

fn mount_all(root: &RootPlan, mounts: &[PlannedMount], mut sources: MountSources) -> Result<RootfsBuilder> {
    // Now, while host paths still resolve as they did when the plan was made.
    for (index, mount) in mounts.iter().enumerate() {
        if let MountKind::EphemeralOverlay { overlay, stage, subpath, .. } = &mount.kind {
            let tree = clone_overlay_subpath(overlay, stage, subpath)
                .with_context(|| format!("mounting the source of `{}`", mount.target))?;
            sources.insert(index, tree);
        }
    }
    let attached = attach_root(root)?;
    let create_mode =
        if root.mount_stubs { CreateMode::mount_stubs_in(attached.as_fd())? } else { CreateMode::Permanent };
    let memory_files = MemoryFiles::new(root.memory_files.clone(), sources.take_memory());
    let mut builder = RootfsBuilder::new(attached, memory_files, create_mode);
    for (index, mount) in mounts.iter().enumerate() {
        builder.mount(mount, sources.take(index)).with_context(|| format!("mounting `{}`", mount.target))?;
    }
    Ok(builder)
}

fn attach_root(root: &RootPlan) -> Result<OwnedFd> {
    match &root.source {
        RootSource::Directory(path) => {
            let dir = fs::open_dir(path)
                .with_context(|| format!("opening the root file system `{}`", path.display()))?;
            let tree = mount::clone_tree(dir.as_fd(), true)?;
            // A clone of a shared mount is its peer until it is made private.
            mount::set_attributes(tree.as_fd(), Attr::empty(), libc::MS_PRIVATE, true)?;
            mount::attach_at(tree, &root.stage)
                .with_context(|| format!("attaching the root file system at `{}`", root.stage.display()))
        }
        RootSource::Overlay(layers) => {
            overlay::attach_overlay(layers, &root.stage).context("mounting the image's layers")
        }
    }
}

/// A detached mount of `subpath` in an overlay of its own.
fn clone_overlay_subpath(layers: &OverlayLayers, stage: &Path, subpath: &str) -> Result<OwnedFd> {
    let root = overlay::attach_overlay(layers, stage)?;
    let part = fs::open_in_root(root.as_fd(), Path::new(subpath), OFlags::PATH, Mode::empty())
        .with_context(|| format!("opening `{subpath}` in it"))?;
    Ok(mount::clone_tree(part.as_fd(), false)?)
}

/// Makes `root` the root of this mount namespace and detaches the old one.
pub(crate) fn pivot_into(root: BorrowedFd<'_>) -> Result<()> {
    rustix::process::fchdir(root)?;
    mount::pivot_to_working_directory().context("changing to the new root")?;
    rustix::process::chdir("/")?;
    Ok(())
}

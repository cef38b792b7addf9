//! Builds the root file system, inside the new mount namespace, before it becomes `/`.
//!
//! Each mount target is opened inside the root being built (`openat2`, `RESOLVE_IN_ROOT`) and mounted on by
//! descriptor, so no symbolic link in an image can direct a mount to the host.
//!
//! # Order
//!
//! 1. `open_sources`: bind sources, by their paths on the host (ids need not be mapped yet)
//! 2. the root itself on `stage`, then the mounts in the plan's order
//! 3. sysctls, while /proc/sys is writable; then read-only and masked paths
//! 4. the root's own read-only flag, and `pivot_into` it
//!
//! `builder` mounts one thing after the other; `overlay` mounts layers; `copy_up` fills new volumes from the image.

mod builder;
mod copy_up;
mod memory_files;
mod merged_layers;
pub mod overlay;

use std::collections::HashMap;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use anyhow::{Context as _, Result};
use dhow_error::{Failure, FailureKind};
use dhow_sys::fs::{self, CreateMode};
use dhow_sys::mount::{self, Attr};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use self::builder::RootfsBuilder;
use self::memory_files::MemoryFiles;
use crate::plan::{
    BindMount, MountKind, OverlayLayers, PeerMount, PlannedMount, RootPlan, RootSource, SandboxPlan,
};

/// Detached mount trees for the plan's mounts, by index. Opening them needs privileges in the namespaces, but
/// no mapped id.
#[derive(Default)]
pub(crate) struct MountSources {
    trees: HashMap<usize, OwnedFd>,
}

/// Opens the sources of the plan's bind mounts; may run while another process maps the ids. A missing source
/// is skipped if the mount is optional, and an error otherwise.
pub(crate) fn open_sources(mounts: &[PlannedMount]) -> Result<MountSources> {
    let mut sources = MountSources::default();
    for (index, mount) in mounts.iter().enumerate() {
        if let MountKind::Bind(bind) | MountKind::OwnedBind { bind, .. } = &mount.kind
            && let Some(tree) = open_source(bind, &mount.target)?
        {
            sources.trees.insert(index, tree);
        }
    }
    Ok(sources)
}

impl MountSources {
    /// Adds the mounts received from another container.
    pub(crate) fn add_peer_mounts(
        &mut self,
        mounts: &[PlannedMount],
        mut take: impl FnMut(PeerMount) -> Option<OwnedFd>,
    ) {
        for (index, mount) in mounts.iter().enumerate() {
            if let MountKind::FromPeer(kind) = mount.kind
                && let Some(tree) = take(kind)
            {
                self.trees.insert(index, tree);
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
        Some(subpath) => fs::open_in_root(source.as_fd(), Path::new(subpath), OFlags::PATH, Mode::empty())
            .with_context(|| format!("opening `{subpath}` inside the volume for `{target}`"))?,
        None => source,
    };
    let tree =
        mount::clone_tree(source.as_fd(), bind.recursive).map_err(|error| explain_bind(&error, bind))?;
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
pub(crate) fn build_rootfs(plan: &SandboxPlan, sources: MountSources) -> Result<OwnedFd> {
    let builder = mount_all(&plan.root, &plan.mounts, sources)?;
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
            sources.trees.insert(index, tree);
        }
    }
    let attached = attach_root(root)?;
    let create_mode =
        if root.mount_stubs { CreateMode::mount_stubs_in(attached.as_fd())? } else { CreateMode::Permanent };
    let mut builder = RootfsBuilder::new(attached, MemoryFiles::new(root.memory_files.clone()), create_mode);
    for (index, mount) in mounts.iter().enumerate() {
        let source = sources.trees.remove(&index);
        builder.mount(mount, source).with_context(|| format!("mounting `{}`", mount.target))?;
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

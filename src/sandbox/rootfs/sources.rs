//! What the root file system is built from: detached mounts, made before the ids are mapped.
//!
//! Opening sources and making file systems needs privileges in the namespaces, but no mapped id; creating files needs
//! both. So the first process does all of this while others map its ids.

use std::collections::HashMap;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;

use anyhow::{Context as _, Result};
use dhow_error::{Failure, FailureKind};
use dhow_sys::fs;
use dhow_sys::mount::{self, Attr};
use rustix::fs::{Mode, OFlags};

use super::fs_instance::new_instance;
use super::memory_files;
use crate::plan::{BindMount, DeviceDirectory, MountKind, PeerMount, PlannedMount, SandboxPlan};

/// Detached mounts for a plan.
#[derive(Default)]
pub(crate) struct MountSources {
    /// For the plan's mounts, by index.
    sources: HashMap<usize, MountSource>,
    /// The tmpfs of [`memory_files::MemoryFiles`].
    memory: Option<OwnedFd>,
}

/// What one mount is made from, as far as it could be made.
#[derive(Default)]
pub(super) struct MountSource {
    pub(super) tree: Option<OwnedFd>,
    /// The nodes of a [`DeviceDirectory`] that the host has, with their names.
    pub(super) nodes: Vec<(String, OwnedFd)>,
}

/// Opens the sources of the plan's bind mounts. A missing source is skipped if the mount is optional, and an error
/// otherwise.
pub(crate) fn open_sources(mounts: &[PlannedMount]) -> Result<MountSources> {
    let mut sources = MountSources::default();
    for (index, mount) in mounts.iter().enumerate() {
        if let MountKind::Bind(bind) | MountKind::OwnedBind { bind, .. } = &mount.kind
            && let Some(tree) = open_source(bind, &mount.target)?
        {
            sources.insert(index, tree);
        }
    }
    Ok(sources)
}

/// Like [`open_sources`]; also makes the new file systems, except overlays: their work directory has no permissions, so
/// that it takes a mapped id to use it. A file system that fails now is tried again when it is mounted, which explains the
/// failure.
pub(crate) fn prepare_mounts(plan: &SandboxPlan) -> Result<MountSources> {
    let mut sources = open_sources(&plan.mounts)?;
    for (index, mount) in plan.mounts.iter().enumerate() {
        match &mount.kind {
            MountKind::Devices(directory) => {
                let tree = new_instance("tmpfs", &directory.params, directory.flags).ok();
                let nodes = open_nodes(directory, &mount.target)?;
                sources.sources.insert(index, MountSource { tree, nodes });
            }
            MountKind::NewFilesystem { kind, params, flags, .. } if !names_ids(params) => {
                if let Ok(tree) = new_instance(kind, params, *flags) {
                    sources.insert(index, tree);
                }
            }
            _ => {}
        }
    }
    sources.memory = memory_files::new_tmpfs().ok();
    Ok(sources)
}

/// Whether a parameter is an id, which has to be mapped.
fn names_ids(params: &[(String, Option<String>)]) -> bool {
    params.iter().any(|(name, _)| name == "uid" || name == "gid")
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
                self.insert(index, tree);
            }
        }
    }

    pub(super) fn insert(&mut self, index: usize, tree: OwnedFd) {
        self.sources.insert(index, MountSource { tree: Some(tree), nodes: Vec::new() });
    }

    pub(super) fn take(&mut self, index: usize) -> MountSource {
        self.sources.remove(&index).unwrap_or_default()
    }

    pub(super) fn take_memory(&mut self) -> Option<OwnedFd> {
        self.memory.take()
    }
}

fn open_source(bind: &BindMount, target: &str) -> Result<Option<OwnedFd>> {
    let Some(subpath) = &bind.subpath else {
        return clone_source(&bind.source, bind.recursive, bind.optional, target);
    };
    let source = match rustix::fs::open(&bind.source, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()) {
        Ok(source) => source,
        Err(error) => return explain_source(error.into(), &bind.source, bind.optional, target),
    };
    let source = fs::open_in_root(source.as_fd(), Path::new(subpath), OFlags::PATH, Mode::empty())
        .with_context(|| format!("opening `{subpath}` inside the volume for `{target}`"))?;
    let tree = mount::clone_tree(source.as_fd(), bind.recursive)
        .map_err(|error| explain_bind(&error, &bind.source, bind.recursive))?;
    Ok(Some(tree))
}

/// The nodes of `directory` that the host has.
fn open_nodes(directory: &DeviceDirectory, target: &str) -> Result<Vec<(String, OwnedFd)>> {
    let mut nodes = Vec::with_capacity(directory.nodes.len());
    for name in &directory.nodes {
        let source = Path::new("/dev").join(name);
        if let Some(tree) = clone_source(&source, false, true, &format!("{target}/{name}"))? {
            // A clone of a shared mount is its peer until it is made private.
            mount::set_attributes(tree.as_fd(), Attr::empty(), libc::MS_PRIVATE, false)?;
            nodes.push((name.clone(), tree));
        }
    }
    Ok(nodes)
}

/// A detached copy of the mount at `source` on the host; `None` if it does not exist and is `optional`.
fn clone_source(source: &Path, recursive: bool, optional: bool, target: &str) -> Result<Option<OwnedFd>> {
    match mount::clone_path(source, recursive) {
        Ok(tree) => Ok(Some(tree)),
        // What the path cannot be the reason for.
        Err(error) if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::EPERM | libc::ENOSPC)) => {
            Err(explain_bind(&error, source, recursive).into())
        }
        Err(error) => explain_source(error, source, optional, target),
    }
}

/// The result of a source that cannot be opened.
fn explain_source(
    error: std::io::Error,
    source: &Path,
    optional: bool,
    target: &str,
) -> Result<Option<OwnedFd>> {
    if optional && matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENXIO | libc::EACCES)) {
        return Ok(None);
    }
    Err(error).with_context(|| format!("opening `{}` to mount it at `{target}`", source.display()))
}

fn explain_bind(error: &std::io::Error, source: &Path, recursive: bool) -> Failure {
    let failure = Failure::new(FailureKind::Denied, format!("cannot bind `{}`: {error}", source.display()));
    if error.raw_os_error() == Some(libc::EINVAL) && !recursive {
        return failure.hint(
            "mounts lie below it, which the kernel lets no unprivileged user uncover; bind it recursively",
        );
    }
    failure
}

//! The file system of a container that does not run, for a helper process that works in it.

use anyhow::Result;

use super::mounts;
use dhow_model::digest::Digest;
use dhow_sandbox::fs_helper::StoppedRootfs;
use dhow_sandbox::identity::HostIdentity;
use dhow_sandbox::plan::{MountKind, OverlayLayers, RootSource};
use dhow_store::{ContainerDir, Store};

/// How much of the file system the helper sees, and whether it may write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RootfsAccess {
    /// Only the container's own files, read-only.
    Bare,
    /// With volumes and bind mounts; the container's own files stay unchanged.
    Read,
    /// With volumes and bind mounts, writable. The caller holds the container's lock.
    Write,
}

/// `layers` are the image's, lowest first.
pub(crate) fn rootfs_layout(
    store: &Store,
    container: &ContainerDir,
    layers: &[Digest],
    identity: &HostIdentity,
    access: RootfsAccess,
) -> Result<StoppedRootfs> {
    let spec = container.spec();
    let mut root = super::root(store, container, layers);
    let mut scratch = None;
    if let RootSource::Overlay(overlay) = &mut root.source {
        // `volatile` would leave a mark in the work directory that makes the next mount fail (overlayfs,
        // since 5.10).
        overlay.volatile = false;
    }
    if access != RootfsAccess::Write
        && let RootSource::Overlay(overlay) = &mut root.source
    {
        // The container's writable layer becomes a read-only one below a scratch layer in memory: two mounts
        // with the same upper directory are undefined, and the container may be started meanwhile.
        scratch = Some(container.work());
        *overlay = OverlayLayers {
            lower: [vec![overlay.upper.clone()], overlay.lower.clone()].concat(),
            upper: overlay.work.join("upper"),
            work: overlay.work.join("work"),
            volatile: true,
            must_persist: false,
            base: overlay.base.clone(),
        };
    }
    let mut mounts =
        if access == RootfsAccess::Bare { Vec::new() } else { mounts::requested_mounts(store, container)? };
    mounts.retain_mut(|mount| match &mut mount.kind {
        MountKind::Bind(bind) => {
            // A source that is gone from the host must not keep the rest from being reached.
            bind.optional = true;
            true
        }
        // The content of a tmpfs is gone.
        _ => false,
    });
    Ok(StoppedRootfs { root, mounts, ids: super::id_map(store, spec, layers, identity)?, scratch })
}

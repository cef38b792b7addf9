//! The file system of a container that does not run, as a visit finds it.

use anyhow::Result;

use super::wanted;
use crate::model::digest::Digest;
use crate::sandbox::identity::Identity;
use crate::sandbox::plan::{MountKind, Overlay, RootSource};
use crate::sandbox::visit::Layout;
use crate::store::{ContainerDir, Store};

/// What a visit may do to it, and what it finds there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) enum Visit {
    /// Its own files alone, which it leaves as they are.
    Bare,
    /// With its volumes and bind mounts, and without changing anything of its own.
    Read,
    /// With its volumes and bind mounts, where it may be written to. The caller holds the container.
    Write,
}

/// The layout for a visit. `layers` are those of the image, lowest first.
pub(in crate::engine) fn layout(
    store: &Store,
    container: &ContainerDir,
    layers: &[Digest],
    identity: &Identity,
    visit: Visit,
) -> Result<Layout> {
    let spec = container.spec();
    let mut root = super::root(store, container, layers);
    let mut scratch = None;
    if let RootSource::Overlay(overlay) = &mut root.source {
        overlay.volatile = false;
    }
    if visit != Visit::Write
        && let RootSource::Overlay(overlay) = &mut root.source
    {
        // Its writable layer lies below another one, in memory, and so stays as it is, whoever starts it.
        scratch = Some(container.work());
        *overlay = Overlay {
            lower: [vec![overlay.upper.clone()], overlay.lower.clone()].concat(),
            upper: overlay.work.join("upper"),
            work: overlay.work.join("work"),
            volatile: true,
            kept: false,
            base: overlay.base.clone(),
        };
    }
    let mut mounts = if visit == Visit::Bare { Vec::new() } else { wanted::asked(store, container)? };
    mounts.retain_mut(|mount| match &mut mount.kind {
        MountKind::Bind(bind) => {
            // What is gone from the host must not keep anybody from the rest.
            bind.optional = true;
            true
        }
        // What lay in memory is gone.
        _ => false,
    });
    Ok(Layout { root, mounts, ids: super::id_map(store, spec, layers, identity)?, scratch })
}

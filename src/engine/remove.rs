//! Removes a container with everything it wrote, whoever owns it.

use std::os::fd::BorrowedFd;

use anyhow::{Context as _, Result};

use super::namespace::in_child;
use crate::error::{Failure, Kind};
use crate::model::container::{ContainerSpec, MountSource};
use crate::sandbox::identity::Identity;
use crate::store::{LockedContainer, Store};
use crate::sys;

/// Removes `container`; its anonymous volumes too if `volumes`.
///
/// Files that belong to subordinate ids can be removed only inside a user namespace where these exist: `namespace` is
/// the container's own. The process must have one thread.
pub(super) fn remove(store: &Store, container: LockedContainer, volumes: bool, namespace: Option<BorrowedFd<'_>>) -> Result<()> {
    let anonymous = if volumes { anonymous_volumes(container.spec()) } else { Vec::new() };
    let mut result = store.remove_container(container);
    for name in &anonymous {
        result = result.and(store.remove_volume(name));
    }
    match (result, namespace) {
        (Err(_), Some(namespace)) => sweep_inside(store, namespace),
        (result, _) => result,
    }
}

/// Removes containers that were to be removed at their end and whose supervisor was killed. Returns whether there were
/// any. The process must have one thread.
pub(super) fn reap(store: &Store, identity: &Identity) -> Result<bool> {
    let mut found = false;
    for container in store.containers()? {
        if !container.spec().auto_remove {
            continue;
        }
        if let Some(container) = container.lock()? {
            found = true;
            if remove(store, container, true, None).is_err() {
                in_child(identity, || store.sweep())?;
            }
        }
    }
    Ok(found)
}

fn anonymous_volumes(spec: &ContainerSpec) -> Vec<String> {
    let name = |source: &MountSource| match source {
        MountSource::Volume { name: Some(name), anonymous: true, .. } => Some(name.clone()),
        _ => None,
    };
    spec.mounts.iter().filter_map(|mount| name(&mount.source)).collect()
}

/// What could not be deleted lies in the trash by now; a child inside the namespace empties it.
fn sweep_inside(store: &Store, namespace: BorrowedFd<'_>) -> Result<()> {
    match sys::process::fork().context("starting a process to remove files of subordinate ids")? {
        sys::process::Side::Child => {
            let done = sys::mount::enter_namespace(namespace).map_err(anyhow::Error::from).and_then(|()| store.sweep());
            sys::process::exit_now(i32::from(done.is_err()))
        }
        sys::process::Side::Parent(child) => match child.wait()? {
            sys::process::Ended::Exited(0) => Ok(()),
            _ => Err(Failure::new(Kind::Other, "files of the container could not be removed; they lie in the store's trash").into()),
        },
    }
}

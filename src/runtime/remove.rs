//! Removes a container with everything it wrote, whoever owns the files.
//!
//! In two steps: the container is gone for everybody once its name is free and its files are in the trash, which is
//! what callers wait for; the files are deleted afterwards.

use std::os::fd::BorrowedFd;

use anyhow::{Context as _, Result};

use super::recover;
use super::state::ContainerState;
use super::userns::run_in_child;
use dhow_error::{Failure, FailureKind, kind_of};
use dhow_model::container::ContainerSpec;
use dhow_model::mount::MountSource;
use dhow_sandbox::identity::HostIdentity;
use dhow_store::{LockedContainer, Store, TrashedEntry};

/// Files of a removed container that are still to be deleted.
#[must_use]
pub(crate) struct PendingDeletion {
    files: TrashedEntry,
    /// Files of a volume could not be deleted by this user and are in the trash.
    stuck: bool,
}

/// Takes `container` out of the store, with its anonymous volumes if `volumes`.
pub(crate) fn retire_container(
    store: &Store,
    container: LockedContainer,
    volumes: bool,
) -> Result<PendingDeletion> {
    forget_addresses(store, &container)?;
    let anonymous = if volumes { anonymous_volumes(container.spec()) } else { Vec::new() };
    let files = store.trash_container(container)?;
    // After the container: the store refuses to remove a volume that a container still uses.
    let stuck = anonymous.iter().filter(|name| is_stuck(store.remove_volume(name))).count() > 0;
    Ok(PendingDeletion { files, stuck })
}

fn forget_addresses(store: &Store, container: &LockedContainer) -> Result<()> {
    if container.spec().networks.is_empty() {
        return Ok(());
    }
    let state: Option<ContainerState> = container.read_state()?;
    let endpoints = state.map(|state| state.endpoints).unwrap_or_default();
    store.release_addresses(container.spec(), &endpoints)
}

/// A volume in use by another container (`--volumes-from`) is not stuck: that one will remove it.
fn is_stuck(removal: Result<()>) -> bool {
    removal.is_err_and(|error| !matches!(kind_of(&error), FailureKind::InUse | FailureKind::NotFound))
}

impl PendingDeletion {
    /// Deletes the files. Those owned by subordinate ids can only be deleted inside a user namespace that
    /// maps these. The process must be single-threaded.
    pub(crate) fn delete(self, store: &Store, namespace: DeletionNamespace<'_>) -> Result<()> {
        match self.files.delete() {
            Ok(()) if !self.stuck => Ok(()),
            _ => match namespace {
                DeletionNamespace::Open(namespace) => sweep_inside(store, namespace),
                DeletionNamespace::New(identity) => run_in_child(identity, || store.sweep()),
            },
        }
    }
}

/// Where files of every owner can be deleted.
pub(crate) enum DeletionNamespace<'a> {
    /// The container's own user namespace, which still exists.
    Open(BorrowedFd<'a>),
    /// One to be created.
    New(&'a HostIdentity),
}

/// Removes `container` and all its files, with its anonymous volumes if `volumes`.
pub fn remove_container(
    store: &Store,
    container: LockedContainer,
    volumes: bool,
    identity: &HostIdentity,
) -> Result<()> {
    recover::reconcile(&container)?;
    retire_container(store, container, volumes)?.delete(store, DeletionNamespace::New(identity))
}

/// Removes `--rm` containers whose supervisor was killed before it could. Returns whether there were any. The
/// process must be single-threaded.
pub fn remove_abandoned(store: &Store, identity: &HostIdentity) -> Result<bool> {
    let mut removed = false;
    for container in store.containers()? {
        if !container.spec().auto_remove {
            continue;
        }
        if let Some(container) = container.lock()? {
            // The lock was free: no supervisor is left.
            if !is_abandoned(container.spec(), container.read_state()?.as_ref()) {
                continue;
            }
            removed = true;
            remove_container(store, container, true, identity)?;
        }
    }
    Ok(removed)
}

/// Whether an unlocked container should have removed itself. One that was created and never started has a
/// state file that says so.
pub fn is_abandoned(spec: &ContainerSpec, state: Option<&ContainerState>) -> bool {
    let ended = |state: &ContainerState| !state.started.is_empty() || !state.finished.is_empty();
    spec.auto_remove && state.is_none_or(ended)
}

fn anonymous_volumes(spec: &ContainerSpec) -> Vec<String> {
    let name = |source: &MountSource| match source {
        MountSource::Volume { name: Some(name), anonymous: true, .. } => Some(name.clone()),
        _ => None,
    };
    spec.mounts.iter().filter_map(|mount| name(&mount.source)).collect()
}

fn sweep_inside(store: &Store, namespace: BorrowedFd<'_>) -> Result<()> {
    match dhow_sys::process::fork().context("starting a process to remove files of subordinate ids")? {
        dhow_sys::process::ForkSide::Child => {
            let result = dhow_sys::namespace::setns(namespace, 0)
                .map_err(anyhow::Error::from)
                .and_then(|()| store.sweep());
            dhow_sys::process::exit_now(i32::from(result.is_err()))
        }
        dhow_sys::process::ForkSide::Parent(child) => match child.wait()? {
            dhow_sys::process::ChildExit::Exited(0) => Ok(()),
            _ => Err(Failure::new(
                FailureKind::Other,
                "files of the container could not be removed; they lie in the store's trash",
            )
            .into()),
        },
    }
}

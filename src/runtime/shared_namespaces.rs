//! Containers that share namespaces of another: `--network`, `--pid` and `--ipc container:NAME`.
//!
//! The container whose namespaces are joined is the donor. The kernel asks for capabilities in the user namespace that
//! owns a namespace before anybody may join it, so the new container's user namespace is created below the donor's;
//! and a user namespace has one parent, so there can be only one donor.

use anyhow::Result;

use super::{first_process, plan};
use dhow_error::{Failure, FailureKind, invalid, unsupported};
use dhow_model::container::{ContainerSpec, IpcMode, NetworkMode};
use dhow_sandbox::identity::idmap::IdMap;
use dhow_sandbox::launch::shared::SharedNamespaces;
use dhow_store::{ContainerDir, Store};
use dhow_sys::namespace::open_namespace;

/// Replaces the names of donors in a new specification by IDs, and takes over what comes with a shared
/// namespace.
pub(crate) fn resolve_container_references(store: &Store, spec: &mut ContainerSpec) -> Result<()> {
    for name in spec.namespaces.joined_containers().into_iter().flatten() {
        *name = store.find_container(name)?.spec().id.clone();
    }
    let [network, pid, ipc] = spec.namespaces.joined_containers().map(|id| id.map(|id| id.clone()));
    // What the donor shares with the host is shared with the host.
    if let Some(id) = network {
        let other = joined_container(store, &id)?;
        if other.spec().namespaces.network == Some(NetworkMode::Host) {
            spec.namespaces.network = Some(NetworkMode::Host);
        }
        // A host name belongs to an address, which is the donor's.
        spec.hostname.clone_from(&other.spec().hostname);
    }
    if let Some(id) = pid
        && joined_container(store, &id)?.spec().namespaces.pid_host
    {
        spec.namespaces.pid_container = None;
        spec.namespaces.pid_host = true;
    }
    if let Some(id) = ipc {
        let other = joined_container(store, &id)?;
        check_shareable(&other)?;
        if other.spec().namespaces.ipc == IpcMode::Host {
            spec.namespaces.ipc = IpcMode::Host;
        }
    }
    Ok(())
}

fn joined_container(store: &Store, id: &str) -> Result<ContainerDir> {
    let gone = || Failure::new(FailureKind::NotFound, format!("No such container: {id}"));
    Ok(store.container(id)?.ok_or_else(gone)?)
}

/// With docker's wording and hint.
fn check_shareable(other: &ContainerDir) -> Result<()> {
    match other.spec().namespaces.ipc {
        IpcMode::Private | IpcMode::None => {
            Err(invalid(format!("can't join IPC of container {}: non-shareable IPC", other.spec().id))
                .hint("use --ipc shareable for the donor container")
                .into())
        }
        IpcMode::Shareable | IpcMode::Host | IpcMode::Container(_) => Ok(()),
    }
}

/// The donor of the container of `spec`, if any. Must be called outside of user namespaces.
pub(crate) fn find_donor(store: &Store, spec: &ContainerSpec) -> Result<Option<SharedNamespaces>> {
    let mut namespaces = spec.namespaces.clone();
    let joined = namespaces.joined_containers().map(|id| id.map(|id| id.clone()));
    let mut donor: Option<(&'static str, &String)> = None;
    for (kind, id) in ["network", "PID", "IPC"].into_iter().zip(&joined) {
        match (donor, id) {
            (_, None) => {}
            (None, Some(id)) => donor = Some((kind, id)),
            (Some((_, first)), Some(id)) if first == id => {}
            (Some(_), Some(_)) => {
                return Err(unsupported("the namespaces of two different containers cannot be shared")
                    .hint("the kernel lets one user namespace be below one other only")
                    .into());
            }
        }
    }
    let Some((kind, id)) = donor else { return Ok(None) };
    let stopped = || {
        Failure::new(FailureKind::Conflict, format!("cannot join {kind} of a non running container: {id}"))
    };
    let first = first_process::find(&joined_container(store, id)?)?.ok_or_else(stopped)?;
    let ids = IdMap::of_process(first.pid()).map_err(|_| stopped())?;
    // Asked last: as long as the process lives, its PID and the namespace opened through it are its own.
    let namespace = open_namespace(first.pid(), "user").map_err(|_| stopped())?;
    if first.has_ended()? {
        return Err(stopped().into());
    }
    let pidfd = std::os::fd::AsFd::as_fd(&first).try_clone_to_owned()?;
    Ok(Some(SharedNamespaces {
        init_pidfd: pidfd,
        userns: namespace,
        ids,
        share: plan::from_container(spec),
    }))
}

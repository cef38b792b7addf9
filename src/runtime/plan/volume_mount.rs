//! The mount of a volume: a directory of the store or of the host, or a tmpfs.

use anyhow::Result;

use super::mounts::tmpfs;
use crate::state::ContainerState;
use dhow_error::{Failure, FailureKind, invalid, not_found};
use dhow_model::mount::MountSource;
use dhow_model::volume::{BindBacking, VolumeBacking};
use dhow_sandbox::plan::{BindMount, MountAttributes, MountKind, MountPropagation};
use dhow_store::{ContainerDir, Store};

/// A volume as a container asks for it.
pub(crate) struct VolumeMountRequest<'a> {
    pub name: &'a str,
    pub subpath: Option<&'a str>,
    pub no_copy: bool,
    pub read_only: bool,
}

/// The mount of a volume, which was created with the container at the latest.
pub(crate) fn volume_mount(
    store: &Store,
    container: &ContainerDir,
    wish: &VolumeMountRequest<'_>,
) -> Result<MountKind> {
    let record =
        store.volume(wish.name)?.ok_or_else(|| not_found(format!("get {}: no such volume", wish.name)))?;
    let backing = match record.backing()? {
        VolumeBacking::Store => {
            BindBacking { path: store.volume_data(wish.name)?, recursive: true, ..Default::default() }
        }
        VolumeBacking::Bind(bind) => {
            check_bind_backing(wish.name, &bind)?;
            bind
        }
        VolumeBacking::Memory { read_only, source } => {
            return tmpfs_volume(store, container, wish, read_only, &source);
        }
    };
    Ok(MountKind::Bind(BindMount {
        copy_up: wish.subpath.is_none() && !wish.no_copy && is_first_start(container)?,
        source: backing.path,
        subpath: wish.subpath.map(str::to_owned),
        recursive: backing.recursive,
        flags: MountAttributes {
            read_only: wish.read_only || backing.read_only,
            nosuid: backing.nosuid,
            nodev: backing.nodev,
            noexec: backing.noexec,
        },
        recursive_flags: false,
        propagation: MountPropagation::Private,
        optional: false,
    }))
}

/// docker fills a new volume when it creates the container; a volume that was emptied since stays empty.
fn is_first_start(container: &ContainerDir) -> Result<bool> {
    Ok(container.read_state::<ContainerState>()?.is_none_or(|state| state.started.is_empty()))
}

fn check_bind_backing(name: &str, bind: &BindBacking) -> Result<()> {
    if bind.path.is_dir() {
        return Ok(());
    }
    let message =
        format!("cannot mount volume {name}: its directory `{}` does not exist", bind.path.display());
    Err(invalid(message).into())
}

/// A tmpfs lives in one container's mount namespace, which no other can reach into, so it cannot be shared.
fn tmpfs_volume(
    store: &Store,
    container: &ContainerDir,
    wish: &VolumeMountRequest<'_>,
    read_only: bool,
    source: &MountSource,
) -> Result<MountKind> {
    let (name, id) = (wish.name, &container.spec().id);
    if wish.subpath.is_some() {
        return Err(
            invalid(format!("volume {name} is in memory and empty at first: it has no subpath")).into()
        );
    }
    for user in store.volume_users(name)?.iter().filter(|user| user.spec().id != *id) {
        if user.is_locked()? {
            let user = &user.spec().name;
            let message = format!("volume {name} is in memory, and the running container {user} has it");
            return Err(Failure::new(FailureKind::InUse, message)
                .hint("a volume of type tmpfs can be in one running container at a time")
                .into());
        }
    }
    match source {
        MountSource::Tmpfs { size, mode, options } => {
            tmpfs(*size, *mode, options, read_only || wish.read_only)
        }
        _ => Err(invalid(format!("volume {name} is in memory, and not a tmpfs")).into()),
    }
}

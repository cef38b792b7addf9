//! The mount of a volume, which is a directory of the store or of the host, or a tmpfs.

use anyhow::Result;

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
    request: &VolumeMountRequest<'_>,
) -> Result<MountKind> {
    let record = store
        .volume(request.name)?
        .ok_or_else(|| not_found(format!("get {}: no such volume", request.name)))?;
    let backing = match record.backing()? {
        VolumeBacking::Store => {
            BindBacking { path: store.volume_data(request.name)?, recursive: true, ..Default::default() }
        }
        VolumeBacking::Bind(bind) => {
            check_bind_backing(request.name, &bind)?;
            bind
        }
        VolumeBacking::Memory { read_only, source } => {
            return tmpfs_volume(store, container, request, read_only, &source);
        }
    };
    Ok(MountKind::Bind(BindMount {
        copy_up: request.subpath.is_none() && !request.no_copy && is_first_start(container)?,
        source: backing.path,
        subpath: request.subpath.map(str::to_owned),
        recursive: backing.recursive,
        flags: MountAttributes {
            read_only: request.read_only || backing.read_only,
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
    request: &VolumeMountRequest<'_>,
    read_only: bool,
    source: &MountSource,
) -> Result<MountKind> {
    let (name, id) = (request.name, &container.spec().id);
    if request.subpath.is_some() {
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
            tmpfs_mount(*size, *mode, options, read_only || request.read_only)
        }
        _ => Err(invalid(format!("volume {name} is in memory, and not a tmpfs")).into()),
    }
}

/// docker's defaults are `noexec,nosuid,nodev`; options undo them individually.
pub(super) fn tmpfs_mount(
    size: Option<u64>,
    mode: Option<u32>,
    options: &[String],
    read_only: bool,
) -> Result<MountKind> {
    let mut flags = MountAttributes { read_only, nosuid: true, nodev: true, noexec: true };
    let mut params: Vec<(String, Option<String>)> = Vec::new();
    let mut set = |name: &str, value: String| {
        params.retain(|(known, _)| known != name);
        params.push((name.to_owned(), Some(value)));
    };
    for option in options {
        match option.split_once('=').unwrap_or((option, "")) {
            ("rw", "") => flags.read_only = false,
            ("ro", "") => flags.read_only = true,
            ("exec", "") => flags.noexec = false,
            ("noexec", "") => flags.noexec = true,
            ("suid", "") => flags.nosuid = false,
            ("nosuid", "") => flags.nosuid = true,
            ("dev", "") => flags.nodev = false,
            ("nodev", "") => flags.nodev = true,
            // Accepted and ignored, as a tmpfs has no use for them.
            (
                "noatime" | "relatime" | "strictatime" | "atime" | "diratime" | "nodiratime" | "async"
                | "sync" | "defaults",
                "",
            ) => {}
            ("private" | "rprivate" | "shared" | "rshared" | "slave" | "rslave", "") => {}
            (name @ ("size" | "mode" | "uid" | "gid" | "nr_inodes" | "nr_blocks"), value)
                if !value.is_empty() =>
            {
                set(name, value.to_owned())
            }
            _ => return Err(invalid(format!("invalid tmpfs option \"{}\"", option.escape_debug())).into()),
        }
    }
    if let Some(size) = size {
        set("size", size.to_string());
    }
    if let Some(mode) = mode {
        set("mode", format!("{mode:o}"));
    }
    // Without a mode docker keeps that of the directory below the mount.
    let keep_mode = !params.iter().any(|(name, _)| name == "mode");
    Ok(MountKind::Tmpfs { params, flags, keep_mode })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tmpfs_options_undo_the_defaults() {
        let options = ["exec".to_owned(), "size=1m".into(), "size=2m".into()];
        let MountKind::Tmpfs { params, flags, keep_mode } = tmpfs_mount(None, None, &options, false).unwrap()
        else {
            panic!()
        };
        assert_eq!(params, [("size".to_owned(), Some("2m".to_owned()))]);
        assert!(!flags.noexec && flags.nosuid && flags.nodev && keep_mode);
        assert!(tmpfs_mount(None, None, &["huge=always".into()], false).is_err());
    }
}

//! All mounts of a container: the system's, the generated files, and those that the user asked for, which
//! win.

use std::path::Path;

use anyhow::Result;

use super::{generated_files, system_mounts, volume_mount};
use crate::network::NetworkPlan;
use dhow_error::{Failure, FailureKind, invalid};
use dhow_model::container::{ContainerSpec, DeviceSpec};
use dhow_model::mount::{MountSource, MountSpec};
use dhow_sandbox::identity::idmap::IdMap;
use dhow_sandbox::plan::{
    BindMount, MountAttributes, MountKind, MountPropagation, NamespaceSet, PlannedMount,
};
use dhow_store::{ContainerDir, Store};
use dhow_sys::fs::clean_absolute;

/// In the order in which they are mounted.
pub(crate) fn all_mounts(
    store: &Store,
    container: &ContainerDir,
    map: &IdMap,
    unshare: NamespaceSet,
    networks: Option<&NetworkPlan>,
) -> Result<Vec<PlannedMount>> {
    let spec = container.spec();
    let mut mounts = system_mounts::system_mounts(spec, map, unshare);
    mounts.extend(generated_files::generated_mounts(store, spec, networks)?);
    mounts.extend(devices(spec)?);
    let requested = requested_mounts(store, container)?;
    drop_replaced(&mut mounts, &requested);
    mounts.extend(requested);
    if spec.init {
        // Last: a mount of the user's at /sbin must not hide it.
        mounts.push(init_mount()?);
    }
    Ok(mounts)
}

/// Removes the system's mounts, and entries of its /dev, that the mounts in `requested` replace.
pub fn drop_replaced(mounts: &mut Vec<PlannedMount>, requested: &[PlannedMount]) {
    let is_replaced =
        |target: &str| requested.iter().any(|request| replaces_system_mount(&request.target, target));
    mounts.retain_mut(|mount| {
        if let MountKind::Devices(directory) = &mut mount.kind {
            let path = |name: &str| format!("{}/{name}", mount.target);
            directory.nodes.retain(|name| !is_replaced(&path(name)));
            directory.links.retain(|(name, _)| !is_replaced(&path(name)));
        }
        !is_replaced(&mount.target)
    });
}

/// Whether a mount requested at `requested` replaces the system's at `system`: at the same path, or above it
/// in /dev and /sys. /proc always stays the container's own.
fn replaces_system_mount(requested: &str, system: &str) -> bool {
    let below = system.strip_prefix(requested).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    below && system != "/proc"
}

fn devices(spec: &ContainerSpec) -> Result<Vec<PlannedMount>> {
    let mut mounts = Vec::new();
    for device in &spec.devices {
        mounts.extend(device_mounts(device)?);
    }
    Ok(mounts)
}

/// A device node, or every node below a directory.
fn device_mounts(device: &DeviceSpec) -> Result<Vec<PlannedMount>> {
    use std::os::unix::fs::FileTypeExt as _;
    let gathering = |reason: String| {
        Failure::new(
            FailureKind::Invalid,
            format!(
                "error gathering device information while adding custom device \"{}\": {reason}",
                device.host.display()
            ),
        )
    };
    let data = std::fs::metadata(&device.host).map_err(|error| gathering(error.to_string()))?;
    if data.is_dir() {
        let mut below = Vec::new();
        for entry in std::fs::read_dir(&device.host).map_err(|error| gathering(error.to_string()))? {
            let entry = entry?;
            let child = DeviceSpec {
                host: entry.path(),
                container: format!(
                    "{}/{}",
                    device.container.trim_end_matches('/'),
                    entry.file_name().to_string_lossy()
                ),
                permissions: device.permissions.clone(),
            };
            // As docker: in a directory, what is not a device is skipped.
            below.extend(device_mounts(&child).unwrap_or_default());
        }
        return Ok(below);
    }
    if !data.file_type().is_char_device() && !data.file_type().is_block_device() {
        return Err(gathering("not a device node".into()).into());
    }
    Ok(vec![system_mounts::device_node(&device.host.to_string_lossy(), &device.container)])
}

/// `-v`, `--mount` and `--tmpfs`: parents before what lies below them, and only the last mount at each
/// target.
pub(crate) fn requested_mounts(store: &Store, container: &ContainerDir) -> Result<Vec<PlannedMount>> {
    let mut mounts: Vec<PlannedMount> = Vec::new();
    for request in &container.spec().mounts {
        let mount = requested_mount(store, container, request)?;
        mounts.retain(|other| other.target != mount.target);
        mounts.push(mount);
    }
    mounts.sort_by_key(|mount| mount.target.matches('/').count());
    Ok(mounts)
}

fn requested_mount(store: &Store, container: &ContainerDir, request: &MountSpec) -> Result<PlannedMount> {
    let target = clean_absolute(Path::new(&request.target)).to_string_lossy().into_owned();
    if target == "/" {
        return Err(invalid("invalid mount: the destination can't be '/'").into());
    }
    // As runc: programs and security modules trust what they find there.
    if target == "/proc" || target.starts_with("/proc/") {
        return Err(invalid(format!("\"{target}\" cannot be mounted because it is inside /proc")).into());
    }
    let kind = match &request.source {
        MountSource::Bind {
            path,
            create,
            propagation,
            recursive,
            recursive_writable,
            recursive_readonly_forced: _,
        } => {
            ensure_bind_source(path, *create)?;
            MountKind::Bind(BindMount {
                source: path.clone(),
                subpath: None,
                recursive: *recursive,
                flags: MountAttributes { read_only: request.read_only, ..MountAttributes::default() },
                // As docker since 25.0: read-only includes the mounts below.
                recursive_flags: !recursive_writable,
                propagation: propagation_of(propagation),
                copy_up: false,
                optional: false,
            })
        }
        MountSource::Volume { name, no_copy, subpath, .. } => {
            let name =
                name.as_deref().ok_or_else(|| invalid(format!("the volume for `{target}` has no name")))?;
            let request = volume_mount::VolumeMountRequest {
                name,
                subpath: subpath.as_deref(),
                no_copy: *no_copy,
                read_only: request.read_only,
            };
            volume_mount::volume_mount(store, container, &request)?
        }
        MountSource::Tmpfs { size, mode, options } => {
            volume_mount::tmpfs_mount(*size, *mode, options, request.read_only)?
        }
    };
    Ok(PlannedMount { target, kind })
}

/// `-v` creates a missing source directory; `--mount` requires it.
#[expect(clippy::disallowed_methods, reason = "the source is the user's, not the store's")]
fn ensure_bind_source(path: &Path, create: bool) -> Result<()> {
    match std::fs::symlink_metadata(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && create => std::fs::create_dir_all(path)
            .map_err(|error| {
                Failure::new(
                    FailureKind::Denied,
                    format!("cannot make the missing source `{}`: {error}", path.display()),
                )
                .into()
            }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(invalid(format!(
            "invalid mount config for type \"bind\": bind source path does not exist: {}",
            path.display()
        ))
        .into()),
        Err(error) => Err(Failure::new(
            FailureKind::Denied,
            format!("cannot look at the mount source `{}`: {error}", path.display()),
        )
        .into()),
    }
}

fn propagation_of(text: &str) -> MountPropagation {
    match text {
        "shared" | "rshared" => MountPropagation::Shared,
        "slave" | "rslave" => MountPropagation::Slave,
        // docker's default is `rprivate`.
        _ => MountPropagation::Private,
    }
}

/// Path of dhow's own init inside the container; docker's.
pub(super) const INIT_PATH: &str = "/sbin/docker-init";

/// dhow's executable, which acts as an init when called by that name.
fn init_mount() -> Result<PlannedMount> {
    let executable = std::fs::read_link("/proc/self/exe")
        .map_err(|error| Failure::new(FailureKind::Unsupported, format!("--init needs /proc: {error}")))?;
    Ok(PlannedMount {
        target: INIT_PATH.into(),
        kind: MountKind::Bind(BindMount {
            source: executable,
            subpath: None,
            recursive: false,
            flags: MountAttributes { read_only: true, ..MountAttributes::default() },
            recursive_flags: false,
            propagation: MountPropagation::Private,
            copy_up: false,
            optional: false,
        }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_the_devices_only_those_in_the_way_go() {
        let spec = ContainerSpec::default();
        let own = NamespaceSet { net: true, pid: true, ipc: true, uts: true, cgroup: true };
        let mut mounts = system_mounts::system_mounts(&spec, &IdMap::default(), own);
        let requested = ["/dev/null", "/dev/fd", "/dev/shm"]
            .map(|target| PlannedMount { target: target.into(), kind: MountKind::Directory });
        drop_replaced(&mut mounts, &requested);
        let devices = mounts.iter().find_map(|mount| match &mount.kind {
            MountKind::Devices(directory) => Some(directory),
            _ => None,
        });
        let devices = devices.unwrap();
        assert_eq!(devices.nodes, ["zero", "full", "random", "urandom", "tty"]);
        assert!(devices.links.iter().all(|(name, _)| name != "fd") && devices.links.len() == 5);
        assert!(mounts.iter().all(|mount| mount.target != "/dev/shm"));
        drop_replaced(&mut mounts, &[PlannedMount { target: "/dev".into(), kind: MountKind::Directory }]);
        assert!(mounts.iter().all(|mount| !mount.target.starts_with("/dev")));
    }

    #[test]
    fn mounts_asked_for_win_but_not_proc() {
        assert!(replaces_system_mount("/dev", "/dev/null"));
        assert!(replaces_system_mount("/etc/hosts", "/etc/hosts"));
        assert!(!replaces_system_mount("/dev/nul", "/dev/null"));
        assert!(!replaces_system_mount("/", "/proc"));
    }
}

//! The mounts that every container has: /proc, /sys, /dev and what lies in it, as docker has them.

use dhow_model::container::{ContainerSpec, IpcMode};
use dhow_sandbox::identity::idmap::IdMap;
use dhow_sandbox::plan::{
    BindMount, DeviceDirectory, MountAttributes, MountKind, MountPropagation, NamespaceSet, PeerMount,
    PlannedMount,
};

/// docker's default size of /dev/shm, in bytes.
const SHM_SIZE: u64 = 64 << 20;
/// Group id of `tty` in nearly every distribution.
const TTY_GROUP: u32 = 5;

const NO_SUID_DEV_EXEC: MountAttributes =
    MountAttributes { read_only: false, nosuid: true, nodev: true, noexec: true };

/// In the order in which they are mounted.
pub(crate) fn system_mounts(spec: &ContainerSpec, map: &IdMap, unshare: NamespaceSet) -> Vec<PlannedMount> {
    let mut mounts = vec![proc(spec, unshare)];
    mounts.extend(dev(spec, map));
    mounts.extend(ipc(spec));
    mounts.extend(sys(spec, unshare));
    mounts
}

fn mount(target: &str, kind: MountKind) -> PlannedMount {
    PlannedMount { target: target.into(), kind }
}

fn new_filesystem(kind: &str, params: &[(&str, &str)], flags: MountAttributes) -> MountKind {
    let params = params.iter().map(|(name, value)| ((*name).to_owned(), Some((*value).to_owned()))).collect();
    MountKind::NewFilesystem { kind: kind.into(), params, flags, fallback: None, optional: false }
}

fn host_tree(path: &str) -> MountKind {
    MountKind::Bind(BindMount {
        source: path.into(),
        subpath: None,
        recursive: true,
        flags: MountAttributes::default(),
        recursive_flags: false,
        propagation: MountPropagation::Private,
        copy_up: false,
        optional: false,
    })
}

/// A device node of the host; skipped if the host does not have it.
pub(crate) fn device_node(path: &str, target: &str) -> PlannedMount {
    let MountKind::Bind(bind) = host_tree(path) else { return mount(target, MountKind::Directory) };
    mount(target, MountKind::Bind(BindMount { recursive: false, optional: true, ..bind }))
}

/// A procfs of the container's own PID namespace, the donor's, or the host's. The host's is bind-mounted: a
/// new instance for the initial PID namespace cannot be mounted from a child user namespace.
fn proc(spec: &ContainerSpec, unshare: NamespaceSet) -> PlannedMount {
    if spec.namespaces.pid_container.is_some() {
        return mount("/proc", MountKind::FromPeer(PeerMount::Proc));
    }
    let kind = match (unshare.pid, new_filesystem("proc", &[], NO_SUID_DEV_EXEC)) {
        (true, MountKind::NewFilesystem { kind, params, flags, optional, .. }) => {
            // Where parts of /proc are covered, as inside most containers, the kernel refuses a new instance
            // (EPERM): it would reveal them.
            MountKind::NewFilesystem { kind, params, flags, optional, fallback: Some("/proc".into()) }
        }
        _ => host_tree("/proc"),
    };
    mount("/proc", kind)
}

fn dev(spec: &ContainerSpec, map: &IdMap) -> Vec<PlannedMount> {
    let links = [
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
        ("core", "/proc/kcore"),
        ("ptmx", "pts/ptmx"),
    ];
    let directory = DeviceDirectory {
        params: [("mode", "0755"), ("size", "65536k")]
            .map(|(name, value)| (name.into(), Some(value.into())))
            .into(),
        flags: MountAttributes { nosuid: true, ..MountAttributes::default() },
        nodes: ["null", "zero", "full", "random", "urandom", "tty"].map(str::to_owned).into(),
        links: links.map(|(name, text)| (name.to_owned(), text.to_owned())).into(),
    };
    let mut mounts = vec![mount("/dev", MountKind::Devices(directory))];
    let mut params = vec![
        // Ignored since Linux 4.7, where every mount of devpts is an instance of its own.
        ("newinstance".to_owned(), None),
        ("ptmxmode".to_owned(), Some("0666".to_owned())),
        ("mode".to_owned(), Some("0620".to_owned())),
    ];
    // devpts refuses a gid that is not mapped (EINVAL).
    if map.has_gid(TTY_GROUP) {
        params.push(("gid".to_owned(), Some(TTY_GROUP.to_string())));
    }
    let flags = MountAttributes { nosuid: true, noexec: true, ..MountAttributes::default() };
    mounts.push(mount(
        "/dev/pts",
        MountKind::NewFilesystem { kind: "devpts".into(), params, flags, fallback: None, optional: false },
    ));
    if spec.security.privileged {
        mounts.extend(all_devices());
    }
    mounts
}

/// Every device node of the host, except in directories of /dev that a container has its own of.
fn all_devices() -> Vec<PlannedMount> {
    let excluded = [
        "pts",
        "shm",
        "mqueue",
        "fd",
        "stdin",
        "stdout",
        "stderr",
        "core",
        "ptmx",
        "console",
        "null",
        "zero",
        "full",
        "random",
        "urandom",
        "tty",
        "hugepages",
        "log",
    ];
    let Ok(entries) = std::fs::read_dir("/dev") else { return Vec::new() };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut names: Vec<String> = names.filter(|name| !excluded.contains(&name.as_str())).collect();
    names.sort_unstable();
    names
        .into_iter()
        .map(|name| format!("/dev/{name}"))
        .filter(|path| is_device_or_directory(path))
        .map(|path| device_node(&path, &path))
        .collect()
}

fn is_device_or_directory(path: &str) -> bool {
    use std::os::unix::fs::FileTypeExt as _;
    std::fs::symlink_metadata(path).is_ok_and(|data| {
        let kind = data.file_type();
        kind.is_char_device() || kind.is_block_device() || kind.is_dir()
    })
}

fn ipc(spec: &ContainerSpec) -> Vec<PlannedMount> {
    match &spec.namespaces.ipc {
        IpcMode::Host => {
            vec![mount("/dev/shm", host_tree("/dev/shm")), device_node("/dev/mqueue", "/dev/mqueue")]
        }
        IpcMode::Container(_) => {
            vec![
                mount("/dev/shm", MountKind::FromPeer(PeerMount::Shm)),
                mount("/dev/mqueue", MountKind::FromPeer(PeerMount::Mqueue)),
            ]
        }
        IpcMode::None => vec![queue()],
        IpcMode::Private | IpcMode::Shareable => {
            let size = spec.shm_size.unwrap_or(SHM_SIZE).to_string();
            vec![
                mount(
                    "/dev/shm",
                    new_filesystem("tmpfs", &[("mode", "1777"), ("size", &size)], NO_SUID_DEV_EXEC),
                ),
                queue(),
            ]
        }
    }
}

/// Optional: kernels can be built without POSIX message queues.
fn queue() -> PlannedMount {
    mount(
        "/dev/mqueue",
        MountKind::NewFilesystem {
            kind: "mqueue".into(),
            params: Vec::new(),
            flags: NO_SUID_DEV_EXEC,
            fallback: None,
            optional: true,
        },
    )
}

/// A new sysfs shows the network devices of the container's network namespace. With the host's network only
/// the host's /sys can be mounted.
fn sys(spec: &ContainerSpec, unshare: NamespaceSet) -> Vec<PlannedMount> {
    let flags = MountAttributes { read_only: !spec.security.privileged, ..NO_SUID_DEV_EXEC };
    let writable = spec.security.privileged || spec.security.writable_cgroups;
    let sysfs = MountKind::NewFilesystem {
        kind: "sysfs".into(),
        params: Vec::new(),
        flags,
        fallback: Some("/sys".into()),
        optional: true,
    };
    let cgroup = MountKind::NewFilesystem {
        kind: "cgroup2".into(),
        params: Vec::new(),
        flags: MountAttributes { read_only: !writable, ..NO_SUID_DEV_EXEC },
        fallback: None,
        optional: true,
    };
    let mut mounts = vec![mount("/sys", sysfs)];
    if unshare.cgroup {
        mounts.push(mount("/sys/fs/cgroup", cgroup));
    }
    mounts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cgroup_file_system_is_writable_only_where_asked() {
        let unshare = NamespaceSet { net: true, pid: true, ipc: true, uts: true, cgroup: true };
        let read_only = |spec: &ContainerSpec| {
            let mounts = sys(spec, unshare);
            let cgroup = mounts.iter().find(|mount| mount.target == "/sys/fs/cgroup").unwrap();
            matches!(&cgroup.kind, MountKind::NewFilesystem { flags, .. } if flags.read_only)
        };
        let mut spec = ContainerSpec::default();
        assert!(read_only(&spec));
        spec.security.writable_cgroups = true;
        assert!(!read_only(&spec));
    }
}

//! The mounts that every container has: /proc, /sys, /dev and what lies in it, as docker has them.

use crate::model::container::{ContainerSpec, IpcMode};
use crate::sandbox::idmap::IdMap;
use crate::sandbox::plan::{Bind, Flags, Kin, Mount, MountKind, Propagation, Unshare};

/// docker's default size of /dev/shm, in bytes.
const SHM_SIZE: u64 = 64 << 20;
/// Group id of `tty` in nearly every distribution.
const TTY_GROUP: u32 = 5;

const CLOSED: Flags = Flags { read_only: false, nosuid: true, nodev: true, noexec: true };

/// In the order in which they are mounted.
pub(super) fn mounts(spec: &ContainerSpec, map: &IdMap, unshare: Unshare) -> Vec<Mount> {
    let mut mounts = vec![proc(spec, unshare)];
    mounts.extend(dev(spec, map));
    mounts.extend(ipc(spec));
    mounts.extend(sys(spec, unshare));
    mounts
}

fn mount(target: &str, kind: MountKind) -> Mount {
    Mount { target: target.into(), kind }
}

fn new(kind: &str, params: &[(&str, &str)], flags: Flags) -> MountKind {
    let params = params.iter().map(|(name, value)| ((*name).to_owned(), Some((*value).to_owned()))).collect();
    MountKind::New { kind: kind.into(), params, flags, fallback: None, optional: false }
}

fn host_tree(path: &str) -> MountKind {
    MountKind::Bind(Bind {
        source: path.into(),
        subpath: None,
        recursive: true,
        flags: Flags::default(),
        recursive_flags: false,
        propagation: Propagation::Private,
        copy_up: false,
        optional: false,
    })
}

/// A device node of the host; skipped if the host does not have it.
pub(super) fn node(path: &str, target: &str) -> Mount {
    let MountKind::Bind(bind) = host_tree(path) else { return mount(target, MountKind::Directory) };
    mount(target, MountKind::Bind(Bind { recursive: false, optional: true, ..bind }))
}

/// A procfs of the container's own PID namespace, the donor's, or the host's. The host's is bind-mounted: a
/// new instance for the initial PID namespace cannot be mounted from a child user namespace.
fn proc(spec: &ContainerSpec, unshare: Unshare) -> Mount {
    if spec.namespaces.pid_container.is_some() {
        return mount("/proc", MountKind::Kin(Kin::Processes));
    }
    let kind = match (unshare.pid, new("proc", &[], CLOSED)) {
        (true, MountKind::New { kind, params, flags, optional, .. }) => {
            // Where parts of /proc are covered, as inside most containers, the kernel refuses a new instance
            // (EPERM): it would reveal them.
            MountKind::New { kind, params, flags, optional, fallback: Some("/proc".into()) }
        }
        _ => host_tree("/proc"),
    };
    mount("/proc", kind)
}

fn dev(spec: &ContainerSpec, map: &IdMap) -> Vec<Mount> {
    let flags = Flags { nosuid: true, ..Flags::default() };
    let mut mounts = vec![mount("/dev", new("tmpfs", &[("mode", "0755"), ("size", "65536k")], flags))];
    for name in ["null", "zero", "full", "random", "urandom", "tty"] {
        mounts.push(node(&format!("/dev/{name}"), &format!("/dev/{name}")));
    }
    let links = [
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
        ("core", "/proc/kcore"),
        ("ptmx", "pts/ptmx"),
    ];
    mounts.extend(links.map(|(name, text)| mount(&format!("/dev/{name}"), MountKind::Symlink(text.into()))));
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
    let flags = Flags { nosuid: true, noexec: true, ..Flags::default() };
    mounts.push(mount(
        "/dev/pts",
        MountKind::New { kind: "devpts".into(), params, flags, fallback: None, optional: false },
    ));
    if spec.security.privileged {
        mounts.extend(all_devices());
    }
    mounts
}

/// Every device node of the host, except in directories of /dev that a container has its own of.
fn all_devices() -> Vec<Mount> {
    let own = [
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
    let mut names: Vec<String> = names.filter(|name| !own.contains(&name.as_str())).collect();
    names.sort_unstable();
    names
        .into_iter()
        .map(|name| format!("/dev/{name}"))
        .filter(|path| is_device_or_directory(path))
        .map(|path| node(&path, &path))
        .collect()
}

fn is_device_or_directory(path: &str) -> bool {
    use std::os::unix::fs::FileTypeExt as _;
    std::fs::symlink_metadata(path).is_ok_and(|data| {
        let kind = data.file_type();
        kind.is_char_device() || kind.is_block_device() || kind.is_dir()
    })
}

fn ipc(spec: &ContainerSpec) -> Vec<Mount> {
    match &spec.namespaces.ipc {
        IpcMode::Host => vec![mount("/dev/shm", host_tree("/dev/shm")), node("/dev/mqueue", "/dev/mqueue")],
        IpcMode::Container(_) => {
            vec![
                mount("/dev/shm", MountKind::Kin(Kin::Memory)),
                mount("/dev/mqueue", MountKind::Kin(Kin::Queues)),
            ]
        }
        IpcMode::None => vec![queue()],
        IpcMode::Private | IpcMode::Shareable => {
            let size = spec.shm_size.unwrap_or(SHM_SIZE).to_string();
            vec![mount("/dev/shm", new("tmpfs", &[("mode", "1777"), ("size", &size)], CLOSED)), queue()]
        }
    }
}

/// Optional: kernels can be built without POSIX message queues.
fn queue() -> Mount {
    mount(
        "/dev/mqueue",
        MountKind::New {
            kind: "mqueue".into(),
            params: Vec::new(),
            flags: CLOSED,
            fallback: None,
            optional: true,
        },
    )
}

/// A new sysfs shows the network devices of the container's network namespace. With the host's network only
/// the host's /sys can be mounted.
fn sys(spec: &ContainerSpec, unshare: Unshare) -> Vec<Mount> {
    let flags = Flags { read_only: !spec.security.privileged, ..CLOSED };
    let writable = spec.security.privileged || spec.security.writable_cgroups;
    let sysfs = MountKind::New {
        kind: "sysfs".into(),
        params: Vec::new(),
        flags,
        fallback: Some("/sys".into()),
        optional: true,
    };
    let cgroup = MountKind::New {
        kind: "cgroup2".into(),
        params: Vec::new(),
        flags: Flags { read_only: !writable, ..CLOSED },
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
        let unshare = Unshare { net: true, pid: true, ipc: true, uts: true, cgroup: true };
        let read_only = |spec: &ContainerSpec| {
            let mounts = sys(spec, unshare);
            let cgroup = mounts.iter().find(|mount| mount.target == "/sys/fs/cgroup").unwrap();
            matches!(&cgroup.kind, MountKind::New { flags, .. } if flags.read_only)
        };
        let mut spec = ContainerSpec::default();
        assert!(read_only(&spec));
        spec.security.writable_cgroups = true;
        assert!(!read_only(&spec));
    }
}

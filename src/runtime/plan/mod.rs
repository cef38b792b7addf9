//! Turns a container's specification into the sandbox's plan.
//!
//! A specification says what the user asked for, in docker's terms; a plan says what the sandbox does, with paths,
//! ids and mounts resolved, and leaves it nothing to decide. Whatever can be refused is refused here, before a
//! process is started.
//!
//! # Files
//!
//! - `mounts`: all mounts in order; they come from `system_mounts` (/proc, /sys, /dev), `generated_files`
//!   (/etc/hosts, /etc/resolv.conf, …) and `volume_mount`; what the user mounts replaces what the system has there.
//! - `image_user`, `layer_files`, `single_id`: what must be known of the image before it is mounted.
//! - `exec`: the plan of another process in a running container.
//! - `rootfs_layout`: the file system of a container that does not run, for `cp`, `export` and the like.

mod exec;
pub(crate) mod generated_files;
pub(crate) mod hosts;
mod image_user;
pub(crate) mod layer_files;
mod mounts;
mod resolv_conf;
pub(crate) mod rootfs_layout;
mod single_id;
mod system_mounts;
mod volume_mount;

pub use exec::exec_plan;
pub use mounts::drop_replaced;

use std::path::PathBuf;

use anyhow::Result;

use dhow_error::{Failure, FailureKind, invalid};
use dhow_model::container::{ContainerSpec, IpcMode, NetworkMode, SeccompMode, UsernsMode};
use dhow_model::digest::Digest;
use dhow_sandbox::caps::{self, CapSet};
use dhow_sandbox::identity::HostIdentity;
use dhow_sandbox::identity::idmap::IdMap;
use dhow_sandbox::plan::{
    Confinement, NamespaceSet, OverlayLayers, ProcessPlan, RootPlan, RootSource, SandboxPlan, SeccompPlan,
};
use dhow_sandbox::seccomp;
use dhow_store::{ContainerDir, Store};

use super::network::NetworkPlan;
use super::process_limits;

/// The plan for `container`, whose specification has its image's defaults merged in. `layers` are the
/// image's, lowest first; `networks` is what was resolved of its networks.
pub fn make_plan(
    store: &Store,
    container: &ContainerDir,
    layers: &[Digest],
    identity: &HostIdentity,
    networks: Option<&NetworkPlan>,
) -> Result<SandboxPlan> {
    let spec = container.spec();
    let unshare = unshare(spec);
    let map = id_map(store, spec, layers, identity)?;
    let root = root(store, container, layers);
    let mut plan = SandboxPlan {
        name: spec.name.clone(),
        hold_mounts: holds_mounts(spec, &root),
        root,
        mounts: mounts::all_mounts(store, container, &map, unshare, networks)?,
        masked: masked(spec),
        read_only: read_only(spec),
        // In the host's UTS namespace sethostname(2) would fail with EPERM.
        hostname: spec.hostname.clone().filter(|_| unshare.uts),
        domainname: spec.domainname.clone().filter(|_| unshare.uts),
        sysctls: sysctls(spec, unshare)?,
        process: process(spec)?,
        confinement: confinement(spec, !identity.is_mapped())?,
        ids: map,
        awaits_network: spec.namespaces.network == Some(NetworkMode::Networks),
        unshare,
    };
    if plan.confinement.emulate_root {
        single_id::adapt_to_single_id(&mut plan, store, layers);
    }
    Ok(plan)
}

/// The namespaces that are not the host's.
fn not_from_host(spec: &ContainerSpec) -> NamespaceSet {
    let namespaces = &spec.namespaces;
    NamespaceSet {
        net: namespaces.network != Some(NetworkMode::Host),
        pid: !namespaces.pid_host,
        ipc: namespaces.ipc != IpcMode::Host,
        uts: !namespaces.uts_host,
        cgroup: !namespaces.cgroup_host,
    }
}

/// The namespaces that are the container's own: neither the host's nor another container's.
fn unshare(spec: &ContainerSpec) -> NamespaceSet {
    let (separate, shared) = (not_from_host(spec), from_container(spec));
    NamespaceSet {
        net: separate.net && !shared.net,
        pid: separate.pid && !shared.pid,
        ipc: separate.ipc && !shared.ipc,
        ..separate
    }
}

/// The namespaces of another container.
pub(crate) fn from_container(spec: &ContainerSpec) -> NamespaceSet {
    let namespaces = &spec.namespaces;
    NamespaceSet {
        net: matches!(namespaces.network, Some(NetworkMode::Container(_))),
        pid: namespaces.pid_container.is_some(),
        ipc: matches!(namespaces.ipc, IpcMode::Container(_)),
        uts: false,
        cgroup: false,
    }
}

/// A single id is mapped to the container's user, so that `-u 1000` shows 1000 inside.
fn id_map(store: &Store, spec: &ContainerSpec, layers: &[Digest], identity: &HostIdentity) -> Result<IdMap> {
    let (uid, gid) = identity.host_ids();
    Ok(match &spec.namespaces.userns {
        UsernsMode::KeepId { uid: requested_uid, gid: requested_gid } => {
            identity.keep_id_map(requested_uid.unwrap_or(uid), requested_gid.unwrap_or(gid))
        }
        UsernsMode::NoMap => {
            let failure = Failure::new(
                FailureKind::Unsupported,
                "--userns nomap: dhow keeps images as the user's own files, so the user must exist inside",
            );
            return Err(failure.hint("use --userns keep-id, or leave it out").into());
        }
        UsernsMode::Default | UsernsMode::Host | UsernsMode::Auto if identity.is_mapped() => {
            identity.map((0, 0))
        }
        UsernsMode::Default | UsernsMode::Host | UsernsMode::Auto => {
            let user = image_user::image_user(store, spec, layers)?;
            identity.map((user.uid, user.gid))
        }
    })
}

fn root(store: &Store, container: &ContainerDir, layers: &[Digest]) -> RootPlan {
    let spec = container.spec();
    let base = store.root().to_owned();
    // Relative to the store, which the sandbox has open: overlayfs takes mount options of one page at most.
    let relative = |path: PathBuf| path.strip_prefix(&base).map(ToOwned::to_owned).unwrap_or(path);
    let source = match (&spec.rootfs, layers) {
        (Some(dir), _) => RootSource::Directory(dir.clone()),
        // overlayfs needs a lower layer, and an image without layers has none.
        (None, []) => RootSource::Directory(container.upper()),
        (None, layers) => RootSource::Overlay(OverlayLayers {
            lower: layers.iter().rev().map(|layer| relative(store.layer_tree(layer))).collect(),
            upper: relative(container.upper()),
            work: relative(container.work()),
            // overlayfs then skips all syncs; nothing of an --rm container has to survive a crash.
            volatile: spec.auto_remove,
            must_persist: false,
            base: base.clone(),
        }),
    };
    RootPlan {
        stage: container.path().to_owned(),
        memory_files: base,
        source,
        read_only: spec.read_only,
        mount_stubs: false,
    }
}

/// Only where nothing but dhow's own files is mounted, and where nobody mounts the writable layer again: the user may
/// want to unmount or reuse the rest as soon as the container has ended.
fn holds_mounts(spec: &ContainerSpec, root: &RootPlan) -> bool {
    let own =
        matches!(root.source, RootSource::Overlay(_)) && spec.mounts.is_empty() && spec.devices.is_empty();
    own && spec.auto_remove && !spec.security.privileged
}

/// docker's lists (`oci/defaults.go` of its engine): paths that reveal the host or reach into its kernel.
fn masked(spec: &ContainerSpec) -> Vec<String> {
    if unmasked(spec) {
        return Vec::new();
    }
    let proc = [
        "asound",
        "acpi",
        "interrupts",
        "kcore",
        "keys",
        "latency_stats",
        "timer_list",
        "timer_stats",
        "sched_debug",
        "scsi",
    ];
    let sys = ["firmware", "devices/virtual/powercap"];
    let proc = proc.iter().map(|name| format!("/proc/{name}"));
    proc.chain(sys.iter().map(|name| format!("/sys/{name}"))).collect()
}

fn read_only(spec: &ContainerSpec) -> Vec<String> {
    if unmasked(spec) {
        return Vec::new();
    }
    ["bus", "fs", "irq", "sys", "sysrq-trigger"].iter().map(|name| format!("/proc/{name}")).collect()
}

fn unmasked(spec: &ContainerSpec) -> bool {
    spec.security.privileged || spec.security.unmasked
}

/// Only sysctls that are namespaced can be set, and only in a namespace of the container's own.
fn sysctls(spec: &ContainerSpec, unshare: NamespaceSet) -> Result<Vec<(String, String)>> {
    spec.sysctls.iter().map(|(name, value)| Ok((sysctl_path(name, unshare)?, value.clone()))).collect()
}

fn sysctl_path(name: &str, unshare: NamespaceSet) -> Result<String> {
    let ipc = [
        "kernel.msgmax",
        "kernel.msgmnb",
        "kernel.msgmni",
        "kernel.sem",
        "kernel.shmall",
        "kernel.shmmax",
        "kernel.shmmni",
        "kernel.shm_rmid_forced",
    ];
    let dotted = name.replace('/', ".");
    let shared = |namespace: &str| {
        Failure::new(
            FailureKind::Invalid,
            format!("sysctl '{name}' is not allowed with the host's {namespace} namespace"),
        )
    };
    if ipc.contains(&dotted.as_str()) || dotted.starts_with("fs.mqueue.") {
        return if unshare.ipc { Ok(dotted.replace('.', "/")) } else { Err(shared("IPC").into()) };
    }
    // `net/../kernel/…` would lead out of the directory.
    if dotted.starts_with("net.") && !dotted.contains("..") {
        return if unshare.net { Ok(net_path(name)) } else { Err(shared("network").into()) };
    }
    Err(invalid(format!("sysctl '{}' is not in a separate kernel namespace", name.escape_debug())).into())
}

/// Names of network interfaces may contain dots, so a name written with slashes keeps its dots.
fn net_path(name: &str) -> String {
    if name.contains('/') { name.to_owned() } else { name.replace('.', "/") }
}

fn process(spec: &ContainerSpec) -> Result<ProcessPlan> {
    let process = &spec.process;
    let args = [process.entrypoint.clone().unwrap_or_default(), process.command.clone().unwrap_or_default()]
        .concat();
    if args.is_empty() {
        return Err(invalid("no command specified: neither the image nor the command line names one").into());
    }
    let cwd = process.workdir.clone().filter(|dir| !dir.is_empty()).unwrap_or_else(|| "/".into());
    if !cwd.starts_with('/') {
        return Err(invalid(format!(
            "the working directory '{}' is invalid, it needs to be an absolute path",
            cwd.escape_debug()
        ))
        .into());
    }
    Ok(ProcessPlan {
        args,
        env: process.env.clone(),
        cwd,
        user: user(spec),
        groups: process.groups.clone(),
        tty: process.tty,
        terminal_size: None,
        init: spec.init.then(|| mounts::INIT_PATH.to_owned()),
        rlimits: process_limits::plan(&spec.ulimits),
        oom_score_adj: spec.oom_score_adj,
        // Without its supervisor nobody would log, stop or clean up after it.
        die_with_parent: true,
    })
}

/// With `keep-id` the user is the caller's own, unless another one was asked for.
fn user(spec: &ContainerSpec) -> String {
    let requested = spec.process.user.clone().unwrap_or_default();
    match &spec.namespaces.userns {
        UsernsMode::KeepId { uid, gid } if requested.is_empty() => {
            let uid = uid.unwrap_or_else(|| rustix::process::geteuid().as_raw());
            let gid = gid.unwrap_or_else(|| rustix::process::getegid().as_raw());
            format!("{uid}:{gid}")
        }
        _ => requested,
    }
}

fn confinement(spec: &ContainerSpec, emulate_root: bool) -> Result<Confinement> {
    let security = &spec.security;
    refuse_labels(spec)?;
    let requested = caps::tweak_capabilities(&security.cap_add, &security.cap_drop, security.privileged)?;
    let (capabilities, unknown) = caps::known_to_kernel(requested);
    // `--cap-add ALL` means all that this kernel has; a name means exactly that one.
    let all = security.privileged || security.cap_add.iter().any(|name| name.eq_ignore_ascii_case("all"));
    if !all && !unknown.is_empty() {
        let names = security.cap_add.join(", ");
        return Err(Failure::new(
            FailureKind::Unsupported,
            format!("this kernel lacks a capability of --cap-add {names}"),
        )
        .into());
    }
    Ok(Confinement {
        capabilities: capabilities.bits(),
        no_new_privileges: security.no_new_privileges,
        seccomp: seccomp_plan(spec, capabilities)?,
        emulate_root,
        remember_owners: false,
    })
}

/// An unprivileged process cannot switch profiles of security modules; asking for none is fine.
fn refuse_labels(spec: &ContainerSpec) -> Result<()> {
    let refused = |option: String| {
        let failure = Failure::new(
            FailureKind::Unsupported,
            format!("--security-opt {option}: dhow cannot switch profiles"),
        );
        failure.hint("the container keeps the profile that dhow itself runs under; leave the option out")
    };
    if let Some(profile) = &spec.security.apparmor
        && profile != "unconfined"
    {
        return Err(refused(format!("apparmor={profile}")).into());
    }
    match spec.security.labels.iter().find(|label| *label != "disable") {
        Some(label) => Err(refused(format!("label={label}")).into()),
        None => Ok(()),
    }
}

fn seccomp_plan(spec: &ContainerSpec, capabilities: CapSet) -> Result<SeccompPlan> {
    Ok(match &spec.security.seccomp {
        SeccompMode::Unconfined => SeccompPlan::Unconfined,
        // As docker: --privileged turns off the default profile, not one that was asked for.
        SeccompMode::Default if spec.security.privileged => SeccompPlan::Unconfined,
        SeccompMode::Default => SeccompPlan::Default,
        SeccompMode::Profile(text) => {
            // For its errors only: they are reported before a process is started.
            seccomp::from_json(text, capabilities)?;
            SeccompPlan::Profile(text.clone())
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: NamespaceSet = NamespaceSet { net: true, pid: true, ipc: true, uts: true, cgroup: true };

    #[test]
    fn sysctls_of_other_namespaces_are_refused() {
        assert_eq!(sysctl_path("net.ipv4.ip_forward", OWN).unwrap(), "net/ipv4/ip_forward");
        assert_eq!(
            sysctl_path("net/ipv4/conf/eth0.1/forwarding", OWN).unwrap(),
            "net/ipv4/conf/eth0.1/forwarding"
        );
        assert_eq!(sysctl_path("kernel.shmmax", OWN).unwrap(), "kernel/shmmax");
        for bad in [
            "kernel.core_pattern",
            "vm.swappiness",
            "net",
            "../x",
            "net/../kernel/core_pattern",
            "net...kernel",
        ] {
            assert!(sysctl_path(bad, OWN).is_err(), "{bad}");
        }
        assert!(sysctl_path("net.ipv4.ip_forward", NamespaceSet { net: false, ..OWN }).is_err());
    }

    #[test]
    fn a_command_is_needed_and_a_relative_directory_refused() {
        assert!(process(&ContainerSpec::default()).is_err());
        let mut spec = ContainerSpec::default();
        spec.process.command = Some(vec!["true".into()]);
        assert_eq!(process(&spec).unwrap().cwd, "/");
        spec.process.workdir = Some("relative".into());
        assert!(process(&spec).is_err());
    }
}

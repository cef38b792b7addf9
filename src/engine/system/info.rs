//! `system info`: the account's ids, the store, the kernel, the network backend, and what is missing on this
//! machine.

use std::fs;

use anyhow::Result;

use crate::container::ls::{self, ContainerQuery};
use dhow_model::environment::Environment;
use dhow_network::backend::NetworkBackend;
use dhow_network::datapath::{self, BackendProbe};
use dhow_runtime::{cgroup, network, userns};
use dhow_sandbox::cgroup::{CgroupManager, ControllerSet};
use dhow_sandbox::identity::HostIdentity;
use dhow_store::Store;
use dhow_sys::memory;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SystemInfo {
    pub running: usize,
    pub paused: usize,
    pub stopped: usize,
    pub images: usize,
    /// File system of the data root, or its magic number in hexadecimal.
    pub backing_file_system: String,
    /// Why the account has only one id; `None` if it has a range of subordinate ids.
    pub single_because: Option<String>,
    pub kernel: String,
    /// The kernel's name for the architecture, such as `x86_64`.
    pub machine: String,
    pub host: String,
    /// The distribution, `PRETTY_NAME` of os-release(5).
    pub system: String,
    /// The distribution's version, `VERSION_ID` of os-release(5).
    pub system_version: String,
    /// CPUs that this process may use.
    pub processors: usize,
    /// Bytes of memory.
    pub memory: u64,
    /// Version of the cgroup hierarchy, 1 or 2.
    pub cgroups: u8,
    /// `systemd`, `cgroupfs` or `none`.
    pub cgroup_driver: &'static str,
    /// The controllers through which limits can be set.
    pub controllers: ControllerSet,
    /// Which network backend works, and why others do not.
    pub network: BackendProbe,
    /// What does not work here, with a hint each.
    pub warnings: Vec<String>,
}

pub fn info(store: &Store, identity: &HostIdentity, environment: &Environment) -> Result<SystemInfo> {
    let containers =
        ls::list(store, &ContainerQuery { all: true, ..ContainerQuery::default() }, || identity.clone())?;
    let count = |status: &str| containers.iter().filter(|container| container.status() == status).count();
    let (running, paused) = (count("running"), count("paused"));
    let network = probe_networks(identity, network::forced_backend(environment)?);
    let manager = CgroupManager::detect("", cgroup::session_info(environment))?;
    let uname = rustix::system::uname();
    let text = |text: &std::ffi::CStr| text.to_string_lossy().into_owned();
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let single_because =
        (!identity.is_mapped()).then(|| identity.why_single().unwrap_or_default().to_owned());
    Ok(SystemInfo {
        running,
        paused,
        stopped: containers.len().saturating_sub(running + paused),
        images: store.images()?.len(),
        backing_file_system: backing_file_system(store),
        warnings: warnings(&manager, single_because.as_deref(), &network),
        single_because,
        kernel: text(uname.release()),
        machine: text(uname.machine()),
        host: text(uname.nodename()),
        system: release_field(&release, "PRETTY_NAME").unwrap_or_else(|| "Linux".into()),
        system_version: release_field(&release, "VERSION_ID").unwrap_or_default(),
        processors: std::thread::available_parallelism().map_or(1, usize::from),
        memory: memory::total_memory(&fs::read_to_string("/proc/meminfo").unwrap_or_default()),
        // The file exists only at the root of a cgroup2 mount (cgroups(7)).
        cgroups: if fs::exists("/sys/fs/cgroup/cgroup.controllers").unwrap_or(false) { 2 } else { 1 },
        cgroup_driver: manager.driver_name(),
        controllers: manager.controllers(),
        network,
    })
}

/// Probes the network backends in namespaces of a child process, which are gone with it.
fn probe_networks(identity: &HostIdentity, forced: Option<NetworkBackend>) -> BackendProbe {
    let probe = userns::run_in_new_userns(identity, || Ok(datapath::probe_backends(forced)));
    probe.unwrap_or_else(|error| {
        // Without a user namespace every backend fails, and for this reason.
        let backends = NetworkBackend::all().filter(|backend| forced.is_none_or(|forced| forced == *backend));
        BackendProbe {
            refused: backends.map(|backend| (backend, format!("{error:#}"))).collect(),
            ..BackendProbe::default()
        }
    })
}

fn warnings(manager: &CgroupManager, single_because: Option<&str>, network: &BackendProbe) -> Vec<String> {
    let mut warnings = Vec::new();
    if network.backend.is_none() {
        warnings.push("No networks: containers have --network none or --network host".to_owned());
    }
    if network.backend.is_some() && !network.v6 {
        warnings.push(
            "No IPv6 from containers to elsewhere: the kernel has none, or /proc/sys is read-only".to_owned(),
        );
    }
    if !network.ping {
        warnings.push(
            "No pings from containers: the group of this account is not in the sysctl net.ipv4.ping_group_range".to_owned(),
        );
    }
    if let Some(lacking) = manager.missing_controllers() {
        warnings.push(format!("No limits of {lacking}"));
    }
    if let Some(why) = single_because {
        warnings.push(format!("One user id in containers, other owners are emulated: {why}"));
    }
    warnings
}

/// Magic numbers of statfs(2) that a data root may report.
const FILE_SYSTEMS: [(u64, &str); 11] = [
    (0xef53, "extfs"),
    (0x5846_5342, "xfs"),
    (0x9123_683e, "btrfs"),
    (0x0102_1994, "tmpfs"),
    (0x794c_7630, "overlayfs"),
    (0x6969, "nfs"),
    (0x2fc1_2fc1, "zfs"),
    (0xf2f5_2010, "f2fs"),
    (0xf15f, "ecryptfs"),
    (0x6573_5546, "fuse"),
    (0xca45_1a4e, "bcachefs"),
];

/// Of the nearest existing ancestor if the data root does not exist yet.
fn backing_file_system(store: &Store) -> String {
    let stat = store.root().ancestors().find_map(|dir| rustix::fs::statfs(dir).ok());
    let Some(magic) = stat.and_then(|stat| u64::try_from(stat.f_type).ok()) else {
        return "<unknown>".into();
    };
    let file_system = FILE_SYSTEMS.iter().find(|(number, _)| *number == magic);
    file_system.map_or_else(|| format!("{magic:#x}"), |(_, name)| (*name).to_owned())
}

fn release_field(release: &str, name: &str) -> Option<String> {
    let value = release.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='))?;
    Some(value.trim().trim_matches(['"', '\'']).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_systems_files() {
        let release = "NAME=\"x\"\nPRETTY_NAME=\"Debian GNU/Linux 12\"\nVERSION_ID='12'\n";
        assert_eq!(release_field(release, "PRETTY_NAME").as_deref(), Some("Debian GNU/Linux 12"));
        assert_eq!(release_field(release, "VERSION_ID").as_deref(), Some("12"));
        assert_eq!(release_field(release, "ID"), None);
    }
}

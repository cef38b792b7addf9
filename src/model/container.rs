//! The [`ContainerSpec`]: what `run` or `create` asked for, as the store keeps it.
//!
//! The command line fills in the flags; on creation the runtime merges the image's defaults into it.
//! Afterwards only `update`, `rename` and the commands that connect and disconnect networks change it. How it is
//! carried out is the sandbox's `SandboxPlan`, which the command that starts the container computes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::digest::Digest;
use super::health::HealthSpec;
use super::limits::LimitsSpec;
use super::log::LogSpec;
use super::mount::MountSpec;
use super::network::{NetworkAttachment, PortSpec};
use super::restart::RestartPolicy;

/// Everything that defines a container. Stored as JSON: a field name is part of the format.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ContainerSpec {
    /// 64 hex digits.
    pub id: String,
    /// Unique, without a leading slash.
    pub name: String,
    /// RFC 3339, in UTC.
    pub created: String,
    /// The image to run; `None` with [`ContainerSpec::rootfs`].
    pub image: Option<ContainerImage>,
    /// `--rootfs`: a host directory as root file system in place of an image; absolute.
    pub rootfs: Option<PathBuf>,
    /// The requested platform, `os/arch[/variant]`.
    pub platform: Option<String>,
    pub process: ProcessSpec,
    /// By default the first twelve digits of the ID.
    pub hostname: Option<String>,
    pub domainname: Option<String>,
    /// Run a minimal init as PID 1, which reaps zombies and forwards signals.
    pub init: bool,
    pub read_only: bool,
    /// `--rm`: remove the container and its anonymous volumes when it exits.
    pub auto_remove: bool,
    /// In the order given; a later mount replaces an earlier one at the same target.
    pub mounts: Vec<MountSpec>,
    /// `--volumes-from` as given; the mounts were copied on creation.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub volumes_from: Vec<String>,
    /// Ports such as `80/tcp`, from `EXPOSE` and `--expose`.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub exposed_ports: BTreeSet<String>,
    /// In the order given; only with [`NetworkMode::Networks`].
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub networks: Vec<NetworkAttachment>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<PortSpec>,
    /// `-P`: publish all exposed ports that are not in `ports`.
    pub publish_all: bool,
    /// `--egress-log`: the file for a log of outgoing connections; absolute.
    pub egress_log: Option<PathBuf>,
    pub devices: Vec<DeviceSpec>,
    pub security: SecuritySpec,
    /// Limits per process (`setrlimit`).
    pub ulimits: Vec<UlimitSpec>,
    /// Limits of the container as a whole (cgroup).
    pub limits: LimitsSpec,
    /// Parent of its cgroup: a systemd slice (`x.slice`) or a delegated cgroup directory; empty for the
    /// default.
    pub cgroup_parent: String,
    /// Sysctls of the container's own namespaces.
    pub sysctls: BTreeMap<String, String>,
    /// Size of /dev/shm in bytes; 64 MiB if `None`.
    pub shm_size: Option<u64>,
    pub oom_score_adj: Option<i32>,
    pub namespaces: NamespaceSpec,
    pub dns: DnsSpec,
    /// Entries for /etc/hosts as (name, address); `host-gateway` is allowed as an address.
    pub extra_hosts: Vec<(String, String)>,
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
    /// By name or number.
    pub stop_signal: Option<String>,
    /// In seconds, before SIGKILL; negative waits forever.
    pub stop_timeout: Option<i64>,
    /// From the image where a setting was not given.
    pub health: HealthSpec,
    /// The image's SHELL, for health checks in shell form.
    pub shell: Option<Vec<String>>,
    pub restart: RestartPolicy,
    pub log: LogSpec,
}

impl ContainerSpec {
    /// The host name: the short ID unless one was set.
    pub fn host_name(&self) -> String {
        self.hostname.clone().unwrap_or_else(|| self.short_id().to_owned())
    }

    /// The first twelve digits of the ID, as docker shortens it.
    pub fn short_id(&self) -> &str {
        self.id.get(..12).unwrap_or(&self.id)
    }
}

/// The image of a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerImage {
    /// The digest of the image's config.
    pub id: Digest,
    /// As the user typed it.
    pub name: String,
}

/// The process to run. `None` means the image's value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProcessSpec {
    /// An empty list clears the image's.
    pub entrypoint: Option<Vec<String>>,
    /// Arguments appended to the entry point.
    pub command: Option<Vec<String>>,
    /// `NAME=value`, later ones win; a bare `NAME` removes the variable.
    pub env: Vec<String>,
    pub workdir: Option<String>,
    /// `user[:group]`, by name or number.
    pub user: Option<String>,
    /// Additional groups, by name or number.
    pub groups: Vec<String>,
    /// Allocate a pseudo-terminal.
    pub tty: bool,
    /// Keep stdin open.
    pub interactive: bool,
    /// Close stdin when the first client attached to it disconnects.
    pub stdin_once: bool,
    /// Any of `stdin`, `stdout`, `stderr`; empty means the default.
    pub attach: Vec<String>,
}

/// A host device, or a directory of devices.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceSpec {
    pub host: PathBuf,
    pub container: String,
    /// Any of `r`, `w` and `m`.
    pub permissions: String,
}

/// Requested confinement; the defaults are docker's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SecuritySpec {
    pub privileged: bool,
    /// In any spelling, or `ALL`.
    pub cap_add: Vec<String>,
    /// In any spelling, or `ALL`.
    pub cap_drop: Vec<String>,
    pub no_new_privileges: bool,
    pub seccomp: SeccompMode,
    /// `systempaths=unconfined`: no masked and no read-only paths.
    pub unmasked: bool,
    pub apparmor: Option<String>,
    /// `label=…` options, for SELinux.
    pub labels: Vec<String>,
    /// `writable-cgroups`: mount /sys/fs/cgroup read-write.
    pub writable_cgroups: bool,
}

/// The seccomp filter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SeccompMode {
    /// Docker's default profile.
    #[default]
    Default,
    Unconfined,
    /// A profile in docker's JSON format, as text.
    Profile(String),
}

/// A resource limit; -1 is `unlimited`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UlimitSpec {
    /// `nofile`, `nproc`, …
    pub name: String,
    pub soft: i64,
    pub hard: i64,
}

/// Which namespaces are shared, and with whom.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NamespaceSpec {
    /// `None` if not specified.
    pub network: Option<NetworkMode>,
    /// `--pid host`.
    pub pid_host: bool,
    /// `--pid container:`, by ID.
    pub pid_container: Option<String>,
    pub ipc: IpcMode,
    /// `--uts host`.
    pub uts_host: bool,
    /// `--cgroupns host`.
    pub cgroup_host: bool,
    pub userns: UsernsMode,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NetworkMode {
    None,
    Host,
    /// Shared with the container of this ID.
    Container(String),
    /// A network namespace of its own, attached to [`ContainerSpec::networks`].
    Networks,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IpcMode {
    /// Its own, with its own /dev/shm.
    #[default]
    Private,
    /// Its own, without /dev/shm.
    None,
    Host,
    /// Its own, joinable by other containers.
    Shareable,
    /// Shared with the container of this ID.
    Container(String),
}

impl NamespaceSpec {
    /// The containers whose network, PID and IPC namespaces are shared, by ID or name.
    pub fn joined_containers(&mut self) -> [Option<&mut String>; 3] {
        let network = match &mut self.network {
            Some(NetworkMode::Container(other)) => Some(other),
            _ => None,
        };
        let ipc = match &mut self.ipc {
            IpcMode::Container(other) => Some(other),
            _ => None,
        };
        [network, self.pid_container.as_mut(), ipc]
    }
}

/// How ids in the container map to ids of the host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UsernsMode {
    /// Root is the user; other ids are mapped to the subordinate range, if there is one.
    #[default]
    Default,
    /// The user keeps their own id inside, or gets this one.
    KeepId {
        /// By default the user's own.
        uid: Option<u32>,
        /// By default the user's own.
        gid: Option<u32>,
    },
    /// Same as the default, since dhow never runs as the host's root.
    Host,
    /// A map of the size that the image needs.
    Auto,
    /// The user is not mapped into the container (`nomap`).
    NoMap,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DnsSpec {
    pub servers: Vec<String>,
    pub search: Vec<String>,
    /// `ndots:2` and the like.
    pub options: Vec<String>,
}

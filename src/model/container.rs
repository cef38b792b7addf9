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
use super::record::is_default;
use super::restart::RestartPolicy;

/// Everything that defines a container. Stored as JSON: a field name is part of the format, and so
/// is each default, because a field that has it is not written.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ContainerSpec {
    /// 64 hex digits.
    #[serde(skip_serializing_if = "is_default")]
    pub id: String,
    /// Unique, without a leading slash.
    #[serde(skip_serializing_if = "is_default")]
    pub name: String,
    /// RFC 3339, in UTC.
    #[serde(skip_serializing_if = "is_default")]
    pub created: String,
    /// The image to run; `None` with [`ContainerSpec::rootfs`].
    #[serde(skip_serializing_if = "is_default")]
    pub image: Option<ContainerImage>,
    /// `--rootfs`: a host directory as root file system in place of an image; absolute.
    #[serde(skip_serializing_if = "is_default")]
    pub rootfs: Option<PathBuf>,
    /// The requested platform, `os/arch[/variant]`.
    #[serde(skip_serializing_if = "is_default")]
    pub platform: Option<String>,
    #[serde(skip_serializing_if = "is_default")]
    pub process: ProcessSpec,
    /// By default the first twelve digits of the ID.
    #[serde(skip_serializing_if = "is_default")]
    pub hostname: Option<String>,
    #[serde(skip_serializing_if = "is_default")]
    pub domainname: Option<String>,
    /// Run a minimal init as PID 1, which reaps zombies and forwards signals.
    #[serde(skip_serializing_if = "is_default")]
    pub init: bool,
    #[serde(skip_serializing_if = "is_default")]
    pub read_only: bool,
    /// `--rm`: remove the container and its anonymous volumes when it exits.
    #[serde(skip_serializing_if = "is_default")]
    pub auto_remove: bool,
    /// In the order given; a later mount replaces an earlier one at the same target.
    #[serde(skip_serializing_if = "is_default")]
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
    #[serde(skip_serializing_if = "is_default")]
    pub publish_all: bool,
    /// `--egress-log`: the file for a log of outgoing connections; absolute.
    #[serde(skip_serializing_if = "is_default")]
    pub egress_log: Option<PathBuf>,
    #[serde(skip_serializing_if = "is_default")]
    pub devices: Vec<DeviceSpec>,
    #[serde(skip_serializing_if = "is_default")]
    pub security: SecuritySpec,
    /// Limits per process (`setrlimit`).
    #[serde(skip_serializing_if = "is_default")]
    pub ulimits: Vec<UlimitSpec>,
    /// Limits of the container as a whole (cgroup).
    #[serde(skip_serializing_if = "is_default")]
    pub limits: LimitsSpec,
    /// Parent of its cgroup: a systemd slice (`x.slice`) or a delegated cgroup directory; empty for the
    /// default.
    #[serde(skip_serializing_if = "is_default")]
    pub cgroup_parent: String,
    /// Sysctls of the container's own namespaces.
    #[serde(skip_serializing_if = "is_default")]
    pub sysctls: BTreeMap<String, String>,
    /// Size of /dev/shm in bytes; 64 MiB if `None`.
    #[serde(skip_serializing_if = "is_default")]
    pub shm_size: Option<u64>,
    #[serde(skip_serializing_if = "is_default")]
    pub oom_score_adj: Option<i32>,
    #[serde(skip_serializing_if = "is_default")]
    pub namespaces: NamespaceSpec,
    #[serde(skip_serializing_if = "is_default")]
    pub dns: DnsSpec,
    /// Entries for /etc/hosts as (name, address); `host-gateway` is allowed as an address.
    #[serde(skip_serializing_if = "is_default")]
    pub extra_hosts: Vec<(String, String)>,
    #[serde(skip_serializing_if = "is_default")]
    pub labels: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "is_default")]
    pub annotations: BTreeMap<String, String>,
    /// By name or number.
    #[serde(skip_serializing_if = "is_default")]
    pub stop_signal: Option<String>,
    /// In seconds, before SIGKILL; negative waits forever.
    #[serde(skip_serializing_if = "is_default")]
    pub stop_timeout: Option<i64>,
    /// From the image where a setting was not given.
    #[serde(skip_serializing_if = "is_default")]
    pub health: HealthSpec,
    /// The image's SHELL, for health checks in shell form.
    #[serde(skip_serializing_if = "is_default")]
    pub shell: Option<Vec<String>>,
    #[serde(skip_serializing_if = "is_default")]
    pub restart: RestartPolicy,
    #[serde(skip_serializing_if = "is_default")]
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
    #[serde(skip_serializing_if = "is_default")]
    pub entrypoint: Option<Vec<String>>,
    /// Arguments appended to the entry point.
    #[serde(skip_serializing_if = "is_default")]
    pub command: Option<Vec<String>>,
    /// `NAME=value`, later ones win; a bare `NAME` removes the variable.
    #[serde(skip_serializing_if = "is_default")]
    pub env: Vec<String>,
    #[serde(skip_serializing_if = "is_default")]
    pub workdir: Option<String>,
    /// `user[:group]`, by name or number.
    #[serde(skip_serializing_if = "is_default")]
    pub user: Option<String>,
    /// Additional groups, by name or number.
    #[serde(skip_serializing_if = "is_default")]
    pub groups: Vec<String>,
    /// Allocate a pseudo-terminal.
    #[serde(skip_serializing_if = "is_default")]
    pub tty: bool,
    /// Keep stdin open.
    #[serde(skip_serializing_if = "is_default")]
    pub interactive: bool,
    /// Close stdin when the first client attached to it disconnects.
    #[serde(skip_serializing_if = "is_default")]
    pub stdin_once: bool,
    /// Any of `stdin`, `stdout`, `stderr`; empty means the default.
    #[serde(skip_serializing_if = "is_default")]
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
    #[serde(skip_serializing_if = "is_default")]
    pub privileged: bool,
    /// In any spelling, or `ALL`.
    #[serde(skip_serializing_if = "is_default")]
    pub cap_add: Vec<String>,
    /// In any spelling, or `ALL`.
    #[serde(skip_serializing_if = "is_default")]
    pub cap_drop: Vec<String>,
    #[serde(skip_serializing_if = "is_default")]
    pub no_new_privileges: bool,
    #[serde(skip_serializing_if = "is_default")]
    pub seccomp: SeccompMode,
    /// `systempaths=unconfined`: no masked and no read-only paths.
    #[serde(skip_serializing_if = "is_default")]
    pub unmasked: bool,
    #[serde(skip_serializing_if = "is_default")]
    pub apparmor: Option<String>,
    /// `label=…` options, for SELinux.
    #[serde(skip_serializing_if = "is_default")]
    pub labels: Vec<String>,
    /// `writable-cgroups`: mount /sys/fs/cgroup read-write.
    #[serde(skip_serializing_if = "is_default")]
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
    #[serde(skip_serializing_if = "is_default")]
    pub network: Option<NetworkMode>,
    /// `--pid host`.
    #[serde(skip_serializing_if = "is_default")]
    pub pid_host: bool,
    /// `--pid container:`, by ID.
    #[serde(skip_serializing_if = "is_default")]
    pub pid_container: Option<String>,
    #[serde(skip_serializing_if = "is_default")]
    pub ipc: IpcMode,
    /// `--uts host`.
    #[serde(skip_serializing_if = "is_default")]
    pub uts_host: bool,
    /// `--cgroupns host`.
    #[serde(skip_serializing_if = "is_default")]
    pub cgroup_host: bool,
    #[serde(skip_serializing_if = "is_default")]
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
    #[serde(skip_serializing_if = "is_default")]
    pub servers: Vec<String>,
    #[serde(skip_serializing_if = "is_default")]
    pub search: Vec<String>,
    /// `ndots:2` and the like.
    #[serde(skip_serializing_if = "is_default")]
    pub options: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_asked_for_is_not_in_the_record() {
        assert_eq!(serde_json::to_string(&ContainerSpec::default()).unwrap(), "{}");
        assert_eq!(serde_json::from_str::<ContainerSpec>("{}").unwrap(), ContainerSpec::default());
        let spec = ContainerSpec {
            id: "a".into(),
            // An empty list is not the same as none.
            process: ProcessSpec { entrypoint: Some(vec![]), tty: true, ..ProcessSpec::default() },
            limits: LimitsSpec { pids: Some(0), ..LimitsSpec::default() },
            restart: RestartPolicy::Always,
            ..ContainerSpec::default()
        };
        let text = serde_json::to_string(&spec).unwrap();
        let written =
            r#"{"id":"a","process":{"entrypoint":[],"tty":true},"limits":{"pids":0},"restart":"always"}"#;
        assert_eq!(text, written);
        assert_eq!(serde_json::from_str::<ContainerSpec>(&text).unwrap(), spec);
    }

    #[test]
    fn records_that_spell_out_defaults_are_read() {
        let text = r#"{"id":"a","image":null,"process":{"entrypoint":null,"env":[],"tty":false},"init":false,"limits":{"memory":0,"pids":null},"namespaces":{"network":null,"ipc":"private","userns":"default"},"health":{},"restart":"no","log":{"driver":"","options":{}}}"#;
        let spec = ContainerSpec { id: "a".into(), ..ContainerSpec::default() };
        assert_eq!(serde_json::from_str::<ContainerSpec>(text).unwrap(), spec);
    }
}

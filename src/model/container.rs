//! What was asked of a container: the [`ContainerSpec`] that `run` produces and the store keeps; only `update` and
//! `rename` change it afterwards.
//!
//! The command line fills in what was asked; the engine merges the image's defaults into it when the container is
//! created. How it is carried out is the sandbox's `Plan`, made anew at each start.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::digest::Digest;
use super::health::HealthSpec;
use super::limits::LimitsSpec;
use super::log::LogSpec;
use super::network::{Attachment, PortSpec};
use super::restart::RestartPolicy;
use super::volume::VolumeSetup;

/// Everything that defines a container.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ContainerSpec {
    /// 64 hexadecimal digits.
    pub id: String,
    /// The unique name, without a slash.
    pub name: String,
    /// RFC 3339 time of creation, in UTC.
    pub created: String,
    /// The image it starts from; `None` with [`ContainerSpec::rootfs`].
    pub image: Option<ImageUse>,
    /// A directory of the host used as root file system in place of an image (`--rootfs`), absolute.
    pub rootfs: Option<PathBuf>,
    /// The platform asked for, as `os/arch[/variant]`.
    pub platform: Option<String>,
    /// The process and its surroundings.
    pub process: ProcessSpec,
    /// The host name; by default the first twelve digits of the ID.
    pub hostname: Option<String>,
    /// The NIS domain name.
    pub domainname: Option<String>,
    /// Run a small init as process 1 that reaps and forwards signals.
    pub init: bool,
    /// Mount the root file system read-only.
    pub read_only: bool,
    /// Remove the container, with its anonymous volumes, when it ends.
    pub auto_remove: bool,
    /// Bind mounts, volumes and tmpfs, in the order given; later ones win a target.
    pub mounts: Vec<MountSpec>,
    /// Containers whose mounts it took over when it was made, as they were given (`--volumes-from`).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub volumes_from: Vec<String>,
    /// Ports that it says it listens on, `80/tcp`.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub exposed_ports: BTreeSet<String>,
    /// The networks it is on, in the order asked for, with [`NetworkMode::Networks`].
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub networks: Vec<Attachment>,
    /// Ports to publish.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<PortSpec>,
    /// Publish every exposed port that is not among them (`-P`).
    pub publish_all: bool,
    /// Where it is written down what the container asked for and reached (`--egress-log`), absolute.
    pub egress_log: Option<PathBuf>,
    /// Devices of the host to offer.
    pub devices: Vec<DeviceSpec>,
    /// Confinement.
    pub security: SecuritySpec,
    /// Resource limits by process (`setrlimit`).
    pub ulimits: Vec<Ulimit>,
    /// Resource limits of all its processes together (cgroups).
    pub limits: LimitsSpec,
    /// The slice of systemd (`x.slice`), or the directory of delegated cgroups, to put its cgroup below; empty for the
    /// usual place.
    pub cgroup_parent: String,
    /// Kernel settings of the container's own namespaces.
    pub sysctls: BTreeMap<String, String>,
    /// Size of /dev/shm in bytes; 64 MiB by default.
    pub shm_size: Option<u64>,
    /// `/proc/self/oom_score_adj`.
    pub oom_score_adj: Option<i32>,
    /// Which namespaces are shared with whom.
    pub namespaces: NamespaceSpec,
    /// What goes to /etc/resolv.conf.
    pub dns: DnsSpec,
    /// Lines for /etc/hosts: name and address (`host-gateway` is allowed as an address).
    pub extra_hosts: Vec<(String, String)>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
    /// The signal that asks the container to stop, by name or number.
    pub stop_signal: Option<String>,
    /// Seconds to wait for it.
    pub stop_timeout: Option<i64>,
    /// The health check; an image's where nothing was asked.
    pub health: HealthSpec,
    /// The shell for health checks in shell form, if the image names one.
    pub shell: Option<Vec<String>>,
    /// When it is started again.
    pub restart: RestartPolicy,
    /// Where its output is kept.
    pub log: LogSpec,
}

/// An image as a container uses it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageUse {
    /// The image ID: the digest of its configuration.
    pub id: Digest,
    /// How the user called it.
    pub name: String,
}

/// The process to run. `None` means that the image decides.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProcessSpec {
    /// The entry point; an empty list clears the image's.
    pub entrypoint: Option<Vec<String>>,
    /// The command, appended to the entry point.
    pub command: Option<Vec<String>>,
    /// `NAME=value`, later ones win; a `NAME` alone takes the variable away.
    pub env: Vec<String>,
    /// Working directory inside the container.
    pub workdir: Option<String>,
    /// `user[:group]`, by name or number.
    pub user: Option<String>,
    /// Additional groups, by name or number.
    pub groups: Vec<String>,
    /// Give it a terminal.
    pub tty: bool,
    /// Keep its standard input open.
    pub interactive: bool,
    /// Close its standard input when the first command that is attached to it goes.
    pub stdin_once: bool,
    /// Which of stdin, stdout, stderr to attach; empty means the default.
    pub attach: Vec<String>,
}

/// One mount. `target` is a path inside the container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountSpec {
    /// Where it appears.
    pub target: String,
    /// What appears there.
    pub source: MountSource,
    /// Whether writing is refused.
    pub read_only: bool,
}

/// The source of a mount with the options of its kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "type")]
pub enum MountSource {
    /// A file or directory of the host.
    Bind {
        /// Absolute path on the host.
        path: PathBuf,
        /// `-v` makes a missing directory; `--mount type=bind` refuses.
        create: bool,
        /// `rprivate`, `private`, `rshared`, `shared`, `rslave`, `slave`; `rprivate` where empty.
        propagation: String,
        /// Whether mounts below the source come along (they do unless `bind-recursive=disabled`).
        recursive: bool,
        /// With a read-only recursive bind: whether mounts below it stay writable (`bind-recursive=writable`).
        recursive_writable: bool,
        /// Fail unless the submounts can be read-only too (`bind-recursive=readonly`).
        recursive_readonly_forced: bool,
    },
    /// A volume.
    Volume {
        /// The volume's name; `None` for an anonymous one until the engine names it.
        name: Option<String>,
        /// Whether it was made for this container only, so that `--rm` removes it.
        anonymous: bool,
        /// Do not copy the image's content into a new volume.
        no_copy: bool,
        /// A path inside the volume to mount in place of its root.
        subpath: Option<String>,
        /// What it gets if it does not exist yet.
        #[serde(default, skip_serializing_if = "VolumeSetup::is_empty")]
        setup: VolumeSetup,
    },
    /// A temporary file system in memory.
    Tmpfs {
        /// Size limit in bytes.
        size: Option<u64>,
        /// Mode of its root, as `chmod` counts.
        mode: Option<u32>,
        /// Further mount options, as given (`exec`, `uid=…`).
        options: Vec<String>,
    },
}

/// A device node of the host, or all in a directory of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceSpec {
    /// Path on the host.
    pub host: PathBuf,
    /// Path in the container.
    pub container: String,
    /// Any of `r`, `w`, `m`.
    pub permissions: String,
}

/// Confinement as asked; the defaults are docker's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SecuritySpec {
    /// All capabilities, no seccomp, no masked paths, all devices the user may use.
    pub privileged: bool,
    /// Capabilities to add, in any spelling, or `ALL`.
    pub cap_add: Vec<String>,
    /// Capabilities to drop, in any spelling, or `ALL`.
    pub cap_drop: Vec<String>,
    /// `no-new-privileges`.
    pub no_new_privileges: bool,
    /// The system call filter.
    pub seccomp: Seccomp,
    /// `systempaths=unconfined`: no masked and no read-only paths.
    pub unmasked: bool,
    /// An AppArmor profile asked for.
    pub apparmor: Option<String>,
    /// SELinux `label=` options.
    pub labels: Vec<String>,
    /// `writable-cgroups`: mount /sys/fs/cgroup read-write.
    pub writable_cgroups: bool,
}

/// Which system call filter applies.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Seccomp {
    /// Docker's default profile.
    #[default]
    Default,
    /// None.
    Unconfined,
    /// A profile in docker's JSON format, its whole text.
    Profile(String),
}

/// A process limit; -1 is `unlimited`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ulimit {
    /// `nofile`, `nproc`, …
    pub name: String,
    /// Soft limit.
    pub soft: i64,
    /// Hard limit.
    pub hard: i64,
}

/// Namespaces and who shares them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NamespaceSpec {
    /// `None` where nothing was asked.
    pub network: Option<NetworkMode>,
    /// Share the host's process table (`--pid host`).
    pub pid_host: bool,
    /// Share the process table of the container with this ID (`--pid container:`).
    pub pid_container: Option<String>,
    /// `--ipc`.
    pub ipc: IpcMode,
    /// Share the host's host name (`--uts host`).
    pub uts_host: bool,
    /// Share the host's cgroup namespace (`--cgroupns host`).
    pub cgroup_host: bool,
    /// `--userns`.
    pub userns: UsernsMode,
}

/// The network of a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NetworkMode {
    /// Loopback only.
    None,
    /// The host's own.
    Host,
    /// That of the container with this ID.
    Container(String),
    /// Its own, on [`ContainerSpec::networks`].
    Networks,
}

/// The IPC namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IpcMode {
    /// Its own, with its own /dev/shm.
    #[default]
    Private,
    /// Its own, without /dev/shm.
    None,
    /// The host's.
    Host,
    /// Its own, which other containers may join.
    Shareable,
    /// That of the container with this ID.
    Container(String),
}

impl NamespaceSpec {
    /// The containers whose namespaces are shared, by ID or name: of the network, the process table and IPC.
    pub fn joined(&mut self) -> [Option<&mut String>; 3] {
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

/// How users inside are mapped to users of the host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UsernsMode {
    /// Root is the user, the rest the subordinate range where there is one.
    #[default]
    Default,
    /// The user keeps their own id inside; optionally another uid and gid.
    KeepId {
        /// The uid inside that is the user; by default their own.
        uid: Option<u32>,
        /// The gid inside.
        gid: Option<u32>,
    },
    /// Without root inside: the same as the default, as dhow never runs as the host's root.
    Host,
    /// A map of the size that the image needs.
    Auto,
    /// No map of root to the user (`nomap`).
    NoMap,
}

/// Resolver settings.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DnsSpec {
    /// Server addresses.
    pub servers: Vec<String>,
    /// Search domains.
    pub search: Vec<String>,
    /// Options such as `ndots:2`.
    pub options: Vec<String>,
}

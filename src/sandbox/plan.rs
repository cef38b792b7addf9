//! The plan of a container, or of a process that joins one: every decision as plain data, in the order in which it
//! is carried out.
//!
//! Whoever makes a plan has validated everything that can be validated outside. `init` carries it out step by step
//! and decides only what can be known inside alone: names in the image's user database, and where symbolic links
//! lead.

use std::path::PathBuf;

use dhow_sys::process::ns;

use crate::caps::CapSet;
use crate::cgroup::CgroupMembership;
use crate::identity::idmap::IdMap;

/// A container to be launched.
#[derive(Clone, Debug)]
pub struct SandboxPlan {
    /// Shown in messages and process listings.
    pub name: String,
    /// The id map of the new user namespace.
    pub ids: IdMap,
    pub unshare: NamespaceSet,
    /// The new network namespace must be connected to networks before the program runs.
    pub awaits_network: bool,
    pub root: RootPlan,
    /// In the order in which they are mounted.
    pub mounts: Vec<PlannedMount>,
    /// Keep the mounts as long as [`crate::launch::LaunchedContainer::mounts`]: the end of the first process then does
    /// not wait until the kernel has taken them down.
    pub hold_mounts: bool,
    /// Paths hidden from the container; missing ones are skipped.
    pub masked: Vec<String>,
    /// Paths made read-only; missing ones are skipped.
    pub read_only: Vec<String>,
    /// Requires a new UTS namespace.
    pub hostname: Option<String>,
    /// The NIS domain name. Requires a new UTS namespace.
    pub domainname: Option<String>,
    /// Paths below /proc/sys, with slashes in place of dots, and the values to write.
    pub sysctls: Vec<(String, String)>,
    pub process: ProcessPlan,
    pub confinement: Confinement,
}

/// What is executed in a running container, and how it is confined.
#[derive(Clone, Debug)]
pub struct JoinPlan {
    pub name: String,
    pub cgroup: Option<CgroupMembership>,
    /// The namespaces to join: those that are the container's own.
    pub unshare: NamespaceSet,
    /// The ids of the container's user namespace.
    pub ids: IdMap,
    /// Its working directory must exist.
    pub process: ProcessPlan,
    pub confinement: Confinement,
    /// A path and an environment variable; the variable is set if the path exists in the container.
    pub env_if_file: Option<(&'static str, String)>,
}

/// A set of namespaces, beside user and mount namespaces, which are always new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "one flag a namespace, as the kernel has them")]
pub struct NamespaceSet {
    pub net: bool,
    pub pid: bool,
    /// System V IPC and POSIX message queues.
    pub ipc: bool,
    /// Host name and NIS domain name.
    pub uts: bool,
    pub cgroup: bool,
}

impl NamespaceSet {
    /// As flags of clone(2) and setns(2), including the user and mount namespaces.
    pub(crate) fn clone_flags(self) -> u64 {
        let flags = [
            (self.net, ns::NET),
            (self.pid, ns::PID),
            (self.ipc, ns::IPC),
            (self.uts, ns::UTS),
            (self.cgroup, ns::CGROUP),
        ];
        flags
            .iter()
            .filter(|(is_member, _)| *is_member)
            .fold(ns::USER | ns::MOUNT, |all, (_, flag)| all | flag)
    }
}

/// Where the container's `/` comes from.
#[derive(Clone, Debug)]
pub struct RootPlan {
    /// A host directory on which the root is mounted while it is built; hidden once it is the root.
    pub stage: PathBuf,
    /// A host directory, outside `stage`, on which a tmpfs for [`MountKind::File`] is mounted during the
    /// build.
    pub memory_files: PathBuf,
    pub source: RootSource,
    /// Makes `/` read-only in the end.
    pub read_only: bool,
    /// Marks files and directories that are created as mount points, to tell them from what the program
    /// creates.
    pub mount_stubs: bool,
}

#[derive(Clone, Debug)]
pub enum RootSource {
    Overlay(OverlayLayers),
    Directory(PathBuf),
}

/// The directories of an overlayfs mount.
#[derive(Clone, Debug)]
pub struct OverlayLayers {
    /// The directory that the paths below are relative to; keeps each within the 255 bytes of an fsconfig(2)
    /// parameter.
    pub base: PathBuf,
    /// Read-only layers, uppermost first, at least one.
    pub lower: Vec<PathBuf>,
    pub upper: PathBuf,
    /// overlayfs's work directory, on the file system of `upper`.
    pub work: PathBuf,
    /// Mount with `volatile`, without syncing: the container is removed when it ends.
    pub volatile: bool,
    /// The upper directory is needed afterwards, so it must not be put in memory.
    pub must_persist: bool,
}

/// One mount at an absolute path inside the container; a missing target is created.
#[derive(Clone, Debug)]
pub struct PlannedMount {
    pub target: String,
    pub kind: MountKind,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "one flag an attribute, as the kernel has them")]
pub struct MountAttributes {
    pub read_only: bool,
    pub nosuid: bool,
    pub nodev: bool,
    pub noexec: bool,
}

#[derive(Clone, Debug)]
pub enum MountKind {
    /// A new file system instance.
    NewFilesystem {
        /// The file system type.
        kind: String,
        /// Mount parameters.
        params: Vec<(String, Option<String>)>,
        flags: MountAttributes,
        /// Host directory to bind recursively if the kernel refuses a new instance (EPERM).
        fallback: Option<PathBuf>,
        /// Skip the mount if it fails and there is no fallback (conveniences such as mqueue and cgroup).
        optional: bool,
    },
    /// A bind mount of a host file or directory.
    Bind(BindMount),
    /// A bind mount of something made for the container, which is first given this owner and mode.
    OwnedBind {
        bind: BindMount,
        /// Permission bits.
        mode: u32,
        /// User and group inside; ignored if the container has only one id.
        owner: (u32, u32),
    },
    /// An overlay of its own, whose upper directory is discarded afterwards.
    EphemeralOverlay {
        overlay: OverlayLayers,
        /// A host directory on which the overlay is mounted briefly; it also holds the upper and work
        /// directories.
        stage: PathBuf,
        /// The part of the overlay to mount, as a path inside it.
        subpath: String,
        read_only: bool,
    },
    /// A mount that belongs to the container whose namespaces are shared.
    FromPeer(PeerMount),
    /// A regular file with this content and mode, writable unless `read_only`, held in a tmpfs.
    File {
        content: Vec<u8>,
        /// Permission bits.
        mode: u32,
        read_only: bool,
        /// User and group inside; ignored if the container has only one id.
        owner: (u32, u32),
    },
    /// An empty file in the root file system itself, whose mere existence means something (`/.dockerenv`).
    Marker,
    /// A symbolic link, unless the path exists.
    Symlink(String),
    /// Creates a directory and mounts nothing.
    Directory,
    /// A new tmpfs with device nodes.
    Devices(DeviceDirectory),
    /// A new tmpfs.
    Tmpfs {
        /// Mount parameters.
        params: Vec<(String, Option<String>)>,
        flags: MountAttributes,
        /// Copy mode and owner of the image's directory to the tmpfs's root.
        keep_mode: bool,
    },
}

/// A directory of devices, such as /dev.
#[derive(Clone, Debug)]
pub struct DeviceDirectory {
    /// Mount parameters of the tmpfs.
    pub params: Vec<(String, Option<String>)>,
    pub flags: MountAttributes,
    /// Names of nodes in the host's /dev, bound to files of the same names; those that the host lacks are skipped.
    pub nodes: Vec<String>,
    /// Names of symbolic links, and their texts.
    pub links: Vec<(String, String)>,
}

/// A file system that belongs to a namespace of another container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerMount {
    /// A new /proc of its pid namespace.
    Proc,
    /// Its /dev/shm (IPC namespace).
    Shm,
    /// Its /dev/mqueue (IPC namespace).
    Mqueue,
}

#[derive(Clone, Debug)]
pub struct BindMount {
    /// An absolute path on the host.
    pub source: PathBuf,
    /// A path inside `source`, resolved without leaving it (`volume-subpath`).
    pub subpath: Option<String>,
    /// Include the mounts below `source`.
    pub recursive: bool,
    pub flags: MountAttributes,
    /// Apply `flags` to the mounts below `source` too (mount_setattr(2) with AT_RECURSIVE).
    pub recursive_flags: bool,
    pub propagation: MountPropagation,
    /// First copy the image's content at the target to `source`, if that is empty.
    pub copy_up: bool,
    /// Skip the mount if `source` does not exist.
    pub optional: bool,
}

/// Propagation of later mounts (mount_namespaces(7)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MountPropagation {
    #[default]
    Private,
    /// Mounts made on the host appear in the container.
    Slave,
    /// Between the container's own copies of the mount; never to the host, which is another user namespace.
    Shared,
}

/// The process to execute.
#[derive(Clone, Debug)]
#[allow(clippy::struct_excessive_bools, reason = "independent choices of the command line")]
pub struct ProcessPlan {
    /// Program and arguments; never empty.
    pub args: Vec<String>,
    /// `NAME=value`.
    pub env: Vec<String>,
    /// Absolute; created if missing.
    pub cwd: String,
    /// `user[:group]`, names or numbers; empty means root.
    pub user: String,
    /// Supplementary groups, names or numbers.
    pub groups: Vec<String>,
    /// Allocate a terminal.
    pub tty: bool,
    /// Initial rows and columns of the terminal, if known.
    pub terminal_size: Option<(u16, u16)>,
    /// The path inside of dhow's own small init, to run as process 1 (`--init`).
    pub init: Option<String>,
    /// Resource limits: name, soft, hard; `u64::MAX` is unlimited.
    pub rlimits: Vec<(String, u64, u64)>,
    /// `/proc/self/oom_score_adj`.
    pub oom_score_adj: Option<i32>,
    /// Kill the process when the supervisor dies.
    pub die_with_parent: bool,
}

/// What the process is allowed to do.
#[derive(Clone, Debug)]
pub struct Confinement {
    /// The capability bounding set; bit *n* is capability number *n*.
    pub capabilities: u64,
    pub no_new_privileges: bool,
    pub seccomp: SeccompPlan,
    /// For accounts with one id: pretend that changes of identity and ownership succeed.
    pub emulate_root: bool,
    /// With `emulate_root`: record the ownership that files were given.
    pub remember_owners: bool,
}

impl Confinement {
    pub fn caps(&self) -> CapSet {
        CapSet::from_bits(self.capabilities)
    }
}

#[derive(Clone, Debug)]
pub enum SeccompPlan {
    /// Docker's default profile for the given capabilities.
    Default,
    Unconfined,
    /// The text of a profile in docker's format, validated already.
    Profile(String),
}

//! The plan of a container: everything decided, in the order in which it is done, as plain data.
//!
//! Whoever makes a plan has checked all that can be checked; `init` carries it out step by step and decides nothing
//! but what only the inside can tell: names in the image's user database, and where links lead.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::caps::CapSet;
use super::idmap::IdMap;

/// What will be done.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Plan {
    /// The container's name, for messages and process listings.
    pub name: String,
    /// The id map of the new user namespace.
    pub ids: IdMap,
    /// Which namespaces are new.
    pub unshare: Unshare,
    /// The new network namespace is connected to networks before the program runs.
    pub awaits_network: bool,
    /// The root file system.
    pub root: Root,
    /// Mounts, in order.
    pub mounts: Vec<Mount>,
    /// Paths hidden from the container; those that do not exist are passed over.
    pub masked: Vec<String>,
    /// Paths made read-only; those that do not exist are passed over.
    pub read_only: Vec<String>,
    /// Host name, with a new UTS namespace.
    pub hostname: Option<String>,
    /// NIS domain name, with a new UTS namespace.
    pub domainname: Option<String>,
    /// Files below /proc/sys and what is written to them, dots already turned to slashes.
    pub sysctls: Vec<(String, String)>,
    /// The process.
    pub process: Process,
    /// Its confinement.
    pub confinement: Confinement,
}

/// Namespaces to be new; user and mount namespaces always are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(clippy::struct_excessive_bools, reason = "one flag a namespace, as the kernel has them")]
pub struct Unshare {
    /// Network.
    pub net: bool,
    /// Process IDs.
    pub pid: bool,
    /// System V IPC and message queues.
    pub ipc: bool,
    /// Host name.
    pub uts: bool,
    /// Cgroup root.
    pub cgroup: bool,
}

/// Where `/` comes from.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Root {
    /// A directory of the host on which the root is attached while it is put together; hidden afterwards.
    pub stage: PathBuf,
    /// A directory of the host, outside `stage`, under which prepared files lie for a moment.
    pub shelf: PathBuf,
    /// What it is made of.
    pub source: RootSource,
    /// Whether `/` is read-only in the end.
    pub read_only: bool,
    /// What is made to be mounted on is marked, so that it can be told from what the program made.
    pub stubs: bool,
}

/// What the root is made of.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum RootSource {
    /// Layers.
    Overlay(Overlay),
    /// A directory as it is.
    Directory(PathBuf),
}

/// An overlayfs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Overlay {
    /// The directory to which the paths below are relative; keeps them within the 255 bytes a parameter may have.
    pub base: PathBuf,
    /// Read-only layers, the uppermost first, at least one.
    pub lower: Vec<PathBuf>,
    /// The writable layer.
    pub upper: PathBuf,
    /// overlayfs's scratch directory, on the same file system.
    pub work: PathBuf,
    /// Nothing needs to reach the disk: the container is removed when it ends.
    pub volatile: bool,
    /// What is written is needed afterwards, so it cannot be kept in memory.
    pub kept: bool,
}

/// One mount, at an absolute path inside; a missing target is made.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Mount {
    /// Where.
    pub target: String,
    /// What.
    pub kind: MountKind,
}

/// Flags of a mount.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(clippy::struct_excessive_bools, reason = "one flag an attribute, as the kernel has them")]
pub struct Flags {
    /// Writing is refused.
    pub read_only: bool,
    /// setuid bits and file capabilities have no effect.
    pub nosuid: bool,
    /// Device nodes do not work.
    pub nodev: bool,
    /// Programs cannot be run.
    pub noexec: bool,
}

/// What to mount.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum MountKind {
    /// A new instance of a file system.
    New {
        /// Its type.
        kind: String,
        /// Its parameters.
        params: Vec<(String, Option<String>)>,
        /// Flags.
        flags: Flags,
        /// The host's directory to bind, recursively, where the kernel refuses a new instance (EPERM).
        fallback: Option<PathBuf>,
        /// A failure is passed over where there is no fallback: the thing is a convenience (mqueue, cgroup).
        optional: bool,
    },
    /// A file or directory of the host.
    Bind(Bind),
    /// The same of something that was made for the container: it is given to this user and group, with this mode.
    Handed {
        /// What and how.
        bind: Bind,
        /// Permission bits.
        mode: u32,
        /// User and group inside; with one id only it stays that one's.
        owner: (u32, u32),
    },
    /// Layers of their own, whose writable one is forgotten.
    Layers {
        /// They.
        overlay: Overlay,
        /// A directory of the host on which they are mounted for a moment, with those of the writable layer in it.
        stage: PathBuf,
        /// What of them is mounted, a path inside.
        subpath: String,
        /// Writing is refused.
        read_only: bool,
    },
    /// What the container whose namespaces are shared has there.
    Kin(Kin),
    /// A regular file with this content and mode, writable, kept in memory.
    File {
        /// Content.
        content: Vec<u8>,
        /// Permission bits.
        mode: u32,
        /// Writing is refused.
        read_only: bool,
        /// User and group inside; with one id only it stays that one's.
        owner: (u32, u32),
    },
    /// An empty file that marks something by being there; lies in the root file system itself.
    Marker,
    /// A symbolic link, unless something is there.
    Symlink(String),
    /// A directory, made if missing, nothing mounted.
    Directory,
    /// A new tmpfs.
    Scratch {
        /// Parameters of the tmpfs.
        params: Vec<(String, Option<String>)>,
        /// Flags.
        flags: Flags,
        /// Give its root the mode and owner that the image's directory has.
        keep_mode: bool,
    },
}

/// A file system that belongs to a namespace of another container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kin {
    /// A new /proc of its process table.
    Processes,
    /// Its /dev/shm.
    Memory,
    /// Its /dev/mqueue.
    Queues,
}

/// A bind mount.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Bind {
    /// Absolute path on the host.
    pub source: PathBuf,
    /// A path inside the source, resolved inside it (`volume-subpath`).
    pub subpath: Option<String>,
    /// With what is mounted below it.
    pub recursive: bool,
    /// Flags.
    pub flags: Flags,
    /// Whether `read_only` holds for mounts below too.
    pub recursive_flags: bool,
    /// What becomes of later mounts: `private`, `slave` or `shared`.
    pub propagation: Propagation,
    /// Copy the image's content at the target into the source first, if the source is empty.
    pub copy_up: bool,
    /// Leave it out where the source does not exist.
    pub optional: bool,
}

/// Propagation of a bind mount (mount_namespaces(7)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Propagation {
    /// None.
    #[default]
    Private,
    /// From the host.
    Slave,
    /// Between the container's own copies; the kernel lets nothing flow to the host from another user namespace.
    Shared,
}

/// The process.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[allow(clippy::struct_excessive_bools, reason = "independent choices of the command line")]
pub struct Process {
    /// Program and arguments; not empty.
    pub args: Vec<String>,
    /// `NAME=value`.
    pub env: Vec<String>,
    /// Absolute working directory, made if missing.
    pub cwd: String,
    /// `user[:group]`, by name or number; empty means root.
    pub user: String,
    /// Further groups, by name or number.
    pub groups: Vec<String>,
    /// Whether it has a terminal of its own.
    pub tty: bool,
    /// Rows and columns that the terminal has from the first moment, where they are known.
    pub terminal_size: Option<(u16, u16)>,
    /// Run dhow's own small init (at this path inside) as process 1.
    pub init: Option<String>,
    /// Resource limits: name, soft, hard; `u64::MAX` is unlimited.
    pub rlimits: Vec<(String, u64, u64)>,
    /// `/proc/self/oom_score_adj`.
    pub oom_score_adj: Option<i32>,
    /// Die when the supervisor dies.
    pub die_with_parent: bool,
}

/// What the process may do.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Confinement {
    /// The bounding set, as bits.
    pub capabilities: u64,
    /// `no_new_privs`.
    pub no_new_privileges: bool,
    /// System call filter.
    pub seccomp: SeccompPlan,
    /// The account has one id only: pretend that changes of identity and ownership succeed.
    pub emulate_root: bool,
    /// Then remember, too, which owners files were given.
    pub remember_owners: bool,
}

impl Confinement {
    /// The bounding set.
    pub fn caps(&self) -> CapSet {
        CapSet::from_bits(self.capabilities)
    }
}

/// Which system call filter is loaded.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum SeccompPlan {
    /// Docker's default for the capabilities.
    Default,
    /// None.
    Unconfined,
    /// A profile's text, checked already.
    Profile(String),
}

//! Starts a container from its plan: clones the process, maps its ids, and waits until its program runs.
//!
//! # Variants
//!
//! - *direct* (here): the supervisor clones the container's first process itself.
//! - [`nested`](super::nested): below the network helper's user namespace, the usual case.
//! - [`shared`](super::shared): in namespaces of another container.
//!
//! The last two go through an *intermediate process*, because a process that has joined another user namespace cannot
//! come back. It uses `CLONE_PARENT`, so the container's first process is a child of the supervisor all the same.
//!
//! # Handshake
//!
//! ```text
//! supervisor                                 first process (init.rs)
//!     │                                         opens the sources of its mounts
//!     │  maps its ids, opens its userns
//!     ├──────────────── go ───────────────────► builds the root file system
//!     ◄───────────── terminal ─────────────────┤  if the plan has one
//!     │  connects its network
//!     ├──────────────── go ───────────────────► if the plan awaits a network
//!     ◄────────── owner listener ──────────────┤  if the plan remembers owners
//!     ◄───── end of file: closed by exec ──────┤  or, at any time before, a failure
//! ```

pub(crate) mod init;
pub mod nested;
pub mod shared;
use std::convert::Infallible;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};

use anyhow::{Context as _, Result};
use nix::sched::CloneFlags;

use super::identity::{HostIdentity, explain_userns_refusal};
use super::launch::nested::ParentUserns;
use super::sync_socket::{self, SyncMessage, SyncSocket};

use super::launch::shared::{ReceivedMounts, SharedNamespaces};
use super::plan::{NamespaceSet, SandboxPlan};
use dhow_error::{Failure, FailureKind};
use dhow_sys::process::{self, ChildProcess, ForkSide, ns};

/// A container whose program is running.
pub struct LaunchedContainer {
    pub process: ChildProcess,
    /// The master side of the terminal, if the plan has one.
    pub terminal: Option<OwnedFd>,
    /// The seccomp listener that reports changes of owner, if the plan remembers them.
    pub owner_listener: Option<OwnedFd>,
    /// Kept open so that the container's files can still be handled after it has ended.
    pub userns: OwnedFd,
}

/// Connects a network namespace to networks, while another process builds the container's root.
pub(crate) type ConnectNetwork<'a> = &'a mut dyn FnMut(BorrowedFd<'_>) -> Result<()>;

/// What surrounds the container that is to be launched.
#[derive(Clone, Copy, Default)]
pub struct LaunchContext<'a> {
    /// The container whose namespaces it shares.
    pub shared: Option<&'a SharedNamespaces>,
    /// The user namespace to nest it in.
    pub parent_userns: Option<&'a ParentUserns>,
    /// The cgroup that its first process is born into.
    pub cgroup: Option<BorrowedFd<'a>>,
}

/// Starts `plan`; `streams` are standard input, output and error unless it has a terminal. A plan that awaits its
/// network gets it from `connect`.
///
/// `lock` is the container's lock in this process. The container must not hold it open even for a moment, because an
/// open lock means that the container is supervised.
///
/// The process must have one thread. On failure nothing of the container is left.
pub fn launch(
    plan: &SandboxPlan,
    identity: &HostIdentity,
    streams: [BorrowedFd<'_>; 3],
    lock: BorrowedFd<'_>,
    place: LaunchContext<'_>,
    connect: Option<ConnectNetwork<'_>>,
) -> Result<LaunchedContainer> {
    let cgroup = place.cgroup;
    if let Some(relation) = place.shared {
        place.parent_userns.map_or(Ok(()), |outer| shared::check_nested_below(relation, outer))?;
        return shared::launch_shared(plan, relation, streams, lock, cgroup, connect);
    }
    if let Some(outer) = place.parent_userns {
        return nested::launch_nested(plan, outer, streams, lock, cgroup, connect);
    }
    let (ours, theirs) = sync_socket::socket_pair()?;
    let (now, then) = split_clone_flags(namespace_flags(plan.unshare), cgroup.is_some());
    let side = process::clone_into_cgroup(now, cgroup).map_err(|error| explain_userns_refusal(&error))?;
    match side {
        ForkSide::Child => {
            drop(ours);
            if replace_lock_fd(streams, lock).is_err() || nix::sched::unshare(then).is_err() {
                process::exit_now(125);
            }
            init::run_init(plan, &theirs, &init::StdioFds(streams), ReceivedMounts::default())
        }
        ForkSide::Parent(child) => {
            drop(theirs);
            match handshake_direct(plan, identity, &ours, &child) {
                Ok((terminal, listener, user_namespace)) => Ok(LaunchedContainer {
                    process: child,
                    terminal,
                    owner_listener: listener,
                    userns: user_namespace,
                }),
                Err(error) => {
                    child.signal(libc::SIGKILL)?;
                    child.wait()?;
                    // The failure reported from inside is the cause of the error seen here.
                    Err(ours.drain_failure().map_or(error, anyhow::Error::from))
                }
            }
        }
    }
}

/// The namespaces as flags of clone(2), plus user and mount namespaces, which every container has.
pub(super) fn namespace_flags(unshare: NamespaceSet) -> u64 {
    let wanted = [
        (unshare.net, ns::NET),
        (unshare.pid, ns::PID),
        (unshare.ipc, ns::IPC),
        (unshare.uts, ns::UTS),
        (unshare.cgroup, ns::CGROUP),
    ];
    wanted.iter().filter(|(new, _)| *new).fold(ns::USER | ns::MOUNT, |all, (_, flag)| all | flag)
}

/// Splits the flags into those for clone3(2) and those for a later unshare(2). A new cgroup namespace is
/// rooted in the cgroup of its creator; with `CLONE_INTO_CGROUP` that is still the parent's, so the child has
/// to unshare it.
pub(super) fn split_clone_flags(all: u64, in_cgroup: bool) -> (u64, CloneFlags) {
    if in_cgroup && all & ns::CGROUP != 0 {
        return (all & !ns::CGROUP, CloneFlags::CLONE_NEWCGROUP);
    }
    (all, CloneFlags::empty())
}

/// Maps the ids and waits until the program runs. Returns the terminal, the owner listener and the user
/// namespace.
fn handshake_direct(
    plan: &SandboxPlan,
    identity: &HostIdentity,
    channel: &SyncSocket,
    child: &ChildProcess,
) -> Result<(Option<OwnedFd>, Option<OwnedFd>, OwnedFd)> {
    identity.apply(&plan.ids, child.pid)?;
    // Before `go`: after it, the process may end or become undumpable at any time.
    let user_namespace = open_namespace(child.pid, "user")?;
    channel.send_go()?;
    let (mut terminal, mut listener) = (None, None);
    loop {
        match channel.receive()? {
            SyncMessage::Terminal(master) => terminal = Some(master),
            SyncMessage::Listener(fd) => listener = Some(fd),
            // Only an intermediate process announces another one.
            SyncMessage::Process(_) => {}
            SyncMessage::Failed(failure) => return Err(failure.into()),
            SyncMessage::Running => return Ok((terminal, listener, user_namespace)),
        }
    }
}

/// Namespaces of a container that were opened before its first process exists.
#[derive(Default)]
pub(super) struct OpenNamespaces {
    pub(super) userns: Option<OwnedFd>,
    pub(super) netns: Option<OwnedFd>,
}

/// Launches a container via an intermediate process, which enters the right namespaces and creates the
/// container there as a child of this process; `meet` performs the handshake with both.
pub(super) fn via_intermediate(
    usher: impl FnOnce(&SyncSocket) -> Result<Infallible>,
    meet: impl FnOnce(&SyncSocket, &ChildProcess) -> Result<LaunchedContainer>,
) -> Result<LaunchedContainer> {
    let (ours, theirs) = sync_socket::socket_pair()?;
    match process::clone_into(0).context("starting a process")? {
        ForkSide::Child => {
            drop(ours);
            let error = match usher(&theirs) {
                Ok(never) => match never {},
                Err(error) => error,
            };
            theirs.send_failure(&Failure::from_chain(&error));
            process::exit_now(125)
        }
        ForkSide::Parent(process) => {
            drop(theirs);
            let met = meet(&ours, &process);
            drop(ours);
            process.wait()?;
            met
        }
    }
}

/// Replaces the lock's descriptor in a process that is not the supervisor, so that it does not keep the lock
/// alive.
pub(super) fn replace_lock_fd(streams: [BorrowedFd<'_>; 3], lock: BorrowedFd<'_>) -> Result<()> {
    Ok(process::place_fd(streams[0], lock.as_raw_fd())?)
}

/// Follows the intermediate process and then the container's first process until its program runs.
pub(super) fn handshake(
    channel: &SyncSocket,
    mut known: OpenNamespaces,
    mut connect: Option<ConnectNetwork<'_>>,
) -> Result<LaunchedContainer> {
    let (mut terminal, mut listener, mut failure, mut process) = (None, None, None, None);
    loop {
        match channel.receive()? {
            SyncMessage::Process(child) => {
                let begun = release_init(channel, &child, &mut known, connect.take());
                process = Some(child);
                if let Err(error) = begun {
                    // The failure reported from inside is the cause of the error seen here.
                    failure = Some(channel.drain_failure().unwrap_or_else(|| Failure::from_chain(&error)));
                    break;
                }
            }
            SyncMessage::Terminal(master) => terminal = Some(master),
            SyncMessage::Listener(fd) => listener = Some(fd),
            SyncMessage::Failed(why) => failure = Some(why),
            SyncMessage::Running => break,
        }
    }
    match (failure, process, known.userns) {
        (None, Some(process), Some(user_namespace)) => {
            Ok(LaunchedContainer { process, terminal, owner_listener: listener, userns: user_namespace })
        }
        (failure, process, _) => {
            if let Some(process) = process {
                process.signal(libc::SIGKILL)?;
                process.wait()?;
            }
            let killed = || Failure::new(FailureKind::Interrupted, "the process was killed before it ran");
            Err(failure.unwrap_or_else(killed).into())
        }
    }
}

/// Lets the first process build its root, and connects its network meanwhile.
fn release_init(
    channel: &SyncSocket,
    child: &ChildProcess,
    known: &mut OpenNamespaces,
    connect: Option<ConnectNetwork<'_>>,
) -> Result<()> {
    if known.userns.is_none() {
        known.userns = Some(open_namespace(child.pid, "user")?);
    }
    let network = match known.netns.take() {
        None if connect.is_some() => Some(open_namespace(child.pid, "net")?),
        known => known,
    };
    channel.send_go()?;
    if let (Some(connect), Some(network)) = (connect, network) {
        connect(network.as_fd())?;
        channel.send_go()?;
    }
    Ok(())
}

/// Opens the namespace of type `kind` (a name in /proc/PID/ns) of process `pid`.
pub fn open_namespace(pid: i32, kind: &str) -> Result<OwnedFd> {
    use rustix::fs::{Mode, OFlags};
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    Ok(rustix::fs::open(format!("/proc/{pid}/ns/{kind}"), flags, Mode::empty())?)
}

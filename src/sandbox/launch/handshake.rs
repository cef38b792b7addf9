//! What all ways of launching share: the intermediate process, and the handshake with the container's first process.
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

use std::convert::Infallible;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};

use anyhow::{Context as _, Result};
use dhow_error::{Failure, FailureKind};
use dhow_sys::namespace;
use dhow_sys::process::{self, ChildProcess, ForkSide, ns};
use dhow_sys::spawn;

use crate::plan::SandboxPlan;
use crate::sync_socket::{self, SyncMessage, SyncSocket};

/// A container whose program is running.
pub struct LaunchedContainer {
    pub process: ChildProcess,
    /// The master side of the terminal, if the plan has one.
    pub terminal: Option<OwnedFd>,
    /// The seccomp listener that reports changes of owner, if the plan remembers them.
    pub owner_listener: Option<OwnedFd>,
    /// Kept open so that the container's files can still be handled after it has ended.
    pub userns: OwnedFd,
    /// Its mount namespace, if the plan holds the mounts.
    pub mounts: Option<OwnedFd>,
}

/// Connects a network namespace to networks, while another process builds the container's root.
pub(super) type ConnectNetwork<'a> = &'a mut dyn FnMut(BorrowedFd<'_>) -> Result<()>;

/// What every way of launching needs.
#[derive(Clone, Copy)]
pub(super) struct LaunchInput<'a> {
    pub(super) plan: &'a SandboxPlan,
    pub(super) streams: [BorrowedFd<'a>; 3],
    /// The supervisor's descriptor of the container's lock.
    pub(super) lock: BorrowedFd<'a>,
    pub(super) cgroup: Option<BorrowedFd<'a>>,
}

/// Splits the flags into those for clone3(2) and those for a later unshare(2). A new cgroup namespace is
/// rooted in the cgroup of its creator; with `CLONE_INTO_CGROUP` that is still the parent's, so the child has
/// to unshare it.
pub(super) fn split_clone_flags(flags: u64, in_cgroup: bool) -> (u64, u64) {
    let after = if in_cgroup { flags & ns::CGROUP } else { 0 };
    (flags & !after, after)
}

/// Namespaces of a container that were opened before its first process exists.
#[derive(Default)]
pub(super) struct OpenNamespaces {
    pub(super) userns: Option<OwnedFd>,
    pub(super) netns: Option<OwnedFd>,
    pub(super) mountns: Option<OwnedFd>,
}

/// Launches a container via an intermediate process, which enters the right namespaces and creates the
/// container there as a child of this process; `follow` performs the handshake with both.
pub(super) fn via_intermediate(
    input: &LaunchInput<'_>,
    intermediate: impl FnOnce(&SyncSocket) -> Result<Infallible>,
    follow: impl FnOnce(&SyncSocket, &ChildProcess) -> Result<LaunchedContainer>,
) -> Result<LaunchedContainer> {
    let (ours, theirs) = sync_socket::socket_pair()?;
    match process::clone_into(0).context("starting a process")? {
        ForkSide::Child => {
            drop(ours);
            // First of all, so that the lock is held by no second process for longer than necessary.
            let outcome = replace_lock_fd(input).and_then(|()| intermediate(&theirs));
            let error = match outcome {
                Ok(never) => match never {},
                Err(error) => error,
            };
            theirs.send_failure(&Failure::from_chain(&error));
            process::exit_now(125)
        }
        ForkSide::Parent(process) => {
            drop(theirs);
            let launched = follow(&ours, &process);
            // An intermediate process that still waits for `go` fails now, instead of blocking the wait.
            drop(ours);
            process.wait()?;
            launched
        }
    }
}

/// Like [`via_intermediate`], with an intermediate process that does not wait for this one: until it ends, this process
/// stands still and lends it its memory. `intermediate` returns once it has created the container's first process.
pub(super) fn via_brief_intermediate(
    input: &LaunchInput<'_>,
    intermediate: impl Fn(&SyncSocket) -> Result<()>,
    follow: impl FnOnce(&SyncSocket) -> Result<LaunchedContainer>,
) -> Result<LaunchedContainer> {
    let (ours, theirs) = sync_socket::socket_pair()?;
    let process = spawn::run_sharing_memory(&[ours.as_fd()], &mut || {
        // First of all, so that the lock is held by no second process for longer than necessary.
        match replace_lock_fd(input).and_then(|()| intermediate(&theirs)) {
            Ok(()) => 0,
            Err(error) => {
                theirs.send_failure(&Failure::from_chain(&error));
                125
            }
        }
    });
    let process = process.context("starting a process")?;
    drop(theirs);
    let launched = follow(&ours);
    process.wait()?;
    launched
}

/// Replaces the lock's descriptor in a process that is not the supervisor, so that it does not keep the lock
/// alive.
pub(super) fn replace_lock_fd(input: &LaunchInput<'_>) -> Result<()> {
    Ok(process::place_fd(input.streams[0], input.lock.as_raw_fd())?)
}

/// Follows the intermediate process and then the container's first process until its program runs.
pub(super) fn handshake(
    plan: &SandboxPlan,
    channel: &SyncSocket,
    mut namespaces: OpenNamespaces,
    mut connect: Option<ConnectNetwork<'_>>,
) -> Result<LaunchedContainer> {
    let (mut terminal, mut listener, mut failure, mut process) = (None, None, None, None);
    loop {
        match channel.receive()? {
            SyncMessage::Process(child) => {
                let released = release_init(plan, channel, &child, &mut namespaces, connect.take());
                process = Some(child);
                if let Err(error) = released {
                    // The failure reported from inside is the cause of the error seen here.
                    failure = Some(channel.drain_failure().unwrap_or_else(|| Failure::from_chain(&error)));
                    break;
                }
            }
            SyncMessage::Terminal(master) => terminal = Some(master),
            SyncMessage::Listener(fd) => listener = Some(fd),
            SyncMessage::Failed(reported) => failure = Some(reported),
            SyncMessage::Running => break,
        }
    }
    match (failure, process, namespaces.userns) {
        (None, Some(process), Some(userns)) => {
            let mounts = namespaces.mountns;
            Ok(LaunchedContainer { process, terminal, owner_listener: listener, userns, mounts })
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

/// The mount namespace of `child`, if the plan holds the mounts.
pub(super) fn hold_mounts(plan: &SandboxPlan, child: &ChildProcess) -> std::io::Result<Option<OwnedFd>> {
    plan.hold_mounts.then(|| namespace::open_namespace(child.pid, "mnt")).transpose()
}

/// Lets the first process build its root, and connects its network meanwhile.
fn release_init(
    plan: &SandboxPlan,
    channel: &SyncSocket,
    child: &ChildProcess,
    namespaces: &mut OpenNamespaces,
    connect: Option<ConnectNetwork<'_>>,
) -> Result<()> {
    if namespaces.userns.is_none() {
        namespaces.userns = Some(namespace::open_namespace(child.pid, "user")?);
        namespaces.mountns = hold_mounts(plan, child)?;
    }
    let network = match namespaces.netns.take() {
        None if connect.is_some() => Some(namespace::open_namespace(child.pid, "net")?),
        opened => opened,
    };
    channel.send_go()?;
    if let (Some(connect), Some(network)) = (connect, network) {
        connect(network.as_fd())?;
        channel.send_go()?;
    }
    Ok(())
}

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

use std::convert::Infallible;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};

use anyhow::{Context as _, Result};
use nix::sched::CloneFlags;

use super::below::{self, Outer};
use super::channel::{self, Channel, Said};
use super::identity::{Identity, explain_refusal};
use super::init;
use super::kin::{self, Gifts, Relation};
use super::plan::{Plan, Unshare};
use crate::error::{Failure, Kind};
use crate::sys::process::{self, Child, Side, ns};

/// A container whose program is running.
pub struct Running {
    pub process: Child,
    /// The master side of the terminal, if the plan has one.
    pub terminal: Option<OwnedFd>,
    /// The seccomp listener that reports changes of owner, if the plan remembers them.
    pub listener: Option<OwnedFd>,
    /// Kept open so that the container's files can still be handled after it has ended.
    pub user_namespace: OwnedFd,
}

/// Connects a network namespace to networks, while another process builds the container's root.
pub type Connect<'a> = &'a mut dyn FnMut(BorrowedFd<'_>) -> Result<()>;

/// What surrounds the container that is to be launched.
#[derive(Clone, Copy, Default)]
pub struct Place<'a> {
    /// The container whose namespaces it shares.
    pub relation: Option<&'a Relation>,
    /// The user namespace to nest it in.
    pub outer: Option<&'a Outer>,
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
    plan: &Plan,
    identity: &Identity,
    streams: [BorrowedFd<'_>; 3],
    lock: BorrowedFd<'_>,
    place: Place<'_>,
    connect: Option<Connect<'_>>,
) -> Result<Running> {
    let cgroup = place.cgroup;
    if let Some(relation) = place.relation {
        place.outer.map_or(Ok(()), |outer| kin::check_below(relation, outer))?;
        return kin::launch(plan, relation, streams, lock, cgroup, connect);
    }
    if let Some(outer) = place.outer {
        return below::launch(plan, outer, streams, lock, cgroup, connect);
    }
    let (ours, theirs) = channel::pair()?;
    let (now, then) = births(namespaces(plan.unshare), cgroup.is_some());
    let side = process::clone_into_cgroup(now, cgroup).map_err(|error| explain_refusal(&error))?;
    match side {
        Side::Child => {
            drop(ours);
            if give_up_lock(streams, lock).is_err() || nix::sched::unshare(then).is_err() {
                process::exit_now(125);
            }
            init::run(plan, &theirs, &init::Streams(streams), Gifts::default())
        }
        Side::Parent(child) => {
            drop(theirs);
            match bring_up(plan, identity, &ours, &child) {
                Ok((terminal, listener, user_namespace)) => {
                    Ok(Running { process: child, terminal, listener, user_namespace })
                }
                Err(error) => {
                    child.signal(libc::SIGKILL)?;
                    child.wait()?;
                    // The failure reported from inside is the cause of the error seen here.
                    Err(ours.last_words().map_or(error, anyhow::Error::from))
                }
            }
        }
    }
}

/// The namespaces as flags of clone(2), plus user and mount namespaces, which every container has.
pub(super) fn namespaces(unshare: Unshare) -> u64 {
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
pub(super) fn births(all: u64, in_cgroup: bool) -> (u64, CloneFlags) {
    if in_cgroup && all & ns::CGROUP != 0 {
        return (all & !ns::CGROUP, CloneFlags::CLONE_NEWCGROUP);
    }
    (all, CloneFlags::empty())
}

/// Maps the ids and waits until the program runs. Returns the terminal, the owner listener and the user
/// namespace.
fn bring_up(
    plan: &Plan,
    identity: &Identity,
    channel: &Channel,
    child: &Child,
) -> Result<(Option<OwnedFd>, Option<OwnedFd>, OwnedFd)> {
    identity.apply(&plan.ids, child.pid)?;
    // Before `go`: after it, the process may end or become undumpable at any time.
    let user_namespace = namespace_of(child.pid, "user")?;
    channel.go()?;
    let (mut terminal, mut listener) = (None, None);
    loop {
        match channel.listen()? {
            Said::Terminal(master) => terminal = Some(master),
            Said::Listener(fd) => listener = Some(fd),
            // Only an intermediate process announces another one.
            Said::Process(_) => {}
            Said::Failed(failure) => return Err(failure.into()),
            Said::Running => return Ok((terminal, listener, user_namespace)),
        }
    }
}

/// Namespaces of a container that were opened before its first process exists.
#[derive(Default)]
pub(super) struct Known {
    pub(super) user: Option<OwnedFd>,
    pub(super) net: Option<OwnedFd>,
}

/// Launches a container via an intermediate process, which enters the right namespaces and creates the
/// container there as a child of this process; `meet` performs the handshake with both.
pub(super) fn through(
    usher: impl FnOnce(&Channel) -> Result<Infallible>,
    meet: impl FnOnce(&Channel, &Child) -> Result<Running>,
) -> Result<Running> {
    let (ours, theirs) = channel::pair()?;
    match process::clone_into(0).context("starting a process")? {
        Side::Child => {
            drop(ours);
            let error = match usher(&theirs) {
                Ok(never) => match never {},
                Err(error) => error,
            };
            theirs.send_failure(&Failure::of(&error));
            process::exit_now(125)
        }
        Side::Parent(process) => {
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
pub(super) fn give_up_lock(streams: [BorrowedFd<'_>; 3], lock: BorrowedFd<'_>) -> Result<()> {
    Ok(process::place_fd(streams[0], lock.as_raw_fd())?)
}

/// Follows the intermediate process and then the container's first process until its program runs.
pub(super) fn meet(channel: &Channel, mut known: Known, mut connect: Option<Connect<'_>>) -> Result<Running> {
    let (mut terminal, mut listener, mut failure, mut process) = (None, None, None, None);
    loop {
        match channel.listen()? {
            Said::Process(child) => {
                let begun = begin(channel, &child, &mut known, connect.take());
                process = Some(child);
                if let Err(error) = begun {
                    // The failure reported from inside is the cause of the error seen here.
                    failure = Some(channel.last_words().unwrap_or_else(|| Failure::of(&error)));
                    break;
                }
            }
            Said::Terminal(master) => terminal = Some(master),
            Said::Listener(fd) => listener = Some(fd),
            Said::Failed(why) => failure = Some(why),
            Said::Running => break,
        }
    }
    match (failure, process, known.user) {
        (None, Some(process), Some(user_namespace)) => {
            Ok(Running { process, terminal, listener, user_namespace })
        }
        (failure, process, _) => {
            if let Some(process) = process {
                process.signal(libc::SIGKILL)?;
                process.wait()?;
            }
            let killed = || Failure::new(Kind::Interrupted, "the process was killed before it ran");
            Err(failure.unwrap_or_else(killed).into())
        }
    }
}

/// Lets the first process build its root, and connects its network meanwhile.
fn begin(channel: &Channel, child: &Child, known: &mut Known, connect: Option<Connect<'_>>) -> Result<()> {
    if known.user.is_none() {
        known.user = Some(namespace_of(child.pid, "user")?);
    }
    let network = match known.net.take() {
        None if connect.is_some() => Some(namespace_of(child.pid, "net")?),
        known => known,
    };
    channel.go()?;
    if let (Some(connect), Some(network)) = (connect, network) {
        connect(network.as_fd())?;
        channel.go()?;
    }
    Ok(())
}

/// Opens the namespace of type `kind` (a name in /proc/PID/ns) of process `pid`.
pub fn namespace_of(pid: i32, kind: &str) -> Result<OwnedFd> {
    use rustix::fs::{Mode, OFlags};
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    Ok(rustix::fs::open(format!("/proc/{pid}/ns/{kind}"), flags, Mode::empty())?)
}

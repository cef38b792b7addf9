//! Starts a container from its plan: clones the process, maps its ids, and waits until its program runs.

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

/// A container whose program runs.
pub struct Running {
    /// Its first process.
    pub process: Child,
    /// The master side of its terminal, if the plan has one.
    pub terminal: Option<OwnedFd>,
    /// Where its changes of owner are told, if the plan has them remembered.
    pub listener: Option<OwnedFd>,
    /// Its user namespace, in which its files can still be handled once it has ended.
    pub user_namespace: OwnedFd,
}

/// Connects a network namespace to networks, while the container's root is put together in another process.
pub type Connect<'a> = &'a mut dyn FnMut(BorrowedFd<'_>) -> Result<()>;

/// Where a container is to come to life.
#[derive(Clone, Copy, Default)]
pub struct Place<'a> {
    /// Beside the container whose namespaces it shares.
    pub relation: Option<&'a Relation>,
    /// Below this user namespace.
    pub outer: Option<&'a Outer>,
    /// All its processes are in this cgroup.
    pub cgroup: Option<BorrowedFd<'a>>,
}

/// Starts `plan`; `streams` are its standard input, output and error unless it has a terminal. `lock` is a descriptor
/// of this process that the container must not hold open even for a moment: while it is open the container counts as
/// supervised. A plan that awaits its network gets it by `connect`.
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
                    // What went wrong inside is why this side could not go on.
                    Err(ours.last_words().map_or(error, anyhow::Error::from))
                }
            }
        }
    }
}

/// As flags of clone(2), with the two that every container has.
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

/// The namespaces to be born into, and those to make then: a cgroup namespace begins where its maker is, so whoever is
/// born into a cgroup makes it there.
pub(super) fn births(all: u64, in_cgroup: bool) -> (u64, CloneFlags) {
    if in_cgroup && all & ns::CGROUP != 0 {
        return (all & !ns::CGROUP, CloneFlags::CLONE_NEWCGROUP);
    }
    (all, CloneFlags::empty())
}

fn bring_up(
    plan: &Plan,
    identity: &Identity,
    channel: &Channel,
    child: &Child,
) -> Result<(Option<OwnedFd>, Option<OwnedFd>, OwnedFd)> {
    identity.apply(&plan.ids, child.pid)?;
    let user_namespace = namespace_of(child.pid, "user")?;
    channel.go()?;
    let (mut terminal, mut listener) = (None, None);
    loop {
        match channel.listen()? {
            Said::Terminal(master) => terminal = Some(master),
            Said::Listener(fd) => listener = Some(fd),
            // Only who joins a container makes another.
            Said::Process(_) => {}
            Said::Failed(failure) => return Err(failure.into()),
            Said::Running => return Ok((terminal, listener, user_namespace)),
        }
    }
}

/// Namespaces of a container that are known before there is its first process.
#[derive(Default)]
pub(super) struct Known {
    pub(super) user: Option<OwnedFd>,
    pub(super) net: Option<OwnedFd>,
}

/// Starts a container by way of an usher, a process that goes where the container is to be made and makes it there as a
/// child of this one; `meet` follows them.
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

/// Puts another file in the lock's place: nothing in this process, which is not the supervisor, uses the lock any more.
pub(super) fn give_up_lock(streams: [BorrowedFd<'_>; 3], lock: BorrowedFd<'_>) -> Result<()> {
    Ok(process::place_fd(streams[0], lock.as_raw_fd())?)
}

/// Follows the usher and then the container's first process until its program runs.
pub(super) fn meet(channel: &Channel, mut known: Known, mut connect: Option<Connect<'_>>) -> Result<Running> {
    let (mut terminal, mut listener, mut failure, mut process) = (None, None, None, None);
    loop {
        match channel.listen()? {
            Said::Process(child) => {
                let begun = begin(channel, &child, &mut known, connect.take());
                process = Some(child);
                if let Err(error) = begun {
                    // What went wrong inside is why this side could not go on.
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

/// Lets the container's first process put its root together, and meanwhile connects its networks.
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

/// The namespace of this kind that process `pid` is in.
pub fn namespace_of(pid: i32, kind: &str) -> Result<OwnedFd> {
    use rustix::fs::{Mode, OFlags};
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    Ok(rustix::fs::open(format!("/proc/{pid}/ns/{kind}"), flags, Mode::empty())?)
}

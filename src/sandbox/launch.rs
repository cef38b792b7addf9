//! Starts a container from its plan: clones the process, maps its ids, and waits until its program runs.

use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd};

use anyhow::Result;
use nix::sched::CloneFlags;

use super::channel::{self, Channel, Said};
use super::identity::{Identity, explain_refusal};
use super::init;
use super::kin::{self, Gifts, Relation};
use super::plan::{Plan, Unshare};
use crate::sys::process::{self, Child, Side, ns};

/// A container whose program runs.
pub struct Running {
    /// Its first process.
    pub process: Child,
    /// The master side of its terminal, if the plan has one.
    pub terminal: Option<OwnedFd>,
    /// Its user namespace, in which its files can still be handled once it has ended.
    pub user_namespace: OwnedFd,
}

/// Starts `plan`, beside the container of `relation` if there is one; `streams` are its standard input, output and error
/// unless it has a terminal. `lock` is a descriptor of this process that the container must not hold open even for a
/// moment: while it is open the container counts as supervised. All its processes are in `cgroup`, if there is one.
///
/// The process must have one thread. On failure nothing of the container is left.
pub fn launch(
    plan: &Plan,
    identity: &Identity,
    streams: [BorrowedFd<'_>; 3],
    lock: BorrowedFd<'_>,
    cgroup: Option<BorrowedFd<'_>>,
    relation: Option<&Relation>,
) -> Result<Running> {
    if let Some(relation) = relation {
        return kin::launch(plan, relation, streams, lock, cgroup);
    }
    let (ours, theirs) = channel::pair()?;
    let (now, then) = births(namespaces(plan.unshare), cgroup.is_some());
    let side = process::clone_into_cgroup(now, cgroup).map_err(|error| explain_refusal(&error))?;
    match side {
        Side::Child => {
            drop(ours);
            // Another file takes the lock's place; nothing in this process uses the lock any more.
            if process::place_fd(streams[0], lock.as_raw_fd()).is_err() || nix::sched::unshare(then).is_err()
            {
                process::exit_now(125);
            }
            init::run(plan, &theirs, &init::Streams(streams), Gifts::default())
        }
        Side::Parent(child) => {
            drop(theirs);
            match bring_up(plan, identity, &ours, &child) {
                Ok((terminal, user_namespace)) => Ok(Running { process: child, terminal, user_namespace }),
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
) -> Result<(Option<OwnedFd>, OwnedFd)> {
    identity.apply(&plan.ids, child.pid)?;
    let user_namespace = rustix::fs::open(
        format!("/proc/{}/ns/user", child.pid),
        rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::CLOEXEC,
        rustix::fs::Mode::empty(),
    )?;
    channel.go()?;
    let mut terminal = None;
    loop {
        match channel.listen()? {
            Said::Terminal(master) => terminal = Some(master),
            // Only who joins a container makes another.
            Said::Process(_) => {}
            Said::Failed(failure) => return Err(failure.into()),
            Said::Running => return Ok((terminal, user_namespace)),
        }
    }
}

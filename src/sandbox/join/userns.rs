//! A nested user namespace for `exec -u` in a container that has only one id.
//!
//! Such a container has exactly one user, whose number was chosen at launch. A process that runs as another user gets
//! a user namespace of its own, nested in the container's, in which the same id has that other number. It sees itself
//! and all files as a container started with that user would, and has no capabilities over the container's
//! namespaces.

use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};

use anyhow::{Context as _, Result};
use dhow_error::{Failure, FailureKind};
use dhow_sys::process::{ForkSide, ns};
use rustix::fs::{Mode, OFlags};

use super::{container_ended, resolve_user};
use crate::confine::user::UserDatabase;
use crate::identity;
use crate::identity::idmap::{IdMap, IdMapExtent};
use crate::plan::JoinPlan;
use crate::sync_socket::{self, SyncSocket};

/// Creates the namespace that the process of `plan` enters last; `None` if it needs none. To be called
/// outside the container.
pub(super) fn userns_for_user(plan: &JoinPlan, container: BorrowedFd<'_>) -> Result<Option<OwnedFd>> {
    let ([uid], [gid]) = (plan.ids.uids.as_slice(), plan.ids.gids.as_slice()) else { return Ok(None) };
    let root_is_meant = plan.process.user.is_empty() && uid.inside == 0;
    if !plan.ids.is_single() || root_is_meant {
        return Ok(None);
    }
    let user = resolve_user(&UserDatabase::read(open_root_of(container)?.as_fd()), &plan.process)?;
    if (user.uid, user.gid) == (uid.inside, gid.inside) {
        return Ok(None);
    }
    if !plan.unshare.pid {
        // The process that creates the namespace would be visible inside, and could be inspected before it is
        // undumpable.
        let message =
            format!("user {} is not the container's, and the account has one id", plan.process.user);
        return Err(Failure::new(FailureKind::CommandNotExecutable, message)
            .hint("this works in a container without --pid host")
            .into());
    }
    let one = |inside, line: &IdMapExtent| vec![IdMapExtent { inside, outside: line.inside, count: 1 }];
    create_userns(&IdMap { uids: one(user.uid, uid), gids: one(user.gid, gid) }, container).map(Some)
}

/// Opens the root directory of the process behind the pidfd, as that process sees it.
fn open_root_of(container: BorrowedFd<'_>) -> Result<OwnedFd> {
    let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", container.as_raw_fd()))?;
    let pid = info.lines().find_map(|line| line.strip_prefix("Pid:")).map_or("", str::trim);
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::open(format!("/proc/{pid}/root"), flags, Mode::empty());
    Ok(root.map_err(|_| container_ended())?)
}

/// Creates a user namespace nested in the container's, with `map`, and opens it.
fn create_userns(map: &IdMap, container: BorrowedFd<'_>) -> Result<OwnedFd> {
    let (ours, theirs) = sync_socket::socket_pair()?;
    match dhow_sys::process::clone_into(0).context("starting a process")? {
        ForkSide::Child => {
            drop(ours);
            if let Err(error) = hold_userns(map, container, &theirs) {
                theirs.send_failure(&Failure::from_chain(&error));
            }
            dhow_sys::process::exit_now(0)
        }
        ForkSide::Parent(holder) => {
            drop(theirs);
            let opened =
                ours.await_go().and_then(|()| Ok(dhow_sys::namespace::open_namespace(holder.pid, "user")?));
            drop(ours);
            holder.wait()?;
            opened.context("making a user namespace inside the container")
        }
    }
}

/// Enters a new user namespace and keeps it alive until the other side has opened it.
fn hold_userns(map: &IdMap, container: BorrowedFd<'_>, channel: &SyncSocket) -> Result<()> {
    dhow_sys::process::close_others(3, &[container, channel.as_fd()])?;
    dhow_sys::namespace::setns(container, ns::USER)?;
    identity::unshare_user()?;
    map.write_for(rustix::process::getpid().as_raw_nonzero().get(), true)?;
    channel.send_go()?;
    // Returns with an error as soon as the other side closes its end, which is all that matters here.
    let _ = channel.await_go();
    Ok(())
}

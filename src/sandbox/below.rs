//! Starts a container in a user namespace below another one that is there already: that of the network helper.
//!
//! Power over a network namespace is had in the user namespace that made it and above. The helper wires the networks of
//! many containers, so they are made below its own. Its ids are mapped once, and whoever is inside maps those of
//! namespaces below directly, which also spares each start the setuid programs.
//!
//! ```text
//! supervisor ──fork──► usher: joins the outer user namespace
//!                       └─► the container's first process, as a child of the supervisor; its ids are mapped by the usher
//! ```

use std::convert::Infallible;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use anyhow::{Context as _, Result};

use super::channel::Channel;
use super::identity::explain_refusal;
use super::idmap::IdMap;
use super::kin::Gifts;
use super::launch::{Connect, Known, Running, births, give_up_lock, meet, namespaces, through};
use super::plan::Plan;
use super::{identity, init};
use crate::error::{Failure, Kind};
use crate::sys;
use crate::sys::process::{self, Side, ns};

/// The user namespace to be below of.
#[derive(Debug)]
pub struct Outer {
    /// It.
    pub namespace: OwnedFd,
    /// Its ids, as this process counts those outside.
    pub ids: IdMap,
}

/// As [`super::launch::launch`], below `outer`.
pub(super) fn launch(
    plan: &Plan,
    outer: &Outer,
    streams: [BorrowedFd<'_>; 3],
    lock: BorrowedFd<'_>,
    cgroup: Option<BorrowedFd<'_>>,
    connect: Option<Connect<'_>>,
) -> Result<Running> {
    let map = plan.ids.below(&outer.ids).ok_or_else(|| {
        Failure::new(Kind::Unsupported, "the networks' user namespace lacks ids of this container")
            .hint("the account's subordinate ids have changed: stop the containers that are on networks")
    })?;
    let usher = |channel: &Channel| {
        give_up_lock(streams, lock)?;
        usher(plan, outer, &map, channel, streams, cgroup)
    };
    through(usher, |channel, _| meet(channel, Known::default(), connect))
}

fn usher(
    plan: &Plan,
    outer: &Outer,
    map: &IdMap,
    channel: &Channel,
    streams: [BorrowedFd<'_>; 3],
    cgroup: Option<BorrowedFd<'_>>,
) -> Result<Infallible> {
    sys::namespace::join(outer.namespace.as_fd(), ns::USER)
        .context("joining the networks' user namespace")?;
    let (now, then) = births(namespaces(plan.unshare), cgroup.is_some());
    match process::clone_sibling(now, cgroup).map_err(|error| explain_refusal(&error))? {
        Side::Child => {
            nix::sched::unshare(then).context("making a cgroup namespace")?;
            init::run(plan, channel, &init::Streams(streams), Gifts::default())
        }
        Side::Parent(process) => {
            let mapped = identity::write_maps(map, process.pid, map.is_single());
            // The supervisor must know of the process in any case: it ends it if this failed.
            channel.send_process(&process)?;
            mapped.context("mapping user ids below those of the networks")?;
            process::exit_now(0)
        }
    }
}

//! Launches a container in a user namespace nested in an existing one, that of the network helper. The usual case.
//!
//! Capabilities over a network namespace are held in its owning user namespace and that one's ancestors. The helper
//! configures the networks of many containers, so their user namespaces are created below its own. The helper's ids
//! are mapped once; inside it, maps of nested namespaces are written directly, which also saves each start the setuid
//! programs newuidmap and newgidmap.
//!
//! ```text
//! supervisor ──fork──► intermediate: joins the parent user namespace, maps the ids of the process below
//!                       └─► the container's first process, as a child of the supervisor
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

/// The user namespace to nest containers in.
#[derive(Debug)]
pub struct Outer {
    pub namespace: OwnedFd,
    /// Its id map, with outside ids as this process sees them.
    pub ids: IdMap,
}

/// Like [`super::launch::launch`], nested in `outer`.
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

/// In the intermediate process: creates the container's first process below the parent user namespace.
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
            // Sent even if mapping failed: the supervisor has to kill the process in that case.
            channel.send_process(&process)?;
            mapped.context("mapping user ids below those of the networks")?;
            process::exit_now(0)
        }
    }
}

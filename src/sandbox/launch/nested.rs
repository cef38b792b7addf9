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

use super::init;
use super::shared::ReceivedMounts;
use super::{
    ConnectNetwork, LaunchedContainer, OpenNamespaces, handshake, namespace_flags, replace_lock_fd,
    split_clone_flags, via_intermediate,
};
use crate::identity;
use crate::identity::explain_userns_refusal;
use crate::identity::idmap::IdMap;
use crate::plan::SandboxPlan;
use crate::sync_socket::SyncSocket;
use dhow_error::{Failure, FailureKind};
use dhow_sys::process::{self, ForkSide, ns};

/// The user namespace to nest containers in.
#[derive(Debug)]
pub struct ParentUserns {
    pub userns: OwnedFd,
    /// Its id map, with outside ids as this process sees them.
    pub ids: IdMap,
}

/// Like [`super::launch`], nested in `outer`.
pub(crate) fn launch_nested(
    plan: &SandboxPlan,
    outer: &ParentUserns,
    streams: [BorrowedFd<'_>; 3],
    lock: BorrowedFd<'_>,
    cgroup: Option<BorrowedFd<'_>>,
    connect: Option<ConnectNetwork<'_>>,
) -> Result<LaunchedContainer> {
    let map = plan.ids.nested_in(&outer.ids).ok_or_else(|| {
        Failure::new(FailureKind::Unsupported, "the networks' user namespace lacks ids of this container")
            .hint("the account's subordinate ids have changed: stop the containers that are on networks")
    })?;
    let usher = |channel: &SyncSocket| {
        replace_lock_fd(streams, lock)?;
        run_intermediate(plan, outer, &map, channel, streams, cgroup)
    };
    via_intermediate(usher, |channel, _| handshake(channel, OpenNamespaces::default(), connect))
}

/// In the intermediate process: creates the container's first process below the parent user namespace.
fn run_intermediate(
    plan: &SandboxPlan,
    outer: &ParentUserns,
    map: &IdMap,
    channel: &SyncSocket,
    streams: [BorrowedFd<'_>; 3],
    cgroup: Option<BorrowedFd<'_>>,
) -> Result<Infallible> {
    dhow_sys::namespace::setns(outer.userns.as_fd(), ns::USER)
        .context("joining the networks' user namespace")?;
    let (now, then) = split_clone_flags(namespace_flags(plan.unshare), cgroup.is_some());
    match process::clone_sibling(now, cgroup).map_err(|error| explain_userns_refusal(&error))? {
        ForkSide::Child => {
            nix::sched::unshare(then).context("making a cgroup namespace")?;
            init::run_init(plan, channel, &init::StdioFds(streams), ReceivedMounts::default())
        }
        ForkSide::Parent(process) => {
            let mapped = identity::write_maps(map, process.pid, map.is_single());
            // Sent even if mapping failed: the supervisor has to kill the process in that case.
            channel.send_process(&process)?;
            mapped.context("mapping user ids below those of the networks")?;
            process::exit_now(0)
        }
    }
}

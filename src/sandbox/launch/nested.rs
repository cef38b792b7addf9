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

use std::os::fd::{AsFd as _, OwnedFd};

use anyhow::{Context as _, Result};
use dhow_error::{Failure, FailureKind};
use dhow_sys::process::{self, ForkSide, ns};

use super::handshake::{
    ConnectNetwork, LaunchInput, LaunchedContainer, OpenNamespaces, handshake, split_clone_flags,
    via_brief_intermediate,
};
use super::init::{self, ReceivedMounts};
use crate::identity::explain_userns_refusal;
use crate::identity::idmap::IdMap;
use crate::sync_socket::SyncSocket;

/// The user namespace to nest containers in.
#[derive(Debug)]
pub struct ParentUserns {
    pub userns: OwnedFd,
    /// Its id map, with outside ids as this process sees them.
    pub ids: IdMap,
}

/// Like [`super::launch`], nested in `parent`.
pub(super) fn launch_nested(
    input: &LaunchInput<'_>,
    parent: &ParentUserns,
    connect: Option<ConnectNetwork<'_>>,
) -> Result<LaunchedContainer> {
    let map = input.plan.ids.nested_in(&parent.ids).ok_or_else(|| {
        Failure::new(FailureKind::Unsupported, "the networks' user namespace lacks ids of this container")
            .hint("the account's subordinate ids have changed: stop the containers that are on networks")
    })?;
    via_brief_intermediate(
        input,
        |channel| run_intermediate(input, parent, &map, channel),
        |channel| handshake(input.plan, channel, OpenNamespaces::default(), connect),
    )
}

/// In the intermediate process: creates the container's first process below the parent user namespace. Returns there
/// only.
fn run_intermediate(
    input: &LaunchInput<'_>,
    parent: &ParentUserns,
    map: &IdMap,
    channel: &SyncSocket,
) -> Result<()> {
    dhow_sys::namespace::setns(parent.userns.as_fd(), ns::USER)
        .context("joining the networks' user namespace")?;
    let (at_clone, after) = split_clone_flags(input.plan.unshare.clone_flags(), input.cgroup.is_some());
    match process::clone_sibling(at_clone, input.cgroup).map_err(|error| explain_userns_refusal(&error))? {
        ForkSide::Child => {
            if let Err(error) = dhow_sys::namespace::unshare(after).context("making a cgroup namespace") {
                channel.send_failure(&Failure::from_chain(&error));
                process::exit_now(125);
            }
            init::run_init(input.plan, channel, &init::StdioFds(input.streams), ReceivedMounts::default())
        }
        ForkSide::Parent(process) => {
            let mapped = map.write_for(process.pid, map.is_single());
            // Sent even if mapping failed: the supervisor has to kill the process in that case.
            channel.send_process(&process)?;
            mapped.context("mapping user ids below those of the networks")
        }
    }
}

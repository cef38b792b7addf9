//! Starts a container from its plan: clones the process, maps its ids, and waits until its program runs.
//!
//! # Ways to launch
//!
//! - `direct`: the supervisor clones the container's first process itself.
//! - [`nested`]: below the network helper's user namespace; the usual case.
//! - [`shared`]: in namespaces of another container.
//!
//! The last two go through an *intermediate process*, because a process that has joined another user namespace cannot
//! come back. It uses `CLONE_PARENT`, so the container's first process is a child of the supervisor all the same.
//!
//! In each of them the first process goes on in `init`, and follows the protocol drawn in `handshake`.

mod direct;
mod handshake;
mod init;
pub mod nested;
pub mod shared;

use std::os::fd::BorrowedFd;

use anyhow::Result;

use self::handshake::{ConnectNetwork, LaunchInput};
use self::nested::ParentUserns;
use self::shared::SharedNamespaces;
use crate::identity::HostIdentity;
use crate::plan::SandboxPlan;

pub use self::handshake::LaunchedContainer;

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
    context: LaunchContext<'_>,
    connect: Option<ConnectNetwork<'_>>,
) -> Result<LaunchedContainer> {
    let input = LaunchInput { plan, streams, lock, cgroup: context.cgroup };
    match (context.shared, context.parent_userns) {
        (Some(peer), parent) => {
            // Nested in the other container's user namespace, it is below the helper's only if that one is.
            parent.map_or(Ok(()), |parent| shared::check_nested_below(peer, parent))?;
            shared::launch_shared(&input, peer, connect)
        }
        (None, Some(parent)) => nested::launch_nested(&input, parent, connect),
        (None, None) => direct::launch_direct(&input, identity),
    }
}

//! Launches a container as a direct child in a user namespace of its own, without an intermediate process.

use std::os::fd::OwnedFd;

use anyhow::Result;
use dhow_sys::namespace;
use dhow_sys::process::{self, ChildProcess, ForkSide};

use super::handshake::{LaunchInput, LaunchedContainer, replace_lock_fd, split_clone_flags};
use super::init::{self, ReceivedMounts};
use crate::identity::{HostIdentity, explain_userns_refusal};
use crate::plan::SandboxPlan;
use crate::sync_socket::{self, SyncMessage, SyncSocket};

/// As [`super::launch`], in a user namespace that `identity` maps.
pub(super) fn launch_direct(input: &LaunchInput<'_>, identity: &HostIdentity) -> Result<LaunchedContainer> {
    let (ours, theirs) = sync_socket::socket_pair()?;
    let (at_clone, after) = split_clone_flags(input.plan.unshare.clone_flags(), input.cgroup.is_some());
    let side =
        process::clone_into_cgroup(at_clone, input.cgroup).map_err(|error| explain_userns_refusal(&error))?;
    match side {
        ForkSide::Child => {
            drop(ours);
            if replace_lock_fd(input).is_err() || nix::sched::unshare(after).is_err() {
                process::exit_now(125);
            }
            init::run_init(input.plan, &theirs, &init::StdioFds(input.streams), ReceivedMounts::default())
        }
        ForkSide::Parent(child) => {
            drop(theirs);
            match handshake_direct(input.plan, identity, &ours, &child) {
                Ok(DirectHandshake { terminal, owner_listener, userns }) => {
                    Ok(LaunchedContainer { process: child, terminal, owner_listener, userns })
                }
                Err(error) => {
                    child.signal(libc::SIGKILL)?;
                    child.wait()?;
                    // The failure reported from inside is the cause of the error seen here.
                    Err(ours.drain_failure().map_or(error, anyhow::Error::from))
                }
            }
        }
    }
}

/// What the handshake yields besides the process itself.
struct DirectHandshake {
    terminal: Option<OwnedFd>,
    owner_listener: Option<OwnedFd>,
    userns: OwnedFd,
}

/// Maps the ids and waits until the program runs.
fn handshake_direct(
    plan: &SandboxPlan,
    identity: &HostIdentity,
    channel: &SyncSocket,
    child: &ChildProcess,
) -> Result<DirectHandshake> {
    identity.apply(&plan.ids, child.pid)?;
    // Before `go`: after it, the process may end or become undumpable at any time.
    let userns = namespace::open_namespace(child.pid, "user")?;
    channel.send_go()?;
    let (mut terminal, mut owner_listener) = (None, None);
    loop {
        match channel.receive()? {
            SyncMessage::Terminal(master) => terminal = Some(master),
            SyncMessage::Listener(fd) => owner_listener = Some(fd),
            // Only an intermediate process announces another one.
            SyncMessage::Process(_) => {}
            SyncMessage::Failed(failure) => return Err(failure.into()),
            SyncMessage::Running => return Ok(DirectHandshake { terminal, owner_listener, userns }),
        }
    }
}

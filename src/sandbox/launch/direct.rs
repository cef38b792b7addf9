//! Launches a container as a direct child in a user namespace of its own, without an intermediate process.
//!
//! Making a network namespace takes the kernel half as long as everything else, so the child makes it, with the others
//! that need not exist at its birth, while this process maps its ids.

use std::os::fd::OwnedFd;

use anyhow::Result;
use dhow_error::Failure;
use dhow_sys::namespace;
use dhow_sys::process::{self, ChildProcess, ForkSide, ns};

use super::handshake::{LaunchInput, LaunchedContainer, hold_mounts, replace_lock_fd};
use super::init::{self, ReceivedMounts};
use crate::identity::{HostIdentity, explain_userns_refusal};
use crate::plan::SandboxPlan;
use crate::sync_socket::{self, SyncMessage, SyncSocket};

/// As [`super::launch`], in a user namespace that `identity` maps.
pub(super) fn launch_direct(input: &LaunchInput<'_>, identity: &HostIdentity) -> Result<LaunchedContainer> {
    let (ours, theirs) = sync_socket::socket_pair()?;
    let (at_clone, after) = (ns::USER | ns::MOUNT, input.plan.unshare.clone_flags());
    let at_clone = at_clone | (after & ns::PID);
    let side =
        process::clone_into_cgroup(at_clone, input.cgroup).map_err(|error| explain_userns_refusal(&error))?;
    match side {
        ForkSide::Child => {
            drop(ours);
            if let Err(error) = begin(input, after & !at_clone) {
                theirs.send_failure(&Failure::from_chain(&error));
                process::exit_now(125);
            }
            init::run_init(input.plan, &theirs, &init::StdioFds(input.streams), ReceivedMounts::default())
        }
        ForkSide::Parent(child) => {
            drop(theirs);
            match handshake_direct(input.plan, identity, &ours, &child) {
                Ok(DirectHandshake { terminal, owner_listener, userns, mounts }) => {
                    Ok(LaunchedContainer { process: child, terminal, owner_listener, userns, mounts })
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

/// In the child: lets go of the lock and makes the remaining namespaces.
fn begin(input: &LaunchInput<'_>, namespaces: u64) -> Result<()> {
    replace_lock_fd(input)?;
    namespace::unshare(namespaces).map_err(|error| explain_userns_refusal(&error).into())
}

/// What the handshake yields besides the process itself.
struct DirectHandshake {
    terminal: Option<OwnedFd>,
    owner_listener: Option<OwnedFd>,
    userns: OwnedFd,
    mounts: Option<OwnedFd>,
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
    let mounts = hold_mounts(plan, child)?;
    channel.send_go()?;
    let (mut terminal, mut owner_listener) = (None, None);
    loop {
        match channel.receive()? {
            SyncMessage::Terminal(master) => terminal = Some(master),
            SyncMessage::Listener(fd) => owner_listener = Some(fd),
            // Only an intermediate process announces another one.
            SyncMessage::Process(_) => {}
            SyncMessage::Failed(failure) => return Err(failure.into()),
            SyncMessage::Running => return Ok(DirectHandshake { terminal, owner_listener, userns, mounts }),
        }
    }
}

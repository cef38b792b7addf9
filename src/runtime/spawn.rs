//! Forks the supervisor of a container, and attaches the command to it or waits until the program has started.

use std::os::fd::{AsFd as _, OwnedFd};

use anyhow::{Context as _, Result};

use super::attach::streams::{self, AttachStreams};
use super::attach::{
    self, AttachRequest, UserTerminal, attach_options, command_exit_code, effective_streams,
};
use super::control::protocol::{self, ControlReport};
use super::start_plan::StartPlan;
use super::supervisor::{self, InitialAttach, SupervisorArgs};
use dhow_error::{Failure, FailureKind};
use dhow_model::container::ContainerSpec;
use dhow_model::log::LogDriver;
use dhow_sandbox::cgroup::SessionInfo;
use dhow_sandbox::identity::HostIdentity;
use dhow_store::{LockedContainer, Store};
use dhow_sys::process::ForkSide;
use dhow_sys::signal::SignalFd;

/// Forks the container's supervisor. Without `attachment` returns once the program has started, otherwise
/// when the container exits or the user detaches. Returns the exit code of the command.
pub fn spawn_supervisor(
    store: &Store,
    container: LockedContainer,
    identity: HostIdentity,
    session: SessionInfo,
    mut plan: StartPlan,
    attachment: Option<AttachRequest>,
) -> Result<i32> {
    let spec = container.spec();
    let tty = spec.process.tty;
    let AttachStreams { ends, relays } = match &attachment {
        None => AttachStreams { ends: InitialAttach::No, relays: Vec::new() },
        Some(attachment) => prepare_streams(spec, attachment)?,
    };
    let terminal = match tty && attachment.is_some() {
        true => UserTerminal::of_stdin(std::io::stdin().as_fd())?,
        false => None,
    };
    plan.sandbox.process.terminal_size = terminal.as_ref().and_then(UserTerminal::size);
    let saved_terminal = terminal.as_ref().map(UserTerminal::duplicate).transpose()?;
    // Blocked before the fork: a signal must not get lost between the fork and the session.
    let signals =
        attachment.is_some().then(|| SignalFd::blocking(&dhow_sys::signal::forwardable())).transpose()?;
    let (theirs, ours) = protocol::connected_pair()?;
    let auto_remove = spec.auto_remove;
    let args = SupervisorArgs {
        store: store.clone(),
        container,
        identity: identity.clone(),
        session,
        plan,
        attached: ends,
        terminal: saved_terminal,
    };
    match dhow_sys::process::fork().context("starting the container's supervisor")? {
        ForkSide::Child => {
            // The supervisor must not keep the command's ends open, or their end of file would never be seen.
            drop((ours, relays, terminal, signals));
            supervisor::run_supervisor(args, theirs)
        }
        ForkSide::Parent(_) => drop((args, theirs)),
    }
    let (Some(attachment), Some(signals)) = (attachment, signals) else { return await_start(&ours) };
    let options = attach_options(tty, attachment);
    match attach::run_attached(&ours, &signals, relays, terminal, options) {
        Ok(outcome) => Ok(command_exit_code(&outcome)),
        Err(error) => {
            // A supervisor that was killed could not clean up; the next command would, and this is the first
            // to notice.
            if auto_remove {
                super::remove::remove_abandoned(store, &identity)?;
            }
            Err(error)
        }
    }
}

/// A foreground container with `--rm` keeps no log unless the user asked for a log driver.
fn prepare_streams(spec: &ContainerSpec, attachment: &AttachRequest) -> Result<AttachStreams<InitialAttach>> {
    let requested = effective_streams(spec, attachment.streams);
    let logs = match spec.log.driver.is_empty() {
        true => !spec.auto_remove,
        false => spec.log.plan()?.driver != LogDriver::None,
    };
    if spec.process.tty || logs {
        let AttachStreams { ends, relays } = streams::piped_streams(requested)?;
        return Ok(AttachStreams { ends: InitialAttach::Piped(ends), relays });
    }
    let AttachStreams { ends, relays }: AttachStreams<[OwnedFd; 3]> = streams::direct_streams(requested)?;
    Ok(AttachStreams { ends: InitialAttach::Direct(ends), relays })
}

fn await_start(client: &protocol::ControlClient) -> Result<i32> {
    match client.receive_report()? {
        Some(ControlReport::Failed(failure)) => Err(failure.into()),
        Some(_) => Ok(0),
        None => Err(Failure::new(
            FailureKind::Other,
            "the container's supervisor was killed before the container ran",
        )
        .into()),
    }
}

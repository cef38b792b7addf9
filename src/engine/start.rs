//! Starts a container: `start`, and the fork of its supervisor that `run` shares.

use std::os::fd::{AsFd as _, OwnedFd};

use anyhow::{Context as _, Result};

use super::attach::streams::{self, AttachStreams};
use super::attach::wire::{self, ControlReport};
use super::attach::{self, AttachOptions, AttachOutcome, UserTerminal};
use super::control::{ContainerAccess, connect_or_lock};
use super::networking::{self, NetworkPlan, PendingHelper};
use super::supervisor::{self, InitialAttach, SupervisorArgs};
use super::{create, namespace, placement, plan};
use crate::error::{Failure, FailureKind};
use crate::model::container::ContainerSpec;
use crate::model::detach_keys::DetachKeys;
use crate::model::digest::Digest;
use crate::model::environment::Environment;
use crate::model::log::LogDriver;
use crate::sandbox::cgroup::SessionInfo;
use crate::sandbox::identity::HostIdentity;
use crate::sandbox::plan::SandboxPlan;
use crate::store::{LockedContainer, Store};
use crate::sys;
use crate::sys::process::ForkSide;
use crate::sys::signal::SignalFd;

/// How a command attaches to a container.
#[derive(Clone, Debug, Default)]
pub struct AttachRequest {
    /// Standard input, output and error.
    pub wanted: [bool; 3],
    /// Forward signals.
    pub sig_proxy: bool,
    /// The key sequence that detaches from a terminal.
    pub detach_keys: DetachKeys,
}

/// docker's exit code for a container that failed to start for this reason.
pub(crate) fn start_failure_exit_code(kind: FailureKind) -> i32 {
    match kind {
        FailureKind::CommandNotFound => 127,
        FailureKind::CommandNotExecutable => 126,
        _ => 125,
    }
}

/// Starts the container `text`; one that runs is left alone. With `attachment` the command stays attached
/// until the container exits or the user detaches. Returns the exit code of the command. The process must be
/// single-threaded.
pub fn start(
    store: &Store,
    text: &str,
    attachment: Option<AttachRequest>,
    environment: &Environment,
) -> Result<i32> {
    let container = store.find_container(text)?;
    let identity = namespace::probe_identity(environment);
    match (connect_or_lock(container)?, attachment) {
        (ContainerAccess::Supervised(_, command), Some(attachment)) => {
            // The connection was only to find out; attaching makes its own.
            drop(command);
            attach::attach(store, text, attachment)
        }
        (ContainerAccess::Supervised(..), None) => Ok(0),
        (ContainerAccess::Unsupervised(container), attachment) => {
            // The lock is held from here on: two commands cannot start the container at once.
            let layers = image_layers(store, container.spec(), &identity)?;
            let networks = networking::prepare_networks(store, &container, environment)?;
            // The helper starts while the plan is made.
            let helper = networking::reach_helper(store, &identity, container.spec(), networks.as_ref())?;
            let plan = plan::make_plan(store, &container, &layers, &identity, networks.as_ref())?;
            let mut surroundings = placement::session_info(environment);
            if attachment.is_none() {
                (surroundings, _) = placement::for_detached(container.spec(), surroundings);
            }
            spawn_supervisor(store, *container, plan, identity, surroundings, (networks, helper), attachment)
        }
    }
}

fn image_layers(store: &Store, spec: &ContainerSpec, identity: &HostIdentity) -> Result<Vec<Digest>> {
    let Some(used) = &spec.image else { return Ok(Vec::new()) };
    let Some(image) = store.image(&used.id)? else {
        let message =
            format!("the image of container {}, {}, is not in the store any more", spec.name, used.name);
        return Err(Failure::new(FailureKind::NotFound, message).into());
    };
    create::check_image_ownership(&image, identity)?;
    Ok(image.config.rootfs.diff_ids)
}

/// Forks the container's supervisor. Without `attachment` returns once the program has started, otherwise
/// when the container exits or the user detaches. Returns the exit code of the command.
pub(super) fn spawn_supervisor(
    store: &Store,
    container: LockedContainer,
    mut plan: SandboxPlan,
    identity: HostIdentity,
    surroundings: SessionInfo,
    (networks, helper): (Option<NetworkPlan>, Option<PendingHelper>),
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
    plan.process.terminal_size = terminal.as_ref().and_then(UserTerminal::size);
    let spare = terminal.as_ref().map(UserTerminal::duplicate).transpose()?;
    // Blocked before the fork: a signal must not get lost between the fork and the session.
    let signals =
        attachment.is_some().then(|| SignalFd::blocking(&sys::signal::forwardable())).transpose()?;
    let (theirs, ours) = wire::connected_pair()?;
    let auto_remove = spec.auto_remove;
    let post = SupervisorArgs {
        store: store.clone(),
        container,
        plan,
        identity: identity.clone(),
        surroundings,
        networks,
        helper,
        attached: ends,
        terminal: spare,
    };
    match sys::process::fork().context("starting the container's supervisor")? {
        ForkSide::Child => {
            // The supervisor must not keep the command's ends open, or their end of file would never be seen.
            drop((ours, relays, terminal, signals));
            supervisor::run_supervisor(post, theirs)
        }
        ForkSide::Parent(_) => drop((post, theirs)),
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
    let wanted = effective_streams(spec, attachment.wanted);
    let logs = match spec.log.driver.is_empty() {
        true => !spec.auto_remove,
        false => spec.log.plan()?.driver != LogDriver::None,
    };
    if spec.process.tty || logs {
        let AttachStreams { ends, relays } = streams::piped_streams(wanted)?;
        return Ok(AttachStreams { ends: InitialAttach::Piped(ends), relays });
    }
    let AttachStreams { ends, relays }: AttachStreams<[OwnedFd; 3]> = streams::direct_streams(wanted)?;
    Ok(AttachStreams { ends: InitialAttach::Direct(ends), relays })
}

/// Without `-i` there is no input; a terminal has a single output stream.
pub(super) fn effective_streams(spec: &ContainerSpec, [input, output, error]: [bool; 3]) -> [bool; 3] {
    let process = &spec.process;
    match process.tty {
        true => [input && process.interactive, output || error, false],
        false => [input && process.interactive, output, error],
    }
}

pub(super) fn attach_options(tty: bool, attachment: AttachRequest) -> AttachOptions {
    AttachOptions {
        tty,
        sig_proxy: attachment.sig_proxy,
        interactive: attachment.wanted[0],
        detach_keys: attachment.detach_keys,
    }
}

pub(super) fn command_exit_code(outcome: &AttachOutcome) -> i32 {
    match outcome {
        AttachOutcome::Exited(code) => *code,
        AttachOutcome::Detached => 0,
        AttachOutcome::Abandoned(signal) => 128 + signal,
    }
}

fn await_start(command: &wire::ControlClient) -> Result<i32> {
    match command.receive_report()? {
        Some(ControlReport::Failed(failure)) => Err(failure.into()),
        Some(_) => Ok(0),
        None => Err(Failure::new(
            FailureKind::Other,
            "the container's supervisor was killed before the container ran",
        )
        .into()),
    }
}

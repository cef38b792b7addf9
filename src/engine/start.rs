//! Starts a container: `start`, and the fork of its supervisor that `run` shares.

use std::os::fd::{AsFd as _, OwnedFd};

use anyhow::{Context as _, Result};

use super::attach::streams::{self, Streams};
use super::attach::wire::{self, Report};
use super::attach::{self, Options, Outcome, UserTerminal};
use super::control::{Contact, reach};
use super::networking::{self, Reached, Wanted};
use super::supervisor::{self, Attached, Post};
use super::{create, namespace, placement, plan};
use crate::error::{Failure, Kind};
use crate::model::container::ContainerSpec;
use crate::model::detach_keys::DetachKeys;
use crate::model::digest::Digest;
use crate::model::environment::Environment;
use crate::model::log::Driver;
use crate::sandbox::cgroup::Surroundings;
use crate::sandbox::identity::Identity;
use crate::sandbox::plan::Plan;
use crate::store::{LockedContainer, Store};
use crate::sys;
use crate::sys::process::Side;
use crate::sys::signal::SignalFd;

/// How a command attaches to a container.
#[derive(Clone, Debug, Default)]
pub struct Attachment {
    /// Standard input, output and error.
    pub wanted: [bool; 3],
    /// Forward signals.
    pub sig_proxy: bool,
    /// The key sequence that detaches from a terminal.
    pub detach_keys: DetachKeys,
}

/// docker's exit code for a container that failed to start for this reason.
pub(crate) fn exit_code_of(kind: Kind) -> i32 {
    match kind {
        Kind::CommandNotFound => 127,
        Kind::CommandNotExecutable => 126,
        _ => 125,
    }
}

/// Starts the container `text`; one that runs is left alone. With `attachment` the command stays attached
/// until the container exits or the user detaches. Returns the exit code of the command. The process must be
/// single-threaded.
pub fn start(
    store: &Store,
    text: &str,
    attachment: Option<Attachment>,
    environment: &Environment,
) -> Result<i32> {
    let container = store.find_container(text)?;
    let identity = namespace::identity(environment);
    match (reach(container)?, attachment) {
        (Contact::Supervisor(_, command), Some(attachment)) => {
            // The connection was only to find out; attaching makes its own.
            drop(command);
            attach::join(store, text, attachment)
        }
        (Contact::Supervisor(..), None) => Ok(0),
        (Contact::Nobody(container), attachment) => {
            // The lock is held from here on: two commands cannot start the container at once.
            let layers = layers(store, container.spec(), &identity)?;
            let networks = networking::prepare(store, &container, environment)?;
            // The helper starts while the plan is made.
            let helper = networking::begin(store, &identity, container.spec(), networks.as_ref())?;
            let plan = plan::make(store, &container, &layers, &identity, networks.as_ref())?;
            let mut surroundings = placement::surroundings(environment);
            if attachment.is_none() {
                (surroundings, _) = placement::for_detached(container.spec(), surroundings);
            }
            bring_up(store, *container, plan, identity, surroundings, (networks, helper), attachment)
        }
    }
}

fn layers(store: &Store, spec: &ContainerSpec, identity: &Identity) -> Result<Vec<Digest>> {
    let Some(used) = &spec.image else { return Ok(Vec::new()) };
    let Some(image) = store.image(&used.id)? else {
        let message =
            format!("the image of container {}, {}, is not in the store any more", spec.name, used.name);
        return Err(Failure::new(Kind::NotFound, message).into());
    };
    create::check_owners(&image, identity)?;
    Ok(image.config.rootfs.diff_ids)
}

/// Forks the container's supervisor. Without `attachment` returns once the program has started, otherwise
/// when the container exits or the user detaches. Returns the exit code of the command.
pub(super) fn bring_up(
    store: &Store,
    container: LockedContainer,
    mut plan: Plan,
    identity: Identity,
    surroundings: Surroundings,
    (networks, helper): (Option<Wanted>, Option<Reached>),
    attachment: Option<Attachment>,
) -> Result<i32> {
    let spec = container.spec();
    let tty = spec.process.tty;
    let Streams { ends, relays } = match &attachment {
        None => Streams { ends: Attached::No, relays: Vec::new() },
        Some(attachment) => prepare(spec, attachment)?,
    };
    let terminal = match tty && attachment.is_some() {
        true => UserTerminal::behind(std::io::stdin().as_fd())?,
        false => None,
    };
    plan.process.terminal_size = terminal.as_ref().and_then(UserTerminal::size);
    let spare = terminal.as_ref().map(UserTerminal::spare).transpose()?;
    // Blocked before the fork: a signal must not get lost between the fork and the session.
    let signals =
        attachment.is_some().then(|| SignalFd::blocking(&sys::signal::forwardable())).transpose()?;
    let (theirs, ours) = wire::pair()?;
    let auto_remove = spec.auto_remove;
    let post = Post {
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
        Side::Child => {
            // The supervisor must not keep the command's ends open, or their end of file would never be seen.
            drop((ours, relays, terminal, signals));
            supervisor::serve(post, theirs)
        }
        Side::Parent(_) => drop((post, theirs)),
    }
    let (Some(attachment), Some(signals)) = (attachment, signals) else { return await_start(&ours) };
    let options = options(tty, attachment);
    match attach::attend(&ours, &signals, relays, terminal, options) {
        Ok(outcome) => Ok(exit_code(&outcome)),
        Err(error) => {
            // A supervisor that was killed could not clean up; the next command would, and this is the first
            // to notice.
            if auto_remove {
                super::remove::reap(store, &identity)?;
            }
            Err(error)
        }
    }
}

/// A foreground container with `--rm` keeps no log unless the user asked for a log driver.
fn prepare(spec: &ContainerSpec, attachment: &Attachment) -> Result<Streams<Attached>> {
    let wanted = wanted(spec, attachment.wanted);
    let logs = match spec.log.driver.is_empty() {
        true => !spec.auto_remove,
        false => spec.log.plan()?.driver != Driver::None,
    };
    if spec.process.tty || logs {
        let Streams { ends, relays } = streams::through_pipes(wanted)?;
        return Ok(Streams { ends: Attached::Piped(ends), relays });
    }
    let Streams { ends, relays }: Streams<[OwnedFd; 3]> = streams::direct(wanted)?;
    Ok(Streams { ends: Attached::Direct(ends), relays })
}

/// Without `-i` there is no input; a terminal has a single output stream.
pub(super) fn wanted(spec: &ContainerSpec, [input, output, error]: [bool; 3]) -> [bool; 3] {
    let process = &spec.process;
    match process.tty {
        true => [input && process.interactive, output || error, false],
        false => [input && process.interactive, output, error],
    }
}

pub(super) fn options(tty: bool, attachment: Attachment) -> Options {
    Options {
        tty,
        sig_proxy: attachment.sig_proxy,
        interactive: attachment.wanted[0],
        detach_keys: attachment.detach_keys,
    }
}

pub(super) fn exit_code(outcome: &Outcome) -> i32 {
    match outcome {
        Outcome::Ended(code) => *code,
        Outcome::Detached => 0,
        Outcome::Abandoned(signal) => 128 + signal,
    }
}

fn await_start(command: &wire::Command) -> Result<i32> {
    match command.report()? {
        Some(Report::Failed(failure)) => Err(failure.into()),
        Some(_) => Ok(0),
        None => {
            Err(Failure::new(Kind::Other, "the container's supervisor was killed before the container ran")
                .into())
        }
    }
}

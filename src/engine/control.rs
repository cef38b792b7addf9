//! Reaching a container: by its supervisor if it has one, else by taking its lock.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::attach::wire::{Command, Order, Report};
use super::orphan;
use crate::error::{Failure, Kind};
use crate::store::{ContainerDir, LockedContainer};

/// How long a container may be held by somebody who does not answer, and how often to look.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(2);

/// Who answers for a container.
pub(super) enum Contact {
    /// It runs, or will again: its supervisor.
    Supervisor(Box<ContainerDir>, Command),
    /// Nobody: this process holds it now, and nothing of it runs.
    Nobody(Box<LockedContainer>),
}

/// Reaches `container`. Whoever is making, changing or removing it is waited for.
///
/// Errors of kind not-found where it is removed, in-use where somebody holds it for long.
pub(super) fn reach(container: ContainerDir) -> Result<Contact> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(command) = Command::connect(&container)? {
            return Ok(Contact::Supervisor(Box::new(container), command));
        }
        if let Some(mut locked) = container.clone().lock()? {
            orphan::settle(&locked)?;
            locked.reload()?;
            return Ok(Contact::Nobody(Box::new(locked)));
        }
        if Instant::now() > deadline {
            let message = format!("container {} is being changed by another process", container.spec().name);
            return Err(Failure::new(Kind::InUse, message).into());
        }
        std::thread::sleep(PAUSE);
    }
}

/// What came of an order.
pub(super) enum Answer {
    /// The supervisor's answer.
    Report(Report),
    /// Nobody supervises it: this process holds it now.
    Nobody(Box<LockedContainer>),
}

/// Gives an order to the container's supervisor and waits for the answer. A supervisor that ends instead of answering
/// is not the last word: another may have taken its place, or nobody.
pub(super) fn ask(container: &ContainerDir, order: &Order) -> Result<Answer> {
    loop {
        let command = match reach(container.clone())? {
            Contact::Nobody(locked) => return Ok(Answer::Nobody(locked)),
            Contact::Supervisor(_, command) => command,
        };
        command.order(order, &[]);
        match command.report()? {
            Some(Report::Failed(failure)) => return Err(failure.into()),
            Some(report) => return Ok(Answer::Report(report)),
            None => {}
        }
    }
}

/// The same for orders that only a container that runs can follow.
pub(super) fn command(container: &ContainerDir, order: &Order) -> Result<Report> {
    match ask(container, order)? {
        Answer::Report(report) => Ok(report),
        Answer::Nobody(locked) => Err(not_running(&locked).into()),
    }
}

/// docker's words.
pub(super) fn not_running(container: &ContainerDir) -> Failure {
    Failure::new(Kind::Conflict, format!("container {} is not running", container.spec().id))
}

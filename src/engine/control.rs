//! Access to a container: through its supervisor if it has one, otherwise by taking its lock.
//!
//! # Who owns a container
//!
//! A container's lock belongs either to its supervisor (it runs, or is about to be restarted), or for a moment to
//! a command that creates, changes or removes it, or to nobody. [`connect_or_lock`] settles which, and leaves the
//! caller with a connection or with the lock, so that nothing can change in between.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::attach::wire::{Command, Order, Report};
use super::orphan;
use crate::error::{Failure, Kind};
use crate::store::{ContainerDir, LockedContainer};

/// How long a lock may be held by a process that does not answer, and the interval between attempts.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(2);

pub(super) enum Contact {
    /// The container runs or waits to be restarted; here is its supervisor.
    Supervisor(Box<ContainerDir>, Command),
    /// Nothing of it runs, and this process holds its lock now.
    Nobody(Box<LockedContainer>),
}

/// Connects to the supervisor of `container` or locks it, waiting for whoever creates, changes or removes it.
///
/// Errors of kind `NotFound` if it was removed, `InUse` if its lock is held for too long.
pub(super) fn reach(container: ContainerDir) -> Result<Contact> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        // The socket first: a supervisor holds the lock for as long as it runs.
        if let Some(command) = Command::connect(&container)? {
            return Ok(Contact::Supervisor(Box::new(container), command));
        }
        if let Some(mut locked) = container.clone().lock()? {
            // The supervisor may have been killed: kill what is left and correct the record before anybody
            // reads it.
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

/// The outcome of a request.
pub(super) enum Answer {
    Report(Report),
    /// Nobody supervises the container; this process holds its lock now.
    Nobody(Box<LockedContainer>),
}

/// Sends a request to the container's supervisor and waits for the answer. If the supervisor exits instead of
/// answering, tries again: another may have taken its place, or nobody.
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

/// Like [`send_request`], for requests that make sense only while the container runs.
pub(super) fn command(container: &ContainerDir, order: &Order) -> Result<Report> {
    match ask(container, order)? {
        Answer::Report(report) => Ok(report),
        Answer::Nobody(locked) => Err(not_running(&locked).into()),
    }
}

/// docker's wording.
pub(super) fn not_running(container: &ContainerDir) -> Failure {
    Failure::new(Kind::Conflict, format!("container {} is not running", container.spec().id))
}

//! Access to a container: through its supervisor if it has one, otherwise by taking its lock.
//!
//! # Who owns a container
//!
//! A container's lock belongs either to its supervisor (it runs, or is about to be restarted), or for a moment to
//! a command that creates, changes or removes it, or to nobody. [`connect_or_lock`] settles which, and leaves the
//! caller with a connection or with the lock, so that nothing can change in between.

pub mod protocol;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::control::protocol::{ControlClient, ControlReport, ControlRequest};
use super::recover;
use crate::first_process::not_running;
use dhow_error::{Failure, FailureKind};
use dhow_store::{ContainerDir, LockedContainer};

/// How long a lock may be held by a process that does not answer, and the interval between attempts.
const LOCK_TIMEOUT: Duration = Duration::from_secs(10);
const POLL_INTERVAL: Duration = Duration::from_millis(2);

pub enum ContainerAccess {
    /// The container runs or waits to be restarted; here is its supervisor.
    Supervised(Box<ContainerDir>, ControlClient),
    /// Nothing of it runs, and this process holds its lock now.
    Unsupervised(Box<LockedContainer>),
}

/// Connects to the supervisor of `container` or locks it, waiting for whoever creates, changes or removes it.
///
/// Errors of kind `NotFound` if it was removed, `InUse` if its lock is held for too long.
pub fn connect_or_lock(container: ContainerDir) -> Result<ContainerAccess> {
    let deadline = Instant::now() + LOCK_TIMEOUT;
    loop {
        // The socket first: a supervisor holds the lock for as long as it runs.
        if let Some(client) = ControlClient::connect(&container)? {
            return Ok(ContainerAccess::Supervised(Box::new(container), client));
        }
        if let Some(mut locked) = container.clone().lock()? {
            // The supervisor may have been killed: kill what is left and correct the record before anybody
            // reads it.
            recover::reconcile(&locked)?;
            locked.reload()?;
            return Ok(ContainerAccess::Unsupervised(Box::new(locked)));
        }
        if Instant::now() > deadline {
            let message = format!("container {} is being changed by another process", container.spec().name);
            return Err(Failure::new(FailureKind::InUse, message).into());
        }
        std::thread::sleep(POLL_INTERVAL);
    }
}

/// The outcome of a request.
pub enum ControlAnswer {
    Report(ControlReport),
    /// Nobody supervises the container; this process holds its lock now.
    Unsupervised(Box<LockedContainer>),
}

/// Sends a request to the container's supervisor and waits for the answer. If the supervisor exits instead of
/// answering, tries again: another may have taken its place, or nobody.
pub fn send_request(container: &ContainerDir, request: &ControlRequest) -> Result<ControlAnswer> {
    loop {
        let client = match connect_or_lock(container.clone())? {
            ContainerAccess::Unsupervised(locked) => return Ok(ControlAnswer::Unsupervised(locked)),
            ContainerAccess::Supervised(_, client) => client,
        };
        client.send_request(request, &[]);
        match client.receive_report()? {
            Some(ControlReport::Failed(failure)) => return Err(failure.into()),
            Some(report) => return Ok(ControlAnswer::Report(report)),
            None => {}
        }
    }
}

/// Like [`send_request`], for requests that make sense only while the container runs.
pub fn request_running(container: &ContainerDir, request: &ControlRequest) -> Result<ControlReport> {
    match send_request(container, request)? {
        ControlAnswer::Report(report) => Ok(report),
        ControlAnswer::Unsupervised(locked) => Err(not_running(&locked).into()),
    }
}

/// Sends a request that makes sense only while the container runs, and waits until this run of it has ended for good.
pub fn request_end(container: &ContainerDir, request: &ControlRequest) -> Result<()> {
    loop {
        let client = match connect_or_lock(container.clone())? {
            ContainerAccess::Unsupervised(locked) => return Err(not_running(&locked).into()),
            ContainerAccess::Supervised(_, client) => client,
        };
        client.send_request(request, &[]);
        match client.receive_report()? {
            Some(ControlReport::Failed(failure)) => return Err(failure.into()),
            // On the same connection, which ends with this supervisor: another one's run is not waited for.
            Some(_) => {
                client.send_request(&ControlRequest::Wait, &[]);
                return client.receive_report().map(drop);
            }
            None => {}
        }
    }
}

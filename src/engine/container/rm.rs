//! `rm`: removes a container, killing it first if asked to.

use anyhow::{Context as _, Result};

use crate::container_summary::summarize;
use dhow_error::{Failure, FailureKind, kind_of};
use dhow_runtime::control::protocol::{ControlRequest, StopOptions};
use dhow_runtime::control::{ContainerAccess, ControlAnswer, connect_or_lock, send_request};
use dhow_runtime::remove::remove_container;
use dhow_sandbox::identity::HostIdentity;
use dhow_store::{ContainerDir, LockedContainer, Store};

#[derive(Clone, Copy, Debug, Default)]
pub struct RmOptions {
    /// Kill the container if it runs.
    pub force: bool,
    /// Remove its anonymous volumes too.
    pub volumes: bool,
}

/// Removes the container `text`. The process must be single-threaded.
///
/// Errors of kind `NotFound` if there is none, `InUse` if it runs and `force` is not set.
pub fn rm(store: &Store, text: &str, options: RmOptions, identity: &HostIdentity) -> Result<()> {
    let container = store.find_container(text)?;
    match lock_stopped(container, options.force)? {
        Some(container) => remove_container(store, container, options.volumes, identity)
            .with_context(|| format!("cannot remove container \"{text}\"")),
        // With `--rm`, its supervisor removed it when it exited.
        None => Ok(()),
    }
}

/// Locks the container once it does not run; `None` if its supervisor removed it.
fn lock_stopped(container: ContainerDir, force: bool) -> Result<Option<LockedContainer>> {
    let answer = match force {
        true => send_request(
            &container,
            &ControlRequest::Stop(StopOptions { signal: Some(libc::SIGKILL), timeout: Some(0) }),
        ),
        false => match connect_or_lock(container.clone()) {
            Ok(ContainerAccess::Supervised(container, _)) => return Err(refusal(*container)?.into()),
            Ok(ContainerAccess::Unsupervised(locked)) => Ok(ControlAnswer::Unsupervised(locked)),
            Err(error) => Err(error),
        },
    };
    match answer {
        Ok(ControlAnswer::Unsupervised(locked)) => Ok(Some(*locked)),
        Ok(ControlAnswer::Report(_)) => container.lock_blocking(),
        // It existed a moment ago.
        Err(error) if kind_of(&error) == FailureKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn refusal(container: ContainerDir) -> Result<Failure> {
    let name = container.spec().name.clone();
    let why = match summarize(container)?.status() {
        "paused" => "container is paused and must be unpaused first",
        "restarting" => "container is restarting: stop the container before removing or force remove",
        _ => "container is running: stop the container before removing or force remove",
    };
    let message = format!("cannot remove container \"/{name}\": {why}");
    Ok(Failure::new(FailureKind::InUse, message).hint("-f kills it"))
}

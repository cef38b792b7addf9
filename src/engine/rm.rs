//! `rm`: removes a container, killing it first if asked to.

use anyhow::{Context as _, Result};

use super::attach::wire::{Ending, Order};
use super::control::{Answer, Contact, ask, reach};
use super::ps;
use super::remove::remove;
use crate::error::{Failure, Kind, kind_of};
use crate::sandbox::identity::Identity;
use crate::store::{ContainerDir, LockedContainer, Store};

#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Kill the container if it runs.
    pub force: bool,
    /// Remove its anonymous volumes too.
    pub volumes: bool,
}

/// Removes the container `text`. The process must be single-threaded.
///
/// Errors of kind `NotFound` if there is none, `InUse` if it runs and `force` is not set.
pub fn rm(store: &Store, text: &str, options: Options, identity: &Identity) -> Result<()> {
    let container = store.find_container(text)?;
    match take(container, options.force)? {
        Some(container) => remove(store, container, options.volumes, identity)
            .with_context(|| format!("cannot remove container \"{text}\"")),
        // With `--rm`, its supervisor removed it when it exited.
        None => Ok(()),
    }
}

/// Locks the container once it does not run; `None` if its supervisor removed it.
fn take(container: ContainerDir, force: bool) -> Result<Option<LockedContainer>> {
    let found = match force {
        true => ask(&container, &Order::Stop(Ending { signal: Some(libc::SIGKILL), timeout: Some(0) })),
        false => match reach(container.clone()) {
            Ok(Contact::Supervisor(container, _)) => return Err(refusal(*container)?.into()),
            Ok(Contact::Nobody(locked)) => Ok(Answer::Nobody(locked)),
            Err(error) => Err(error),
        },
    };
    match found {
        Ok(Answer::Nobody(locked)) => Ok(Some(*locked)),
        Ok(Answer::Report(_)) => container.wait(),
        // It existed a moment ago.
        Err(error) if kind_of(&error) == Kind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn refusal(container: ContainerDir) -> Result<Failure> {
    let name = container.spec().name.clone();
    let why = match ps::look_at(container)?.status() {
        "paused" => "container is paused and must be unpaused first",
        "restarting" => "container is restarting: stop the container before removing or force remove",
        _ => "container is running: stop the container before removing or force remove",
    };
    let message = format!("cannot remove container \"/{name}\": {why}");
    Ok(Failure::new(Kind::InUse, message).hint("-f kills it"))
}

//! `rm`: removes a container, ending it first where that is asked for.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use super::first_process;
use super::remove::remove;
use crate::error::{Failure, Kind};
use crate::sandbox::identity::Identity;
use crate::store::{ContainerDir, LockedContainer, Store};

/// How long a container may be without a first process, and how often to look.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(5);

/// What to do beside removing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Kill the container if it runs.
    pub force: bool,
    /// Remove its anonymous volumes.
    pub volumes: bool,
}

/// Removes the container that a person means by `text`. The process must have one thread.
///
/// Errors of kind not-found where there is none, in-use where it runs and is not to be killed.
pub fn rm(store: &Store, text: &str, options: Options, identity: &Identity) -> Result<()> {
    let container = store.find_container(text)?;
    match take(container, options.force)? {
        Some(container) => remove(store, container, options.volumes, identity)
            .with_context(|| format!("cannot remove container \"{text}\"")),
        // Its supervisor removed it when it ended.
        None => Ok(()),
    }
}

/// Holds the container once it does not run; `None` where whoever held it removed it.
fn take(container: ContainerDir, force: bool) -> Result<Option<LockedContainer>> {
    if let Some(locked) = container.clone().lock()? {
        return Ok(Some(locked));
    }
    let name = &container.spec().name;
    if !force {
        let message = format!(
            "cannot remove container \"/{name}\": container is running: stop the container before removing or force remove"
        );
        return Err(Failure::new(Kind::InUse, message).hint("-f kills it").into());
    }
    kill(&container).with_context(|| format!("cannot kill container \"/{name}\""))?;
    container.wait()
}

/// Kills the first process of `container`. One that has none is about to have one, or to be removed.
fn kill(container: &ContainerDir) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while container.is_locked()? {
        if let Some(first) = first_process::find(container)? {
            return first.signal(libc::SIGKILL);
        }
        if Instant::now() > deadline {
            return Err(Failure::new(Kind::InUse, "another process is making or removing it").into());
        }
        std::thread::sleep(PAUSE);
    }
    Ok(())
}

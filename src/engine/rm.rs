//! `rm`: removes a container, ending it first where that is asked for.

use anyhow::{Context as _, Result};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::remove::remove;
use super::state::ContainerState;
use crate::error::{Failure, Kind};
use crate::sandbox::identity::Identity;
use crate::store::{ContainerDir, LockedContainer, Store};

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

fn take(container: ContainerDir, force: bool) -> Result<Option<LockedContainer>> {
    if let Some(locked) = container.clone().lock()? {
        return Ok(Some(locked));
    }
    if !force {
        let name = &container.spec().name;
        return Err(Failure::new(
            Kind::InUse,
            format!("cannot remove container \"{name}\": container is running"),
        )
        .hint("end it first, or remove it with -f")
        .into());
    }
    kill(&container)?;
    container.wait()
}

/// Kills the first process of `container`. Where none is recorded, somebody else is about to be done with it.
fn kill(container: &ContainerDir) -> Result<()> {
    let Some(pid) = running_pid(container)? else { return Ok(()) };
    let doing = || format!("cannot kill container \"{}\"", container.spec().name);
    let pidfd = match pidfd_open(pid, PidfdFlags::empty()) {
        Err(rustix::io::Errno::SRCH) => return Ok(()),
        other => other.with_context(doing)?,
    };
    // The number may have passed to another process before the descriptor was opened, not after.
    if running_pid(container)? != Some(pid) {
        return Ok(());
    }
    match pidfd_send_signal(&pidfd, Signal::KILL) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(error) => Err(error).with_context(doing),
    }
}

fn running_pid(container: &ContainerDir) -> Result<Option<Pid>> {
    let state: Option<ContainerState> = container.read_state()?;
    let pid = state.and_then(|state| Pid::from_raw(state.pid));
    Ok(if container.is_locked()? { pid } else { None })
}

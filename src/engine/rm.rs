//! `rm`: removes a container, ending it first where that is asked for.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::remove::remove;
use super::state::ContainerState;
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
        let state: Option<ContainerState> = container.read_state()?;
        if let Some(pid) = state.and_then(|state| Pid::from_raw(state.pid)) {
            return kill_first(container, pid);
        }
        if Instant::now() > deadline {
            return Err(Failure::new(Kind::InUse, "another process is making or removing it").into());
        }
        std::thread::sleep(PAUSE);
    }
    Ok(())
}

fn kill_first(container: &ContainerDir, pid: Pid) -> Result<()> {
    let pidfd = match pidfd_open(pid, PidfdFlags::empty()) {
        Err(Errno::SRCH) => return Ok(()),
        other => other?,
    };
    // The number may have passed to another process before the descriptor was opened, not after: only the first
    // process's parent, the supervisor, holds the container.
    if !parent_holds(pid, &container.path().join("lock"))? {
        return Ok(());
    }
    match pidfd_send_signal(&pidfd, Signal::KILL) {
        Ok(()) | Err(Errno::SRCH) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Whether the parent of process `pid` has the file `lock` open. A process that is gone has no parent.
fn parent_holds(pid: Pid, lock: &Path) -> Result<bool> {
    let stat = match std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())) {
        Err(error) if is_gone(&error) => return Ok(false),
        other => other?,
    };
    // proc_pid_stat(5): the name in brackets may hold anything; behind it come the state and the parent.
    let parent = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1)).unwrap_or("0");
    let descriptors = match std::fs::read_dir(format!("/proc/{parent}/fd")) {
        Err(error) if is_gone(&error) => return Ok(false),
        other => other.with_context(|| format!("looking at its supervisor, process {parent}"))?,
    };
    let wanted = std::fs::metadata(lock)?;
    Ok(descriptors
        .flatten()
        .filter_map(|entry| std::fs::metadata(entry.path()).ok())
        .any(|file| (file.dev(), file.ino()) == (wanted.dev(), wanted.ino())))
}

fn is_gone(error: &std::io::Error) -> bool {
    error.kind() == std::io::ErrorKind::NotFound || error.raw_os_error() == Some(Errno::SRCH.raw_os_error())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_parent_that_has_it_open_holds() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let file = std::fs::File::create(&path).unwrap();
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        let pid = Pid::from_raw(child.id().cast_signed()).unwrap();
        assert!(parent_holds(pid, &path).unwrap());
        drop(file);
        assert!(!parent_holds(pid, &path).unwrap());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!parent_holds(pid, &path).unwrap());
    }
}

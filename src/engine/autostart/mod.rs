//! Containers that come back after a reboot: starting them, and having the machine do so.

mod cron;
mod systemd;

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::ps;
use super::start::start;
use super::state::ContainerState;
use crate::error::unsupported;
use crate::model::environment::Environment;
use crate::model::restart::RestartPolicy;
use crate::store::Store;

/// What came of starting one container.
pub struct Started {
    /// Its name.
    pub name: String,
    /// Whether it runs.
    pub result: Result<()>,
}

/// Starts every container whose restart policy wants it after a reboot and that does not run. The process must have
/// one thread.
pub fn start_all(store: &Store, environment: &Environment) -> Result<Vec<Started>> {
    let mut started = Vec::new();
    for container in store.containers()? {
        let listed = ps::look_at(container)?;
        let spec = listed.dir.spec();
        if !listed.running && is_due(spec.restart, &listed.state, listed.exit_code()) {
            let name = spec.name.clone();
            let result = start(store, &spec.id, None, environment).map(drop);
            started.push(Started { name, result });
        }
    }
    Ok(started)
}

/// docker's rule at the start of its daemon: what never ran is not started.
fn is_due(policy: RestartPolicy, state: &ContainerState, exit_code: i32) -> bool {
    if state.started.is_empty() {
        return false;
    }
    match policy {
        RestartPolicy::No => false,
        RestartPolicy::Always => true,
        RestartPolicy::UnlessStopped => !state.stopped,
        RestartPolicy::OnFailure { .. } => !state.stopped && policy.wants_again(exit_code, state.restarts),
    }
}

/// What is installed, and for whom.
#[derive(Clone, Debug)]
pub struct Setup {
    /// dhow's own file.
    pub program: PathBuf,
    /// Where the user's settings are, `$XDG_CONFIG_HOME` or `~/.config`.
    pub config: PathBuf,
    /// The data root, where it is not the usual one.
    pub root: Option<PathBuf>,
    /// The user's name.
    pub user: String,
}

/// Has the machine run [`start_all`] at its start. Returns what was done and what is left to do, a line each.
///
/// An error of kind unsupported where there is neither systemd nor cron.
pub fn install(setup: &Setup) -> Result<Vec<String>> {
    if systemd::is_there() {
        return systemd::install(setup);
    }
    if cron::is_there() {
        return cron::install(setup);
    }
    let command = command_line(setup);
    Err(unsupported("cannot install the start at boot: there is neither systemd nor cron on this machine")
        .hint(format!("have `{command}` run when the machine starts"))
        .into())
}

/// Takes back what [`install`] did, whichever way. Returns what was done.
pub fn undo(setup: &Setup) -> Result<Vec<String>> {
    let mut done = systemd::undo(setup)?;
    if cron::is_there() {
        done.extend(cron::undo()?);
    }
    Ok(done)
}

/// What the machine is to run, for a shell.
fn command_line(setup: &Setup) -> String {
    let root = setup.root.as_ref().map(|root| format!("DHOW_ROOT={} ", quoted(root))).unwrap_or_default();
    format!("{root}{} system autostart", quoted(&setup.program))
}

/// In single quotes, as a shell takes it.
fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_due_after_a_reboot() {
        let ran = ContainerState { started: "x".into(), ..ContainerState::default() };
        let stopped = ContainerState { stopped: true, ..ran.clone() };
        let (always, unless) = (RestartPolicy::Always, RestartPolicy::UnlessStopped);
        assert!(is_due(always, &ran, 0) && is_due(always, &stopped, 0));
        assert!(is_due(unless, &ran, 0) && !is_due(unless, &stopped, 0));
        let failure = RestartPolicy::OnFailure { max: 0 };
        assert!(is_due(failure, &ran, 255) && !is_due(failure, &ran, 0));
        assert!(!is_due(always, &ContainerState::default(), 0) && !is_due(RestartPolicy::No, &ran, 1));
    }

    #[test]
    fn paths_are_quoted() {
        let setup = Setup {
            program: "/home/o'neil/bin/dhow".into(),
            config: "/home/o'neil/.config".into(),
            root: Some("/scratch/my dhow".into()),
            user: "oneil".into(),
        };
        assert_eq!(
            command_line(&setup),
            r"DHOW_ROOT='/scratch/my dhow' '/home/o'\''neil/bin/dhow' system autostart"
        );
    }
}

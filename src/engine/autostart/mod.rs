//! Restarting containers after a reboot, and installing that on the machine.

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

/// The outcome for one container.
pub struct AutostartResult {
    pub name: String,
    pub result: Result<()>,
}

/// Starts every container that does not run and whose restart policy asks for it after a reboot. The process
/// must be single-threaded.
pub fn start_after_boot(store: &Store, environment: &Environment) -> Result<Vec<AutostartResult>> {
    let mut started = Vec::new();
    for container in store.containers()? {
        let listed = ps::summarize(container)?;
        let spec = listed.dir.spec();
        if !listed.running && is_due(spec.restart, &listed.state, listed.exit_code()) {
            let name = spec.name.clone();
            let result = start(store, &spec.id, None, environment).map(drop);
            started.push(AutostartResult { name, result });
        }
    }
    Ok(started)
}

/// docker's rule when its daemon starts; a container that never ran is not started.
fn is_due(policy: RestartPolicy, state: &ContainerState, exit_code: i32) -> bool {
    if state.started.is_empty() {
        return false;
    }
    match policy {
        RestartPolicy::No => false,
        RestartPolicy::Always => true,
        RestartPolicy::UnlessStopped => !state.stopped,
        RestartPolicy::OnFailure { .. } => !state.stopped && policy.should_restart(exit_code, state.restarts),
    }
}

/// What is installed, and for which user.
#[derive(Clone, Debug)]
pub struct AutostartConfig {
    /// dhow's executable.
    pub program: PathBuf,
    /// The user's configuration directory, `$XDG_CONFIG_HOME` or `~/.config`.
    pub config: PathBuf,
    /// The data root, if it is not the default one.
    pub root: Option<PathBuf>,
    /// The user's login name.
    pub user: String,
}

/// Makes the machine run [`start_after_boot`] when it boots. Returns what was done and what is left to do, a line
/// each.
///
/// An error of kind `Unsupported` if there is neither systemd nor cron.
pub fn install(setup: &AutostartConfig) -> Result<Vec<String>> {
    if systemd::is_available() {
        return systemd::install(setup);
    }
    if cron::is_available() {
        return cron::install(setup);
    }
    let command = command_line(setup);
    Err(unsupported("cannot install the start at boot: there is neither systemd nor cron on this machine")
        .hint(format!("have `{command}` run when the machine starts"))
        .into())
}

/// Reverts [`install`], for either mechanism. Returns what was done.
pub fn uninstall(setup: &AutostartConfig) -> Result<Vec<String>> {
    let mut done = systemd::uninstall(setup)?;
    if cron::is_available() {
        done.extend(cron::uninstall()?);
    }
    Ok(done)
}

/// The shell command that runs at boot.
fn command_line(setup: &AutostartConfig) -> String {
    let root =
        setup.root.as_ref().map(|root| format!("DHOW_ROOT={} ", shell_quoted(root))).unwrap_or_default();
    format!("{root}{} system autostart", shell_quoted(&setup.program))
}

/// Quoted for a POSIX shell.
fn shell_quoted(path: &Path) -> String {
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
        let setup = AutostartConfig {
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

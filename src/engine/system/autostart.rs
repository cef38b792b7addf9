//! `system autostart`: restarts containers after a reboot, by their restart policies.

use anyhow::Result;

use crate::container::start::start;
use crate::container_summary::summarize;
use dhow_model::environment::Environment;
use dhow_model::restart::RestartPolicy;
use dhow_runtime::state::ContainerState;
use dhow_store::Store;

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
        let summary = summarize(container)?;
        let spec = summary.dir.spec();
        if !summary.running && is_due(spec.restart, &summary.state, summary.exit_code()) {
            let name = spec.name.clone();
            // A container that fails to start must not keep the others from starting.
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
}

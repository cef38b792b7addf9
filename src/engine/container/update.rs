//! `update`: changes the limits and the restart policy of a container, whether it runs or not.

use anyhow::{Context as _, Result};

use dhow_error::{Failure, FailureKind};
use dhow_model::container::ContainerSpec;
use dhow_model::environment::Environment;
use dhow_model::event::EngineEvent;
use dhow_model::limits::LimitsSpec;
use dhow_model::restart::RestartPolicy;
use dhow_runtime::control::protocol::ControlRequest;
use dhow_runtime::control::send_request;
use dhow_runtime::{cgroup, first_process};
use dhow_sandbox::cgroup::{Cgroup, check_host_resources};
use dhow_store::{ContainerDir, Store};

#[derive(Clone, Debug, Default)]
pub struct UpdateRequest {
    /// Only limits that are not empty are changed.
    pub limits: LimitsSpec,
    pub restart: Option<RestartPolicy>,
}

/// Updates the container `text`, and returns warnings about limits that are not enforced here. A running
/// container gets them at once; if that fails, the specification is restored.
pub fn update(
    store: &Store,
    text: &str,
    change: &UpdateRequest,
    environment: &Environment,
) -> Result<Vec<String>> {
    let container = store.find_container(text)?;
    let doing = || format!("Cannot update container {}", container.spec().id);
    change.limits.check_change()?;
    check_host_resources(&change.limits)?;
    let mut original = ContainerSpec::default();
    let edit = |spec: &mut ContainerSpec| {
        original.clone_from(spec);
        apply_changes(spec, change)
    };
    let container = store.edit_container(&container, edit).with_context(doing)?;
    // Without a supervisor there is nobody to tell: the limits apply from the next start.
    if let Err(error) = send_request(&container, &ControlRequest::Reload) {
        // The specification must not show limits that the running container does not have.
        store.edit_container(&container, |spec| {
            spec.limits = original.limits;
            spec.restart = original.restart;
            Ok(())
        })?;
        return Err(error.context(doing()));
    }
    store.record_event(EngineEvent::of_container(container.spec(), "update"));
    discarded_limits(&container, &change.limits, environment)
}

/// Which of `limits` are not enforced: by the container's cgroup if it runs, else by the cgroup it would get.
fn discarded_limits(
    container: &ContainerDir,
    limits: &LimitsSpec,
    environment: &Environment,
) -> Result<Vec<String>> {
    if let Some(first) = first_process::find(container)?
        && let Some(cgroup) = Cgroup::of_process(first.pid(), &container.spec().id)?
    {
        return Ok(cgroup.discarded_limits(limits));
    }
    let limits_only = ContainerSpec {
        limits: limits.clone(),
        cgroup_parent: container.spec().cgroup_parent.clone(),
        ..ContainerSpec::default()
    };
    if limits.is_empty() {
        return Ok(Vec::new());
    }
    cgroup::check_limits(&limits_only, cgroup::session_info(environment))
}

fn apply_changes(spec: &mut ContainerSpec, change: &UpdateRequest) -> Result<()> {
    spec.limits = spec.limits.updated(&change.limits)?;
    if let Some(policy) = change.restart {
        if spec.auto_remove && policy != RestartPolicy::No {
            let message = "Restart policy cannot be updated because AutoRemove is enabled for the container";
            return Err(Failure::new(FailureKind::Conflict, message).into());
        }
        spec.restart = policy;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use dhow_store::new_container_id;

    #[test]
    fn what_was_changed_is_stored_and_the_rest_stays() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().join("store")).unwrap();
        let spec = ContainerSpec {
            id: new_container_id().unwrap(),
            name: "web".into(),
            limits: LimitsSpec { pids: Some(9), ..Default::default() },
            ..Default::default()
        };
        drop(store.create_container(&spec).unwrap());
        let change = UpdateRequest {
            limits: LimitsSpec { memory: 64 << 20, ..Default::default() },
            restart: Some(RestartPolicy::Always),
        };
        let nowhere = Environment::default().with("XDG_RUNTIME_DIR", dir.path());
        update(&store, "web", &change, &nowhere).unwrap();
        let spec = store.find_container("web").unwrap().spec().clone();
        assert_eq!((spec.limits.memory, spec.limits.memory_swap), (64 << 20, 128 << 20));
        assert_eq!((spec.limits.pids, spec.restart), (Some(9), RestartPolicy::Always));
        let refused = UpdateRequest {
            limits: LimitsSpec { memory: 256 << 20, ..Default::default() },
            restart: Some(RestartPolicy::No),
        };
        let error = update(&store, "web", &refused, &nowhere).unwrap_err();
        assert!(format!("{error:#}").contains("update the memoryswap at the same time"), "{error:#}");
        assert_eq!(store.find_container("web").unwrap().spec().restart, RestartPolicy::Always);
    }

    #[test]
    fn one_that_removes_itself_is_not_restarted() {
        let mut spec = ContainerSpec { auto_remove: true, ..Default::default() };
        let change = UpdateRequest { restart: Some(RestartPolicy::Always), ..Default::default() };
        assert!(apply_changes(&mut spec, &change).unwrap_err().to_string().contains("AutoRemove is enabled"));
        apply_changes(&mut spec, &UpdateRequest { restart: Some(RestartPolicy::No), ..Default::default() })
            .unwrap();
    }
}

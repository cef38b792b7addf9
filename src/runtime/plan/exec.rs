//! Turns an exec request into the sandbox's plan for another process in a running container.

use anyhow::Result;

use super::{confinement, not_from_host, single_id, user};
use crate::process_limits;
use crate::variables::{is_set, merge_variables};
use dhow_error::{Failure, FailureKind};
use dhow_model::container::ContainerSpec;
use dhow_model::exec_request::ExecRequest;
use dhow_sandbox::caps::{CapSet, known_to_kernel};
use dhow_sandbox::identity::idmap::IdMap;
use dhow_sandbox::plan::JoinPlan;
use dhow_sandbox::plan::{Confinement, ProcessPlan, SeccompPlan};

/// The plan for `request` in a container of `spec`, whose user namespace maps `ids`.
pub fn exec_plan(spec: &ContainerSpec, ids: IdMap, request: &ExecRequest) -> Result<JoinPlan> {
    let env = environment(&spec.process.env, request);
    let env_if_file = if ids.is_single() { single_id::apt_config_variable(&env) } else { None };
    Ok(JoinPlan {
        name: spec.name.clone(),
        // The caller fills it in: it depends on the running process, not on the specification.
        cgroup: None,
        unshare: not_from_host(spec),
        process: ProcessPlan {
            args: request.args.clone(),
            env,
            cwd: workdir(spec, request)?,
            user: request.user.clone().unwrap_or_else(|| user(spec)),
            groups: spec.process.groups.clone(),
            tty: request.tty,
            terminal_size: None,
            init: None,
            rlimits: process_limits::plan(&spec.ulimits),
            oom_score_adj: spec.oom_score_adj,
            // With a terminal, hanging it up ends the process; a terminal that is detached from leaves it
            // running.
            die_with_parent: !request.detach && !request.tty,
        },
        confinement: exec_confinement(spec, ids.is_single(), request.privileged)?,
        ids,
        env_if_file,
    })
}

/// The container's variables, then the request's.
fn environment(container: &[String], request: &ExecRequest) -> Vec<String> {
    let mut variables = container.to_vec();
    if request.tty && !is_set(&variables, "TERM") {
        variables.push("TERM=xterm".into());
    }
    merge_variables(variables, &request.env)
}

fn workdir(spec: &ContainerSpec, request: &ExecRequest) -> Result<String> {
    let dir = request.workdir.as_ref().or(spec.process.workdir.as_ref()).filter(|dir| !dir.is_empty());
    match dir {
        None => Ok("/".into()),
        Some(dir) if dir.starts_with('/') => Ok(dir.clone()),
        Some(dir) => Err(Failure::new(
            FailureKind::CommandNotExecutable,
            format!("Cwd must be an absolute path, and \"{}\" is not", dir.escape_debug()),
        )
        .into()),
    }
}

fn exec_confinement(spec: &ContainerSpec, single: bool, privileged: bool) -> Result<Confinement> {
    let unprivileged = confinement(spec, single)?;
    if !privileged {
        return Ok(unprivileged);
    }
    let (all, _) = known_to_kernel(CapSet::ALL);
    Ok(Confinement { capabilities: all.bits(), seccomp: SeccompPlan::Unconfined, ..unprivileged })
}

#[cfg(test)]
mod tests {
    use super::*;
    use dhow_sandbox::identity::idmap::IdMapExtent;

    fn ids(count: u32) -> IdMap {
        let line = vec![IdMapExtent { inside: 0, outside: 1000, count }];
        IdMap { uids: line.clone(), gids: line }
    }

    fn container() -> ContainerSpec {
        let mut spec = ContainerSpec::default();
        spec.process.env = vec!["PATH=/bin".into(), "A=1".into(), "B=2".into()];
        spec.process.user = Some("web".into());
        spec.process.workdir = Some("/srv".into());
        spec
    }

    fn planned(change: impl FnOnce(&mut ExecRequest)) -> JoinPlan {
        let mut request = ExecRequest { args: vec!["x".into()], ..ExecRequest::default() };
        change(&mut request);
        exec_plan(&container(), ids(2), &request).unwrap()
    }

    #[test]
    fn what_is_not_asked_is_as_the_container_has_it() {
        let plan = planned(|_| {});
        assert_eq!((plan.process.user.as_str(), plan.process.cwd.as_str()), ("web", "/srv"));
        assert_eq!(plan.process.env, ["PATH=/bin", "A=1", "B=2"]);
        assert_eq!(plan.confinement.caps(), CapSet::DOCKER);
        assert!(plan.process.die_with_parent);
        let plan = planned(|request| {
            request.env = vec!["B=3".into(), "A".into(), "C=".into()];
            request.user = Some("0".into());
            request.workdir = Some("/".into());
            request.tty = true;
        });
        assert_eq!((plan.process.user.as_str(), plan.process.cwd.as_str()), ("0", "/"));
        assert_eq!(plan.process.env, ["PATH=/bin", "B=3", "TERM=xterm", "C="]);
    }

    #[test]
    fn a_relative_directory_is_refused() {
        let request =
            ExecRequest { args: vec!["x".into()], workdir: Some("srv".into()), ..ExecRequest::default() };
        assert!(exec_plan(&container(), ids(2), &request).is_err());
    }

    #[test]
    fn privileges_and_the_emulation_go_together() {
        let request = ExecRequest { args: vec!["x".into()], privileged: true, ..ExecRequest::default() };
        for count in [1, 2] {
            let plan = exec_plan(&container(), ids(count), &request).unwrap();
            assert!(CapSet::DOCKER.without(plan.confinement.caps()).is_empty());
            assert!(matches!(plan.confinement.seccomp, SeccompPlan::Unconfined));
            assert_eq!(plan.confinement.emulate_root, count == 1);
        }
    }
}

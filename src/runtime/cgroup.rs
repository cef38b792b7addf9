//! The cgroup of a container: whether it needs one, which of its limits cannot be enforced here, and how it
//! gets it.

use std::ops::Deref;

use anyhow::{Context as _, Result};

use super::first_process::boundary;
use dhow_model::container::ContainerSpec;
use dhow_model::environment::Environment;
use dhow_sandbox::cgroup::{
    Cgroup, CgroupManager, CgroupMembership, LogoutEffect, SessionInfo, check_host_resources, logout_effect,
};
use dhow_sandbox::processes::pids_inside;

/// How often the processes of a container are moved before giving up; they may fork meanwhile.
const ROUNDS: u32 = 100;

/// What the cgroup manager needs to know of the user's session. Must be called before this process enters a user
/// namespace.
pub fn session_info(environment: &Environment) -> SessionInfo {
    SessionInfo {
        runtime_dir: environment.path("XDG_RUNTIME_DIR"),
        bus: environment.text("DBUS_SESSION_BUS_ADDRESS").map(str::to_owned),
        uid: rustix::process::getuid().as_raw(),
        leave_session: false,
    }
}

/// The same for a detached container, and a warning if logging out would kill it.
pub fn for_detached(spec: &ContainerSpec, mut session: SessionInfo) -> (SessionInfo, Option<String>) {
    let in_scope = needs_cgroup(spec)
        && CgroupManager::detect(&spec.cgroup_parent, session.clone())
            .is_ok_and(|manager| manager.is_scope());
    let warning = match logout_effect(in_scope, &session) {
        LogoutEffect::Survives => None,
        LogoutEffect::KillsSession => {
            session.leave_session = true;
            None
        }
        LogoutEffect::Kills { command } => Some(format!(
            "containers that run detached end when you log out of this machine; `{command}` lets them go on (said once)"
        )),
    };
    (session, warning)
}

/// Refuses limits that this machine cannot enforce at all; returns warnings for those that will be ignored.
pub fn check_limits(spec: &ContainerSpec, session: SessionInfo) -> Result<Vec<String>> {
    if !needs_cgroup(spec) {
        return Ok(Vec::new());
    }
    check_host_resources(&spec.limits)?;
    let manager = CgroupManager::detect(&spec.cgroup_parent, session)?;
    let mut warnings = manager.discarded_limits(&spec.limits);
    if let (Some(reason), true, false) =
        (manager.unavailable_reason(), warnings.is_empty(), spec.cgroup_parent.is_empty())
    {
        warnings.push(format!(
            "--cgroup-parent {}: the container has no cgroup of its own ({reason})",
            spec.cgroup_parent
        ));
    }
    Ok(warnings)
}

/// The cgroup of a container that this process starts or runs. Dropping it kills what is in it and removes it.
pub struct OwnedCgroup(Cgroup);

impl Deref for OwnedCgroup {
    type Target = Cgroup;

    fn deref(&self) -> &Cgroup {
        &self.0
    }
}

impl Drop for OwnedCgroup {
    fn drop(&mut self) {
        // What cannot be killed stays for the next start or the removal of the container.
        let _ = self.0.kill().and_then(|_| self.0.remove());
    }
}

/// Creates the cgroup of a container that is about to start, if it needs one. For the supervisor, which may
/// be moved too.
pub fn create_if_needed(spec: &ContainerSpec, session: &SessionInfo) -> Result<Option<OwnedCgroup>> {
    if needs_cgroup(spec) || session.leave_session {
        Ok(create_cgroup(spec, session)?.map(OwnedCgroup))
    } else {
        Ok(None)
    }
}

/// Whether the container needs a cgroup of its own.
pub(crate) fn needs_cgroup(spec: &ContainerSpec) -> bool {
    !spec.limits.is_empty() || !spec.cgroup_parent.is_empty()
}

fn create_cgroup(spec: &ContainerSpec, session: &SessionInfo) -> Result<Option<Cgroup>> {
    let manager = CgroupManager::detect(&spec.cgroup_parent, session.clone())?;
    manager.create(&spec.id, &spec.limits).context("making the container's cgroup")
}

/// How to enter the cgroup of a running container with first process `first`; `None` if it has none of its
/// own.
pub fn membership(
    spec: &ContainerSpec,
    first: i32,
    session: SessionInfo,
) -> Result<Option<CgroupMembership>> {
    // The specification does not tell: limits may have been added since, or the container moved out of a
    // login session.
    Ok(Cgroup::of_process(first, &spec.id)?.map(|cgroup| cgroup.membership(session)))
}

/// Creates a cgroup for a container that runs without one, and moves all its processes there. `first` is its
/// first process. For the supervisor.
pub(crate) fn create_for_running(
    spec: &ContainerSpec,
    first: i32,
    session: &SessionInfo,
) -> Result<Option<OwnedCgroup>> {
    let Some(cgroup) = create_cgroup(spec, session)? else { return Ok(None) };
    for _ in 0..ROUNDS {
        let outside: Vec<i32> = pids_inside(first, boundary(spec))?
            .into_iter()
            .filter(|pid| !cgroup.contains_process(*pid))
            .collect();
        if outside.is_empty() {
            break;
        }
        for pid in outside {
            cgroup.add_process(pid, session)?;
        }
    }
    Ok(Some(OwnedCgroup(cgroup)))
}

//! The cgroup of a container: whether it needs one, which of its limits cannot be enforced here, and how it
//! gets it.

use anyhow::{Context as _, Result};

use super::first_process::boundary;
use crate::model::container::ContainerSpec;
use crate::model::environment::Environment;
use crate::sandbox::cgroup::{Cgroup, Logout, Membership, Surroundings, Way, at_logout, check_machine};
use crate::sandbox::processes::inside;

/// How often the processes of a container are moved before giving up; they may fork meanwhile.
const ROUNDS: u32 = 100;

/// What the cgroup manager needs to know of the user's session. Must be called before this process enters a user
/// namespace.
pub(super) fn surroundings(environment: &Environment) -> Surroundings {
    Surroundings {
        runtime_dir: environment.path("XDG_RUNTIME_DIR"),
        bus: environment.text("DBUS_SESSION_BUS_ADDRESS").map(str::to_owned),
        uid: rustix::process::getuid().as_raw(),
        leave_session: false,
    }
}

/// The same for a detached container, and a warning if logging out would kill it.
pub(super) fn for_detached(
    spec: &ContainerSpec,
    mut surroundings: Surroundings,
) -> (Surroundings, Option<String>) {
    let in_scope = needs_cgroup(spec)
        && Way::find(&spec.cgroup_parent, surroundings.clone()).is_ok_and(|way| way.is_scope());
    let said = match at_logout(in_scope, &surroundings) {
        Logout::Survives => None,
        Logout::KillsSession => {
            surroundings.leave_session = true;
            None
        }
        Logout::Kills { command } => Some(format!(
            "containers that run detached end when you log out of this machine; `{command}` lets them go on (said once)"
        )),
    };
    (surroundings, said)
}

/// Refuses limits that this machine cannot enforce at all; returns warnings for those that will be ignored.
pub(super) fn check(spec: &ContainerSpec, surroundings: Surroundings) -> Result<Vec<String>> {
    if !needs_cgroup(spec) {
        return Ok(Vec::new());
    }
    check_machine(&spec.limits)?;
    let way = Way::find(&spec.cgroup_parent, surroundings)?;
    let mut warnings = way.discarded(&spec.limits);
    if let (Some(reason), true, false) = (way.why_none(), warnings.is_empty(), spec.cgroup_parent.is_empty())
    {
        warnings.push(format!(
            "--cgroup-parent {}: the container has no cgroup of its own ({reason})",
            spec.cgroup_parent
        ));
    }
    Ok(warnings)
}

/// Creates the cgroup of a container that is about to start, if it needs one. For the supervisor, which may
/// be moved too.
pub(super) fn make_wanted(spec: &ContainerSpec, surroundings: &Surroundings) -> Result<Option<Cgroup>> {
    if needs_cgroup(spec) || surroundings.leave_session { make(spec, surroundings) } else { Ok(None) }
}

/// Whether the container needs a cgroup of its own.
pub(super) fn needs_cgroup(spec: &ContainerSpec) -> bool {
    !spec.limits.is_empty() || !spec.cgroup_parent.is_empty()
}

fn make(spec: &ContainerSpec, surroundings: &Surroundings) -> Result<Option<Cgroup>> {
    let way = Way::find(&spec.cgroup_parent, surroundings.clone())?;
    way.make(&spec.id, &spec.limits).context("making the container's cgroup")
}

/// How to enter the cgroup of a running container with first process `first`; `None` if it has none of its
/// own.
pub(super) fn membership(
    spec: &ContainerSpec,
    first: i32,
    surroundings: Surroundings,
) -> Result<Option<Membership>> {
    // The specification does not tell: limits may have been added since, or the container moved out of a
    // login session.
    Ok(Cgroup::of(first, &spec.id)?.map(|cgroup| cgroup.membership(surroundings)))
}

/// Creates a cgroup for a container that runs without one, and moves all its processes there. `first` is its
/// first process. For the supervisor.
pub(super) fn make_for(
    spec: &ContainerSpec,
    first: i32,
    surroundings: &Surroundings,
) -> Result<Option<Cgroup>> {
    let Some(cgroup) = make(spec, surroundings)? else { return Ok(None) };
    for _ in 0..ROUNDS {
        let outside: Vec<i32> =
            inside(first, boundary(spec))?.into_iter().filter(|pid| !cgroup.holds(*pid)).collect();
        if outside.is_empty() {
            break;
        }
        for pid in outside {
            cgroup.admit(pid, surroundings)?;
        }
    }
    Ok(Some(cgroup))
}

//! The systemd driver: a transient scope holds the supervisor, and next to it the container.
//!
//! A scope is delegated, so everything below it is written directly. Only systemd can move a process out of its
//! session into a scope; since the supervisor is moved and the container is launched by it, no other process needs
//! to.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use super::controller::ControllerSet;
use super::directory;
use super::hierarchy::{self, CgroupHierarchy};
use super::session::SessionInfo;
use crate::dbus::{ArgWriter, BusConnection, BusError, BusPeer, MethodCall};
use dhow_error::{Failure, FailureKind};

/// How long systemd may take to move a process, and how often to check.
const TIMEOUT: Duration = Duration::from_secs(10);
const POLL_INTERVAL: Duration = Duration::from_millis(20);
/// Cgroups below that of the scope.
const CONTAINER: &str = "container";
const SUPERVISOR: &str = "supervisor";

const MANAGER: MethodCall<'_> = MethodCall {
    destination: "org.freedesktop.systemd1",
    path: "/org/freedesktop/systemd1",
    interface: "org.freedesktop.systemd1.Manager",
    member: "",
    signature: "",
};

/// A reachable user manager.
#[derive(Clone, Debug)]
pub(super) struct SystemdManager {
    /// Controllers of the manager's own cgroup, and hence of its scopes.
    pub(super) controllers: ControllerSet,
    /// Directory of the manager's own cgroup.
    pub(super) directory: PathBuf,
    /// The slice for scopes, unless the default.
    slice: Option<String>,
}

impl SystemdManager {
    /// Connects to the user manager and reads its controllers; changes nothing.
    pub(super) fn find(
        hierarchy: &CgroupHierarchy,
        session: &SessionInfo,
        slice: Option<&str>,
    ) -> Result<Self, BusError> {
        let mut connection = connect(session)?;
        let answer = connection.property(&MethodCall { member: "ControlGroup", ..MANAGER })?;
        let mut value = answer.reader();
        value.signature()?;
        let directory = hierarchy.directory(Path::new(&value.string()?));
        let controllers = ControllerSet::read(&directory.join("cgroup.controllers"));
        Ok(Self { controllers, directory, slice: slice.map(str::to_owned) })
    }

    /// Moves this process into a scope for container `id`, unless it is in one, and creates the container's
    /// cgroup there. Returns its directory.
    pub(super) fn create_cgroup(
        &self,
        id: &str,
        hierarchy: &CgroupHierarchy,
        session: &SessionInfo,
    ) -> Result<PathBuf> {
        let scope = match current_scope(id, &hierarchy.own) {
            Some(scope) => hierarchy.directory(&scope),
            None => hierarchy.directory(&self.enter_scope(id, session)?),
        };
        let supervisor = scope.join(SUPERVISOR);
        // Controllers can be enabled only while no process is in the scope's own cgroup ("no internal
        // processes" rule).
        directory::make_dir(&supervisor)?;
        directory::move_process(&supervisor, "0").context("moving the supervisor below its scope")?;
        let controllers = ControllerSet::read(&scope.join("cgroup.controllers"));
        directory::enable_controllers(&scope, controllers);
        let container = scope.join(CONTAINER);
        directory::make_dir(&container)?;
        Ok(container)
    }

    fn enter_scope(&self, id: &str, session: &SessionInfo) -> Result<PathBuf> {
        let unit = format!("dhow-{id}-{}.scope", std::process::id());
        let refused = |error: BusError| {
            Failure::new(
                FailureKind::Denied,
                format!("systemd does not make a scope for the container: {error}"),
            )
        };
        let mut connection = connect(session).map_err(refused)?;
        // Subscribed before the call, so that the signal cannot be missed.
        let rule = "type='signal',interface='org.freedesktop.systemd1.Manager',member='JobRemoved'";
        connection.subscribe(rule).map_err(refused)?;
        let start = MethodCall { member: "StartTransientUnit", signature: "ssa(sv)a(sa(sv))", ..MANAGER };
        connection.call(&start, &self.properties(id, &unit)).map_err(refused)?;
        await_scope(&mut connection, &unit)
    }

    fn properties(&self, id: &str, unit: &str) -> ArgWriter {
        let mut arguments = ArgWriter::default();
        let short = id.get(..12).unwrap_or(id);
        arguments.string(unit).string("fail");
        arguments.array(8, |list| {
            list.structure(|property| {
                property.string("Description").signature("s").string(&format!("dhow container {short}"));
            });
            list.structure(|property| {
                property.string("Delegate").signature("b").boolean(true);
            });
            list.structure(|property| {
                // Otherwise a scope whose processes were killed would stay around as failed, since nobody
                // resets it.
                property.string("CollectMode").signature("s").string("inactive-or-failed");
            });
            if let Some(slice) = &self.slice {
                list.structure(|property| {
                    property.string("Slice").signature("s").string(slice);
                });
            }
            list.structure(|property| {
                // 0 stands for the caller: its own pid may be from another pid namespace.
                property.string("PIDs").signature("au").array(4, |pids| {
                    pids.u32(0);
                });
            });
        });
        // No auxiliary units.
        arguments.array(8, |_| {});
        arguments
    }
}

/// Waits until this process is in the scope. The reply to StartTransientUnit only acknowledges the job: the
/// process is moved later, and failure of the job is reported by a signal.
fn await_scope(connection: &mut BusConnection, unit: &str) -> Result<PathBuf> {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        if let Some(own) = hierarchy::own_cgroup()?.filter(|own| own.ends_with(unit)) {
            return Ok(own);
        }
        if let Some(removed) = connection.next_signal("JobRemoved", POLL_INTERVAL)? {
            let mut arguments = removed.reader();
            let (_, _) = (arguments.u32()?, arguments.string()?);
            let (removed_unit, result) = (arguments.string()?, arguments.string()?);
            if removed_unit == unit && result != "done" {
                let message = format!("systemd could not start the scope `{unit}`: {result}");
                return Err(Failure::new(FailureKind::Other, message).into());
            }
        }
        if Instant::now() > deadline {
            let message = format!("systemd did not move the supervisor into the scope `{unit}`");
            return Err(Failure::new(FailureKind::Other, message).into());
        }
    }
}

/// The scope that this process created for an earlier start of the same container.
fn current_scope(id: &str, own: &Path) -> Option<PathBuf> {
    let scope = own.parent()?;
    let name = scope.file_name()?.to_str()?;
    let ours =
        own.ends_with(SUPERVISOR) && name.starts_with(&format!("dhow-{id}-")) && name.ends_with(".scope");
    ours.then(|| scope.to_owned())
}

/// Asks systemd to move process `pid` into the cgroup `container` of [`SystemdManager::create_cgroup`]; a
/// process in a login session cannot move itself.
pub(super) fn attach_process(container: &Path, pid: i32, session: &SessionInfo) -> Result<()> {
    let unit = container.parent().and_then(Path::file_name).and_then(|name| name.to_str());
    let unit = unit.filter(|name| name.ends_with(".scope")).context("the cgroup is not in a scope")?;
    let mut connection = connect(session)?;
    let mut arguments = ArgWriter::default();
    arguments.string(unit).string(&format!("/{CONTAINER}"));
    arguments.array(4, |pids| {
        pids.u32(pid.cast_unsigned());
    });
    let call = MethodCall { member: "AttachProcessesToUnit", signature: "ssau", ..MANAGER };
    connection.call(&call, &arguments)?;
    Ok(())
}

/// Connects to systemd's private socket, or else to the session bus.
fn connect(session: &SessionInfo) -> Result<BusConnection, BusError> {
    // The private socket exists without a session bus, and spares a Hello.
    let mut sockets = vec![(session.runtime_dir().join("systemd/private"), BusPeer::Manager)];
    sockets.extend(session.bus().map(|path| (path, BusPeer::Bus)));
    sockets.push((session.runtime_dir().join("bus"), BusPeer::Bus));
    let mut last_error = None;
    for (path, peer) in sockets {
        match BusConnection::open(&path, peer) {
            Ok(connection) => return Ok(connection),
            Err(error) => last_error = Some(error),
        }
    }
    Err(last_error.unwrap_or_else(|| std::io::Error::from(std::io::ErrorKind::NotFound)).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_supervisor_knows_its_own_scope() {
        let id = "a".repeat(64);
        let own = format!("/user.slice/app.slice/dhow-{id}-77.scope/supervisor");
        let scope = format!("/user.slice/app.slice/dhow-{id}-77.scope");
        assert_eq!(current_scope(&id, Path::new(&own)).unwrap(), Path::new(&scope));
        assert!(current_scope(&"b".repeat(64), Path::new(&own)).is_none());
        assert!(current_scope(&id, Path::new(&scope)).is_none());
        assert!(current_scope(&id, Path::new("/")).is_none());
    }
}

//! Whether a detached container survives the user's logout, according to logind.

use std::path::Path;

use super::hierarchy;
use super::session::SessionInfo;
use crate::dbus::{BusConnection, BusError, BusPeer, MethodCall};

const SYSTEM_BUS: &str = "/run/dbus/system_bus_socket";

const LOGIND: MethodCall<'_> = MethodCall {
    destination: "org.freedesktop.login1",
    path: "/org/freedesktop/login1",
    interface: "org.freedesktop.login1.Manager",
    member: "",
    signature: "",
};

/// What a logout does to a process that this one leaves behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogoutEffect {
    Survives,
    /// Killed, unless it moves to a scope of the user manager.
    KillsSession,
    /// Killed in any case; the command changes that.
    Kills {
        /// For the user to run.
        command: String,
    },
}

/// The effect of a logout; `in_scope` says that the process will be in a scope of the user manager. If logind
/// cannot be reached, nothing kills.
pub fn logout_effect(in_scope: bool, session: &SessionInfo) -> LogoutEffect {
    let Ok(Some(own)) = hierarchy::own_cgroup() else { return LogoutEffect::Survives };
    let kind = session_kind(&own);
    if !in_scope && kind == SessionKind::Elsewhere {
        return LogoutEffect::Survives;
    }
    // Outside of sessions, the user manager matters, which ends with the last session unless lingering is
    // enabled.
    if !in_scope && kind == SessionKind::Session && !kills_sessions(session).unwrap_or(false) {
        return LogoutEffect::Survives;
    }
    match has_linger(session) {
        Ok(false) => LogoutEffect::Kills { command: format!("sudo loginctl enable-linger {}", session.uid) },
        Ok(true) if !in_scope && kind == SessionKind::Session => LogoutEffect::KillsSession,
        Ok(true) | Err(_) => LogoutEffect::Survives,
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SessionKind {
    /// A login session.
    Session,
    /// A unit of the user manager.
    Manager,
    /// A system service, or a machine without systemd.
    Elsewhere,
}

fn session_kind(own: &Path) -> SessionKind {
    let mut parts = own.iter().filter_map(|part| part.to_str());
    if !own.starts_with("/user.slice") {
        return SessionKind::Elsewhere;
    }
    match parts.find(|part| part.starts_with("session-") || part.starts_with("user@")) {
        Some(session) if session.ends_with(".scope") => SessionKind::Session,
        Some(_) => SessionKind::Manager,
        None => SessionKind::Elsewhere,
    }
}

/// logind's `KillUserProcesses`, with its lists of included and excluded users.
fn kills_sessions(session: &SessionInfo) -> Result<bool, BusError> {
    let mut connection = BusConnection::open(Path::new(SYSTEM_BUS), BusPeer::Bus)?;
    if !bool_property(&mut connection, &MethodCall { member: "KillUserProcesses", ..LOGIND })? {
        return Ok(false);
    }
    let name = user_name(&mut connection, session)?;
    let excluded =
        string_list_property(&mut connection, &MethodCall { member: "KillExcludeUsers", ..LOGIND })?;
    let included = string_list_property(&mut connection, &MethodCall { member: "KillOnlyUsers", ..LOGIND })?;
    Ok(!excluded.contains(&name) && (included.is_empty() || included.contains(&name)))
}

/// Whether the user manager keeps running without a session.
fn has_linger(session: &SessionInfo) -> Result<bool, BusError> {
    let path = user_path(session);
    let linger =
        MethodCall { path: &path, interface: "org.freedesktop.login1.User", member: "Linger", ..LOGIND };
    let mut connection = BusConnection::open(Path::new(SYSTEM_BUS), BusPeer::Bus)?;
    bool_property(&mut connection, &linger)
}

fn user_name(connection: &mut BusConnection, session: &SessionInfo) -> Result<String, BusError> {
    let path = user_path(session);
    let call = MethodCall { path: &path, interface: "org.freedesktop.login1.User", member: "Name", ..LOGIND };
    let answer = connection.property(&call)?;
    let mut value = answer.reader();
    value.signature()?;
    Ok(value.string()?)
}

fn user_path(session: &SessionInfo) -> String {
    format!("/org/freedesktop/login1/user/_{}", session.uid)
}

fn bool_property(connection: &mut BusConnection, property: &MethodCall<'_>) -> Result<bool, BusError> {
    let answer = connection.property(property)?;
    let mut value = answer.reader();
    value.signature()?;
    Ok(value.u32()? != 0)
}

fn string_list_property(
    connection: &mut BusConnection,
    property: &MethodCall<'_>,
) -> Result<Vec<String>, BusError> {
    let answer = connection.property(property)?;
    let mut value = answer.reader();
    value.signature()?;
    Ok(value.strings()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_known_by_its_path() {
        let place = |path: &str| session_kind(Path::new(path));
        assert_eq!(place("/user.slice/user-1000.slice/session-5.scope"), SessionKind::Session);
        assert_eq!(
            place("/user.slice/user-1000.slice/user@1000.service/app.slice/x.scope"),
            SessionKind::Manager
        );
        assert_eq!(place("/system.slice/cron.service"), SessionKind::Elsewhere);
        assert_eq!(place("/"), SessionKind::Elsewhere);
    }
}

//! Whether a detached container survives the user's logout, according to logind.

use std::path::Path;

use super::Surroundings;
use super::hierarchy;
use crate::sandbox::dbus::{Call, Connection, Peer, Refusal};

const SYSTEM_BUS: &str = "/run/dbus/system_bus_socket";

const LOGIND: Call<'_> = Call {
    destination: "org.freedesktop.login1",
    path: "/org/freedesktop/login1",
    interface: "org.freedesktop.login1.Manager",
    member: "",
    signature: "",
};

/// What a logout does to a process that this one leaves behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Logout {
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
pub fn at_logout(in_scope: bool, surroundings: &Surroundings) -> Logout {
    let Ok(Some(own)) = hierarchy::own_cgroup() else { return Logout::Survives };
    let place = place_of(&own);
    if !in_scope && place == Place::Elsewhere {
        return Logout::Survives;
    }
    // Outside of sessions, the user manager matters, which ends with the last session unless lingering is
    // enabled.
    if !in_scope && place == Place::Session && !kills_sessions(surroundings).unwrap_or(false) {
        return Logout::Survives;
    }
    match lingers(surroundings) {
        Ok(false) => Logout::Kills { command: format!("sudo loginctl enable-linger {}", surroundings.uid) },
        Ok(true) if !in_scope && place == Place::Session => Logout::KillsSession,
        Ok(true) | Err(_) => Logout::Survives,
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// A login session.
    Session,
    /// A unit of the user manager.
    Manager,
    /// A system service, or a machine without systemd.
    Elsewhere,
}

fn place_of(own: &Path) -> Place {
    let mut parts = own.iter().filter_map(|part| part.to_str());
    if !own.starts_with("/user.slice") {
        return Place::Elsewhere;
    }
    match parts.find(|part| part.starts_with("session-") || part.starts_with("user@")) {
        Some(session) if session.ends_with(".scope") => Place::Session,
        Some(_) => Place::Manager,
        None => Place::Elsewhere,
    }
}

/// logind's `KillUserProcesses`, with its lists of included and excluded users.
fn kills_sessions(surroundings: &Surroundings) -> Result<bool, Refusal> {
    let mut connection = Connection::open(Path::new(SYSTEM_BUS), Peer::Bus)?;
    if !truth(&mut connection, &Call { member: "KillUserProcesses", ..LOGIND })? {
        return Ok(false);
    }
    let name = name(&mut connection, surroundings)?;
    let excluded = names(&mut connection, &Call { member: "KillExcludeUsers", ..LOGIND })?;
    let only = names(&mut connection, &Call { member: "KillOnlyUsers", ..LOGIND })?;
    Ok(!excluded.contains(&name) && (only.is_empty() || only.contains(&name)))
}

/// Whether the user manager keeps running without a session.
fn lingers(surroundings: &Surroundings) -> Result<bool, Refusal> {
    let path = user_path(surroundings);
    let linger = Call { path: &path, interface: "org.freedesktop.login1.User", member: "Linger", ..LOGIND };
    let mut connection = Connection::open(Path::new(SYSTEM_BUS), Peer::Bus)?;
    truth(&mut connection, &linger)
}

fn name(connection: &mut Connection, surroundings: &Surroundings) -> Result<String, Refusal> {
    let path = user_path(surroundings);
    let call = Call { path: &path, interface: "org.freedesktop.login1.User", member: "Name", ..LOGIND };
    let answer = connection.property(&call)?;
    let mut value = answer.read();
    value.signature()?;
    Ok(value.string()?)
}

fn user_path(surroundings: &Surroundings) -> String {
    format!("/org/freedesktop/login1/user/_{}", surroundings.uid)
}

fn truth(connection: &mut Connection, of: &Call<'_>) -> Result<bool, Refusal> {
    let answer = connection.property(of)?;
    let mut value = answer.read();
    value.signature()?;
    Ok(value.u32()? != 0)
}

fn names(connection: &mut Connection, of: &Call<'_>) -> Result<Vec<String>, Refusal> {
    let answer = connection.property(of)?;
    let mut value = answer.read();
    value.signature()?;
    Ok(value.strings()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_known_by_its_path() {
        let place = |path: &str| place_of(Path::new(path));
        assert_eq!(place("/user.slice/user-1000.slice/session-5.scope"), Place::Session);
        assert_eq!(place("/user.slice/user-1000.slice/user@1000.service/app.slice/x.scope"), Place::Manager);
        assert_eq!(place("/system.slice/cron.service"), Place::Elsewhere);
        assert_eq!(place("/"), Place::Elsewhere);
    }
}

//! Whether what runs detached outlives the user's logout, found out by asking logind.

use std::path::Path;

use super::Surroundings;
use super::hierarchy;
use crate::sandbox::dbus::{Call, Connection, Peer, Refusal};

/// The bus of the machine.
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
    /// Nothing.
    Survives,
    /// It is killed, unless it moves to a scope of the user manager.
    KillsSession,
    /// It is killed wherever it is; the command that changes that.
    Kills {
        /// For the user to run.
        command: String,
    },
}

/// What a logout would do; `in_scope` says that the process will be in a scope of the user manager. Where nobody can be
/// asked there is nobody who kills.
pub fn at_logout(in_scope: bool, surroundings: &Surroundings) -> Logout {
    let Ok(Some(own)) = hierarchy::own_cgroup() else { return Logout::Survives };
    let place = place_of(&own);
    match (in_scope, place) {
        (false, Place::Elsewhere) => Logout::Survives,
        (false, Place::Session) => match kills_sessions(surroundings) {
            Ok(true) if lingers(surroundings) => Logout::KillsSession,
            Ok(true) => Logout::Kills { command: linger_command(surroundings) },
            Ok(false) | Err(_) => Logout::Survives,
        },
        // The user manager ends with the last session.
        (true, _) | (_, Place::Manager) if !lingers(surroundings) => {
            Logout::Kills { command: linger_command(surroundings) }
        }
        _ => Logout::Survives,
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// A login session.
    Session,
    /// Something that the user manager started.
    Manager,
    /// A service, or a machine without systemd.
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

fn linger_command(surroundings: &Surroundings) -> String {
    format!("sudo loginctl enable-linger {}", surroundings.uid)
}

/// logind's `KillUserProcesses`, and the lists of users for whom it does not hold.
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

/// Whether the user manager stays without a session.
fn lingers(surroundings: &Surroundings) -> bool {
    let path = user_path(surroundings);
    let linger = Call { path: &path, interface: "org.freedesktop.login1.User", member: "Linger", ..LOGIND };
    let asked = Connection::open(Path::new(SYSTEM_BUS), Peer::Bus)
        .map_err(Refusal::from)
        .and_then(|mut connection| truth(&mut connection, &linger));
    asked.unwrap_or(false)
}

fn name(connection: &mut Connection, surroundings: &Surroundings) -> Result<String, Refusal> {
    let path = user_path(surroundings);
    let call = Call { path: &path, interface: "org.freedesktop.login1.User", member: "Name", ..LOGIND };
    let answer = connection.property(&call)?;
    let mut value = answer.read();
    value.signature()?;
    Ok(value.string()?)
}

/// Object paths take letters, digits and underscores only, so a number is escaped in its first digit.
fn user_path(surroundings: &Surroundings) -> String {
    let digits = surroundings.uid.to_string();
    let (first, rest) = digits.split_at(1);
    let code = first.bytes().next().unwrap_or(b'0');
    format!("/org/freedesktop/login1/user/_{code:02x}{rest}")
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

    #[test]
    fn users_are_objects_by_their_number() {
        let path = user_path(&Surroundings { uid: 1000, ..Default::default() });
        assert_eq!(path, "/org/freedesktop/login1/user/_31000");
    }
}

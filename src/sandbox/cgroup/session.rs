//! The account's session, as far as systemd and logind need to know it.

use std::path::PathBuf;

/// What drivers need to know about the account and its session.
#[derive(Clone, Debug, Default)]
pub struct SessionInfo {
    /// `XDG_RUNTIME_DIR`; systemd's default for the user where it is not set.
    pub runtime_dir: Option<PathBuf>,
    /// `DBUS_SESSION_BUS_ADDRESS`.
    pub bus: Option<String>,
    pub uid: u32,
    /// Whether a process must leave its login session to outlive it ([`super::LogoutEffect::KillsSession`]).
    pub leave_session: bool,
}

impl SessionInfo {
    pub(super) fn runtime_dir(&self) -> PathBuf {
        self.runtime_dir.clone().unwrap_or_else(|| PathBuf::from(format!("/run/user/{}", self.uid)))
    }

    /// The socket of the session bus, if its address is a path.
    pub(super) fn bus(&self) -> Option<PathBuf> {
        let first = self.bus.as_deref()?.split(';').next()?;
        let options = first.strip_prefix("unix:")?;
        // Not `abstract=`: an abstract socket has no path to connect to.
        options.split(',').find_map(|option| option.strip_prefix("path=")).map(PathBuf::from)
    }
}

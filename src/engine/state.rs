//! What is remembered of a container's last start: its `state.json`.
//!
//! Whether it runs is not told here but by its lock ([`crate::store::ContainerDir::is_locked`]).

use serde::{Deserialize, Serialize};

/// The record, written by the supervisor alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ContainerState {
    /// The first process in the host's numbers while it runs, else 0.
    pub pid: i32,
    /// RFC 3339 time of the last start, empty before the first.
    pub started: String,
    /// RFC 3339 time of the last end, empty before the first.
    pub finished: String,
    /// Exit code of the last run.
    pub exit_code: i32,
    /// Why the last start failed, if it did.
    pub error: String,
}

/// The time now as records write it.
pub(crate) fn now() -> String {
    jiff::Timestamp::now().to_string()
}

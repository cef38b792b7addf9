//! What is remembered of a container's life: its `state.json`.
//!
//! Whether it runs is not told here but by its lock ([`crate::store::ContainerDir::is_locked`]).

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::model::network::{Endpoint, Published};

/// The record, written by the lock's holder alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ContainerState {
    /// The first process in the host's numbers while it runs, else 0.
    pub pid: i32,
    /// When that process started, in clock ticks since boot (proc_pid_stat(5), `starttime`).
    pub ticks: u64,
    /// The directory of its cgroup while it runs, where it has one of its own; for who cleans up after a supervisor that
    /// was killed.
    pub cgroup: Option<PathBuf>,
    /// RFC 3339 time of the last start, empty before the first.
    pub started: String,
    /// RFC 3339 time of the last end, empty before the first.
    pub finished: String,
    /// Exit code of the last run.
    pub exit_code: i32,
    /// Why the last start failed, if it did.
    pub error: String,
    /// Whether the kernel killed one of its processes for want of memory.
    pub oom_killed: bool,
    /// Restarts by its policy since it was started by hand.
    pub restarts: u32,
    /// It has ended and will be started again.
    pub restarting: bool,
    /// Its processes are held.
    pub paused: bool,
    /// It was stopped by hand.
    pub stopped: bool,
    /// Its health, where it is checked.
    pub health: Option<Health>,
    /// Its places on networks, those of the last run while it does not run.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub endpoints: Vec<Endpoint>,
    /// The ports that are published while it runs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub published: Vec<Published>,
}

impl ContainerState {
    /// Whether this is the state of a container that runs, or will again, if it has a supervisor.
    pub fn may_run(&self) -> bool {
        self.pid != 0 || self.restarting
    }
}

/// What its health checks found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Health {
    /// `starting`, `healthy` or `unhealthy`.
    pub status: String,
    /// Failures since the last success.
    pub failing_streak: u32,
    /// The last five results, oldest first.
    pub log: Vec<Checked>,
}

/// One health check.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Checked {
    /// RFC 3339 time.
    pub start: String,
    /// RFC 3339 time.
    pub end: String,
    /// 0 is healthy; -1 where it took too long.
    pub exit_code: i32,
    /// The beginning of what it wrote.
    pub output: String,
}

/// The time now as records write it.
pub(crate) fn now() -> String {
    jiff::Timestamp::now().to_string()
}

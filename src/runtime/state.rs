//! The recorded state of a container, its `state.json`.
//!
//! Whether the container runs is not in the record: its lock says that. A record can be stale after a supervisor was
//! killed, a lock cannot.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use dhow_model::network::{NetworkEndpoint, PublishedPort};
use dhow_model::record::is_default;

/// Written only by the holder of the lock.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ContainerState {
    /// PID of the first process in the supervisor's PID namespace while it runs, otherwise 0.
    #[serde(skip_serializing_if = "is_default")]
    pub pid: i32,
    /// Start time of that process in clock ticks since boot (proc_pid_stat(5), `starttime`), to detect a
    /// reused PID.
    #[serde(skip_serializing_if = "is_default")]
    pub ticks: u64,
    /// Directory of the container's cgroup while it runs, if it has its own; for the recovery after a killed
    /// supervisor.
    #[serde(skip_serializing_if = "is_default")]
    pub cgroup: Option<PathBuf>,
    /// RFC 3339; empty before the first start.
    #[serde(skip_serializing_if = "is_default")]
    pub started: String,
    /// RFC 3339; empty before the first exit.
    #[serde(skip_serializing_if = "is_default")]
    pub finished: String,
    /// Of the last run.
    #[serde(skip_serializing_if = "is_default")]
    pub exit_code: i32,
    /// Why the last start failed; empty if it did not.
    #[serde(skip_serializing_if = "is_default")]
    pub error: String,
    /// Whether the OOM killer killed one of its processes.
    #[serde(skip_serializing_if = "is_default")]
    pub oom_killed: bool,
    /// Restarts by the restart policy since it was started by hand.
    #[serde(skip_serializing_if = "is_default")]
    pub restarts: u32,
    /// It has exited and will be started again.
    #[serde(skip_serializing_if = "is_default")]
    pub restarting: bool,
    #[serde(skip_serializing_if = "is_default")]
    pub paused: bool,
    /// It was stopped by hand, which `unless-stopped` remembers.
    #[serde(skip_serializing_if = "is_default")]
    pub stopped: bool,
    /// `None` without health checks.
    #[serde(skip_serializing_if = "is_default")]
    pub health: Option<HealthState>,
    /// Its endpoints on networks; while it does not run, those of the last run.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub endpoints: Vec<NetworkEndpoint>,
    /// Ports that are published now.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub published: Vec<PublishedPort>,
}

impl ContainerState {
    /// Whether a container in this state runs or will be restarted, provided that it has a supervisor.
    pub fn may_run(&self) -> bool {
        self.pid != 0 || self.restarting
    }
}

/// The status of a container whose checks fail, and of one that cannot be checked.
pub(crate) const UNHEALTHY: &str = "unhealthy";

/// The results of its health checks; docker's form.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct HealthState {
    /// `starting`, `healthy` or `unhealthy`.
    pub status: String,
    /// Failures since the last success.
    pub(crate) failing_streak: u32,
    /// The last five results, oldest first.
    pub log: Vec<HealthcheckResult>,
}

impl HealthState {
    /// What they say of a container that does not run any more, or is paused: it is not healthy, as in docker.
    #[must_use]
    pub fn of_stopped(&self) -> Self {
        Self { status: UNHEALTHY.into(), ..self.clone() }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct HealthcheckResult {
    /// RFC 3339.
    pub start: String,
    /// RFC 3339.
    pub end: String,
    /// 0 is healthy; -1 is a timeout.
    pub exit_code: i32,
    /// The first 4 KiB of its output.
    pub output: String,
}

/// The current time in RFC 3339, as records have it.
pub fn now_rfc3339() -> String {
    jiff::Timestamp::now().to_string()
}

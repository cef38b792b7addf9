//! Runs a container's health checks: when they are due, how long they may take, and what the results mean.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use anyhow::Result;
use rustix::fs::OFlags;
use rustix::io::Errno;

use super::event::SupervisorEvent;
use crate::plan;
use crate::process::poll::PollSet;
use crate::state::{HealthState, HealthcheckResult, UNHEALTHY, now_rfc3339};
use dhow_error::Failure;
use dhow_error::start_failure_exit_code;
use dhow_model::container::ContainerSpec;
use dhow_model::duration;
use dhow_model::exec_request::ExecRequest;
use dhow_model::health::HealthSpec;
use dhow_sandbox::cgroup::{Cgroup, SessionInfo};
use dhow_sandbox::identity::idmap::IdMap;
use dhow_sandbox::join::exec_monitor;
use dhow_sandbox::plan::JoinPlan;
use dhow_sys::process::ChildProcess;
use dhow_sys::stdio::cloexec_pipe;

/// Number of results that are kept, and the bytes of output of each.
const MAX_RESULTS: usize = 5;
const MAX_OUTPUT: usize = 4096;

/// The health checks of one run.
pub(crate) struct HealthMonitor {
    spec: HealthSpec,
    plan: JoinPlan,
    began: Instant,
    /// When the next probe is due; not used while one is running.
    next: Instant,
    running: Option<HealthProbe>,
    health: HealthState,
}

/// A probe that is running.
struct HealthProbe {
    process: ChildProcess,
    output: Option<OwnedFd>,
    text: Vec<u8>,
    started: String,
    kill_at: Instant,
    /// Why it was told to end, if it was.
    cut_short: Option<CutShort>,
}

/// Why a probe is ended before it ends by itself.
#[derive(Clone, Copy, PartialEq, Eq)]
enum CutShort {
    TimedOut,
    /// The container was paused. The result says nothing about it.
    Suspended,
}

impl HealthMonitor {
    /// `None` if `spec` has no health check. `ids` is the id map of the container's user namespace.
    pub(super) fn new(spec: &ContainerSpec, ids: &IdMap) -> Result<Option<Self>> {
        let Some(args) = spec.health.command(spec.shell.as_deref()) else { return Ok(None) };
        let request = ExecRequest { args, ..ExecRequest::default() };
        let plan = plan::exec_plan(spec, ids.clone(), &request)?;
        let health = HealthState { status: "starting".into(), ..HealthState::default() };
        let began = Instant::now();
        let mut monitor = Self { spec: spec.health.clone(), plan, began, next: began, running: None, health };
        monitor.schedule();
        Ok(Some(monitor))
    }

    /// Makes probes run in the container's cgroup.
    pub(crate) fn use_cgroup(&mut self, cgroup: &Cgroup) {
        // The supervisor is in a cgroup from which it may move processes there without the manager's help.
        self.plan.cgroup = Some(cgroup.membership(SessionInfo::default()));
    }

    /// The results so far.
    pub(super) fn health(&self) -> &HealthState {
        &self.health
    }

    pub(super) fn watch<'a>(&'a self, watch: &mut PollSet<'a, SupervisorEvent>) {
        let Some(probe) = &self.running else { return };
        watch.add_readable(SupervisorEvent::ProbeExited, probe.process.pidfd());
        if let Some(output) = &probe.output {
            watch.add_readable(SupervisorEvent::ProbeOutput, output.as_fd());
        }
    }

    /// When [`HealthMonitor::on_timer`] must be called at the latest.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match &self.running {
            None => Some(self.next),
            Some(probe) => probe.cut_short.is_none().then_some(probe.kill_at),
        }
    }

    /// Starts a probe that is due in the container of the pidfd `first`, or stops one that takes too long.
    /// Nothing is started while the container is `paused`. Returns whether there is a new result.
    pub(crate) fn on_timer(&mut self, first: BorrowedFd<'_>, paused: bool) -> Result<bool> {
        let time = Instant::now();
        match &mut self.running {
            Some(probe) if probe.kill_at <= time && probe.cut_short.is_none() => {
                probe.cut_short = Some(CutShort::TimedOut);
                // The result is taken when the process has exited, with the exit code -1 of a timeout.
                probe.process.signal(libc::SIGTERM)?;
                Ok(false)
            }
            None if self.next <= time && paused => {
                // Skipped: a probe could make no progress while the container is paused.
                self.schedule();
                Ok(false)
            }
            None if self.next <= time => Ok(self.start_probe(first)),
            _ => Ok(false),
        }
    }

    /// The container is paused: it counts as unhealthy, as in docker, until the next probe after the pause. A probe
    /// that is running is given up.
    pub(super) fn suspend(&mut self) -> Result<()> {
        self.health.status = UNHEALTHY.into();
        if let Some(probe) = self.running.as_mut().filter(|probe| probe.cut_short.is_none()) {
            probe.cut_short = Some(CutShort::Suspended);
            probe.process.signal(libc::SIGTERM)?;
        }
        Ok(())
    }

    /// The pause is over: the next probe is due at once.
    pub(super) fn resume(&mut self) {
        self.next = Instant::now();
    }

    /// Returns whether it failed to start, which counts as a result.
    fn start_probe(&mut self, first: BorrowedFd<'_>) -> bool {
        let started = now_rfc3339();
        match spawn_probe(&self.plan, first) {
            Ok((process, output)) => {
                let kill_at = Instant::now() + self.spec.timeout();
                let (output, text) = (Some(output), Vec::new());
                self.running = Some(HealthProbe { process, output, text, started, kill_at, cut_short: None });
                false
            }
            Err(error) => {
                let exit_code = start_failure_exit_code(Failure::from_chain(&error).kind());
                self.record_result(HealthcheckResult {
                    start: started,
                    end: now_rfc3339(),
                    exit_code,
                    output: format!("{error:#}"),
                });
                true
            }
        }
    }

    /// Reads output of the running probe.
    pub(super) fn read(&mut self) {
        let Some(probe) = &mut self.running else { return };
        let Some(output) = &probe.output else { return };
        let mut buffer = [0; MAX_OUTPUT];
        match rustix::io::read(output, &mut buffer) {
            Ok(length) if length > 0 => {
                // Read beyond the limit too, or a full pipe would block the probe.
                let room = MAX_OUTPUT - probe.text.len();
                probe.text.extend(buffer.iter().take(length.min(room)));
            }
            Err(Errno::AGAIN | Errno::INTR) => {}
            Ok(_) | Err(_) => probe.output = None,
        }
    }

    /// Records the result of a probe that has exited.
    pub(crate) fn take_result(&mut self) -> Result<()> {
        self.read();
        let Some(probe) = self.running.take() else { return Ok(()) };
        let exit = probe.process.wait()?;
        let text = String::from_utf8_lossy(&probe.text).into_owned();
        let (exit_code, output) = match probe.cut_short {
            None => (exit.code(), text),
            Some(CutShort::TimedOut) => (-1, timeout_message(self.spec.timeout(), &text)),
            Some(CutShort::Suspended) => {
                self.resume();
                return Ok(());
            }
        };
        self.record_result(HealthcheckResult { start: probe.started, end: now_rfc3339(), exit_code, output });
        Ok(())
    }

    fn record_result(&mut self, result: HealthcheckResult) {
        let starting_up = self.began.elapsed() < self.spec.start_period();
        apply_result(&mut self.health, result, starting_up, self.spec.retries());
        self.schedule();
    }

    fn schedule(&mut self) {
        let starting_up = self.health.status == "starting" && self.began.elapsed() < self.spec.start_period();
        let delay = if starting_up { self.spec.start_interval() } else { self.spec.interval() };
        self.next = Instant::now() + delay;
    }
}

impl Drop for HealthMonitor {
    /// The container has exited. Its probe died with it, unless the probe is in the host's PID namespace.
    fn drop(&mut self) {
        if let Some(probe) = &self.running {
            let _ = probe.process.signal(libc::SIGTERM);
            let _ = probe.process.wait();
        }
    }
}

/// docker's words. What the probe wrote often says what it was waiting for.
fn timeout_message(timeout: Duration, text: &str) -> String {
    let span = duration::format_go(i64::try_from(timeout.as_nanos()).unwrap_or(i64::MAX));
    match text {
        "" => format!("Health check exceeded timeout ({span})"),
        text => format!("Health check exceeded timeout ({span}): {text}"),
    }
}

/// docker's rules: one success means healthy, `retries` failures in a row mean unhealthy, and failures during
/// the start period do not count.
fn apply_result(health: &mut HealthState, result: HealthcheckResult, starting_up: bool, retries: u32) {
    if result.exit_code == 0 {
        health.failing_streak = 0;
        health.status = "healthy".into();
    } else if !(starting_up && health.status == "starting") {
        health.failing_streak += 1;
        if health.failing_streak >= retries {
            health.status = UNHEALTHY.into();
        }
    }
    health.log.push(result);
    let surplus = health.log.len().saturating_sub(MAX_RESULTS);
    health.log.drain(..surplus);
}

/// Starts the command. Its output can be read from the descriptor.
fn spawn_probe(plan: &JoinPlan, first: BorrowedFd<'_>) -> Result<(ChildProcess, OwnedFd)> {
    let (read, write) = cloexec_pipe()?;
    rustix::fs::fcntl_setfl(&read, OFlags::NONBLOCK)?;
    Ok((exec_monitor::start_probe(plan, first, write.as_fd())?, read))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(codes: &[i32], starting_up: bool) -> HealthState {
        let mut health = HealthState { status: "starting".into(), ..HealthState::default() };
        for exit_code in codes {
            apply_result(
                &mut health,
                HealthcheckResult { exit_code: *exit_code, ..HealthcheckResult::default() },
                starting_up,
                3,
            );
        }
        health
    }

    #[test]
    fn three_failures_in_a_row_are_unhealthy() {
        assert_eq!(after(&[1, 1], false).status, "starting");
        assert_eq!(after(&[1, 1, 1], false).status, "unhealthy");
        assert_eq!(after(&[1, 1, 0, 1, 1], false).status, "healthy");
        assert_eq!(after(&[1, 1, 1, 0], false).status, "healthy");
        assert_eq!(after(&[0, -1, 1, 1], false).failing_streak, 3);
    }

    #[test]
    fn while_it_starts_up_failures_do_not_count_until_it_was_healthy() {
        assert_eq!(after(&[1, 1, 1, 1], true).status, "starting");
        assert_eq!(after(&[1, 0, 1, 1, 1], true).status, "unhealthy");
    }

    #[test]
    fn a_timeout_is_told_as_docker_tells_it() {
        // docker 26 of `--health-timeout 1500ms --health-cmd 'echo begun; sleep 100'`.
        let said = timeout_message(Duration::from_millis(1500), "begun\n");
        assert_eq!(said, "Health check exceeded timeout (1.5s): begun\n");
        assert_eq!(timeout_message(Duration::from_secs(90), ""), "Health check exceeded timeout (1m30s)");
    }

    #[test]
    fn five_results_are_remembered() {
        let codes: Vec<i32> = after(&[0, 1, 2, 3, 4, 5, 6], false).log.iter().map(|c| c.exit_code).collect();
        assert_eq!(codes, [2, 3, 4, 5, 6]);
    }
}

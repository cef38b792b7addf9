//! One run of a container, from the start of its first process to its exit.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use super::clients::ClientSet;
use super::event::SupervisorEvent;
use super::health::HealthMonitor;
use crate::cgroup;
use crate::control::protocol::StopOptions;
use crate::first_process::boundary;
use crate::process::poll::{PollSet, earlier_deadline};
use crate::process::{ContainerProcess, LaunchInputs};
use dhow_model::container::ContainerSpec;
use dhow_model::signal;
use dhow_sandbox::cgroup::SessionInfo;
use dhow_sandbox::pause;
use dhow_sandbox::processes::NamespaceBoundary;
use dhow_sys::process::ChildExit;

/// docker's default stop timeout, in seconds.
const DEFAULT_TIMEOUT: i64 = 10;

pub(crate) struct ContainerRun {
    pub process: ContainerProcess,
    /// How to tell its processes from others.
    boundary: NamespaceBoundary,
    began: Instant,
    /// When it gets SIGKILL, after it was asked to stop.
    kill_at: Option<Instant>,
    pub health: Option<HealthMonitor>,
}

impl ContainerRun {
    /// Starts the container.
    pub(super) fn start(inputs: LaunchInputs<'_>) -> Result<Self> {
        let spec = inputs.container.spec();
        let mut health = HealthMonitor::new(spec, &inputs.plan.ids)?;
        if let (Some(health), Some(cgroup)) = (&mut health, &inputs.cgroup) {
            health.use_cgroup(cgroup);
        }
        let boundary = boundary(spec);
        let process = ContainerProcess::launch(inputs)?;
        Ok(Self { process, boundary, began: Instant::now(), kill_at: None, health })
    }

    pub(super) fn pid(&self) -> i32 {
        self.process.pid()
    }

    /// In clock ticks since boot.
    pub(crate) fn start_ticks(&self) -> u64 {
        crate::first_process::start_ticks(self.pid()).unwrap_or_default()
    }

    /// Reaps the first process, which has exited, and kills what it left behind. In a PID namespace of its
    /// own the kernel has done that already.
    pub(super) fn wait(&self) -> std::io::Result<ChildExit> {
        if self.boundary == NamespaceBoundary::User {
            // What cannot be killed must not delay the container's exit.
            let _ = pause::kill_others(self.pid(), self.boundary);
        }
        self.process.wait()
    }

    pub(super) fn uptime(&self) -> Duration {
        self.began.elapsed()
    }

    /// What is polled for while it runs.
    pub(super) fn watch<'a>(&'a self, watch: &mut PollSet<'a, SupervisorEvent>, clients: &'a ClientSet) {
        // Backpressure: while a client has not taken the last chunk, the container's pipe fills up instead.
        self.process.watch(watch, SupervisorEvent::Exited, SupervisorEvent::Output, |stream| {
            !clients.is_backlogged(stream)
        });
        if let Some(checks) = &self.health {
            checks.watch(watch);
        }
        if let Some(fd) = self.process.streams.waiting_input() {
            watch.add_writable(SupervisorEvent::Input, fd);
        }
        for client in clients.iter() {
            if let (Some(fd), true) = (client.input(), self.process.streams.takes_input()) {
                watch.add_readable(SupervisorEvent::ClientInput(client.id), fd);
            }
            for (stream, fd) in client.waiting_outputs() {
                watch.add_writable(SupervisorEvent::ClientOutput(client.id, stream), fd);
            }
        }
    }

    /// When [`ContainerRun::on_timer`] must be called at the latest.
    pub(super) fn deadline(&self) -> Option<Instant> {
        earlier_deadline(self.kill_at, self.health.as_ref().and_then(HealthMonitor::deadline))
    }

    /// Does what is due. No probe is started while the container is `paused`. Returns whether there is a new
    /// result of a health check.
    pub(crate) fn on_timer(&mut self, paused: bool) -> Result<bool> {
        if self.kill_at.is_some_and(|at| at <= Instant::now()) {
            // SIGKILL once; an uninterruptible process does not exit any sooner with more.
            self.kill_at = None;
            self.signal(libc::SIGKILL)?;
        }
        match &mut self.health {
            Some(checks) => checks.on_timer(self.process.pidfd(), paused),
            None => Ok(false),
        }
    }

    /// Sends a signal to the first process.
    pub(super) fn signal(&self, signal: i32) -> Result<()> {
        self.process.signal(signal)
    }

    /// Sends the stop signal and arranges for SIGKILL after the timeout. If it is called again, the earlier
    /// deadline holds.
    pub(super) fn stop(&mut self, spec: &ContainerSpec, options: StopOptions) -> Result<()> {
        let timeout = options.timeout.or(spec.stop_timeout).unwrap_or(DEFAULT_TIMEOUT);
        if let Ok(seconds) = u64::try_from(timeout) {
            let at = Instant::now().checked_add(Duration::from_secs(seconds));
            self.kill_at = earlier_deadline(self.kill_at, at);
        }
        self.signal(options.signal.unwrap_or_else(|| stop_signal(spec)))
    }

    /// Freezes all processes: by the cgroup's freezer, or without a cgroup by SIGSTOP.
    pub(super) fn freeze(&self) -> Result<()> {
        match &self.process.cgroup {
            Some(cgroup) => cgroup.freeze(true),
            None => pause::stop_all(self.pid(), self.boundary).context("holding the container's processes"),
        }
    }

    /// Thaws all processes.
    pub(crate) fn thaw(&self) -> Result<()> {
        match &self.process.cgroup {
            Some(cgroup) => cgroup.freeze(false),
            None => pause::resume_all(self.pid(), self.boundary)
                .context("letting the container's processes go on"),
        }
    }

    /// Applies the limits of `spec`. A container that has no cgroup and needs one now is moved into one.
    pub(crate) fn apply_limits(&mut self, spec: &ContainerSpec, session: &SessionInfo) -> Result<()> {
        match &self.process.cgroup {
            Some(cgroup) => cgroup.apply(&spec.limits)?,
            None if cgroup::needs_cgroup(spec) => {
                self.process.cgroup = cgroup::create_for_running(spec, self.pid(), session)?;
                if let (Some(checks), Some(cgroup)) = (&mut self.health, &self.process.cgroup) {
                    checks.use_cgroup(cgroup);
                }
            }
            None => {}
        }
        Ok(())
    }
}

/// The signal that asks the container to stop; SIGTERM by default.
pub(super) fn stop_signal(spec: &ContainerSpec) -> i32 {
    spec.stop_signal.as_ref().and_then(|name| signal::parse(name).ok()).unwrap_or(libc::SIGTERM)
}

//! One run of a container, from the start of its first process to its exit.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use super::clients::ClientSet;
use super::health::HealthMonitor;
use super::poll::{PollSet, SupervisorEvent, earlier_deadline};
use super::streams::{ContainerStreams, ReadBuffer, StreamRead};
use crate::cgroup;
use crate::control::protocol::StopOptions;
use crate::first_process::boundary;
use crate::network::HelperLease;
use dhow_model::container::ContainerSpec;
use dhow_model::log::OutputStream;
use dhow_model::signal;
use dhow_sandbox::cgroup::{Cgroup, SessionInfo};
use dhow_sandbox::identity::HostIdentity;
use dhow_sandbox::launch::shared::SharedNamespaces;
use dhow_sandbox::launch::{LaunchContext, LaunchedContainer, launch};
use dhow_sandbox::pause;
use dhow_sandbox::plan::SandboxPlan;
use dhow_sandbox::processes::NamespaceBoundary;
use dhow_store::LockedContainer;
use dhow_sys::process::ChildExit;

/// docker's default stop timeout, in seconds.
const DEFAULT_TIMEOUT: i64 = 10;

/// Upper bound on reads that drain output after the exit: other processes may hold the pipes and go on
/// writing.
const MAX_DRAIN_READS: usize = 1024;

pub(crate) struct ContainerRun {
    running: LaunchedContainer,
    /// `None` without a cgroup of its own.
    cgroup: Option<Cgroup>,
    pub streams: ContainerStreams,
    /// How to tell its processes from others.
    boundary: NamespaceBoundary,
    began: Instant,
    /// When it gets SIGKILL, after it was asked to stop.
    kill_at: Option<Instant>,
    pub health: Option<HealthMonitor>,
}

impl ContainerRun {
    /// Starts the container in `cgroup`, sharing namespaces with `kin`, on `network`. `direct` are streams to
    /// pass on; without them the container writes to the supervisor.
    pub(super) fn start(
        plan: &SandboxPlan,
        identity: &HostIdentity,
        container: &LockedContainer,
        direct: Option<[OwnedFd; 3]>,
        cgroup: Option<Cgroup>,
        kin: Option<SharedNamespaces>,
        network: Option<&mut HelperLease>,
    ) -> Result<Self> {
        let surroundings = (cgroup.as_ref(), kin.as_ref(), network);
        match Self::launch(plan, identity, container, direct, surroundings) {
            Ok((running, streams, checks)) => {
                let boundary = boundary(container.spec());
                Ok(Self {
                    running,
                    cgroup,
                    streams,
                    boundary,
                    began: Instant::now(),
                    kill_at: None,
                    health: checks,
                })
            }
            Err(error) => {
                // The failure is what counts; an empty cgroup directory may stay.
                let _ = cgroup.map(Cgroup::remove);
                Err(error)
            }
        }
    }

    fn launch(
        plan: &SandboxPlan,
        identity: &HostIdentity,
        container: &LockedContainer,
        direct: Option<[OwnedFd; 3]>,
        (cgroup, kin, network): (Option<&Cgroup>, Option<&SharedNamespaces>, Option<&mut HelperLease>),
    ) -> Result<(LaunchedContainer, ContainerStreams, Option<HealthMonitor>)> {
        let process = &container.spec().process;
        let mut checks = HealthMonitor::new(container.spec(), &plan.ids)?;
        if let (Some(checks), Some(cgroup)) = (&mut checks, cgroup) {
            checks.use_cgroup(cgroup);
        }
        let (ends, streams) = match direct {
            Some(ends) => (ends, ContainerStreams::default()),
            None if process.tty => (ContainerStreams::placeholders()?, ContainerStreams::default()),
            None => ContainerStreams::pipes(process.interactive)?,
        };
        let ends = ends.each_ref().map(|end| end.as_fd());
        let cgroup = cgroup.map(AsFd::as_fd);
        let mut running = match network {
            Some(network) => {
                let outer = network.outer()?;
                let place = LaunchContext { shared: kin, parent_userns: Some(&outer), cgroup };
                // The sandbox calls this between the creation of the network namespace and the start of the
                // program.
                let mut connect = |namespace: BorrowedFd<'_>| network.connect(namespace);
                launch(plan, identity, ends, container.as_fd(), place, Some(&mut connect))?
            }
            None => {
                let place = LaunchContext { shared: kin, parent_userns: None, cgroup };
                launch(plan, identity, ends, container.as_fd(), place, None)?
            }
        };
        let streams = running.terminal.take().map_or(Ok(streams), ContainerStreams::terminal)?;
        Ok((running, streams, checks))
    }

    pub(super) fn pid(&self) -> i32 {
        self.running.process.pid
    }

    pub(super) fn pidfd(&self) -> BorrowedFd<'_> {
        self.running.process.pidfd()
    }

    /// In clock ticks since boot.
    pub(crate) fn start_ticks(&self) -> u64 {
        crate::first_process::start_ticks(self.pid()).unwrap_or_default()
    }

    /// The container's user namespace, in which its files can be handled.
    pub(super) fn user_namespace(&self) -> BorrowedFd<'_> {
        self.running.userns.as_fd()
    }

    /// Reaps the first process, which has exited, and kills what it left behind. In a PID namespace of its
    /// own the kernel has done that already.
    pub(super) fn wait(&self) -> std::io::Result<ChildExit> {
        if self.boundary == NamespaceBoundary::User {
            // What cannot be killed must not delay the container's exit.
            let _ = pause::kill_others(self.pid(), self.boundary);
        }
        self.running.process.wait()
    }

    pub(super) fn uptime(&self) -> Duration {
        self.began.elapsed()
    }

    /// What is polled for while it runs.
    pub(super) fn watch<'a>(&'a self, watch: &mut PollSet<'a>, clients: &'a ClientSet) {
        watch.add_readable(SupervisorEvent::Exited, self.running.process.pidfd());
        if let Some(checks) = &self.health {
            checks.watch(watch);
        }
        for (stream, fd) in self.streams.outputs() {
            // Backpressure: while a client has not taken the last chunk, the container's pipe fills up
            // instead.
            if !clients.is_backlogged(stream) {
                watch.add_readable(SupervisorEvent::Output(stream), fd);
            }
        }
        if let Some(fd) = self.streams.waiting_input() {
            watch.add_writable(SupervisorEvent::Input, fd);
        }
        for client in clients.iter() {
            if let (Some(fd), true) = (client.input(), self.streams.takes_input()) {
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

    /// Does what is due. No probe is started while the container is `held`. Returns whether there is a new
    /// result of a health check.
    pub(crate) fn on_timer(&mut self, held: bool) -> Result<bool> {
        if self.kill_at.is_some_and(|at| at <= Instant::now()) {
            // SIGKILL once; an uninterruptible process does not exit any sooner with more.
            self.kill_at = None;
            self.signal(libc::SIGKILL)?;
        }
        match &mut self.health {
            Some(checks) => checks.on_timer(self.running.process.pidfd(), held),
            None => Ok(false),
        }
    }

    /// Sends a signal to the first process.
    pub(super) fn signal(&self, signal: i32) -> Result<()> {
        Ok(self.running.process.signal(signal)?)
    }

    /// Sends the stop signal and arranges for SIGKILL after the timeout. If it is called again, the earlier
    /// deadline holds.
    pub(super) fn stop(&mut self, spec: &ContainerSpec, ending: StopOptions) -> Result<()> {
        let timeout = ending.timeout.or(spec.stop_timeout).unwrap_or(DEFAULT_TIMEOUT);
        if let Ok(seconds) = u64::try_from(timeout) {
            let at = Instant::now().checked_add(Duration::from_secs(seconds));
            self.kill_at = earlier_deadline(self.kill_at, at);
        }
        self.signal(ending.signal.unwrap_or_else(|| stop_signal(spec)))
    }

    /// Freezes all processes: by the cgroup's freezer, or without a cgroup by SIGSTOP.
    pub(super) fn freeze(&self) -> Result<()> {
        match &self.cgroup {
            Some(cgroup) => cgroup.freeze(true),
            None => pause::stop_all(self.pid(), self.boundary).context("holding the container's processes"),
        }
    }

    /// Thaws all processes.
    pub(crate) fn thaw(&self) -> Result<()> {
        match &self.cgroup {
            Some(cgroup) => cgroup.freeze(false),
            None => pause::resume_all(self.pid(), self.boundary)
                .context("letting the container's processes go on"),
        }
    }

    /// Applies the limits of `spec`. A container that has no cgroup and needs one now is moved into one.
    pub(crate) fn apply_limits(&mut self, spec: &ContainerSpec, surroundings: &SessionInfo) -> Result<()> {
        match &self.cgroup {
            Some(cgroup) => cgroup.apply(&spec.limits)?,
            None if cgroup::needs_cgroup(spec) => {
                self.cgroup = cgroup::create_for_running(spec, self.pid(), surroundings)?;
                if let (Some(checks), Some(cgroup)) = (&mut self.health, &self.cgroup) {
                    checks.use_cgroup(cgroup);
                }
            }
            None => {}
        }
        Ok(())
    }

    pub(crate) fn cgroup_path(&self) -> Option<PathBuf> {
        self.cgroup.as_ref().map(|cgroup| cgroup.path().to_owned())
    }

    /// Kills what is left in its cgroup and removes that. Returns whether the OOM killer killed one of its
    /// processes.
    pub(crate) fn remove_cgroup(&mut self) -> bool {
        // Read before the cgroup and its counters are gone.
        let Some(cgroup) = self.cgroup.take() else { return false };
        let killed = cgroup.oom_kills() > 0;
        // What cannot be killed stays for the next start or the removal of the container.
        let _ = cgroup.kill().and_then(|_| cgroup.remove());
        killed
    }

    /// Reads the rest of its output, after the exit.
    pub(crate) fn drain_output(&mut self, mut take: impl FnMut(OutputStream, &[u8])) {
        let mut buffer = ReadBuffer::new();
        for stream in [OutputStream::Stdout, OutputStream::Stderr] {
            for _ in 0..MAX_DRAIN_READS {
                match self.streams.read(stream, &mut buffer) {
                    StreamRead::Bytes(bytes) => take(stream, bytes),
                    StreamRead::Nothing | StreamRead::End => break,
                }
            }
        }
    }
}

/// The signal that asks the container to stop; SIGTERM by default.
pub(super) fn stop_signal(spec: &ContainerSpec) -> i32 {
    spec.stop_signal.as_ref().and_then(|name| signal::parse(name).ok()).unwrap_or(libc::SIGTERM)
}

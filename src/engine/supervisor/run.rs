//! One run of a container, from the start of its first process to its exit.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use super::clients::Clients;
use super::events::{Event, Watch, earlier};
use super::health::Checks;
use super::streams::{Buffer, Got, Streams};
use crate::engine::attach::wire::Ending;
use crate::engine::first_process::boundary;
use crate::engine::networking::Network;
use crate::engine::placement;
use crate::model::container::ContainerSpec;
use crate::model::log::Stream;
use crate::model::signal;
use crate::sandbox::cgroup::{Cgroup, Surroundings};
use crate::sandbox::identity::Identity;
use crate::sandbox::kin::Relation;
use crate::sandbox::launch::{Place, Running, launch};
use crate::sandbox::pause;
use crate::sandbox::plan::Plan;
use crate::sandbox::processes::Boundary;
use crate::store::LockedContainer;
use crate::sys::process::Ended;

/// docker's default stop timeout, in seconds.
const DEFAULT_TIMEOUT: i64 = 10;

/// Upper bound on reads that drain output after the exit: other processes may hold the pipes and go on
/// writing.
const MAX_REST: usize = 1024;

pub(super) struct Run {
    running: Running,
    /// `None` without a cgroup of its own.
    cgroup: Option<Cgroup>,
    pub(super) streams: Streams,
    /// How to tell its processes from others.
    boundary: Boundary,
    began: Instant,
    /// When it gets SIGKILL, after it was asked to stop.
    kill_at: Option<Instant>,
    pub(super) checks: Option<Checks>,
}

impl Run {
    /// Starts the container in `cgroup`, sharing namespaces with `kin`, on `network`. `direct` are streams to
    /// pass on; without them the container writes to the supervisor.
    pub(super) fn begin(
        plan: &Plan,
        identity: &Identity,
        container: &LockedContainer,
        direct: Option<[OwnedFd; 3]>,
        cgroup: Option<Cgroup>,
        kin: Option<Relation>,
        network: Option<&mut Network>,
    ) -> Result<Self> {
        let surroundings = (cgroup.as_ref(), kin.as_ref(), network);
        match Self::launch(plan, identity, container, direct, surroundings) {
            Ok((running, streams, checks)) => {
                let boundary = boundary(container.spec());
                Ok(Self { running, cgroup, streams, boundary, began: Instant::now(), kill_at: None, checks })
            }
            Err(error) => {
                // The failure is what counts; an empty cgroup directory may stay.
                let _ = cgroup.map(Cgroup::remove);
                Err(error)
            }
        }
    }

    fn launch(
        plan: &Plan,
        identity: &Identity,
        container: &LockedContainer,
        direct: Option<[OwnedFd; 3]>,
        (cgroup, kin, network): (Option<&Cgroup>, Option<&Relation>, Option<&mut Network>),
    ) -> Result<(Running, Streams, Option<Checks>)> {
        let process = &container.spec().process;
        let mut checks = Checks::new(container.spec(), &plan.ids)?;
        if let (Some(checks), Some(cgroup)) = (&mut checks, cgroup) {
            checks.enter(cgroup);
        }
        let (ends, streams) = match direct {
            Some(ends) => (ends, Streams::default()),
            None if process.tty => (Streams::none()?, Streams::default()),
            None => Streams::pipes(process.interactive)?,
        };
        let ends = ends.each_ref().map(|end| end.as_fd());
        let cgroup = cgroup.map(AsFd::as_fd);
        let mut running = match network {
            Some(network) => {
                let outer = network.outer()?;
                let place = Place { relation: kin, outer: Some(&outer), cgroup };
                // The sandbox calls this between the creation of the network namespace and the start of the
                // program.
                let mut connect = |namespace: BorrowedFd<'_>| network.connect(namespace);
                launch(plan, identity, ends, container.as_fd(), place, Some(&mut connect))?
            }
            None => {
                let place = Place { relation: kin, outer: None, cgroup };
                launch(plan, identity, ends, container.as_fd(), place, None)?
            }
        };
        let streams = running.terminal.take().map_or(Ok(streams), Streams::terminal)?;
        Ok((running, streams, checks))
    }

    pub(super) fn pid(&self) -> i32 {
        self.running.process.pid
    }

    pub(super) fn pidfd(&self) -> BorrowedFd<'_> {
        self.running.process.pidfd()
    }

    /// In clock ticks since boot.
    pub(super) fn ticks(&self) -> u64 {
        crate::engine::first_process::ticks(self.pid()).unwrap_or_default()
    }

    /// The container's user namespace, in which its files can be handled.
    pub(super) fn user_namespace(&self) -> BorrowedFd<'_> {
        self.running.user_namespace.as_fd()
    }

    /// Reaps the first process, which has exited, and kills what it left behind. In a PID namespace of its
    /// own the kernel has done that already.
    pub(super) fn wait(&self) -> std::io::Result<Ended> {
        if self.boundary == Boundary::User {
            // What cannot be killed must not delay the container's exit.
            let _ = pause::kill_others(self.pid(), self.boundary);
        }
        self.running.process.wait()
    }

    pub(super) fn lasted(&self) -> Duration {
        self.began.elapsed()
    }

    /// What is polled for while it runs.
    pub(super) fn watch<'a>(&'a self, watch: &mut Watch<'a>, clients: &'a Clients) {
        watch.read(Event::Ended, self.running.process.pidfd());
        if let Some(checks) = &self.checks {
            checks.watch(watch);
        }
        for (stream, fd) in self.streams.outputs() {
            // Backpressure: while a client has not taken the last chunk, the container's pipe fills up
            // instead.
            if !clients.hold_up(stream) {
                watch.read(Event::Output(stream), fd);
            }
        }
        if let Some(fd) = self.streams.waiting_input() {
            watch.write(Event::Input, fd);
        }
        for client in clients.iter() {
            if let (Some(fd), true) = (client.input(), self.streams.takes_input()) {
                watch.read(Event::ClientInput(client.id), fd);
            }
            for (stream, fd) in client.waiting_outputs() {
                watch.write(Event::ClientOutput(client.id, stream), fd);
            }
        }
    }

    /// When [`ContainerRun::on_timer`] must be called at the latest.
    pub(super) fn deadline(&self) -> Option<Instant> {
        earlier(self.kill_at, self.checks.as_ref().and_then(Checks::deadline))
    }

    /// Does what is due. No probe is started while the container is `held`. Returns whether there is a new
    /// result of a health check.
    pub(super) fn act_on_time(&mut self, held: bool) -> Result<bool> {
        if self.kill_at.is_some_and(|at| at <= Instant::now()) {
            // SIGKILL once; an uninterruptible process does not exit any sooner with more.
            self.kill_at = None;
            self.signal(libc::SIGKILL)?;
        }
        match &mut self.checks {
            Some(checks) => checks.act_on_time(self.running.process.pidfd(), held),
            None => Ok(false),
        }
    }

    /// Sends a signal to the first process.
    pub(super) fn signal(&self, signal: i32) -> Result<()> {
        Ok(self.running.process.signal(signal)?)
    }

    /// Sends the stop signal and arranges for SIGKILL after the timeout. If it is called again, the earlier
    /// deadline holds.
    pub(super) fn end(&mut self, spec: &ContainerSpec, ending: Ending) -> Result<()> {
        let timeout = ending.timeout.or(spec.stop_timeout).unwrap_or(DEFAULT_TIMEOUT);
        if let Ok(seconds) = u64::try_from(timeout) {
            let at = Instant::now().checked_add(Duration::from_secs(seconds));
            self.kill_at = earlier(self.kill_at, at);
        }
        self.signal(ending.signal.unwrap_or_else(|| stop_signal(spec)))
    }

    /// Freezes all processes: by the cgroup's freezer, or without a cgroup by SIGSTOP.
    pub(super) fn hold(&self) -> Result<()> {
        match &self.cgroup {
            Some(cgroup) => cgroup.freeze(true),
            None => pause::stop(self.pid(), self.boundary).context("holding the container's processes"),
        }
    }

    /// Thaws all processes.
    pub(super) fn let_go_on(&self) -> Result<()> {
        match &self.cgroup {
            Some(cgroup) => cgroup.freeze(false),
            None => {
                pause::resume(self.pid(), self.boundary).context("letting the container's processes go on")
            }
        }
    }

    /// Applies the limits of `spec`. A container that has no cgroup and needs one now is moved into one.
    pub(super) fn limit(&mut self, spec: &ContainerSpec, surroundings: &Surroundings) -> Result<()> {
        match &self.cgroup {
            Some(cgroup) => cgroup.apply(&spec.limits)?,
            None if placement::needs_cgroup(spec) => {
                self.cgroup = placement::make_for(spec, self.pid(), surroundings)?;
                if let (Some(checks), Some(cgroup)) = (&mut self.checks, &self.cgroup) {
                    checks.enter(cgroup);
                }
            }
            None => {}
        }
        Ok(())
    }

    pub(super) fn cgroup_path(&self) -> Option<PathBuf> {
        self.cgroup.as_ref().map(|cgroup| cgroup.path().to_owned())
    }

    /// Kills what is left in its cgroup and removes that. Returns whether the OOM killer killed one of its
    /// processes.
    pub(super) fn leave_cgroup(&mut self) -> bool {
        // Read before the cgroup and its counters are gone.
        let Some(cgroup) = self.cgroup.take() else { return false };
        let killed = cgroup.oom_kills() > 0;
        // What cannot be killed stays for the next start or the removal of the container.
        let _ = cgroup.kill().and_then(|_| cgroup.remove());
        killed
    }

    /// Reads the rest of its output, after the exit.
    pub(super) fn drain(&mut self, mut take: impl FnMut(Stream, &[u8])) {
        let mut buffer = Buffer::new();
        for stream in [Stream::Stdout, Stream::Stderr] {
            for _ in 0..MAX_REST {
                match self.streams.read(stream, &mut buffer) {
                    Got::Bytes(bytes) => take(stream, bytes),
                    Got::Nothing | Got::End => break,
                }
            }
        }
    }
}

/// The signal that asks the container to stop; SIGTERM by default.
pub(super) fn stop_signal(spec: &ContainerSpec) -> i32 {
    spec.stop_signal.as_ref().and_then(|name| signal::parse(name).ok()).unwrap_or(libc::SIGTERM)
}

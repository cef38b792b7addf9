//! Runs the jobs of a build: starts them, polls them, forwards their output to the observer, and stops them
//! all when one fails or a signal arrives.
//!
//! # States of a job
//!
//! ```text
//! start_job ──▶ running ──(result received)──▶ finished ──(release)──▶ exiting ──▶ reaped at shut_down
//! ```
//!
//! A finished job still holds its leases and locks. The caller takes its own leases on what the result names
//! and only then releases the job, so no layer is ever unprotected.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{BuildJob, JobMessage, JobReporter, JobUserns, parse_result};
use dhow_build::progress::{BuildEvent, BuildObserver, StepId};
use dhow_error::{Failure, FailureKind};
use dhow_model::environment::Environment;
use dhow_model::layer;
use dhow_runtime::userns;
use dhow_sandbox::identity::HostIdentity;
use dhow_sys::process::ChildProcess;
use dhow_sys::signal::{self, SignalFd};

/// Milliseconds between two ticks of the observer.
const TICK_MS: i64 = 100;
/// How long jobs may take to stop when the build is abandoned.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct JobId(u32);

/// A job that has sent its result but has not exited: its leases are still held.
pub(crate) struct FinishedJob {
    pub id: JobId,
    pub step: StepId,
    result: Vec<u8>,
    job: BuildJob,
}

impl FinishedJob {
    /// The job's result. The job's leases are held until this value is released.
    pub(crate) fn outcome<T: DeserializeOwned>(&self) -> Result<T> {
        parse_result(&self.result)
    }
}

struct RunningJob {
    id: JobId,
    step: StepId,
    job: BuildJob,
}

pub(crate) struct JobRunner<'a> {
    observer: &'a mut dyn BuildObserver,
    environment: &'a Environment,
    started_at: Instant,
    next_step: u32,
    next_job: u32,
    identity: Option<HostIdentity>,
    running: Vec<RunningJob>,
    finished: VecDeque<FinishedJob>,
    /// Released jobs that are still to be reaped.
    exiting: Vec<ChildProcess>,
    signals: SignalFd,
    mask: signal::SignalSet,
    /// Steps that were reported as started and not yet as ended.
    open_steps: Vec<StepId>,
}

impl<'a> JobRunner<'a> {
    /// Blocks SIGINT, SIGTERM and SIGHUP, which arrive at this value until [`JobRunner::shut_down`].
    pub(crate) fn begin(environment: &'a Environment, observer: &'a mut dyn BuildObserver) -> Result<Self> {
        let stop_signals = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP];
        // Blocked, so that they arrive through the signalfd.
        let mask = signal::set_mask(&signal::SignalSet::of(&stop_signals))?;
        Ok(Self {
            observer,
            environment,
            started_at: Instant::now(),
            next_step: 0,
            next_job: 0,
            identity: None,
            running: Vec::new(),
            finished: VecDeque::new(),
            exiting: Vec::new(),
            signals: SignalFd::blocking(&stop_signals)?,
            mask,
            open_steps: Vec::new(),
        })
    }

    /// Milliseconds since the build began.
    fn now(&self) -> u64 {
        u64::try_from(self.started_at.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// The account's ids. Determined once, on first use.
    pub(crate) fn identity(&mut self) -> &HostIdentity {
        let environment = self.environment;
        self.identity.get_or_insert_with(|| userns::probe_identity(environment))
    }

    /// How file owners are stored in layers.
    pub(crate) fn ownership(&mut self) -> layer::LayerOwnership {
        userns::layer_ownership(self.identity())
    }

    /// Announces a step.
    pub(crate) fn add_step(&mut self, name: impl Into<String>, inputs: Vec<StepId>) -> StepId {
        let id = StepId(self.next_step);
        self.next_step += 1;
        self.observer.event(BuildEvent::Step { id, name: name.into(), inputs });
        id
    }

    pub(crate) fn step_started(&mut self, id: StepId) {
        if !self.open_steps.contains(&id) {
            self.open_steps.push(id);
            let at = self.now();
            self.observer.event(BuildEvent::Started { id, at });
        }
    }

    pub(crate) fn step_completed(&mut self, id: StepId) {
        self.step_ended(id, false, None);
    }

    pub(crate) fn step_cached(&mut self, id: StepId) {
        self.step_started(id);
        self.step_ended(id, true, None);
    }

    pub(crate) fn step_failed(&mut self, id: StepId, error: String) {
        self.step_ended(id, false, Some(error));
    }

    /// Reports a step as completed or failed.
    pub(crate) fn complete_step<T>(&mut self, id: StepId, result: Result<T>) -> Result<T> {
        match &result {
            Ok(_) => self.step_completed(id),
            Err(error) => self.step_failed(id, format!("{error:#}")),
        }
        result
    }

    fn step_ended(&mut self, id: StepId, cached: bool, error: Option<String>) {
        self.open_steps.retain(|open| *open != id);
        let at = self.now();
        self.observer.event(BuildEvent::Ended { id, cached, error, at });
    }

    /// Writes a log line for a step that runs without a job.
    pub(crate) fn log(&mut self, id: StepId, text: &str) {
        let at = self.now();
        self.observer.event(BuildEvent::Log { id, stream: 1, data: text.as_bytes().to_vec(), at });
    }

    /// Reports progress of a part of a step, in bytes; `total` is 0 if unknown.
    pub(crate) fn status(&mut self, id: StepId, name: &str, current: u64, total: u64, done: bool) {
        let at = self.now();
        self.observer.event(BuildEvent::Status { id, name: name.to_owned(), current, total, done, at });
    }

    pub(crate) fn event(&mut self, event: BuildEvent) {
        self.observer.event(event);
    }

    /// The number of running jobs.
    pub(crate) fn running_jobs(&self) -> usize {
        self.running.len()
    }

    /// Starts a job for a step.
    pub(crate) fn start_job<T: Serialize, G>(
        &mut self,
        step: StepId,
        userns: JobUserns,
        work: impl FnOnce(&JobReporter) -> Result<(T, G)>,
    ) -> Result<JobId> {
        self.step_started(step);
        let identity = self.identity().clone();
        let job = BuildJob::start(userns, &identity, work)?;
        let id = JobId(self.next_job);
        self.next_job += 1;
        self.running.push(RunningJob { id, step, job });
        Ok(id)
    }

    /// Runs a job and waits for it; other jobs continue meanwhile. The job's leases are dropped on return.
    pub(crate) fn run_job<T: Serialize + DeserializeOwned>(
        &mut self,
        step: StepId,
        userns: JobUserns,
        work: impl FnOnce(&JobReporter) -> Result<T>,
    ) -> Result<T> {
        let id = self.start_job(step, userns, |reporter| Ok((work(reporter)?, ())))?;
        let finished = self.wait_for(id)?;
        let outcome = finished.outcome();
        self.release(finished);
        outcome
    }

    pub(crate) fn wait_for(&mut self, id: JobId) -> Result<FinishedJob> {
        loop {
            if let Some(at) = self.finished.iter().position(|finished| finished.id == id)
                && let Some(finished) = self.finished.remove(at)
            {
                return Ok(finished);
            }
            self.poll_jobs()?;
        }
    }

    /// Waits until any job has finished.
    pub(crate) fn next_finished(&mut self) -> Result<FinishedJob> {
        loop {
            if let Some(finished) = self.finished.pop_front() {
                return Ok(finished);
            }
            if self.running.is_empty() {
                return Err(Failure::new(FailureKind::Other, "the build waits for nothing").into());
            }
            self.poll_jobs()?;
        }
    }

    /// Lets a job exit once its result has been taken over.
    pub(crate) fn release(&mut self, finished: FinishedJob) {
        self.exiting.push(finished.job.release());
    }

    /// Polls jobs and signals once, for at most one tick, and forwards what jobs report.
    fn poll_jobs(&mut self) -> Result<()> {
        let ready = {
            let mut fds = vec![PollFd::from_borrowed_fd(self.signals.as_fd(), PollFlags::IN)];
            fds.extend(
                self.running
                    .iter()
                    .map(|running| PollFd::from_borrowed_fd(running.job.as_fd(), PollFlags::IN)),
            );
            // Wakes up even if nothing happens, so that the observer can redraw times.
            let tick = Timespec { tv_sec: 0, tv_nsec: TICK_MS * 1_000_000 };
            rustix::io::retry_on_intr(|| poll(&mut fds, Some(&tick)))
                .context("waiting for the build's processes")?;
            fds.iter().map(|fd| !fd.revents().is_empty()).collect::<Vec<_>>()
        };
        self.observer.tick();
        if ready.first() == Some(&true) && self.signals.next()?.is_some() {
            return Err(Failure::new(FailureKind::Interrupted, "context canceled").into());
        }
        // From the last to the first, since a job that has ended is removed from `running`.
        for (index, is_ready) in ready.into_iter().skip(1).enumerate().rev() {
            if is_ready {
                self.receive_from(index)?;
            }
        }
        Ok(())
    }

    fn receive_from(&mut self, index: usize) -> Result<()> {
        let at = self.now();
        let Some(running) = self.running.get_mut(index) else { return Ok(()) };
        let id = running.step;
        match running.job.receive()? {
            JobMessage::Log(stream, data) => self.observer.event(BuildEvent::Log { id, stream, data, at }),
            JobMessage::Status(name, current, total, done) => {
                self.observer.event(BuildEvent::Status { id, name, current, total, done, at });
            }
            JobMessage::Ignored => {}
            JobMessage::Ended(result) => {
                let RunningJob { id, step, job } = self.running.remove(index);
                self.finished.push_back(FinishedJob { id, step, result, job });
            }
        }
        Ok(())
    }

    /// Stops running jobs, reports their steps as cancelled, and restores the signal mask.
    pub(crate) fn shut_down(mut self) -> Result<()> {
        for running in &self.running {
            running.job.signal(libc::SIGTERM);
        }
        // One deadline for all jobs together.
        let deadline = Instant::now() + STOP_TIMEOUT;
        let mut children: Vec<ChildProcess> = self.exiting.drain(..).collect();
        // Closing the sockets lets the jobs exit.
        children.extend(self.finished.drain(..).map(|finished| finished.job.release()));
        children.extend(self.running.drain(..).map(|running| running.job.release()));
        for child in children {
            wait_or_kill(&child, deadline)?;
        }
        for id in std::mem::take(&mut self.open_steps) {
            let at = self.now();
            let error = Some("context canceled".to_owned());
            self.observer.event(BuildEvent::Ended { id, cached: false, error, at });
        }
        // Consume a second Ctrl-C that arrived meanwhile, or it would be delivered once the mask is restored.
        while self.signals.next()?.is_some() {}
        signal::set_mask(&self.mask)?;
        Ok(())
    }
}

/// Reaps a process, after SIGKILL if the deadline has passed.
fn wait_or_kill(child: &ChildProcess, deadline: Instant) -> Result<()> {
    let remaining = deadline.saturating_duration_since(Instant::now());
    let mut fds = [PollFd::from_borrowed_fd(child.pidfd(), PollFlags::IN)];
    let time = Timespec {
        tv_sec: i64::try_from(remaining.as_secs()).unwrap_or(1),
        tv_nsec: i64::from(remaining.subsec_nanos()),
    };
    if rustix::io::retry_on_intr(|| poll(&mut fds, Some(&time)))? == 0 {
        child.signal(libc::SIGKILL)?;
    }
    child.wait()?;
    Ok(())
}

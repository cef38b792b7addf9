//! Runs the jobs of a build: starts them, polls them, forwards their output to the watcher, and stops them all when
//! one fails or a signal arrives.
//!
//! # States of a job
//!
//! ```text
//! start_job ──▶ running ──(result received)──▶ finished ──(release)──▶ exiting ──▶ reaped at shut_down
//! ```
//!
//! A finished job still holds its leases and locks. The caller takes its own leases on what the result names and
//! only then releases the job, so no layer is ever unprotected.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::job::{self, Job, Place, Reporter, Said};
use crate::build::progress::{Event, StepId, Watcher};
use crate::engine::namespace;
use crate::error::{Failure, Kind};
use crate::model::environment::Environment;
use crate::model::layer;
use crate::sandbox::identity::Identity;
use crate::sys::process::Child;
use crate::sys::signal::{self, SignalFd};

/// Milliseconds between two ticks of the watcher.
const TICK: i64 = 100;
/// How long jobs may take to stop when the build is abandoned.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Token(u32);

/// A job that has sent its result but has not exited: its leases are still held.
pub(super) struct Finished {
    pub token: Token,
    pub step: StepId,
    result: Vec<u8>,
    job: Job,
}

impl Finished {
    /// The job's result. The job's leases are held until this value is released.
    pub(super) fn outcome<T: DeserializeOwned>(&self) -> Result<T> {
        job::outcome(&self.result)
    }
}

struct Running {
    token: Token,
    step: StepId,
    job: Job,
}

pub(super) struct Director<'a> {
    watcher: &'a mut dyn Watcher,
    environment: &'a Environment,
    began: Instant,
    steps: u32,
    tokens: u32,
    identity: Option<Identity>,
    running: Vec<Running>,
    finished: VecDeque<Finished>,
    /// Released jobs that are still to be reaped.
    leaving: Vec<Child>,
    signals: SignalFd,
    mask: signal::Set,
    /// Steps that were reported as started and not yet as ended.
    open: Vec<StepId>,
}

impl<'a> Director<'a> {
    /// Blocks SIGINT, SIGTERM and SIGHUP, which arrive at this value until [`JobRunner::shut_down`].
    pub(super) fn begin(environment: &'a Environment, watcher: &'a mut dyn Watcher) -> Result<Self> {
        let ends = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP];
        // Blocked, so that they arrive through the signalfd.
        let mask = signal::set_mask(&signal::Set::of(&ends))?;
        Ok(Self {
            watcher,
            environment,
            began: Instant::now(),
            steps: 0,
            tokens: 0,
            identity: None,
            running: Vec::new(),
            finished: VecDeque::new(),
            leaving: Vec::new(),
            signals: SignalFd::blocking(&ends)?,
            mask,
            open: Vec::new(),
        })
    }

    /// Milliseconds since the build began.
    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// The account's ids. Determined once, on first use.
    pub(super) fn identity(&mut self) -> &Identity {
        let environment = self.environment;
        self.identity.get_or_insert_with(|| namespace::identity(environment))
    }

    /// How file owners are stored in layers.
    pub(super) fn ownership(&mut self) -> layer::Identity {
        namespace::ownership(self.identity())
    }

    /// Announces a step.
    pub(super) fn step(&mut self, name: impl Into<String>, inputs: Vec<StepId>) -> StepId {
        let id = StepId(self.steps);
        self.steps += 1;
        self.watcher.event(Event::Step { id, name: name.into(), inputs });
        id
    }

    pub(super) fn started(&mut self, id: StepId) {
        if !self.open.contains(&id) {
            self.open.push(id);
            let at = self.now();
            self.watcher.event(Event::Started { id, at });
        }
    }

    pub(super) fn done(&mut self, id: StepId) {
        self.ended(id, false, None);
    }

    pub(super) fn cached(&mut self, id: StepId) {
        self.started(id);
        self.ended(id, true, None);
    }

    pub(super) fn failed(&mut self, id: StepId, error: String) {
        self.ended(id, false, Some(error));
    }

    /// Reports a step as completed or failed.
    pub(super) fn closing<T>(&mut self, id: StepId, result: Result<T>) -> Result<T> {
        match &result {
            Ok(_) => self.done(id),
            Err(error) => self.failed(id, format!("{error:#}")),
        }
        result
    }

    fn ended(&mut self, id: StepId, cached: bool, error: Option<String>) {
        self.open.retain(|open| *open != id);
        let at = self.now();
        self.watcher.event(Event::Ended { id, cached, error, at });
    }

    /// Writes a log line for a step that runs without a job.
    pub(super) fn log(&mut self, id: StepId, text: &str) {
        let at = self.now();
        self.watcher.event(Event::Log { id, stream: 1, data: text.as_bytes().to_vec(), at });
    }

    /// Reports progress of a part of a step, in bytes; `total` is 0 if unknown.
    pub(super) fn status(&mut self, id: StepId, name: &str, current: u64, total: u64, done: bool) {
        let at = self.now();
        self.watcher.event(Event::Status { id, name: name.to_owned(), current, total, done, at });
    }

    pub(super) fn event(&mut self, event: Event) {
        self.watcher.event(event);
    }

    /// The number of running jobs.
    pub(super) fn busy(&self) -> usize {
        self.running.len()
    }

    /// Starts a job for a step.
    pub(super) fn start<T: Serialize, G>(
        &mut self,
        step: StepId,
        place: Place,
        work: impl FnOnce(&Reporter) -> Result<(T, G)>,
    ) -> Result<Token> {
        self.started(step);
        let identity = self.identity().clone();
        let job = Job::start(place, &identity, work)?;
        let token = Token(self.tokens);
        self.tokens += 1;
        self.running.push(Running { token, step, job });
        Ok(token)
    }

    /// Runs a job and waits for it; other jobs continue meanwhile. The job's leases are dropped on return.
    pub(super) fn run<T: Serialize + DeserializeOwned>(
        &mut self,
        step: StepId,
        place: Place,
        work: impl FnOnce(&Reporter) -> Result<T>,
    ) -> Result<T> {
        let token = self.start(step, place, |reporter| Ok((work(reporter)?, ())))?;
        let finished = self.wait_for(token)?;
        let outcome = finished.outcome();
        self.release(finished);
        outcome
    }

    pub(super) fn wait_for(&mut self, token: Token) -> Result<Finished> {
        loop {
            if let Some(at) = self.finished.iter().position(|finished| finished.token == token)
                && let Some(finished) = self.finished.remove(at)
            {
                return Ok(finished);
            }
            self.listen()?;
        }
    }

    /// Waits until any job has finished.
    pub(super) fn next(&mut self) -> Result<Finished> {
        loop {
            if let Some(finished) = self.finished.pop_front() {
                return Ok(finished);
            }
            if self.running.is_empty() {
                return Err(Failure::new(Kind::Other, "the build waits for nothing").into());
            }
            self.listen()?;
        }
    }

    /// Lets a job exit once its result has been taken over.
    pub(super) fn release(&mut self, finished: Finished) {
        self.leaving.push(finished.job.release());
    }

    /// Polls jobs and signals once, for at most one tick, and forwards what jobs report.
    fn listen(&mut self) -> Result<()> {
        let ready = {
            let mut fds = vec![PollFd::from_borrowed_fd(self.signals.as_fd(), PollFlags::IN)];
            fds.extend(
                self.running.iter().map(|one| PollFd::from_borrowed_fd(one.job.as_fd(), PollFlags::IN)),
            );
            let tick = Timespec { tv_sec: 0, tv_nsec: TICK * 1_000_000 };
            rustix::io::retry_on_intr(|| poll(&mut fds, Some(&tick)))
                .context("waiting for the build's processes")?;
            fds.iter().map(|fd| !fd.revents().is_empty()).collect::<Vec<_>>()
        };
        self.watcher.tick();
        if ready.first() == Some(&true) && self.signals.next()?.is_some() {
            return Err(Failure::new(Kind::Interrupted, "context canceled").into());
        }
        // From the last to the first, since a job that has ended is removed from `running`.
        for (place, is_ready) in ready.into_iter().skip(1).enumerate().rev() {
            if is_ready {
                self.hear(place)?;
            }
        }
        Ok(())
    }

    fn hear(&mut self, place: usize) -> Result<()> {
        let at = self.now();
        let Some(running) = self.running.get_mut(place) else { return Ok(()) };
        let id = running.step;
        match running.job.hear()? {
            Said::Log(stream, data) => self.watcher.event(Event::Log { id, stream, data, at }),
            Said::Status(name, current, total, done) => {
                self.watcher.event(Event::Status { id, name, current, total, done, at });
            }
            Said::Nothing => {}
            Said::Ended(result) => {
                let Running { token, step, job } = self.running.remove(place);
                self.finished.push_back(Finished { token, step, result, job });
            }
        }
        Ok(())
    }

    /// Stops running jobs, reports their steps as cancelled, and restores the signal mask.
    pub(super) fn end(mut self) -> Result<()> {
        for running in &self.running {
            running.job.stop(libc::SIGTERM);
        }
        // One deadline for all jobs together.
        let deadline = Instant::now() + PATIENCE;
        let mut children: Vec<Child> = self.leaving.drain(..).collect();
        // Closing the sockets lets the jobs exit.
        children.extend(self.finished.drain(..).map(|finished| finished.job.release()));
        children.extend(self.running.drain(..).map(|running| running.job.release()));
        for child in children {
            wait_until(&child, deadline)?;
        }
        for id in std::mem::take(&mut self.open) {
            let at = self.now();
            let error = Some("context canceled".to_owned());
            self.watcher.event(Event::Ended { id, cached: false, error, at });
        }
        // Consume a second Ctrl-C that arrived meanwhile, or it would be delivered once the mask is restored.
        while self.signals.next()?.is_some() {}
        signal::set_mask(&self.mask)?;
        Ok(())
    }
}

/// Reaps a process, after SIGKILL if the deadline has passed.
fn wait_until(child: &Child, deadline: Instant) -> Result<()> {
    let left = deadline.saturating_duration_since(Instant::now());
    let mut fds = [PollFd::from_borrowed_fd(child.pidfd(), PollFlags::IN)];
    let time = Timespec {
        tv_sec: i64::try_from(left.as_secs()).unwrap_or(1),
        tv_nsec: i64::from(left.subsec_nanos()),
    };
    if rustix::io::retry_on_intr(|| poll(&mut fds, Some(&time)))? == 0 {
        child.signal(libc::SIGKILL)?;
    }
    child.wait()?;
    Ok(())
}

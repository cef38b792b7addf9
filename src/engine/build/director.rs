//! The one process that directs a build: it starts jobs, waits for what they say, tells the watcher, and ends them all
//! when one fails or somebody interrupts.

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

/// How often the watcher's clock ticks, in milliseconds.
const TICK: i64 = 100;
/// How long jobs have to end by themselves when the build is given up.
const PATIENCE: Duration = Duration::from_secs(10);

/// Names a job until it has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Token(u32);

/// A job that has ended.
pub(super) struct Finished {
    /// Which.
    pub token: Token,
    /// The step that it was for.
    pub step: StepId,
    result: Vec<u8>,
    /// Holds what the job holds.
    job: Job,
}

impl Finished {
    /// What came out. What the job held is held until the value returned beside it is dropped or released.
    pub(super) fn outcome<T: DeserializeOwned>(&self) -> Result<T> {
        job::outcome(&self.result)
    }
}

struct Running {
    token: Token,
    step: StepId,
    job: Job,
}

/// See the module.
pub(super) struct Director<'a> {
    watcher: &'a mut dyn Watcher,
    environment: &'a Environment,
    began: Instant,
    steps: u32,
    tokens: u32,
    identity: Option<Identity>,
    running: Vec<Running>,
    finished: VecDeque<Finished>,
    /// Ended or about to, not yet waited for.
    leaving: Vec<Child>,
    signals: SignalFd,
    mask: signal::Set,
    /// Steps that have begun and not ended.
    open: Vec<StepId>,
}

impl<'a> Director<'a> {
    /// Begins. Signals that ask for an end are this value's until [`Director::end`].
    pub(super) fn begin(environment: &'a Environment, watcher: &'a mut dyn Watcher) -> Result<Self> {
        let ends = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP];
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

    /// Milliseconds since the beginning.
    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// What the account may map.
    pub(super) fn identity(&mut self) -> &Identity {
        let environment = self.environment;
        self.identity.get_or_insert_with(|| namespace::identity(environment))
    }

    /// How layers keep owners.
    pub(super) fn ownership(&mut self) -> layer::Identity {
        namespace::ownership(self.identity())
    }

    /// Makes a step known.
    pub(super) fn step(&mut self, name: impl Into<String>, inputs: Vec<StepId>) -> StepId {
        let id = StepId(self.steps);
        self.steps += 1;
        self.watcher.event(Event::Step { id, name: name.into(), inputs });
        id
    }

    /// A step begins.
    pub(super) fn started(&mut self, id: StepId) {
        if !self.open.contains(&id) {
            self.open.push(id);
            let at = self.now();
            self.watcher.event(Event::Started { id, at });
        }
    }

    /// A step has ended well.
    pub(super) fn done(&mut self, id: StepId) {
        self.ended(id, false, None);
    }

    /// A step was taken from the cache.
    pub(super) fn cached(&mut self, id: StepId) {
        self.started(id);
        self.ended(id, true, None);
    }

    /// A step failed.
    pub(super) fn failed(&mut self, id: StepId, error: String) {
        self.ended(id, false, Some(error));
    }

    /// Ends a step with what came of it.
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

    /// Output of a step that has no job.
    pub(super) fn log(&mut self, id: StepId, text: &str) {
        let at = self.now();
        self.watcher.event(Event::Log { id, stream: 1, data: text.as_bytes().to_vec(), at });
    }

    /// How far a part of a step is.
    pub(super) fn status(&mut self, id: StepId, name: &str, current: u64, total: u64, done: bool) {
        let at = self.now();
        self.watcher.event(Event::Status { id, name: name.to_owned(), current, total, done, at });
    }

    /// Anything else.
    pub(super) fn event(&mut self, event: Event) {
        self.watcher.event(event);
    }

    /// Jobs that run.
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

    /// Does a job and waits for it. Others go on meanwhile; what the job held is not held any more.
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

    /// Waits until this job has ended.
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

    /// Waits until any job has ended.
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

    /// Lets a job go, whose result the director has taken over.
    pub(super) fn release(&mut self, finished: Finished) {
        self.leaving.push(finished.job.release());
    }

    /// Waits a moment for jobs and signals, and passes on what jobs say.
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

    /// Ends what still runs, and gives the signals back. Steps that had begun are told to have been given up.
    pub(super) fn end(mut self) -> Result<()> {
        for running in &self.running {
            running.job.stop(libc::SIGTERM);
        }
        let deadline = Instant::now() + PATIENCE;
        let mut children: Vec<Child> = self.leaving.drain(..).collect();
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
        // An end that was asked for a second time meanwhile has come.
        while self.signals.next()?.is_some() {}
        signal::set_mask(&self.mask)?;
        Ok(())
    }
}

/// Waits for a process, and kills it when its time is up.
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

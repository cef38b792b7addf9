//! Health checks of a container that runs: when they are due, how long they may take, and what follows from them.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::time::Instant;

use anyhow::Result;
use rustix::fs::OFlags;
use rustix::io::Errno;

use super::events::{Event, Watch};
use crate::engine::attach::streams::pipe;
use crate::engine::plan;
use crate::engine::start::exit_code_of;
use crate::engine::state::{Checked, Health, now};
use crate::error::Failure;
use crate::model::container::ContainerSpec;
use crate::model::exec::ExecRequest;
use crate::model::health::HealthSpec;
use crate::sandbox::cgroup::{Cgroup, Surroundings};
use crate::sandbox::idmap::IdMap;
use crate::sandbox::join::JoinPlan;
use crate::sandbox::keeper;
use crate::sys::process::Child;

/// So many results are remembered, and so many bytes of the output of each.
const REMEMBERED: usize = 5;
const MOST_OUTPUT: usize = 4096;

/// The checks of one run.
pub(super) struct Checks {
    spec: HealthSpec,
    plan: JoinPlan,
    began: Instant,
    /// When the next one is due, while none is under way.
    next: Instant,
    under_way: Option<Check>,
    health: Health,
}

/// A check under way.
struct Check {
    process: Child,
    output: Option<OwnedFd>,
    text: Vec<u8>,
    started: String,
    kill_at: Instant,
    took_too_long: bool,
}

impl Checks {
    /// Those that `spec` asks for, if any, in a container whose user namespace has these `ids`.
    pub(super) fn new(spec: &ContainerSpec, ids: &IdMap) -> Result<Option<Self>> {
        let Some(args) = spec.health.command(spec.shell.as_deref()) else { return Ok(None) };
        let request = ExecRequest { args, ..ExecRequest::default() };
        let plan = plan::joining(spec, ids.clone(), &request)?;
        let health = Health { status: "starting".into(), ..Health::default() };
        let began = Instant::now();
        let mut checks =
            Self { spec: spec.health.clone(), plan, began, next: began, under_way: None, health };
        checks.schedule();
        Ok(Some(checks))
    }

    /// Has them made in the container's own cgroup.
    pub(super) fn enter(&mut self, cgroup: &Cgroup) {
        // The supervisor is where it may move processes there without help.
        self.plan.cgroup = Some(cgroup.membership(Surroundings::default()));
    }

    /// What they found so far.
    pub(super) fn health(&self) -> &Health {
        &self.health
    }

    /// What is watched for.
    pub(super) fn watch<'a>(&'a self, watch: &mut Watch<'a>) {
        let Some(check) = &self.under_way else { return };
        watch.read(Event::CheckEnded, check.process.pidfd());
        if let Some(output) = &check.output {
            watch.read(Event::CheckOutput, output.as_fd());
        }
    }

    /// When [`Checks::act_on_time`] is to be called at the latest.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match &self.under_way {
            None => Some(self.next),
            Some(check) => (!check.took_too_long).then_some(check.kill_at),
        }
    }

    /// Begins a check that is due in the container of the process that the pidfd `first` means, and ends one that takes
    /// too long. Nothing begins while the container is `held`. Returns whether there is a result.
    pub(super) fn act_on_time(&mut self, first: BorrowedFd<'_>, held: bool) -> Result<bool> {
        let time = Instant::now();
        match &mut self.under_way {
            Some(check) if check.kill_at <= time && !check.took_too_long => {
                check.took_too_long = true;
                check.process.signal(libc::SIGTERM)?;
                Ok(false)
            }
            None if self.next <= time && held => {
                self.schedule();
                Ok(false)
            }
            None if self.next <= time => Ok(self.begin(first)),
            _ => Ok(false),
        }
    }

    /// Returns whether it failed to begin, which is a result.
    fn begin(&mut self, first: BorrowedFd<'_>) -> bool {
        let started = now();
        match spawn(&self.plan, first) {
            Ok((process, output)) => {
                let kill_at = Instant::now() + self.spec.timeout();
                let (output, text) = (Some(output), Vec::new());
                self.under_way =
                    Some(Check { process, output, text, started, kill_at, took_too_long: false });
                false
            }
            Err(error) => {
                let exit_code = exit_code_of(Failure::of(&error).kind());
                self.note(Checked { start: started, end: now(), exit_code, output: format!("{error:#}") });
                true
            }
        }
    }

    /// Takes what the check under way has written.
    pub(super) fn read(&mut self) {
        let Some(check) = &mut self.under_way else { return };
        let Some(output) = &check.output else { return };
        let mut buffer = [0; MOST_OUTPUT];
        match rustix::io::read(output, &mut buffer) {
            Ok(length) if length > 0 => {
                let room = MOST_OUTPUT - check.text.len();
                check.text.extend(buffer.iter().take(length.min(room)));
            }
            Err(Errno::AGAIN | Errno::INTR) => {}
            Ok(_) | Err(_) => check.output = None,
        }
    }

    /// The check under way has ended.
    pub(super) fn take_result(&mut self) -> Result<()> {
        self.read();
        let Some(check) = self.under_way.take() else { return Ok(()) };
        let ended = check.process.wait()?;
        let (exit_code, output) = match check.took_too_long {
            false => (ended.code(), String::from_utf8_lossy(&check.text).into_owned()),
            true => {
                let span = self.spec.timeout().as_secs_f64();
                (-1, format!("Health check exceeded timeout ({span}s)"))
            }
        };
        self.note(Checked { start: check.started, end: now(), exit_code, output });
        Ok(())
    }

    fn note(&mut self, result: Checked) {
        let starting_up = self.began.elapsed() < self.spec.start_period();
        judge(&mut self.health, result, starting_up, self.spec.retries());
        self.schedule();
    }

    fn schedule(&mut self) {
        let starting_up = self.health.status == "starting" && self.began.elapsed() < self.spec.start_period();
        let pause = if starting_up { self.spec.start_interval() } else { self.spec.interval() };
        self.next = Instant::now() + pause;
    }
}

impl Drop for Checks {
    /// The container has ended, and a check with it, unless that has the host's process table.
    fn drop(&mut self) {
        if let Some(check) = &self.under_way {
            let _ = check.process.signal(libc::SIGTERM);
            let _ = check.process.wait();
        }
    }
}

/// docker's rules: one success is health, so many failures in a row are none, and while it starts up failures do not
/// count.
fn judge(health: &mut Health, result: Checked, starting_up: bool, retries: u32) {
    if result.exit_code == 0 {
        health.failing_streak = 0;
        health.status = "healthy".into();
    } else if !(starting_up && health.status == "starting") {
        health.failing_streak += 1;
        if health.failing_streak >= retries {
            health.status = "unhealthy".into();
        }
    }
    health.log.push(result);
    let surplus = health.log.len().saturating_sub(REMEMBERED);
    health.log.drain(..surplus);
}

/// Starts the command; what it writes comes out of the descriptor.
fn spawn(plan: &JoinPlan, first: BorrowedFd<'_>) -> Result<(Child, OwnedFd)> {
    let (read, write) = pipe()?;
    rustix::fs::fcntl_setfl(&read, OFlags::NONBLOCK)?;
    Ok((keeper::probe(plan, first, write.as_fd())?, read))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(codes: &[i32], starting_up: bool) -> Health {
        let mut health = Health { status: "starting".into(), ..Health::default() };
        for exit_code in codes {
            judge(&mut health, Checked { exit_code: *exit_code, ..Checked::default() }, starting_up, 3);
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
    fn five_results_are_remembered() {
        let codes: Vec<i32> = after(&[0, 1, 2, 3, 4, 5, 6], false).log.iter().map(|c| c.exit_code).collect();
        assert_eq!(codes, [2, 3, 4, 5, 6]);
    }
}

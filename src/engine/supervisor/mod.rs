//! The process that owns a running container: starts it, logs its output, stops it, restarts it, cleans up.
//!
//! # Process
//!
//! The command forks it; it runs in its own session and inherits the container's lock, which is what "running" means
//! to everybody else. It is single-threaded, around one poll(2). It outlives the command, with one exception: an
//! attached `--rm` container is killed with its command, so that a killed job leaves no container behind.
//!
//! # States
//!
//! ```text
//!             start_run fails
//!  ┌──────────────────────────────▶ on_start_failure
//!  │
//!  start_run ──▶ event_loop ──▶ on_exit ──┬──▶ shut_down
//!  ▲                                      │        ▲
//!  └───────── wait_backoff ◀──────────────┘        │ stopped meanwhile
//!                  └───────────────────────────────┘
//! ```
//!
//! Requests are also served while it waits for the backoff; there is no run then.
//!
//! # Invariants
//!
//! - Only the holder of the lock writes the state, and it writes before it reports to a client.
//! - Clients are told of an exit after the ports are free, and of the final exit after the lock is released (or the
//!   container removed), so that whoever waited can use the name, the ports and the container at once.
//! - Nothing a client does may block the supervisor: its pipes are nonblocking, its socket is never waited for.
//!
//! # Files
//!
//! `container_run` is one run of the container, `dispatch` reacts to events and requests, `clients` are the connected
//! commands, `poll` is what is waited for, `health` runs health checks, `network` changes networks, `pause` freezes.

mod clients;
mod events;
mod health;
mod hold;
mod network;
mod orders;
mod run;
mod streams;

use std::os::fd::{AsFd as _, OwnedFd};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use self::clients::{Clients, Owner};
use self::events::Watch;
use self::run::Run;
use super::attach::wire::{self, Control, Report};
use super::kin;
use super::log::Log;
use super::networking::{Network, Reached, Wanted};
use super::placement;
use super::record;
use super::remove::{self, Namespace};
use super::state::{ContainerState, now};
use crate::error::{Failure, Kind};
use crate::model::event::Event as Happening;
use crate::model::restart::Backoff;
use crate::sandbox::cgroup::Surroundings;
use crate::sandbox::identity::Identity;
use crate::sandbox::plan::Plan;
use crate::store::{LockedContainer, Store};
use crate::sys;
use crate::sys::process::Ended;
use crate::sys::pty;
use crate::sys::signal::SignalFd;

/// Everything the supervisor needs, handed over by the fork.
pub(super) struct Post {
    pub(super) store: Store,
    pub(super) container: LockedContainer,
    pub(super) plan: Plan,
    pub(super) identity: Identity,
    /// What creating a cgroup depends on.
    pub(super) surroundings: Surroundings,
    /// The networks to join; `None` without networks of its own.
    pub(super) networks: Option<Wanted>,
    /// The network helper, connected or starting.
    pub(super) helper: Option<Reached>,
    pub(super) attached: Attached,
    /// A duplicate of the user's terminal and its settings, restored if the command is killed.
    pub(super) terminal: Option<(OwnedFd, pty::Saved)>,
}

/// How the command that starts a container is attached to it.
pub(super) enum Attached {
    /// The container gets the command's own streams; nothing passes through the supervisor and nothing is
    /// logged.
    Direct([OwnedFd; 3]),
    /// Pipes, one for each stream that is wanted.
    Piped([Option<OwnedFd>; 3]),
    No,
}

/// Runs the container to its end. Called in the forked child; never returns.
pub(super) fn serve(post: Post, command: wire::Supervisor) -> ! {
    // Signals of the command's terminal are for the command, which forwards them.
    let _ = rustix::process::setsid();
    sys::process::set_title(&format!("dhow: {}", post.plan.name));
    let code = match Supervision::new(post, command) {
        Ok(supervision) => supervision.live(),
        Err(_) => 125,
    };
    sys::process::exit_now(code)
}

struct Supervision {
    store: Store,
    container: LockedContainer,
    plan: Plan,
    identity: Identity,
    surroundings: Surroundings,
    networks: Option<Wanted>,
    /// For the first run; a later one connects anew.
    helper: Option<Reached>,
    network: Option<Network>,
    state: ContainerState,
    clients: Clients,
    control: Option<Control>,
    signals: SignalFd,
    /// For the first run only.
    direct: Option<[OwnedFd; 3]>,
    log: Option<Log>,
    intent: Intent,
    backoff: Backoff,
    /// Kept for its user namespace, in which the files are deleted.
    last_run: Option<Run>,
}

/// What was asked for beyond the current run.
#[derive(Default)]
struct Intent {
    /// A user stopped it: its policy does not restart it.
    stop: bool,
    /// It was asked to stop rather than sent a signal: docker records a `stop` event then.
    end: bool,
    /// It is not restarted by its policy although nobody stopped it: the machine is shutting down.
    quit: bool,
    /// It is to be restarted at once.
    again: bool,
}

impl Supervision {
    fn new(post: Post, command: wire::Supervisor) -> Result<Self> {
        let Post { store, container, plan, identity, surroundings, networks, helper, attached, terminal } =
            post;
        let mut clients = Clients::default();
        let client = clients.add(command);
        client.awaits_start = true;
        let direct = match attached {
            Attached::No => None,
            Attached::Direct(ends) => {
                client.awaits_end = true;
                client.owner = Some(Owner { terminal });
                Some(ends)
            }
            Attached::Piped(ends) => {
                client.attach(ends);
                client.owner = Some(Owner { terminal });
                None
            }
        };
        let signals = SignalFd::blocking(&sys::signal::forwardable()).context("receiving signals")?;
        Ok(Self {
            state: container.read_state()?.unwrap_or_default(),
            store,
            container,
            plan,
            identity,
            surroundings,
            networks,
            helper,
            network: None,
            clients,
            control: None,
            signals,
            direct,
            log: None,
            intent: Intent::default(),
            backoff: Backoff::default(),
            last_run: None,
        })
    }

    /// Runs the container until it stays stopped, and returns its exit code.
    fn live(mut self) -> i32 {
        // Counters and flags of an earlier supervisor do not apply any more.
        self.state.restarts = 0;
        self.state.stopped = false;
        loop {
            let mut run = match self.start() {
                Ok(run) => run,
                Err(error) => return self.give_up(&error),
            };
            // If the loop itself fails, the exit is recorded as a kill.
            let ended = self.attend(&mut run).unwrap_or(Ended::Signaled(libc::SIGKILL));
            match self.note_end(run, ended) {
                Ok(Some(pause)) if self.rest(pause) => {
                    self.intent = Intent::default();
                    // The specification may have been changed while it waited.
                    if let Err(error) = self.container.reload() {
                        return self.give_up(&error);
                    }
                }
                Ok(Some(_)) => {
                    self.leave_networks();
                    return self.conclude();
                }
                Ok(None) => return self.conclude(),
                Err(error) => return self.give_up(&error),
            }
        }
    }

    fn start(&mut self) -> Result<Run> {
        if self.direct.is_none() && self.log.is_none() {
            self.log = Some(Log::open(&self.container)?);
        }
        let name = self.plan.name.clone();
        let doing = || format!("cannot start container {name}");
        let mut network = self.open_network().with_context(doing)?;
        let cgroup = placement::make_wanted(self.container.spec(), &self.surroundings)?;
        let run = kin::relation(&self.store, self.container.spec())
            .and_then(|kin| {
                let direct = self.direct.take();
                Run::begin(&self.plan, &self.identity, &self.container, direct, cgroup, kin, network.as_mut())
            })
            .with_context(doing)?;
        let endpoints = network.as_ref().map(Network::endpoints).unwrap_or_default();
        let published = network.as_ref().map(|network| network.published().to_vec()).unwrap_or_default();
        self.network = network;
        self.state = ContainerState {
            pid: run.pid(),
            ticks: run.ticks(),
            cgroup: run.cgroup_path(),
            started: now(),
            restarting: false,
            oom_killed: false,
            paused: false,
            error: String::new(),
            health: run.checks.as_ref().map(|checks| checks.health().clone()),
            endpoints,
            published,
            ..std::mem::take(&mut self.state)
        };
        // Written before anybody is told, so that who hears of the start finds a PID.
        self.container.write_state(&self.state)?;
        leave_stdio()?;
        record::mounted(&self.store, self.container.spec());
        self.tell("start", &[]);
        self.clients.tell_start(&Report::Started);
        if self.control.is_none() {
            self.control = Some(Control::open(&self.container)?);
        }
        if self.log.is_some() {
            // The supervisor may live for months and mostly waits; give unused pages back.
            let _ = sys::memory::shrink();
        }
        Ok(run)
    }

    /// Records an event.
    fn tell(&self, action: &str, attributes: &[(&str, &str)]) {
        let event = Happening::of_container(self.container.spec(), action);
        let event = attributes.iter().fold(event, |event, (name, value)| event.with(name, *value));
        self.store.record_event(event);
    }

    /// The container did not start. It stays to be inspected, unless it was to be removed.
    fn give_up(mut self, error: &anyhow::Error) -> i32 {
        self.leave_networks();
        let failure = Failure::of(error);
        let exit_code = super::start::exit_code_of(failure.kind());
        self.state = ContainerState {
            pid: 0,
            restarting: false,
            finished: now(),
            exit_code,
            error: failure.to_string(),
            ..std::mem::take(&mut self.state)
        };
        let _ = self.container.write_state(&self.state);
        let Self { store, container, identity, mut clients, control, .. } = self;
        // Closed before the lock is released: a client that still connected would get no answer.
        drop(control);
        match container.spec().auto_remove {
            true => drop(remove::remove(&store, container, true, &identity)),
            false => drop(container),
        }
        clients.tell_start(&Report::Failed(failure));
        clients.tell_end(&Report::Ended(exit_code));
        exit_code
    }

    /// Serves events until the container's first process has exited.
    fn attend(&mut self, run: &mut Run) -> Result<Ended> {
        loop {
            let mut watch = Watch::default();
            self.watch(&mut watch);
            run.watch(&mut watch, &self.clients);
            for event in watch.wait(run.deadline())? {
                if event == events::Event::Ended {
                    return Ok(run.wait()?);
                }
                self.serve_event(event, Some(run))?;
            }
            if run.act_on_time(self.state.paused)? {
                self.note_health(run)?;
            }
        }
    }

    /// What is polled for in either state, running or waiting.
    fn watch<'a>(&'a self, watch: &mut Watch<'a>) {
        watch.read(events::Event::Signal, self.signals.as_fd());
        if let Some(control) = &self.control {
            watch.read(events::Event::Connection, control.as_fd());
        }
        if let Some(network) = &self.network {
            watch.read(events::Event::Network, network.as_fd());
        }
        for client in self.clients.iter() {
            watch.read(events::Event::Order(client.id), client.socket().as_fd());
        }
    }

    /// Records how a run ended. Returns the pause before the next run, or `None` if there is none.
    fn note_end(&mut self, mut run: Run, ended: Ended) -> Result<Option<Duration>> {
        // Drops the lease: the ports must be free before anybody hears of the exit.
        self.network = None;
        run.drain(|stream, bytes| self.take_output(stream, bytes));
        if let Some(log) = &mut self.log {
            log.finish();
        }
        let code = ended.code();
        let oom_killed = run.leave_cgroup();
        if oom_killed {
            self.tell("oom", &[]);
        }
        let pause = self.pause_before_next(code, run.lasted());
        self.state = ContainerState {
            pid: 0,
            ticks: 0,
            cgroup: None,
            finished: now(),
            exit_code: code,
            oom_killed,
            paused: false,
            published: Vec::new(),
            restarting: pause.is_some(),
            stopped: self.intent.stop,
            ..std::mem::take(&mut self.state)
        };
        self.clients.finish_output();
        self.tell("die", &[("exitCode", &code.to_string())]);
        record::unmounted(&self.store, self.container.spec());
        if pause.is_none() {
            self.leave_networks();
        }
        if self.intent.end {
            self.tell("stop", &[]);
        }
        // With `--rm` the record would be deleted in a moment anyway.
        if pause.is_some() || !self.container.spec().auto_remove {
            self.container.write_state(&self.state)?;
        }
        if pause.is_some() {
            self.clients.tell_end(&Report::Ended(code));
        }
        self.last_run = pause.is_none().then_some(run);
        Ok(pause)
    }

    fn pause_before_next(&mut self, code: i32, lasted: Duration) -> Option<Duration> {
        if self.intent.again {
            return Some(Duration::ZERO);
        }
        let policy = self.container.spec().restart;
        if self.intent.stop || self.intent.quit || !policy.wants_again(code, self.state.restarts) {
            return None;
        }
        self.state.restarts += 1;
        Some(self.backoff.next(lasted))
    }

    /// Serves events until the next start is due. Returns `false` if there is to be none.
    fn rest(&mut self, pause: Duration) -> bool {
        let due = Instant::now() + pause;
        while Instant::now() < due && !self.intent.again {
            let mut watch = Watch::default();
            self.watch(&mut watch);
            let Ok(events) = watch.wait(Some(due)) else { return false };
            for event in events {
                if self.serve_event(event, None).is_err() {
                    return false;
                }
            }
            if self.intent.stop || self.intent.quit {
                self.state.restarting = false;
                self.state.stopped = self.intent.stop;
                let _ = self.container.write_state(&self.state);
                return false;
            }
        }
        true
    }

    /// The container has exited for good. Clients hear of it after its lock is released.
    fn conclude(self) -> i32 {
        let code = self.state.exit_code;
        let Self { store, container, mut clients, last_run, control, .. } = self;
        // Clients that come from now on must find nobody, rather than wait for an answer.
        drop(control);
        if !container.spec().auto_remove {
            drop(container);
            clients.tell_end(&Report::Ended(code));
            return code;
        }
        match remove::retire(&store, container, true) {
            Ok(leftovers) => {
                clients.tell_end(&Report::Ended(code));
                if let Some(run) = last_run {
                    // Nobody is left to be told: what cannot be deleted stays in the trash for the next
                    // command.
                    let _ = leftovers.delete(&store, Namespace::Open(run.user_namespace()));
                }
            }
            Err(error) => clients.tell_end(&Report::Failed(Failure::new(
                Kind::Other,
                format!("cleaning up after the container: {error:#}"),
            ))),
        }
        code
    }
}

/// Replaces stdio by /dev/null: the supervisor must not keep a pipe of the command's caller open.
fn leave_stdio() -> Result<()> {
    let null = super::attach::streams::null()?;
    for number in 0..3 {
        sys::process::place_fd(null.as_fd(), number)?;
    }
    Ok(())
}

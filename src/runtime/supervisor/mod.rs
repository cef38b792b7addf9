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
//! `container_run` is one run of the container, `event` is what the supervisor waits for, `dispatch` reacts to events
//! and requests, `clients` are the connected commands, `health` runs health checks, `network` changes networks, `pause`
//! pauses and applies a changed specification. The launched process itself is a [`crate::process`].

mod clients;
mod container_run;
mod dispatch;
mod event;
mod health;
mod network;
mod pause;

use std::os::fd::{AsFd as _, OwnedFd};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use self::clients::{ClientSet, ForegroundOwner};
use self::container_run::ContainerRun;
use self::event::SupervisorEvent;
use super::cgroup;
use super::control::protocol::{self, ControlListener, ControlReport};
use super::log::ContainerLog;
use super::network::{HelperLease, NetworkPlan, PendingHelper};
use super::remove::{self, DeletionNamespace};
use super::shared_namespaces;
use super::start_plan::StartPlan;
use super::state::{ContainerState, now_rfc3339};
use crate::process::poll::PollSet;
use crate::process::{LaunchInputs, StdioSetup};
use dhow_error::{Failure, FailureKind};
use dhow_model::event::EngineEvent;
use dhow_model::restart::RestartBackoff;
use dhow_sandbox::cgroup::SessionInfo;
use dhow_sandbox::identity::HostIdentity;
use dhow_sandbox::plan::SandboxPlan;
use dhow_store::event_records;
use dhow_store::{LockedContainer, Store};
use dhow_sys::process::ChildExit;
use dhow_sys::pty;
use dhow_sys::signal::SignalFd;

/// Everything the supervisor needs, handed over by the fork.
pub(crate) struct SupervisorArgs {
    pub store: Store,
    pub container: LockedContainer,
    pub identity: HostIdentity,
    /// What creating a cgroup depends on.
    pub session: SessionInfo,
    pub plan: StartPlan,
    pub attached: InitialAttach,
    /// A duplicate of the user's terminal and its settings, restored if the command is killed.
    pub terminal: Option<(OwnedFd, pty::SavedTermios)>,
}

/// How the command that starts a container is attached to it.
pub(crate) enum InitialAttach {
    /// The container gets the command's own streams; nothing passes through the supervisor and nothing is
    /// logged.
    Direct([OwnedFd; 3]),
    /// Pipes, one for each stream that is wanted.
    Piped([Option<OwnedFd>; 3]),
    No,
}

/// Runs the container to its end. Called in the forked child; never returns.
pub(crate) fn run_supervisor(args: SupervisorArgs, command: protocol::ControlConnection) -> ! {
    // Signals of the command's terminal are for the command, which forwards them.
    let _ = rustix::process::setsid();
    let code = match ContainerSupervisor::new(args, command) {
        Ok(supervisor) => supervisor.run_to_completion(),
        Err(_) => 125,
    };
    dhow_sys::process::exit_now(code)
}

struct ContainerSupervisor {
    store: Store,
    container: LockedContainer,
    plan: SandboxPlan,
    identity: HostIdentity,
    session: SessionInfo,
    networks: Option<NetworkPlan>,
    /// For the first run; a later one connects anew.
    helper: Option<PendingHelper>,
    network: Option<HelperLease>,
    state: ContainerState,
    clients: ClientSet,
    control: Option<ControlListener>,
    signals: SignalFd,
    /// For the first run only.
    direct: Option<[OwnedFd; 3]>,
    log: Option<ContainerLog>,
    intent: LifecycleIntent,
    backoff: RestartBackoff,
    /// Kept for its user namespace, in which the files are deleted.
    last_run: Option<ContainerRun>,
}

/// What was asked for beyond the current run.
#[derive(Default)]
struct LifecycleIntent {
    /// A user stopped it: its policy does not restart it.
    stopped_by_user: bool,
    /// It was asked to stop rather than sent a signal: docker records a `stop` event then.
    stop_requested: bool,
    /// It is not restarted by its policy although nobody stopped it: the machine is shutting down.
    no_restart: bool,
    /// It is to be restarted at once.
    restart_now: bool,
}

impl ContainerSupervisor {
    fn new(args: SupervisorArgs, command: protocol::ControlConnection) -> Result<Self> {
        let SupervisorArgs { store, container, identity, session, plan, attached, terminal } = args;
        let StartPlan { sandbox: plan, networks, helper } = plan;
        let mut clients = ClientSet::default();
        let client = clients.add(command);
        client.awaits_start = true;
        let direct = match attached {
            InitialAttach::No => None,
            InitialAttach::Direct(ends) => {
                client.awaits_end = true;
                client.owner = Some(ForegroundOwner { terminal });
                Some(ends)
            }
            InitialAttach::Piped(ends) => {
                client.attach(ends);
                client.owner = Some(ForegroundOwner { terminal });
                None
            }
        };
        let signals = SignalFd::blocking(&dhow_sys::signal::forwardable()).context("receiving signals")?;
        Ok(Self {
            state: container.read_state()?.unwrap_or_default(),
            store,
            container,
            plan,
            identity,
            session,
            networks,
            helper,
            network: None,
            clients,
            control: None,
            signals,
            direct,
            log: None,
            intent: LifecycleIntent::default(),
            backoff: RestartBackoff::default(),
            last_run: None,
        })
    }

    /// Runs the container until it stays stopped, and returns its exit code.
    fn run_to_completion(mut self) -> i32 {
        // Counters and flags of an earlier supervisor do not apply any more.
        self.state.restarts = 0;
        self.state.stopped = false;
        loop {
            let mut run = match self.start_run() {
                Ok(run) => run,
                Err(error) => return self.on_start_failure(&error),
            };
            // If the loop itself fails, the exit is recorded as a kill.
            let exit = self.event_loop(&mut run).unwrap_or(ChildExit::Signaled(libc::SIGKILL));
            match self.on_exit(run, exit) {
                Ok(Some(delay)) if self.wait_backoff(delay) => {
                    self.intent = LifecycleIntent::default();
                    // The specification may have been changed while it waited.
                    if let Err(error) = self.container.reload() {
                        return self.on_start_failure(&error);
                    }
                }
                Ok(Some(_)) => {
                    self.leave_networks();
                    return self.shut_down();
                }
                Ok(None) => return self.shut_down(),
                Err(error) => return self.on_start_failure(&error),
            }
        }
    }

    fn start_run(&mut self) -> Result<ContainerRun> {
        if self.direct.is_none() && self.log.is_none() {
            self.log = Some(ContainerLog::open(&self.container)?);
        }
        let name = self.plan.name.clone();
        let doing = || format!("cannot start container {name}");
        let mut network = self.open_network().with_context(doing)?;
        let cgroup = cgroup::create_if_needed(self.container.spec(), &self.session)?;
        let run = shared_namespaces::find_donor(&self.store, self.container.spec())
            .and_then(|donor| {
                let direct = self.direct.take();
                ContainerRun::start(LaunchInputs {
                    plan: &self.plan,
                    identity: &self.identity,
                    container: &self.container,
                    stdio: self.stdio_setup(direct),
                    cgroup,
                    shared: donor,
                    network: network.as_mut(),
                })
            })
            .with_context(doing)?;
        // Only now: the program does not wait for it.
        let _ = dhow_sys::process::set_title(&format!("dhow: {name}"));
        let endpoints = network.as_ref().map(HelperLease::endpoints).unwrap_or_default();
        let published = network.as_ref().map(|network| network.published().to_vec()).unwrap_or_default();
        self.network = network;
        self.state = ContainerState {
            pid: run.pid(),
            ticks: run.start_ticks(),
            cgroup: run.process.cgroup_path(),
            started: now_rfc3339(),
            restarting: false,
            oom_killed: false,
            paused: false,
            error: String::new(),
            health: run.health.as_ref().map(|checks| checks.health().clone()),
            endpoints,
            published,
            ..std::mem::take(&mut self.state)
        };
        // Written before anybody is told, so that who hears of the start finds a PID.
        self.container.write_state(&self.state)?;
        release_stdio()?;
        event_records::resources_attached(&self.store, self.container.spec());
        self.record_event("start", &[]);
        self.clients.notify_started(&ControlReport::Started);
        if self.control.is_none() {
            self.control = Some(ControlListener::open(&self.container)?);
        }
        if self.log.is_some() {
            // The supervisor may live for months and mostly waits; give unused pages back.
            let _ = dhow_sys::memory::release_unused();
        }
        Ok(run)
    }

    /// Streams handed over by the command are passed on; without them the container writes to the supervisor.
    fn stdio_setup(&self, direct: Option<[OwnedFd; 3]>) -> StdioSetup {
        let process = &self.container.spec().process;
        match direct {
            Some(ends) => StdioSetup::Direct(ends),
            None if process.tty => StdioSetup::Terminal,
            None => StdioSetup::Piped { keep_input: process.interactive },
        }
    }

    fn record_event(&self, action: &str, attributes: &[(&str, &str)]) {
        let event = EngineEvent::of_container(self.container.spec(), action);
        let event = attributes.iter().fold(event, |event, (name, value)| event.with(name, *value));
        self.store.record_event(event);
    }

    /// The container did not start. It stays to be inspected, unless it was to be removed.
    fn on_start_failure(mut self, error: &anyhow::Error) -> i32 {
        self.leave_networks();
        let failure = Failure::from_chain(error);
        let exit_code = dhow_error::start_failure_exit_code(failure.kind());
        self.state = ContainerState {
            pid: 0,
            restarting: false,
            finished: now_rfc3339(),
            exit_code,
            error: failure.to_string(),
            ..std::mem::take(&mut self.state)
        };
        let _ = self.container.write_state(&self.state);
        let Self { store, container, identity, mut clients, control, .. } = self;
        // Closed before the lock is released: a client that still connected would get no answer.
        drop(control);
        match container.spec().auto_remove {
            true => drop(remove::remove_container(&store, container, true, &identity)),
            false => drop(container),
        }
        clients.notify_started(&ControlReport::Failed(failure));
        clients.notify_exit(&ControlReport::Ended(exit_code));
        exit_code
    }

    /// Serves events until the container's first process has exited.
    fn event_loop(&mut self, run: &mut ContainerRun) -> Result<ChildExit> {
        loop {
            let mut watch = PollSet::default();
            self.watch(&mut watch);
            run.watch(&mut watch, &self.clients);
            for event in watch.wait(run.deadline())? {
                if event == SupervisorEvent::Exited {
                    return Ok(run.wait()?);
                }
                self.handle_event(event, Some(run))?;
            }
            if run.on_timer(self.state.paused)? {
                self.record_health(run)?;
            }
        }
    }

    /// What is polled for in either state, running or waiting.
    fn watch<'a>(&'a self, watch: &mut PollSet<'a, SupervisorEvent>) {
        watch.add_readable(SupervisorEvent::Signal, self.signals.as_fd());
        if let Some(control) = &self.control {
            watch.add_readable(SupervisorEvent::Connection, control.as_fd());
        }
        if let Some(network) = &self.network {
            watch.add_readable(SupervisorEvent::HelperGone, network.as_fd());
        }
        for client in self.clients.iter() {
            watch.add_readable(SupervisorEvent::Request(client.id), client.socket().as_fd());
        }
    }

    /// Records how a run ended. Returns the delay before the next run, or `None` if there is none.
    fn on_exit(&mut self, mut run: ContainerRun, exit: ChildExit) -> Result<Option<Duration>> {
        // Drops the lease: the ports must be free before anybody hears of the exit.
        self.network = None;
        run.process.drain_output(|stream, bytes| self.deliver_output(stream, bytes));
        if let Some(log) = &mut self.log {
            log.finish();
        }
        let code = exit.code();
        let oom_killed = run.process.remove_cgroup();
        if oom_killed {
            self.record_event("oom", &[]);
        }
        let delay = self.restart_delay(code, run.uptime());
        self.state = ContainerState {
            pid: 0,
            ticks: 0,
            cgroup: None,
            finished: now_rfc3339(),
            exit_code: code,
            oom_killed,
            paused: false,
            published: Vec::new(),
            restarting: delay.is_some(),
            stopped: self.intent.stopped_by_user,
            ..std::mem::take(&mut self.state)
        };
        self.clients.finish_output();
        self.record_event("die", &[("exitCode", &code.to_string())]);
        event_records::resources_detached(&self.store, self.container.spec());
        if delay.is_none() {
            self.leave_networks();
        }
        if self.intent.stop_requested {
            self.record_event("stop", &[]);
        }
        // With `--rm` the record would be deleted in a moment anyway.
        if delay.is_some() || !self.container.spec().auto_remove {
            self.container.write_state(&self.state)?;
        }
        if delay.is_some() {
            self.clients.notify_exit(&ControlReport::Ended(code));
        }
        self.last_run = delay.is_none().then_some(run);
        Ok(delay)
    }

    fn restart_delay(&mut self, code: i32, uptime: Duration) -> Option<Duration> {
        if self.intent.restart_now {
            return Some(Duration::ZERO);
        }
        let policy = self.container.spec().restart;
        if self.intent.stopped_by_user
            || self.intent.no_restart
            || !policy.should_restart(code, self.state.restarts)
        {
            return None;
        }
        self.state.restarts += 1;
        Some(self.backoff.next(uptime))
    }

    /// Serves events until the next start is due. Returns `false` if there is to be none.
    fn wait_backoff(&mut self, delay: Duration) -> bool {
        let due = Instant::now() + delay;
        while Instant::now() < due && !self.intent.restart_now {
            let mut watch = PollSet::default();
            self.watch(&mut watch);
            let Ok(events) = watch.wait(Some(due)) else { return false };
            for event in events {
                if self.handle_event(event, None).is_err() {
                    return false;
                }
            }
            if self.intent.stopped_by_user || self.intent.no_restart {
                self.state.restarting = false;
                self.state.stopped = self.intent.stopped_by_user;
                let _ = self.container.write_state(&self.state);
                return false;
            }
        }
        true
    }

    /// The container has exited for good. Clients hear of it after its lock is released.
    fn shut_down(self) -> i32 {
        let code = self.state.exit_code;
        let Self { store, container, mut clients, last_run, control, .. } = self;
        // Clients that come from now on must find nobody, rather than wait for an answer.
        drop(control);
        if !container.spec().auto_remove {
            drop(container);
            clients.notify_exit(&ControlReport::Ended(code));
            return code;
        }
        match remove::retire_container(&store, container, true) {
            Ok(leftovers) => {
                clients.notify_exit(&ControlReport::Ended(code));
                if let Some(mut run) = last_run {
                    run.process.release_mounts();
                    // Nobody is left to be told: what cannot be deleted stays in the trash for the next
                    // command.
                    let _ = leftovers.delete(&store, DeletionNamespace::Open(run.process.user_namespace()));
                }
            }
            Err(error) => clients.notify_exit(&ControlReport::Failed(Failure::new(
                FailureKind::Other,
                format!("cleaning up after the container: {error:#}"),
            ))),
        }
        code
    }
}

/// Replaces stdio by /dev/null: the supervisor must not keep a pipe of the command's caller open.
fn release_stdio() -> Result<()> {
    let null = dhow_sys::stdio::open_dev_null()?;
    for number in 0..3 {
        dhow_sys::process::place_fd(null.as_fd(), number)?;
    }
    Ok(())
}

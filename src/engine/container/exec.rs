//! `exec`: runs another process in a running container.
//!
//! The process is a child of the command that asked for it and ends with it, except with `-d`: then a monitor
//! process stays behind to reap it and to record its exit.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use anyhow::Result;

use dhow_error::{Failure, FailureKind};
use dhow_model::container::ContainerSpec;
use dhow_model::environment::Environment;
use dhow_model::event::EngineEvent;
use dhow_model::exec_request::ExecRequest;
use dhow_runtime::attach::relay::StreamRelay;
use dhow_runtime::attach::streams::{self, AttachStreams};
use dhow_runtime::attach::{self, AttachOptions, AttachOutcome, UserTerminal};
use dhow_runtime::cgroup;
use dhow_runtime::control::protocol::{AttachPeer, ControlReport, ControlRequest};
use dhow_runtime::first_process::{self, FirstProcess, not_running};
use dhow_runtime::plan;
use dhow_runtime::state::ContainerState;
use dhow_sandbox::identity::idmap::IdMap;
use dhow_sandbox::join::exec_monitor;
use dhow_sandbox::join::{self, JoinedProcess};
use dhow_sandbox::plan::JoinPlan;
use dhow_store::{ContainerDir, Store, new_container_id};
use dhow_sys::signal::SignalFd;

/// How long a container may take to start, and the interval between checks.
const START_TIMEOUT: Duration = Duration::from_secs(10);
const POLL_INTERVAL: Duration = Duration::from_millis(2);

/// Runs a process in a container until it exits or the user detaches. Returns the exit code of the command.
///
/// The process must be single-threaded and outside of the container's user namespace. Errors of kind `Conflict` if
/// the container does not run.
pub fn exec(store: &Store, request: ExecRequest, environment: &Environment) -> Result<i32> {
    let container = store.find_container(&request.container)?;
    let first = await_first_process(&container)?;
    let ids = IdMap::of_process(first.pid()).map_err(|_| not_running(&container))?;
    let mut plan = plan::exec_plan(container.spec(), ids, &request)?;
    // Without this the process would stay in the command's cgroup, outside of the container's limits.
    plan.cgroup = cgroup::membership(container.spec(), first.pid(), cgroup::session_info(environment))?;
    let events = ExecEvents::new(store, container.spec(), &request.args)?;
    events.record("exec_create");
    let result = match request.detach {
        true => {
            exec_monitor::start_detached(&plan, first.as_fd(), |code| events.record_exit(code)).map(|()| {
                events.record("exec_start");
                0
            })
        }
        false => exec_attached(plan, &first, request, &events),
    };
    result.map_err(|error| match first.has_ended() {
        // The container exited meanwhile, and that is why whatever failed did.
        Ok(true) => not_running(&container).into(),
        _ => error.context(format!("cannot exec in container {}", container.spec().name)),
    })
}

/// Records the events of one exec.
struct ExecEvents<'a> {
    store: &'a Store,
    spec: &'a ContainerSpec,
    command: String,
    /// docker's exec ID.
    id: String,
}

impl<'a> ExecEvents<'a> {
    fn new(store: &'a Store, spec: &'a ContainerSpec, args: &[String]) -> Result<Self> {
        Ok(Self { store, spec, command: args.join(" "), id: new_container_id()? })
    }

    fn record(&self, action: &str) {
        let event = EngineEvent::of_container(self.spec, format!("{action}: {}", self.command));
        self.store.record_event(event.with("execID", &self.id));
    }

    fn record_exit(&self, code: i32) {
        let event = EngineEvent::of_container(self.spec, "exec_die").with("execID", &self.id);
        self.store.record_event(event.with("exitCode", code.to_string()));
    }
}

/// The first process of `container`, if the container's state allows an exec. A container that is just
/// starting is waited for.
fn await_first_process(container: &ContainerDir) -> Result<FirstProcess> {
    let deadline = Instant::now() + START_TIMEOUT;
    loop {
        // The lock before the state: whoever releases the lock has written the state before.
        let locked = container.is_locked()?;
        let state: ContainerState = container.read_state()?.unwrap_or_default();
        let refused = |why: &str| {
            Failure::new(FailureKind::Conflict, format!("Container {} {why}", container.spec().id))
        };
        if locked && state.paused {
            return Err(refused("is paused, unpause the container before exec").into());
        }
        if locked && state.restarting {
            return Err(refused("is restarting, wait until the container is running").into());
        }
        if let Some(first) = first_process::find(container)? {
            return Ok(first);
        }
        // Not locked, or with a process recorded that is gone: it has exited, and waiting would not help.
        if !locked || state.pid != 0 || Instant::now() > deadline {
            return Err(not_running(container).into());
        }
        std::thread::sleep(POLL_INTERVAL);
    }
}

fn exec_attached(
    mut plan: JoinPlan,
    first: &FirstProcess,
    request: ExecRequest,
    events: &ExecEvents<'_>,
) -> Result<i32> {
    let signals = SignalFd::blocking(&dhow_sys::signal::forwardable())?;
    let terminal = if request.tty { UserTerminal::of_stdin(std::io::stdin().as_fd())? } else { None };
    plan.process.terminal_size = terminal.as_ref().and_then(UserTerminal::size);
    let direct = !request.tty;
    let AttachStreams { ends, mut relays } =
        streams::direct_streams([direct && request.interactive, direct, direct])?;
    let [input, output, error] = &ends;
    let joined =
        join::spawn_in_container(&plan, first.as_fd(), [input.as_fd(), output.as_fd(), error.as_fd()])?;
    // The process has its own copies; while ours are open, neither side sees the other's end of file.
    drop(ends);
    events.record("exec_start");
    if let Some(master) = &joined.terminal {
        relays = terminal_relays(master, request.interactive)?;
    }
    let options = AttachOptions {
        tty: request.tty,
        // With a terminal, Ctrl-C reaches the process as a key. Other signals end the command, which hangs
        // the terminal up.
        sig_proxy: !request.tty,
        interactive: request.interactive,
        detach_keys: request.detach_keys,
    };
    let peer = ExecPeer(joined);
    let outcome = attach::run_attached(&peer, &signals, relays, terminal, options)?;
    match &outcome {
        AttachOutcome::Exited(code) => events.record_exit(*code),
        AttachOutcome::Abandoned(_) => {}
        AttachOutcome::Detached => {
            // Somebody must keep the master open, or the process would get SIGHUP.
            if let Some(master) = &peer.0.terminal {
                exec_monitor::hold_terminal(&plan.name, master.as_fd())?;
            }
        }
    }
    Ok(attach::command_exit_code(&outcome))
}

/// Relays between the command's own stdio and the master side of the process's terminal.
fn terminal_relays(master: &OwnedFd, interactive: bool) -> Result<Vec<StreamRelay>> {
    rustix::io::ioctl_fionbio(master, true)?;
    let duplicate = |fd: BorrowedFd<'_>| fd.try_clone_to_owned();
    let mut relays = vec![StreamRelay::output(master.try_clone()?, duplicate(std::io::stdout().as_fd())?)];
    if interactive {
        relays.push(StreamRelay::new(duplicate(std::io::stdin().as_fd())?, master.try_clone()?));
    }
    Ok(relays)
}

/// The process, as the peer of an attached command.
struct ExecPeer(JoinedProcess);

impl AttachPeer for ExecPeer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.process.pidfd()
    }

    fn has_started(&self) -> bool {
        true
    }

    fn send_request(&self, request: &ControlRequest) {
        // If the process is gone, the next report says so.
        match (request, &self.0.terminal) {
            (ControlRequest::Signal(signal), _) => drop(self.0.process.signal(*signal)),
            (ControlRequest::Resize(rows, columns), Some(master)) => {
                drop(dhow_sys::pty::set_rows_and_columns(master.as_fd(), *rows, *columns));
            }
            // The others are for containers; a session of `exec` does not send them.
            _ => {}
        }
    }

    fn receive_report(&self) -> Result<Option<ControlReport>> {
        Ok(Some(ControlReport::Ended(self.0.process.wait()?.code())))
    }
}

//! External programs that connect a network namespace to the host's network: pasta(1) and slirp4netns(1).
//!
//! Such a program creates an interface in the namespace and answers on it for the rest of the world. A thread
//! starts it, waits until it reports that it is ready, restarts it when it exits by itself, and kills it in
//! the end. The program is killed together with this process (PR_SET_PDEATHSIG).

pub(crate) mod udp_forward;

use std::collections::VecDeque;
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::retry_on_intr;
use rustix::process::{PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::sync::lock;
use dhow_error::{Failure, FailureKind};

/// How long a program may take to become ready.
const READY_TIMEOUT: Timespec = Timespec { tv_sec: 10, tv_nsec: 0 };
/// Delay before a program that exited is restarted.
const RESTART_DELAY: Duration = Duration::from_secs(1);
/// How many bytes of stderr are kept, and how many lines of it are reported.
const KEPT_BYTES: usize = 2048;
const KEPT_LINES: usize = 3;
/// Stack size of the thread, in bytes.
const STACK_SIZE: usize = 256 << 10;

/// What to start, and what to do once it runs.
pub(crate) struct ExternalCommand {
    /// The program's name, searched for in PATH.
    pub name: &'static str,
    /// Its arguments. It reports readiness by writing anything to its standard output.
    pub arguments: Vec<String>,
    /// The network namespace. The program gets it as standard input: `/proc/self/fd/0`.
    pub namespace: OwnedFd,
    /// Configures the interface that the program created; called after each start.
    pub ready: Box<dyn Fn() -> Result<()> + Send>,
}

/// A program that is kept running until this is dropped.
#[derive(Debug)]
pub(crate) struct ExternalProcess {
    state: Arc<Mutex<ExternalState>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct ExternalState {
    stopped: bool,
    running: Option<OwnedFd>,
}

impl ExternalProcess {
    /// Starts the program and waits until it is ready.
    pub(crate) fn start(plan: ExternalCommand) -> Result<Self> {
        let state = Arc::new(Mutex::new(ExternalState::default()));
        let (sender, receiver) = channel();
        let (name, shared) = (plan.name, Arc::clone(&state));
        let thread = std::thread::Builder::new().name(name.to_owned()).stack_size(STACK_SIZE);
        let thread = thread.spawn(move || supervise(&plan, &shared, sender))?;
        // From here on dropping `program` stops the thread, whatever fails.
        let program = Self { state, thread: Some(thread) };
        let outcome = receiver.recv().unwrap_or_else(|_| Err(anyhow::anyhow!("its thread has ended")));
        outcome.with_context(|| format!("cannot use {name}"))?;
        Ok(program)
    }
}

/// Fails if the program is not installed.
pub(crate) fn check_installed(name: &str) -> Result<()> {
    let mut command = Command::new(name);
    command.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().map(drop).map_err(|error| spawn_error(name, error))
}

fn spawn_error(name: &str, error: io::Error) -> anyhow::Error {
    if error.kind() == io::ErrorKind::NotFound {
        dhow_error::unsupported(format!("{name} is not installed")).into()
    } else {
        anyhow::Error::from(error).context(format!("cannot start {name}"))
    }
}

impl Drop for ExternalProcess {
    fn drop(&mut self) {
        let mut state = lock(&self.state);
        state.stopped = true;
        if let Some(running) = &state.running {
            // It may have exited just now.
            let _ = pidfd_send_signal(running, Signal::KILL);
        }
        drop(state);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

/// Restarts the program until it is stopped. Reports the outcome of the first start through `first`.
fn supervise(plan: &ExternalCommand, state: &Mutex<ExternalState>, first: Sender<Result<()>>) {
    let mut first = Some(first);
    loop {
        let ready = run_once(plan, state, &mut first);
        if let Some(first) = first.take() {
            let _ = first.send(ready);
            return;
        }
        if lock(state).stopped {
            return;
        }
        // Unparked by `Drop`.
        std::thread::park_timeout(RESTART_DELAY);
        if lock(state).stopped {
            return;
        }
    }
}

/// Runs the program once, until it exits.
fn run_once(
    plan: &ExternalCommand,
    state: &Mutex<ExternalState>,
    first: &mut Option<Sender<Result<()>>>,
) -> Result<()> {
    let mut child = spawn(plan)?;
    let result = watch_child(plan, &mut child, state, first);
    // It has exited, or failed and must go.
    let _ = child.kill();
    let _ = child.wait();
    lock(state).running = None;
    result
}

fn spawn(plan: &ExternalCommand) -> Result<Child> {
    let mut command = Command::new(plan.name);
    command.args(&plan.arguments).stdin(plan.namespace.try_clone()?);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).current_dir("/");
    dhow_sys::pdeathsig::kill_with_parent(&mut command).spawn().map_err(|error| spawn_error(plan.name, error))
}

/// Reads the program's output until it exits.
fn watch_child(
    plan: &ExternalCommand,
    child: &mut Child,
    state: &Mutex<ExternalState>,
    first: &mut Option<Sender<Result<()>>>,
) -> Result<()> {
    let pid = rustix::process::Pid::from_child(child);
    let running = pidfd_open(pid, PidfdFlags::empty())?;
    {
        // `Drop` kills what is recorded here; if it came first, the program must not run at all.
        let mut state = lock(state);
        if state.stopped {
            return Ok(());
        }
        state.running = Some(running);
    }
    let mut output = child.stdout.take();
    let mut errors = child.stderr.take();
    let mut stderr = VecDeque::new();
    let mut ready = false;
    while output.is_some() || errors.is_some() {
        let timeout = (!ready).then_some(&READY_TIMEOUT);
        let mut fds: Vec<_> = output.iter().map(|pipe| PollFd::new(pipe, PollFlags::IN)).collect();
        fds.extend(errors.iter().map(|pipe| PollFd::new(pipe, PollFlags::IN)));
        if retry_on_intr(|| poll(&mut fds, timeout))? == 0 {
            return Err(Failure::new(FailureKind::Other, "it does not become ready").into());
        }
        let readable: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        drop(fds);
        let (from_output, from_errors) =
            if output.is_some() { (readable.first(), readable.get(1)) } else { (None, readable.first()) };
        let mut bytes = [0; 512];
        if from_output == Some(&true)
            && let Some(pipe) = &mut output
        {
            let count = pipe.read(&mut bytes)?;
            if count > 0 && !ready {
                ready = true;
                (plan.ready)()?;
                if let Some(first) = first.take() {
                    let _ = first.send(Ok(()));
                }
            }
            output = output.filter(|_| count > 0);
        }
        if from_errors == Some(&true)
            && let Some(pipe) = &mut errors
        {
            let count = pipe.read(&mut bytes)?;
            stderr.extend(bytes.iter().take(count));
            stderr.drain(..stderr.len().saturating_sub(KEPT_BYTES));
            errors = errors.filter(|_| count > 0);
        }
    }
    let stderr: Vec<u8> = stderr.into();
    Err(Failure::new(FailureKind::Other, last_output(&String::from_utf8_lossy(&stderr))).into())
}

/// The last lines that the program wrote to stderr, joined into one.
fn last_output(stderr: &str) -> String {
    // pasta logs this for every line where there is no syslog.
    let lines = stderr.lines().map(str::trim).filter(|line| !line.starts_with("Failed to send"));
    let lines: Vec<&str> = lines.filter(|line| !line.is_empty()).collect();
    let last = lines.get(lines.len().saturating_sub(KEPT_LINES)..).unwrap_or_default();
    if last.is_empty() { "it has ended".to_owned() } else { format!("it has ended: {}", last.join("; ")) }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Instant;

    use super::*;

    fn plan(script: &str, ready: impl Fn() -> Result<()> + Send + 'static) -> ExternalCommand {
        let namespace = std::fs::File::open("/proc/self/ns/net").unwrap().into();
        let arguments = vec!["-c".to_owned(), script.to_owned()];
        ExternalCommand { name: "sh", arguments, namespace, ready: Box::new(ready) }
    }

    #[test]
    fn a_program_that_ends_is_started_again_and_is_gone_in_the_end() {
        let count = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&count);
        let script = "echo ready; echo noise >&2; exec sleep 0.1";
        let ready = move || {
            counted.fetch_add(1, Ordering::SeqCst);
            Ok(())
        };
        let program = ExternalProcess::start(plan(script, ready)).unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        while count.load(Ordering::SeqCst) < 2 {
            assert!(Instant::now() < deadline);
            std::thread::sleep(Duration::from_millis(10));
        }
        drop(program);
    }

    #[test]
    fn one_that_runs_is_killed() {
        let program = ExternalProcess::start(plan("echo $$; exec sleep 1000", || Ok(()))).unwrap();
        let running = lock(&program.state).running.as_ref().unwrap().try_clone().unwrap();
        drop(program);
        assert_eq!(pidfd_send_signal(&running, Signal::KILL).unwrap_err(), rustix::io::Errno::SRCH);
    }

    #[test]
    fn what_it_said_is_told_where_it_does_not_start() {
        let script = "echo Failed to send 3 bytes to syslog >&2; echo no such thing >&2; exit 1";
        let error = format!("{:#}", ExternalProcess::start(plan(script, || Ok(()))).unwrap_err());
        assert_eq!(error, "cannot use sh: it has ended: no such thing");
        let absent = ExternalCommand { name: "dhow-no-such-program", ..plan("", || Ok(())) };
        let error = format!("{:#}", ExternalProcess::start(absent).unwrap_err());
        assert!(error.ends_with("dhow-no-such-program is not installed"), "{error}");
        let error =
            ExternalProcess::start(plan("echo ready; exec sleep 1000", || anyhow::bail!("no interface")));
        assert_eq!(format!("{:#}", error.unwrap_err()), "cannot use sh: no interface");
    }
}

//! Monitor processes that outlive a command for the sake of a process in a container; conmon's role.
//!
//! The monitor starts the process and reaps it. It stays outside the container, as the parent: an exec'd process that
//! its parent does not reap remains a zombie, and as that parent is outside the pid namespace, the zombie would even
//! keep the container's init from exiting.

use std::os::fd::{AsFd as _, BorrowedFd};

use anyhow::{Context as _, Result};
use dhow_error::{Failure, FailureKind};
use dhow_sys::fs::open_null;
use dhow_sys::process::{ChildExit, ChildProcess, ForkSide};
use dhow_sys::signal::SignalFd;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use super::{JoinedProcess, spawn_in_container};
use crate::plan::JoinPlan;
use crate::sync_socket::{self, SyncMessage, SyncSocket};

/// Starts `plan` so that it outlives this process, with its streams on /dev/null; returns when its program
/// runs. `at_end` is called with the exit code in the monitor process, which has no descriptor of this one.
/// Arguments and conditions are those of [`spawn_in_container`].
pub fn start_detached(plan: &JoinPlan, container: BorrowedFd<'_>, at_end: impl FnOnce(i32)) -> Result<()> {
    let (ours, theirs) = sync_socket::socket_pair()?;
    match dhow_sys::process::clone_into(0).context("starting a process")? {
        ForkSide::Child => run_detached(plan, container, &theirs, at_end),
        ForkSide::Parent(_) => {
            drop(theirs);
            match ours.receive()? {
                SyncMessage::Failed(failure) => Err(failure.into()),
                // The monitor closes its end once the program runs.
                _ => Ok(()),
            }
        }
    }
}

fn run_detached(
    plan: &JoinPlan,
    container: BorrowedFd<'_>,
    channel: &SyncSocket,
    at_end: impl FnOnce(i32),
) -> ! {
    let started = detach_from_caller(&plan.name, &[container, channel.as_fd()]).and_then(|()| {
        let null = open_null()?;
        spawn_in_container(plan, container, [null.as_fd(); 3])
    });
    match started {
        Ok(joined) => exit_like_child(&joined, at_end),
        Err(error) => {
            channel.send_failure(&Failure::from_chain(&error));
            dhow_sys::process::exit_now(125)
        }
    }
}

/// Starts `plan` with empty input and both outputs to `output`, and returns at once (health checks). The returned
/// child exits with the program's exit code; SIGTERM makes it kill the program. If the program cannot be started, the
/// reason is written to `output`, and the exit code is 126, or 127 if there is no such program.
///
/// For a supervisor, which must not block on a container and whose lock no other process may inherit. It must have
/// one thread.
pub fn start_probe(
    plan: &JoinPlan,
    container: BorrowedFd<'_>,
    output: BorrowedFd<'_>,
) -> Result<ChildProcess> {
    match dhow_sys::process::clone_into(0).context("starting a process")? {
        ForkSide::Parent(child) => Ok(child),
        ForkSide::Child => {
            let started = detach_from_caller(&plan.name, &[container, output]).and_then(|()| {
                // SIGTERM must end this process as long as there is no program to kill.
                dhow_sys::signal::reset_signals()?;
                dhow_sys::process::die_with_parent()?;
                let null = open_null()?;
                spawn_in_container(plan, container, [null.as_fd(), output, output])
            });
            match started {
                Ok(joined) => exit_like_child(&joined, |_| {}),
                Err(error) => {
                    let failure = Failure::from_chain(&error);
                    // The exit code tells the same if `output` is closed.
                    let _ = rustix::io::write(output, failure.to_string().as_bytes());
                    let missing = failure.kind() == FailureKind::CommandNotFound;
                    dhow_sys::process::exit_now(if missing { 127 } else { 126 })
                }
            }
        }
    }
}

/// Keeps a terminal alive, in a process of its own, until nobody has its slave side open; output is
/// discarded. Without that, closing the master would send SIGHUP to the processes on the terminal. The
/// process must have one thread.
pub fn hold_terminal(name: &str, master: BorrowedFd<'_>) -> Result<()> {
    match dhow_sys::process::clone_into(0).context("starting a process")? {
        ForkSide::Parent(_) => Ok(()),
        ForkSide::Child => {
            let _ = detach_from_caller(name, &[master])
                .and_then(|()| Ok(rustix::io::ioctl_fionbio(master, false)?));
            let mut buffer = [0_u8; 16 << 10];
            // read(2) fails with EIO once no slave is open.
            while let Ok(1..) | Err(Errno::INTR) = rustix::io::read(master, &mut buffer) {}
            dhow_sys::process::exit_now(0)
        }
    }
}

/// Detaches from the caller: a new session, `/` as working directory, and only the descriptors in `keep`.
fn detach_from_caller(name: &str, keep: &[BorrowedFd<'_>]) -> Result<()> {
    let _ = rustix::process::setsid();
    rustix::process::chdir("/")?;
    let _ = dhow_sys::process::set_title(&format!("dhow: {name}"));
    dhow_sys::process::close_others(3, keep)?;
    let null = open_null()?;
    for number in 0..3 {
        dhow_sys::process::place_fd(null.as_fd(), number)?;
    }
    Ok(())
}

/// Asks the monitor to kill the program, which it must then still reap.
const KILL_REQUEST: i32 = libc::SIGTERM;

/// Exits as the program does. Holds no other descriptor meanwhile, so that nobody waits in vain for one to be
/// closed.
fn exit_like_child(joined: &JoinedProcess, at_end: impl FnOnce(i32)) -> ! {
    // The channel to the caller closes here, which tells it that the program runs.
    let closed = dhow_sys::process::close_others(3, &[joined.process.pidfd()]);
    let exit = closed.and_then(|()| wait_or_kill(&joined.process));
    let code = exit.map_or(125, ChildExit::code);
    at_end(code);
    dhow_sys::process::exit_now(code)
}

fn wait_or_kill(process: &ChildProcess) -> std::io::Result<ChildExit> {
    let signals = SignalFd::blocking(&[KILL_REQUEST])?;
    loop {
        let mut fds = [
            PollFd::from_borrowed_fd(process.pidfd(), PollFlags::IN),
            PollFd::from_borrowed_fd(signals.as_fd(), PollFlags::IN),
        ];
        rustix::io::retry_on_intr(|| poll(&mut fds, None))?;
        if !fds[0].revents().is_empty() {
            return process.wait();
        }
        while signals.next()?.is_some() {
            process.signal(libc::SIGKILL)?;
        }
    }
}

//! The small init that `--init` runs as process 1: it forwards signals, reaps orphans, and exits as the
//! program does. tini's role.

use std::ffi::OsString;
use std::os::fd::AsFd as _;
use std::os::unix::process::CommandExt as _;

use anyhow::{Context as _, Result};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, WaitOptions};

use dhow_error::{Failure, FailureKind, invalid};
use dhow_sys::process::{ChildProcess, ForkSide};
use dhow_sys::signal::SignalFd;

/// When executed by this name, dhow acts as that init.
pub const PROGRAM: &str = "docker-init";

/// Runs `args` (a leading `--` is dropped) as a child and returns its exit code.
pub fn run_reaper(args: &[OsString]) -> Result<i32> {
    let args = args.strip_prefix(&[OsString::from("--")]).unwrap_or(args);
    let (program, rest) = args.split_first().ok_or_else(|| invalid("no program to run"))?;
    // Blocked before the fork, so that no signal is lost in between.
    let signals = SignalFd::blocking(&dhow_sys::signal::forwardable()).context("receiving signals")?;
    match dhow_sys::process::fork().context("starting the program")? {
        ForkSide::Child => Err(become_program(program, rest)),
        ForkSide::Parent(child) => forward_and_reap(&signals, &child),
    }
}

fn become_program(program: &OsString, args: &[OsString]) -> anyhow::Error {
    if let Err(error) = take_foreground() {
        return error;
    }
    let error = std::process::Command::new(program).args(args).exec();
    let kind = match error.kind() {
        std::io::ErrorKind::NotFound => FailureKind::CommandNotFound,
        _ => FailureKind::CommandNotExecutable,
    };
    Failure::new(kind, format!("exec {}: {error}", program.to_string_lossy().escape_debug())).into()
}

/// Moves to a process group of its own, in the foreground of the terminal, if there is one.
fn take_foreground() -> Result<()> {
    rustix::process::setpgid(None, None).context("making a process group")?;
    let stdin = std::io::stdin();
    if dhow_sys::pty::is_terminal(stdin.as_fd()) {
        // SIGTTOU is still blocked here, so this does not stop the process.
        rustix::termios::tcsetpgrp(stdin.as_fd(), rustix::process::getpgrp())
            .context("taking the terminal")?;
    }
    Ok(dhow_sys::signal::reset_signals()?)
}

fn forward_and_reap(signals: &SignalFd, child: &ChildProcess) -> Result<i32> {
    loop {
        let mut fds = [PollFd::from_borrowed_fd(signals.as_fd(), PollFlags::IN)];
        // Also fails with EINTR; either way the descriptor tells what has arrived.
        let _ = poll(&mut fds, None);
        while let Some(signal) = signals.next()? {
            if signal != libc::SIGCHLD {
                child.signal(signal)?;
            } else if let Some(code) = reap(child)? {
                return Ok(code);
            }
        }
    }
}

/// Reaps every process that has ended. Returns the exit code once the program is among them.
fn reap(child: &ChildProcess) -> Result<Option<i32>> {
    loop {
        if let Some(exit) = child.try_wait()? {
            return Ok(Some(exit.code()));
        }
        // wait(2) may take the program too, since it ends at any time between the two calls.
        match rustix::process::wait(WaitOptions::NOHANG) {
            Ok(Some((pid, status))) if Some(pid) == Pid::from_raw(child.pid) => {
                return Ok(Some(
                    status.exit_status().unwrap_or_else(|| 128 + status.terminating_signal().unwrap_or(0)),
                ));
            }
            Ok(Some(_)) => {}
            Ok(None) | Err(rustix::io::Errno::CHILD) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
    }
}

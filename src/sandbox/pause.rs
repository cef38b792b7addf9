//! Stops the processes of a container where it has no cgroup to freeze: SIGSTOP to each, until none is left that runs.
//! In the same way it ends those that do not end with the first one.
//!
//! Unlike a frozen process a stopped one is seen by its parent; a shell with job control reports it. And those that the
//! container itself had stopped go on with the rest.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::{Duration, Instant};

use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::processes::{Boundary, inside};
use crate::sys::process::{self, signal_pidfd};

/// How long it may take until all have stopped, and how often to look.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(2);

/// Stops all processes inside the namespace of process `first`. Those started meanwhile are met in the next round: it
/// returns once a whole round found none that runs. A container that starts processes faster than they can be stopped is
/// an error of kind timed-out, and goes on.
pub fn stop(first: i32, boundary: Boundary) -> io::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let running: Vec<_> = members(first, boundary)?.into_iter().filter(|(pid, _)| runs(*pid)).collect();
        if running.is_empty() {
            return Ok(());
        }
        if Instant::now() > deadline {
            resume(first, boundary)?;
            return Err(io::ErrorKind::TimedOut.into());
        }
        for (_, pidfd) in &running {
            signal_pidfd(pidfd.as_fd(), libc::SIGSTOP)?;
        }
        std::thread::sleep(PAUSE);
    }
}

/// Lets all of them go on. The first process does so last, so that it finds nobody stopped.
pub fn resume(first: i32, boundary: Boundary) -> io::Result<()> {
    let mut members = members(first, boundary)?;
    members.sort_by_key(|(pid, _)| *pid == first);
    for (_, pidfd) in &members {
        signal_pidfd(pidfd.as_fd(), libc::SIGCONT)?;
    }
    Ok(())
}

/// Kills all of them but the first itself, which may have ended already but must not have been reaped; returns once none
/// is left. Those that do not end, for they wait for a disk or a server, are an error of kind timed-out.
pub fn kill_others(first: i32, boundary: Boundary) -> io::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let others: Vec<_> = members(first, boundary)?.into_iter().filter(|(pid, _)| *pid != first).collect();
        // Dead ones that their parent has not looked at yet need nothing more.
        if !others.iter().any(|(pid, _)| lives(*pid)) {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(io::ErrorKind::TimedOut.into());
        }
        for (_, pidfd) in &others {
            signal_pidfd(pidfd.as_fd(), libc::SIGKILL)?;
        }
        std::thread::sleep(PAUSE);
    }
}

/// The processes, held so that no other one can be taken for them: a number that was inside before and after its
/// descriptor was opened belonged to one process all the while, if that still lives.
fn members(first: i32, boundary: Boundary) -> io::Result<Vec<(i32, OwnedFd)>> {
    let open = |pid: i32| Some((pid, pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()?));
    let held: Vec<(i32, OwnedFd)> = inside(first, boundary)?.into_iter().filter_map(open).collect();
    let still: BTreeSet<i32> = inside(first, boundary)?.into_iter().collect();
    Ok(held.into_iter().filter(|(pid, _)| still.contains(pid)).collect())
}

/// Whether a process is neither stopped nor ended (proc_pid_stat(5), the field behind the name in brackets). One in the
/// kernel's hands for a while stops as soon as it leaves them, before it does anything: it counts as stopped once the
/// signal waits for it.
fn runs(pid: i32) -> bool {
    match state(pid) {
        Some('T' | 't' | 'Z' | 'X' | 'x') | None => false,
        Some('D') => !has_pending_stop(pid),
        Some(_) => true,
    }
}

fn lives(pid: i32) -> bool {
    !matches!(state(pid), Some('Z' | 'X' | 'x') | None)
}

fn state(pid: i32) -> Option<char> {
    process::stat_state(&process::stat(&pid.to_string())?)
}

/// Whether SIGSTOP waits to be delivered to the whole process (proc_pid_status(5), `ShdPnd`).
fn has_pending_stop(pid: i32) -> bool {
    let Ok(status) = fs::read_to_string(format!("/proc/{pid}/status")) else { return false };
    let mask = status.lines().find_map(|line| line.strip_prefix("ShdPnd:"));
    let mask = mask.and_then(|text| u64::from_str_radix(text.trim(), 16).ok()).unwrap_or_default();
    mask & (1 << (libc::SIGSTOP - 1)) != 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn everything_inside_stops_and_goes_on() {
        let script = "echo ready; while :; do sleep 0.01; done";
        let mut outer = Command::new("unshare")
            .args(["--user", "--map-root-user", "--fork", "--kill-child", "--pid", "sh", "-c", script])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let started =
            io::BufRead::read_line(&mut io::BufReader::new(outer.stdout.take().unwrap()), &mut line);
        if started.is_err() || line != "ready\n" {
            // The machine lets nobody make namespaces; containers cannot be shown there at all.
            outer.wait().unwrap();
            return;
        }
        let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", outer.id())).unwrap();
        let first: i32 = children.trim().parse().unwrap();
        stop(first, Boundary::Pid).unwrap();
        let all = members(first, Boundary::Pid).unwrap();
        assert!(!all.is_empty() && all.iter().all(|(pid, _)| !runs(*pid)));
        assert!(runs(std::process::id().cast_signed()));
        resume(first, Boundary::Pid).unwrap();
        let deadline = Instant::now() + PATIENCE;
        while !runs(first) {
            assert!(Instant::now() < deadline, "it does not go on");
            std::thread::sleep(PAUSE);
        }
        outer.kill().unwrap();
        outer.wait().unwrap();
    }
}

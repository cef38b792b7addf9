//! Pauses a container that has no cgroup to freeze: SIGSTOP to each process, until none is left running. Kills stray
//! processes of an ended container in the same way.
//!
//! Unlike a frozen process, a stopped one is visible to its parent: a shell with job control reports it. And
//! processes that the container itself had stopped resume with the rest.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::{Duration, Instant};

use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::processes::{NamespaceBoundary, pids_inside};
use dhow_sys::process::{self, signal_pidfd};

/// How long stopping all processes may take, and how often to check.
const TIMEOUT: Duration = Duration::from_secs(10);
const POLL_INTERVAL: Duration = Duration::from_millis(2);

/// Stops all processes inside the namespace of process `first`. Processes forked meanwhile are found in the
/// next round; it returns once a complete round finds none running. If a container forks faster than it can
/// be stopped, it is resumed and the error is of kind `TimedOut`.
pub fn stop_all(first: i32, boundary: NamespaceBoundary) -> io::Result<()> {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        let running: Vec<_> = members(first, boundary)?.into_iter().filter(|(pid, _)| runs(*pid)).collect();
        if running.is_empty() {
            return Ok(());
        }
        if Instant::now() > deadline {
            resume_all(first, boundary)?;
            return Err(io::ErrorKind::TimedOut.into());
        }
        for (_, pidfd) in &running {
            signal_pidfd(pidfd.as_fd(), libc::SIGSTOP)?;
        }
        std::thread::sleep(POLL_INTERVAL);
    }
}

/// Resumes all of them; the first process last, so that it finds none of its children stopped.
pub fn resume_all(first: i32, boundary: NamespaceBoundary) -> io::Result<()> {
    let mut members = members(first, boundary)?;
    members.sort_by_key(|(pid, _)| *pid == first);
    for (_, pidfd) in &members {
        signal_pidfd(pidfd.as_fd(), libc::SIGCONT)?;
    }
    Ok(())
}

/// Kills all of them but the first, which may have ended already but must not have been reaped; returns once
/// none is left. Processes in uninterruptible sleep can outlast the timeout (`TimedOut`).
pub fn kill_others(first: i32, boundary: NamespaceBoundary) -> io::Result<()> {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        let others: Vec<_> = members(first, boundary)?.into_iter().filter(|(pid, _)| *pid != first).collect();
        // Zombies need nothing but their parent's wait.
        if !others.iter().any(|(pid, _)| lives(*pid)) {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(io::ErrorKind::TimedOut.into());
        }
        for (_, pidfd) in &others {
            signal_pidfd(pidfd.as_fd(), libc::SIGKILL)?;
        }
        std::thread::sleep(POLL_INTERVAL);
    }
}

/// The processes with pidfds. A pid that was inside both before and after its pidfd was opened was the same
/// process all the time, provided that it is still alive.
fn members(first: i32, boundary: NamespaceBoundary) -> io::Result<Vec<(i32, OwnedFd)>> {
    let open = |pid: i32| Some((pid, pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()?));
    let opened: Vec<(i32, OwnedFd)> = pids_inside(first, boundary)?.into_iter().filter_map(open).collect();
    let remaining: BTreeSet<i32> = pids_inside(first, boundary)?.into_iter().collect();
    Ok(opened.into_iter().filter(|(pid, _)| remaining.contains(pid)).collect())
}

/// Whether a process is neither stopped nor dead (proc_pid_stat(5), the field after the name). One in
/// uninterruptible sleep stops before it runs any further code, so it counts as stopped once SIGSTOP is
/// pending.
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

/// Whether SIGSTOP is pending for the whole process (proc_pid_status(5), `ShdPnd`).
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
        if !dhow_testing::can_unshare(&["--user", "--map-root-user", "--fork", "--pid"]) {
            return;
        }
        let script = "echo ready; while :; do sleep 0.01; done";
        let mut outer = Command::new("unshare")
            .args(["--user", "--map-root-user", "--fork", "--kill-child", "--pid", "sh", "-c", script])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        io::BufRead::read_line(&mut io::BufReader::new(outer.stdout.take().unwrap()), &mut line).unwrap();
        assert_eq!(
            line,
            "ready
"
        );
        let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", outer.id())).unwrap();
        let first: i32 = children.trim().parse().unwrap();
        stop_all(first, NamespaceBoundary::Pid).unwrap();
        let all = members(first, NamespaceBoundary::Pid).unwrap();
        assert!(!all.is_empty() && all.iter().all(|(pid, _)| !runs(*pid)));
        assert!(runs(std::process::id().cast_signed()));
        resume_all(first, NamespaceBoundary::Pid).unwrap();
        let deadline = Instant::now() + TIMEOUT;
        while !runs(first) {
            assert!(Instant::now() < deadline, "it does not go on");
            std::thread::sleep(POLL_INTERVAL);
        }
        outer.kill().unwrap();
        outer.wait().unwrap();
    }
}

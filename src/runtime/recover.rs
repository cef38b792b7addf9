//! Recovery after a supervisor was killed: its container's first process may still be dying, and the state
//! still says that the container runs.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::first_process::{self, start_ticks};
use super::state::{ContainerState, now_rfc3339};
use dhow_error::{Failure, FailureKind};
use dhow_sandbox::cgroup::Cgroup;
use dhow_sandbox::pause::kill_others;
use dhow_sandbox::processes::NamespaceBoundary;
use dhow_store::LockedContainer;
use dhow_sys::process::signal_pidfd;

/// How long a killed process may take to exit; one in uninterruptible sleep (disk, NFS) cannot be hurried.
const KILL_TIMEOUT: Duration = Duration::from_secs(30);

/// Exit code of a container whose exit nobody saw.
const UNKNOWN_EXIT_CODE: i32 = 255;

/// Reconciles the recorded state with reality, and kills whatever is left. The caller holds the lock.
pub(crate) fn reconcile(container: &LockedContainer) -> Result<()> {
    let Some(state) = container.read_state::<ContainerState>()? else { return Ok(()) };
    if state.pid == 0 && !state.restarting {
        return Ok(());
    }
    let exit_code = if state.pid == 0 { state.exit_code } else { UNKNOWN_EXIT_CODE };
    let finished = if state.pid == 0 { state.finished.clone() } else { now_rfc3339() };
    kill_first_process(&state, first_process::boundary(container.spec()))
        .and_then(|()| remove_cgroup(&state, &container.spec().id))
        .with_context(|| format!("ending what is left of container {}", container.spec().name))?;
    let settled = ContainerState {
        pid: 0,
        ticks: 0,
        cgroup: None,
        restarting: false,
        paused: false,
        exit_code,
        finished,
        ..state
    };
    // On a full disk the old record stays. With the lock free it means the same, and removing the container
    // must still work.
    let _ = container.write_state(&settled);
    Ok(())
}

/// Kills what is left in the container's cgroup and removes it. A scope of systemd's goes away by itself.
fn remove_cgroup(state: &ContainerState, id: &str) -> Result<()> {
    let Some(path) = &state.cgroup else { return Ok(()) };
    match Cgroup::open(path, id)? {
        Some(cgroup) => cgroup.kill().and_then(|_| cgroup.remove()),
        None => Ok(()),
    }
}

/// Kills the first process, if the PID still belongs to it, and everything below it.
fn kill_first_process(state: &ContainerState, boundary: NamespaceBoundary) -> Result<()> {
    let Some(pid) = Pid::from_raw(state.pid) else { return Ok(()) };
    let pidfd = match pidfd_open(pid, PidfdFlags::empty()) {
        Err(Errno::SRCH) => return Ok(()),
        other => other?,
    };
    // The PID may have been reused, but then the process has a different start time. The pidfd was opened
    // before, so it is the process that is looked at here.
    if start_ticks(state.pid) != Some(state.ticks) {
        return Ok(());
    }
    // In a shared PID namespace the death of the first process kills nobody else.
    kill_others(state.pid, boundary)?;
    signal_pidfd(std::os::fd::AsFd::as_fd(&pidfd), libc::SIGKILL)?;
    let deadline = Instant::now() + KILL_TIMEOUT;
    let mut fds = [PollFd::new(&pidfd, PollFlags::IN)];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: left.subsec_nanos().into() };
        match poll(&mut fds, Some(&timeout)) {
            Ok(0) => {
                let message = format!("process {} was killed and does not end", state.pid);
                return Err(Failure::new(FailureKind::InUse, message)
                    .hint("it may wait for a disk or a server")
                    .into());
            }
            Ok(_) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

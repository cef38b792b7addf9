//! The first process of a running container, found in a way that no other process can be mistaken for it.
//!
//! # Why a PID is not enough
//!
//! The state file has only a PID, and the kernel reuses PIDs. So [`find`] turns it into a pidfd, and then checks that
//! the process's parent has the container's lock file open, which only its supervisor does. From then on only the
//! pidfd is used.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::state::ContainerState;
use dhow_error::{Failure, FailureKind};
use dhow_model::container::ContainerSpec;
use dhow_sandbox::processes::NamespaceBoundary;
use dhow_store::ContainerDir;

#[derive(Debug)]
pub struct FirstProcess {
    pid: i32,
    pidfd: OwnedFd,
}

impl FirstProcess {
    /// In the caller's PID namespace. The process may end at any time, and then the PID means nothing.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Whether it has ended; it may still be a zombie.
    pub fn has_ended(&self) -> Result<bool> {
        let mut fds = [PollFd::from_borrowed_fd(self.pidfd.as_fd(), PollFlags::IN)];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        Ok(rustix::io::retry_on_intr(|| poll(&mut fds, Some(&now)))? > 0)
    }

    /// Whether it is exiting and has already left its namespaces: the kernel may take a while to unmount what
    /// was in them, and nobody can join them any more.
    pub(crate) fn has_left_namespaces(&self) -> Result<bool> {
        let left = match rustix::fs::stat(format!("/proc/{}/ns/mnt", self.pid)) {
            Err(Errno::NOENT | Errno::SRCH) => true,
            // Anything else (EACCES) is reported by whoever enters the namespace.
            _ => false,
        };
        Ok(left || self.has_ended()?)
    }
}

impl AsFd for FirstProcess {
    /// The pidfd, which becomes readable when the process ends.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

/// How to tell the container's processes from others. Its own PID namespace holds only them (and those of
/// containers that share it); in the host's or another container's, they are the ones in its user namespace.
pub fn boundary(spec: &ContainerSpec) -> NamespaceBoundary {
    let namespaces = &spec.namespaces;
    if namespaces.pid_host || namespaces.pid_container.is_some() {
        NamespaceBoundary::User
    } else {
        NamespaceBoundary::Pid
    }
}

/// `None` if the container does not run, or has no process yet or any more.
///
/// Must be called before this process enters a user namespace: from inside one, the supervisor's descriptors cannot
/// be read, which is an error of kind `Denied`.
pub fn find(container: &ContainerDir) -> Result<Option<FirstProcess>> {
    let state: Option<ContainerState> = container.read_state()?;
    let Some(pid) = state.and_then(|state| Pid::from_raw(state.pid)) else { return Ok(None) };
    // From here on the process cannot be exchanged for another one with the same PID.
    let pidfd = match pidfd_open(pid, PidfdFlags::empty()) {
        Err(Errno::SRCH) => return Ok(None),
        other => other?,
    };
    let process = FirstProcess { pid: pid.as_raw_nonzero().get(), pidfd };
    // Checked last: a process that still lives now has had this PID ever since the pidfd was opened.
    if !parent_has_open(pid, &container.path().join("lock"))? || process.has_ended()? {
        return Ok(None);
    }
    Ok(Some(process))
}

/// The failure of commands that need the container to run, in docker's wording (26, `exec`, `top`, `kill`, `pause`).
pub fn not_running(container: &ContainerDir) -> Failure {
    Failure::new(FailureKind::Conflict, format!("container {} is not running", container.spec().id))
}

/// When process `pid` started, in clock ticks since boot (proc_pid_stat(5), `starttime`); `None` if it is
/// gone.
pub(crate) fn start_ticks(pid: i32) -> Option<u64> {
    dhow_sys::process::stat_field(&dhow_sys::process::stat(&pid.to_string())?, 22)
}

/// Whether the parent of process `pid` has the file `lock` open. `false` if the process is gone.
fn parent_has_open(pid: Pid, lock: &Path) -> Result<bool> {
    let Some(stat) = dhow_sys::process::stat(&pid.as_raw_nonzero().to_string()) else { return Ok(false) };
    let parent = dhow_sys::process::stat_field(&stat, 4).unwrap_or_default();
    let doing = || format!("looking at its supervisor, process {parent}");
    let descriptors = match std::fs::read_dir(format!("/proc/{parent}/fd")) {
        Err(error) if is_gone(&error) => return Ok(false),
        // Another user's process is not a supervisor of ours.
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => return Ok(false),
        other => other.with_context(doing)?,
    };
    let lock_file = match std::fs::metadata(lock) {
        Err(error) if is_gone(&error) => return Ok(false),
        other => other?,
    };
    for entry in descriptors.flatten() {
        match std::fs::metadata(entry.path()) {
            Ok(file) if (file.dev(), file.ino()) == (lock_file.dev(), lock_file.ino()) => return Ok(true),
            // This process is inside a user namespace; that must not pass for "not running".
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                return Err(error).with_context(doing);
            }
            _ => {}
        }
    }
    Ok(false)
}

/// ESRCH: the process ended while its directory in /proc was open.
fn is_gone(error: &std::io::Error) -> bool {
    error.kind() == std::io::ErrorKind::NotFound || error.raw_os_error() == Some(Errno::SRCH.raw_os_error())
}

#[cfg(test)]
mod tests {
    use super::*;
    use dhow_store::{Store, new_container_id};

    /// A container whose state names `pid`, held by this process.
    fn container(dir: &Path, pid: i32) -> dhow_store::LockedContainer {
        let store = Store::open(dir.to_owned()).unwrap();
        let spec =
            ContainerSpec { id: new_container_id().unwrap(), name: format!("c{pid}"), ..Default::default() };
        let container = store.create_container(&spec).unwrap();
        container.write_state(&ContainerState { pid, ..Default::default() }).unwrap();
        container
    }

    #[test]
    fn only_a_child_of_who_holds_the_lock_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        let pid = child.id().cast_signed();
        let held = container(dir.path(), pid);
        let found = find(&held).unwrap().unwrap();
        assert_eq!(found.pid(), pid);
        let place: ContainerDir = (*held).clone();
        drop(held);
        assert!(find(&place).unwrap().is_none(), "nobody holds the container");
        let _held = place.clone().lock().unwrap().unwrap();
        assert!(find(&place).unwrap().is_some());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(found.has_ended().unwrap());
        assert!(find(&place).unwrap().is_none(), "it has ended");
    }

    #[test]
    fn a_number_that_belongs_to_somebody_else_is_not_it() {
        let dir = tempfile::tempdir().unwrap();
        for pid in [0, 1, std::process::id().cast_signed()] {
            let held = container(dir.path(), pid);
            assert!(find(&held).unwrap().is_none(), "{pid}");
        }
    }
}

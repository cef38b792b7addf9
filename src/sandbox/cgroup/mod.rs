//! The cgroup of a container: how to obtain one, set its limits, freeze, kill and remove it.
//!
//! # Drivers
//!
//! - *systemd*: a user with a login session gets a delegated scope from systemd's user manager.
//! - *cgroupfs*: everyone else gets a cgroup in a directory that is delegated to this account, at or above its own
//!   cgroup, so that a container stays inside its job.
//! - *none*: limits are discarded with docker's warnings, plus the command that would enable them.
//!
//! [`CgroupManager`] detects the driver. A container without limits has no cgroup of its own and uses none of this.
//!
//! ```text
//! …/user@1000.service/app.slice/dhow-ID-PID.scope/   made by systemd, delegated
//! │   supervisor/                                    the process that owns the container
//! │   container/                                     limits are here, all its processes are here
//! …/the job's cgroup, or one above/dhow-ID/          limits and processes, in a directory that is ours
//! ```

mod cgroupfs;
mod controller;
mod directory;
mod hierarchy;
mod logout;
mod manager;
mod session;
mod settings;
mod systemd;
mod usage;

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};

use dhow_error::{Failure, FailureKind};
use dhow_model::limits::LimitsSpec;
use hierarchy::CgroupHierarchy;

pub use controller::{CgroupController, ControllerSet};
pub use logout::{LogoutEffect, logout_effect};
pub use manager::{CgroupManager, check_host_resources};
pub use session::SessionInfo;
pub use usage::ResourceUsage;

/// File system type of cgroup v2 in statfs(2): `CGROUP2_SUPER_MAGIC`.
const CGROUP2_MAGIC: u64 = 0x6367_7270;
/// How long freezing, killing and removal may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Polling interval where the kernel sends no event.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// Lets a process outside move into a container's cgroup.
#[derive(Clone, Debug)]
pub struct CgroupMembership {
    path: PathBuf,
    session: SessionInfo,
}

impl CgroupMembership {
    pub fn enter(&self) -> Result<()> {
        move_process(&self.path, 0, &self.session)
    }
}

/// Moves a process, or this one if `pid` is 0, into a cgroup. From a login session only systemd may do that
/// (EACCES).
fn move_process(path: &Path, pid: i32, session: &SessionInfo) -> Result<()> {
    match directory::move_process(path, &pid.to_string()) {
        // The process has ended.
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(()),
        Err(error) if error.raw_os_error() == Some(libc::EACCES) => {
            systemd::attach_process(path, pid, session)
        }
        other => Ok(other?),
    }
    .context("moving a process into the container's cgroup")
}

/// A container's own cgroup.
#[derive(Debug)]
pub struct Cgroup {
    dir: OwnedFd,
    path: PathBuf,
}

impl AsFd for Cgroup {
    /// The cgroup's directory, for `CLONE_INTO_CGROUP`.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }
}

impl Cgroup {
    fn open_at(path: PathBuf) -> Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let dir = rustix::fs::open(&path, flags, Mode::empty())
            .map_err(io::Error::from)
            .with_context(|| format!("opening the cgroup `{}`", path.display()))?;
        Ok(Self { dir, path })
    }

    /// Opens the cgroup of container `id` by the path that [`Cgroup::path`] returned when it was created;
    /// `None` if it is gone. Refuses a path that this module would not create for that container.
    pub fn open(path: &Path, id: &str) -> Result<Option<Self>> {
        let mismatch = || {
            Failure::new(
                FailureKind::Corrupt,
                format!("`{}` is not the cgroup of container {id}", path.display()),
            )
        };
        if !is_cgroup_of(path, id) {
            return Err(mismatch().into());
        }
        let cgroup = match Self::open_at(path.to_owned()) {
            Err(error) if dhow_error::kind_of(&error) == FailureKind::NotFound => return Ok(None),
            other => other?,
        };
        // The path comes from a record on disk, and its files are about to be written to.
        if rustix::fs::fstatfs(&cgroup.dir)?.f_type.cast_unsigned() != CGROUP2_MAGIC {
            return Err(mismatch().into());
        }
        Ok(Some(cgroup))
    }

    /// The container's cgroup that its process `pid` is in; `None` if it has none of its own, or if `pid` is
    /// gone.
    pub fn of_process(pid: i32, id: &str) -> Result<Option<Self>> {
        let Some(cgroup) = hierarchy::cgroup_of(pid)? else { return Ok(None) };
        // The container may have created nested cgroups and moved the process into one.
        let Some(own) = cgroup.ancestors().find(|path| is_cgroup_of(path, id)) else { return Ok(None) };
        CgroupHierarchy::find().map_or(Ok(None), |hierarchy| Self::open(&hierarchy.directory(own), id))
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Sets limits; unspecified ones stay as they are. Limits for which the kernel has no file are skipped;
    /// [`CgroupManager::discarded_limits`] has reported them.
    pub fn apply(&self, limits: &LimitsSpec) -> Result<()> {
        let available = ControllerSet::read(&self.path.join("cgroup.controllers"));
        for setting in settings::settings_for(limits)? {
            if !available.has(setting.controller) {
                continue;
            }
            // Of several names for one setting, the first that the kernel has is used.
            for (file, value) in setting.files.iter().zip(setting.values.iter().cycle()) {
                match directory::write_value(&self.path.join(file), value) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => return Err(refused(file, value, &error).into()),
                    Ok(()) => break,
                }
            }
        }
        Ok(())
    }

    /// docker's warnings for those of `limits` that have no effect in this cgroup.
    pub fn discarded_limits(&self, limits: &LimitsSpec) -> Vec<String> {
        let available = ControllerSet::read(&self.path.join("cgroup.controllers"));
        settings::discarded_limits(limits, available, |file| self.path.join(file).exists())
    }

    pub fn add_process(&self, pid: i32, session: &SessionInfo) -> Result<()> {
        move_process(&self.path, pid, session)
    }

    pub fn membership(&self, session: SessionInfo) -> CgroupMembership {
        CgroupMembership { path: self.path.clone(), session }
    }

    /// Whether process `pid` is in it. True if the process is gone: there is nothing left to move.
    pub fn contains_process(&self, pid: i32) -> bool {
        let Some(hierarchy) = CgroupHierarchy::find() else { return false };
        match hierarchy::cgroup_of(pid) {
            Ok(Some(cgroup)) => hierarchy.directory(&cgroup).starts_with(&self.path),
            Ok(None) => true,
            Err(_) => false,
        }
    }

    /// Freezes or thaws all processes, and waits until that has happened.
    pub fn freeze(&self, frozen: bool) -> Result<()> {
        directory::write_value(&self.path.join("cgroup.freeze"), if frozen { "1" } else { "0" })
            .context("freezing the container's processes")?;
        let value = u64::from(frozen);
        if self.await_event("frozen", value)? {
            return Ok(());
        }
        Err(Failure::new(FailureKind::Other, "the container's processes did not freeze in time").into())
    }

    /// Kills all processes and waits until none is left. False if some remain after a while, in
    /// uninterruptible sleep.
    pub fn kill(&self) -> Result<bool> {
        match directory::write_value(&self.path.join("cgroup.kill"), "1") {
            // cgroup.kill exists since Linux 5.14.
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.kill_each(&self.path)?,
            other => other.context("killing the container's processes")?,
        }
        self.await_event("populated", 0)
    }

    /// Fallback without cgroup.kill. Frozen processes die too; processes forked meanwhile are killed in the
    /// next round.
    fn kill_each(&self, path: &Path) -> Result<()> {
        let deadline = Instant::now() + TIMEOUT;
        while Instant::now() < deadline {
            let processes = std::fs::read_to_string(path.join("cgroup.procs"))?;
            let parse = |pid: &str| rustix::process::Pid::from_raw(pid.parse().ok()?);
            let pids: Vec<_> = processes.lines().filter_map(parse).collect();
            if pids.is_empty() {
                break;
            }
            for pid in pids {
                // ESRCH is fine: it has ended meanwhile.
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
            std::thread::sleep(POLL_INTERVAL);
        }
        directory::child_cgroups(path).iter().try_for_each(|below| self.kill_each(below))
    }

    /// Number of processes that the OOM killer has killed.
    pub fn oom_kills(&self) -> u64 {
        let events = std::fs::read_to_string(self.path.join("memory.events")).unwrap_or_default();
        directory::value_of(&events, "oom_kill").unwrap_or_default()
    }

    pub fn usage(&self) -> ResourceUsage {
        ResourceUsage::read(&self.path)
    }

    /// Removes it once its last process has ended.
    pub fn remove(&self) -> Result<()> {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            match directory::remove_tree(&self.path) {
                // EBUSY: a killed process is still exiting.
                Err(error) if error.raw_os_error() == Some(libc::EBUSY) && Instant::now() < deadline => {
                    std::thread::sleep(POLL_INTERVAL);
                }
                other => {
                    return other.with_context(|| format!("removing the cgroup `{}`", self.path.display()));
                }
            }
        }
    }

    /// Waits until `key` in `cgroup.events` has this value; false on timeout.
    fn await_event(&self, key: &str, value: u64) -> Result<bool> {
        let events = std::fs::File::open(self.path.join("cgroup.events"))?;
        let deadline = Instant::now() + TIMEOUT;
        loop {
            let mut text = String::new();
            io::Seek::rewind(&mut &events)?;
            io::Read::read_to_string(&mut &events, &mut text)?;
            if directory::value_of(&text, key) == Some(value) {
                return Ok(true);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(false);
            }
            // kernfs reports a change of the file as POLLPRI.
            let mut fds = [PollFd::new(&events, PollFlags::PRI)];
            let limit = Timespec::try_from(left).map_err(io::Error::other)?;
            rustix::io::retry_on_intr(|| poll(&mut fds, Some(&limit)))?;
        }
    }
}

/// Whether this module would create `path` for container `id`.
fn is_cgroup_of(path: &Path, id: &str) -> bool {
    let name = |path: &Path| path.file_name().and_then(|name| name.to_str()).map(str::to_owned);
    let plain = path.is_absolute() && path.components().all(|part| part != std::path::Component::ParentDir);
    let delegated = name(path) == Some(format!("dhow-{id}"));
    let scope = path
        .parent()
        .and_then(name)
        .is_some_and(|scope| scope.starts_with(&format!("dhow-{id}-")) && scope.ends_with(".scope"));
    plain && !id.is_empty() && (delegated || (scope && name(path).as_deref() == Some("container")))
}

fn refused(file: &str, value: &str, error: &io::Error) -> Failure {
    Failure::new(FailureKind::Invalid, format!("cannot set {file} to `{value}`: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_that_are_made_here_are_opened() {
        let id = "a".repeat(64);
        let good = [
            format!("/sys/fs/cgroup/x/dhow-{id}"),
            format!("/sys/fs/cgroup/app.slice/dhow-{id}-12.scope/container"),
        ];
        for path in &good {
            assert!(is_cgroup_of(Path::new(path), &id), "{path}");
            assert!(!is_cgroup_of(Path::new(path), &"b".repeat(64)), "{path}");
        }
        for path in [
            format!("sys/dhow-{id}"),
            format!("/sys/../dhow-{id}"),
            format!("/sys/dhow-{id}/below"),
            format!("/sys/dhow-{id}-12.scope/supervisor"),
            "/sys/fs/cgroup".into(),
        ] {
            assert!(!is_cgroup_of(Path::new(&path), &id), "{path}");
            assert!(Cgroup::open(Path::new(&path), &id).is_err(), "{path}");
        }
        assert!(!is_cgroup_of(Path::new("/sys/dhow-"), ""));
        // The right name in another file system.
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(format!("dhow-{id}"));
        assert!(Cgroup::open(&path, &id).unwrap().is_none());
        std::fs::create_dir(&path).unwrap();
        assert!(Cgroup::open(&path, &id).is_err());
    }

    #[test]
    fn the_bus_is_found_in_its_address() {
        let bus = |address: &str| {
            SessionInfo { bus: Some(address.into()), ..Default::default() }
                .bus()
                .map(|path| path.display().to_string())
        };
        assert_eq!(bus("unix:path=/run/user/1000/bus").as_deref(), Some("/run/user/1000/bus"));
        assert_eq!(bus("unix:guid=1,path=/a;tcp:host=x").as_deref(), Some("/a"));
        assert_eq!(bus("unix:abstract=/tmp/x"), None);
    }
}

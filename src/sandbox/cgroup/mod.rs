//! The cgroup of a container: how one can be had is found out by looking, and what cannot be had is said.
//!
//! Who is logged in gets a scope from systemd's user manager. Everybody else gets a cgroup in a directory that was given
//! to this account, at or above the own cgroup, which keeps a container inside its job. Where there is neither, limits are
//! discarded with docker's words and the command that would change it. A container without limits has no cgroup of its
//! own, and nothing here is asked for it.
//!
//! ```text
//! …/user@1000.service/app.slice/dhow-ID-PID.scope/   made by systemd, delegated
//! │   supervisor/                                    the process that owns the container
//! │   container/                                     limits are here, all its processes are here
//! …/the job's cgroup, or one above/dhow-ID/          limits and processes, in a directory that is ours
//! ```

mod controller;
mod delegated;
mod group;
mod hierarchy;
mod logout;
mod settings;
mod systemd;
mod usage;
mod way;

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};

use crate::error::{Failure, Kind};
use crate::model::limits::LimitsSpec;
use hierarchy::Hierarchy;

pub use controller::{Controller, Controllers};
pub use logout::{Logout, at_logout};
pub use usage::Usage;
pub use way::{Way, check_machine};

/// What `fstatfs` says of a cgroup v2 (statfs(2)).
const MAGIC: u64 = 0x6367_7270;
/// How long freezing, killing and removal may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often to look where the kernel does not tell.
const PAUSE: Duration = Duration::from_millis(5);

/// What is to be known of the account and its session.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// `XDG_RUNTIME_DIR`.
    pub runtime_dir: Option<PathBuf>,
    /// `DBUS_SESSION_BUS_ADDRESS`.
    pub bus: Option<String>,
    /// Number of the user.
    pub uid: u32,
    /// Whether a process must leave its login session to outlive it ([`Logout::KillsSession`]).
    pub leave_session: bool,
}

impl Surroundings {
    fn runtime_dir(&self) -> PathBuf {
        self.runtime_dir.clone().unwrap_or_else(|| PathBuf::from(format!("/run/user/{}", self.uid)))
    }

    /// The socket of the session bus, where its address is a path.
    fn bus(&self) -> Option<PathBuf> {
        let first = self.bus.as_deref()?.split(';').next()?;
        let options = first.strip_prefix("unix:")?;
        options.split(',').find_map(|option| option.strip_prefix("path=")).map(PathBuf::from)
    }
}

/// The way into a container's cgroup for a process outside.
#[derive(Clone, Debug)]
pub struct Membership {
    path: PathBuf,
    surroundings: Surroundings,
}

impl Membership {
    /// Moves this process there.
    pub fn enter(&self) -> Result<()> {
        admit(&self.path, 0, &self.surroundings)
    }
}

/// Moves a process, or with 0 this one, into a cgroup. Who is in a login session needs systemd for that.
fn admit(path: &Path, pid: i32, surroundings: &Surroundings) -> Result<()> {
    match group::admit(path, &pid.to_string()) {
        // It has ended.
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(()),
        Err(error) if error.raw_os_error() == Some(libc::EACCES) => systemd::admit(path, pid, surroundings),
        other => Ok(other?),
    }
    .context("moving a process into the container's cgroup")
}

/// The cgroup of a container.
#[derive(Debug)]
pub struct Cgroup {
    dir: OwnedFd,
    path: PathBuf,
}

impl AsFd for Cgroup {
    /// Its directory, for a process to be started in it.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }
}

impl Cgroup {
    fn at(path: PathBuf) -> Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let dir = rustix::fs::open(&path, flags, Mode::empty())
            .map_err(io::Error::from)
            .with_context(|| format!("opening the cgroup `{}`", path.display()))?;
        Ok(Self { dir, path })
    }

    /// Opens the cgroup of container `id` by the path that [`Cgroup::path`] gave when it was made; `None` where it is
    /// gone. A path that is not one that this module makes for that container is refused.
    pub fn open(path: &Path, id: &str) -> Result<Option<Self>> {
        let strange = || {
            Failure::new(Kind::Corrupt, format!("`{}` is not the cgroup of container {id}", path.display()))
        };
        if !is_of(path, id) {
            return Err(strange().into());
        }
        let found = match Self::at(path.to_owned()) {
            Err(error) if crate::error::kind_of(&error) == Kind::NotFound => return Ok(None),
            other => other?,
        };
        if rustix::fs::fstatfs(&found.dir)?.f_type.cast_unsigned() != MAGIC {
            return Err(strange().into());
        }
        Ok(Some(found))
    }

    /// The cgroup of container `id` that its process `pid` is in; `None` where it has none of its own, or `pid` is gone.
    pub fn of(pid: i32, id: &str) -> Result<Option<Self>> {
        let Some(cgroup) = hierarchy::cgroup_of(pid)? else { return Ok(None) };
        // A process may be in a cgroup that the container itself made below its own.
        let Some(own) = cgroup.ancestors().find(|path| is_of(path, id)) else { return Ok(None) };
        Hierarchy::find().map_or(Ok(None), |hierarchy| Self::open(&hierarchy.directory(own), id))
    }

    /// Its directory, absolute.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Sets limits; those that are not asked for stay as they are. What the kernel has no file for is passed over: it
    /// was said before by [`Way::discarded`].
    pub fn apply(&self, limits: &LimitsSpec) -> Result<()> {
        let had = Controllers::read(&self.path.join("cgroup.controllers"));
        for setting in settings::settings(limits)? {
            if !had.has(setting.controller) {
                continue;
            }
            for (file, value) in setting.files.iter().zip(setting.values.iter().cycle()) {
                match group::put(&self.path.join(file), value) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => return Err(refused(file, value, &error).into()),
                    Ok(()) => break,
                }
            }
        }
        Ok(())
    }

    /// docker's sentences about those of `limits` that cannot hold in it.
    pub fn discarded(&self, limits: &LimitsSpec) -> Vec<String> {
        let had = Controllers::read(&self.path.join("cgroup.controllers"));
        settings::discarded(limits, had, |file| self.path.join(file).exists())
    }

    /// Moves a process into it.
    pub fn admit(&self, pid: i32, surroundings: &Surroundings) -> Result<()> {
        admit(&self.path, pid, surroundings)
    }

    /// What a process needs to enter it by itself.
    pub fn membership(&self, surroundings: Surroundings) -> Membership {
        Membership { path: self.path.clone(), surroundings }
    }

    /// Whether process `pid` is in it. One that is gone counts as in it: there is nothing to be done about it.
    pub fn holds(&self, pid: i32) -> bool {
        let Some(hierarchy) = Hierarchy::find() else { return false };
        match hierarchy::cgroup_of(pid) {
            Ok(Some(cgroup)) => hierarchy.directory(&cgroup).starts_with(&self.path),
            Ok(None) => true,
            Err(_) => false,
        }
    }

    /// Freezes or thaws all its processes, and waits until they are.
    pub fn freeze(&self, frozen: bool) -> Result<()> {
        group::put(&self.path.join("cgroup.freeze"), if frozen { "1" } else { "0" })
            .context("freezing the container's processes")?;
        let wanted = u64::from(frozen);
        if self.wait_for("frozen", wanted)? {
            return Ok(());
        }
        Err(Failure::new(Kind::Other, "the container's processes did not freeze in time").into())
    }

    /// Kills all its processes, and waits until none is left: false if some are after a while, in the kernel's hands.
    pub fn kill(&self) -> Result<bool> {
        match group::put(&self.path.join("cgroup.kill"), "1") {
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.kill_each(&self.path)?,
            other => other.context("killing the container's processes")?,
        }
        self.wait_for("populated", 0)
    }

    /// For kernels before 5.14. A frozen process dies all the same; one that forks is met in the next round.
    fn kill_each(&self, path: &Path) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            let processes = std::fs::read_to_string(path.join("cgroup.procs"))?;
            let parse = |pid: &str| rustix::process::Pid::from_raw(pid.parse().ok()?);
            let pids: Vec<_> = processes.lines().filter_map(parse).collect();
            if pids.is_empty() {
                break;
            }
            for pid in pids {
                // One that has ended meanwhile is what was wanted.
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
            std::thread::sleep(PAUSE);
        }
        group::below(path).iter().try_for_each(|below| self.kill_each(below))
    }

    /// How many of its processes were killed because its memory ran out.
    pub fn oom_kills(&self) -> u64 {
        let events = std::fs::read_to_string(self.path.join("memory.events")).unwrap_or_default();
        group::value_of(&events, "oom_kill").unwrap_or_default()
    }

    /// What it uses now.
    pub fn usage(&self) -> Usage {
        Usage::read(&self.path)
    }

    /// Removes it once its last process has ended.
    pub fn remove(self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match group::remove(&self.path) {
                Err(error) if error.raw_os_error() == Some(libc::EBUSY) && Instant::now() < deadline => {
                    std::thread::sleep(PAUSE);
                }
                other => {
                    return other.with_context(|| format!("removing the cgroup `{}`", self.path.display()));
                }
            }
        }
    }

    /// Waits until `cgroup.events` has this value; false after a while.
    fn wait_for(&self, key: &str, wanted: u64) -> Result<bool> {
        let events = std::fs::File::open(self.path.join("cgroup.events"))?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let mut text = String::new();
            io::Seek::rewind(&mut &events)?;
            io::Read::read_to_string(&mut &events, &mut text)?;
            if group::value_of(&text, key) == Some(wanted) {
                return Ok(true);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(false);
            }
            // The kernel reports a change of the file as a priority event.
            let mut fds = [PollFd::new(&events, PollFlags::PRI)];
            let limit = Timespec::try_from(left).map_err(io::Error::other)?;
            rustix::io::retry_on_intr(|| poll(&mut fds, Some(&limit)))?;
        }
    }
}

/// Whether `path` is one that this module makes for container `id`.
fn is_of(path: &Path, id: &str) -> bool {
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
    Failure::new(Kind::Invalid, format!("cannot set {file} to `{value}`: {error}"))
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
            assert!(is_of(Path::new(path), &id), "{path}");
            assert!(!is_of(Path::new(path), &"b".repeat(64)), "{path}");
        }
        for path in [
            format!("sys/dhow-{id}"),
            format!("/sys/../dhow-{id}"),
            format!("/sys/dhow-{id}/below"),
            format!("/sys/dhow-{id}-12.scope/supervisor"),
            "/sys/fs/cgroup".into(),
        ] {
            assert!(!is_of(Path::new(&path), &id), "{path}");
            assert!(Cgroup::open(Path::new(&path), &id).is_err(), "{path}");
        }
        assert!(!is_of(Path::new("/sys/dhow-"), ""));
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
            Surroundings { bus: Some(address.into()), ..Default::default() }
                .bus()
                .map(|path| path.display().to_string())
        };
        assert_eq!(bus("unix:path=/run/user/1000/bus").as_deref(), Some("/run/user/1000/bus"));
        assert_eq!(bus("unix:guid=1,path=/a;tcp:host=x").as_deref(), Some("/a"));
        assert_eq!(bus("unix:abstract=/tmp/x"), None);
    }
}

//! Single operations on a cgroup's directory (cgroups(7), `Documentation/admin-guide/cgroup-v2.rst`).

use std::io::{self, Write as _};
use std::path::Path;

use anyhow::{Context as _, Result};
use rustix::fs::{AtFlags, CWD, Mode, mkdirat, unlinkat};
use rustix::io::Errno;

use super::controller::{Controller, Controllers};

/// Creates the directory unless it exists.
pub(super) fn make_dir(path: &Path) -> Result<()> {
    match mkdirat(CWD, path, Mode::from_raw_mode(0o755)) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(error) => {
            Err(io::Error::from(error)).with_context(|| format!("making the cgroup `{}`", path.display()))
        }
    }
}

/// Writes to a cgroup's file. Never creates it, which cgroupfs would refuse with a misleading error.
pub(super) fn put(path: &Path, value: &str) -> io::Result<()> {
    std::fs::OpenOptions::new().write(true).open(path)?.write_all(value.as_bytes())
}

/// Moves process `pid`, or this one if it is `0`, into a cgroup.
pub(super) fn admit(path: &Path, pid: &str) -> io::Result<()> {
    put(&path.join("cgroup.procs"), pid)
}

/// Enables as many of `controllers` for children of `path` as the kernel permits, and returns those enabled.
pub(super) fn enable(path: &Path, controllers: Controllers) -> Controllers {
    let file = path.join("cgroup.subtree_control");
    let mut enabled = Controllers::read(&file);
    for controller in
        controllers.iter().filter(|controller| !enabled.has(*controller)).collect::<Vec<Controller>>()
    {
        if put(&file, &format!("+{}", controller.name())).is_ok() {
            enabled.insert(controller);
        }
    }
    enabled
}

/// Removes a cgroup and its descendants. One that is gone already is no error; EBUSY if processes are left.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    for below in below(path) {
        remove(&below)?;
    }
    match unlinkat(CWD, path, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// The direct child cgroups.
pub(super) fn below(path: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}

/// The number in a single-value file such as `pids.current`; `None` if it is `max` or cannot be read.
pub(super) fn number(path: &Path) -> Option<u64> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// The number after `key` in a flat keyed file such as `cgroup.events`.
pub(super) fn value_of(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_found_by_their_whole_key() {
        let text = "oom 1\noom_kill 3\noom_group_kill 0\n";
        assert_eq!(value_of(text, "oom_kill"), Some(3));
        assert_eq!(value_of(text, "oom"), Some(1));
        assert_eq!(value_of(text, "kill"), None);
    }
}

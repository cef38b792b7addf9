//! Single operations on a cgroup's directory (cgroups(7), `Documentation/admin-guide/cgroup-v2.rst`).

use std::io::{self, Write as _};
use std::path::Path;

use anyhow::{Context as _, Result};
use rustix::fs::{AtFlags, CWD, Mode, mkdirat, unlinkat};
use rustix::io::Errno;

use super::controller::{CgroupController, ControllerSet};

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
pub(crate) fn write_value(path: &Path, value: &str) -> io::Result<()> {
    std::fs::OpenOptions::new().write(true).open(path)?.write_all(value.as_bytes())
}

/// Moves process `pid`, or this one if it is `0`, into a cgroup.
pub(crate) fn move_process(path: &Path, pid: &str) -> io::Result<()> {
    write_value(&path.join("cgroup.procs"), pid)
}

/// Enables as many of `controllers` for children of `path` as the kernel permits, and returns those enabled.
pub(crate) fn enable_controllers(path: &Path, controllers: ControllerSet) -> ControllerSet {
    let file = path.join("cgroup.subtree_control");
    let mut enabled = ControllerSet::read(&file);
    for controller in
        controllers.iter().filter(|controller| !enabled.has(*controller)).collect::<Vec<CgroupController>>()
    {
        // One write for each: of several in one write, either all succeed or all fail.
        if write_value(&file, &format!("+{}", controller.name())).is_ok() {
            enabled.insert(controller);
        }
    }
    enabled
}

/// Removes a cgroup and its descendants. One that is gone already is no error; EBUSY if processes are left.
pub(super) fn remove_tree(path: &Path) -> io::Result<()> {
    for child in child_cgroups(path) {
        remove_tree(&child)?;
    }
    // The directory alone: its files are the kernel's, and go with it.
    match unlinkat(CWD, path, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// The direct child cgroups.
pub(crate) fn child_cgroups(path: &Path) -> Vec<std::path::PathBuf> {
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

//! Processes and mounts that a test left behind.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};

use super::Account;
use super::process::{contains, readable};

/// Time for processes to end after the command that started them.
const GRACE: Duration = Duration::from_secs(30);

/// A process that belongs to a test.
#[derive(Clone, Debug)]
pub(crate) struct Process {
    pub(crate) pid: Pid,
    pub(crate) command: String,
}

/// The processes of `account` that refer to `dir` in their environment, arguments, mounts, working directory or root, and
/// their descendants. So tests that run at once find only their own.
pub(crate) fn processes(account: &Account, dir: &Path) -> Vec<Process> {
    let table = process_table(account);
    let own = std::process::id().cast_signed();
    let mut found: HashSet<i32> =
        table.keys().copied().filter(|pid| *pid != own && concerns(*pid, dir)).collect();
    loop {
        let children: Vec<i32> = table
            .iter()
            .filter(|(pid, parent)| found.contains(parent) && !found.contains(pid))
            .map(|(pid, _)| *pid)
            .collect();
        if children.is_empty() {
            break;
        }
        found.extend(children);
    }
    found.into_iter().filter_map(describe).collect()
}

/// Process ids of `account`, with the parents'.
fn process_table(account: &Account) -> HashMap<i32, i32> {
    let entries = fs::read_dir("/proc").expect("/proc");
    entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let pid = entry.file_name().to_str()?.parse().ok()?;
            let status = fs::read_to_string(entry.path().join("status")).ok()?;
            let field = |name: &str| {
                status
                    .lines()
                    .find_map(|line| line.strip_prefix(name)?.split_whitespace().next()?.parse::<u32>().ok())
            };
            account.owns(field("Uid:")?).then_some(())?;
            Some((pid, field("PPid:")?.cast_signed()))
        })
        .collect()
}

fn concerns(pid: i32, dir: &Path) -> bool {
    let proc = Path::new("/proc").join(pid.to_string());
    let mentions = |file: &str| {
        fs::read(proc.join(file)).is_ok_and(|bytes| contains(&bytes, dir.as_os_str().as_bytes()))
    };
    let points = |link: &str| fs::read_link(proc.join(link)).is_ok_and(|target| target.starts_with(dir));
    mentions("environ") || mentions("mountinfo") || mentions("cmdline") || points("cwd") || points("root")
}

fn describe(pid: i32) -> Option<Process> {
    let proc = Path::new("/proc").join(pid.to_string());
    let status = fs::read_to_string(proc.join("status")).ok()?;
    // A zombie is not left behind by dhow: its parent has not waited yet.
    let dead = status.lines().any(|line| line.starts_with("State:\tZ") || line.starts_with("State:\tX"));
    let command = fs::read(proc.join("cmdline")).unwrap_or_default();
    let command = String::from_utf8_lossy(&command).replace('\0', " ");
    (!dead).then_some(Process { pid: Pid::from_raw(pid)?, command })
}

/// Fails if processes are left after [`GRACE`], or a mount below `dir`.
pub(crate) fn check(account: &Account, dir: &Path) -> Result<(), String> {
    let deadline = Instant::now() + GRACE;
    loop {
        let left = processes(account, dir);
        let Some(first) = left.first() else { break };
        let ended =
            pidfd_open(first.pid, PidfdFlags::empty()).map_or(true, |fd| readable(fd.as_fd(), deadline));
        if !ended {
            return Err(format!("left running: {left:?}"));
        }
    }
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    match mounts.lines().find(|line| line.contains(&*dir.to_string_lossy())) {
        Some(line) => Err(format!("left mounted: {line}")),
        None => Ok(()),
    }
}

/// Kills what is left until nothing is.
pub(crate) fn kill(account: &Account, dir: &Path) {
    let deadline = Instant::now() + GRACE;
    loop {
        let left = processes(account, dir);
        if left.is_empty() || Instant::now() > deadline {
            return;
        }
        for process in &left {
            // Failing means that it is gone already.
            let _ = kill_process(process.pid, Signal::KILL);
        }
        for process in &left {
            if let Ok(fd) = pidfd_open(process.pid, PidfdFlags::empty()) {
                readable(fd.as_fd(), deadline);
            }
        }
    }
}

/// The owner of a path, without following links.
pub(crate) fn owner(path: &Path) -> (u32, u32) {
    let meta = fs::symlink_metadata(path).expect("metadata");
    (meta.uid(), meta.gid())
}

//! Subordinate ids: what subuid(5) and subgid(5) grant to the account, and the setuid programs that map them.

use std::ffi::CString;
use std::fs;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use dhow_error::{Failure, FailureKind};
use dhow_sys::process::{ChildExit, ChildProcess};
use dhow_sys::spawn;

use super::idmap::{IdMap, IdMapExtent};

/// Subordinate ids and the programs that map them. Ranges are start and length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SubordinateIds {
    pub(super) uids: Vec<(u32, u32)>,
    pub(super) gids: Vec<(u32, u32)>,
    newuidmap: PathBuf,
    newgidmap: PathBuf,
}

/// Finds the ranges and the programs; otherwise a text says what is missing.
pub(super) fn find_subordinate_ids(
    uid: u32,
    login: Option<&str>,
    path: &str,
) -> std::result::Result<SubordinateIds, String> {
    let program = |name: &str| {
        find_privileged(name, path)
            .ok_or_else(|| format!("`{name}` is not installed, or has lost its privilege (package uidmap)"))
    };
    // Without the programs, ranges are of no use: only a privileged process may map ids other than its own.
    let (newuidmap, newgidmap) = (program("newuidmap")?, program("newgidmap")?);
    let name = account_name(uid).or_else(|| login.map(str::to_owned));
    let uids = ranges("/etc/subuid", uid, name.as_deref());
    let gids = ranges("/etc/subgid", uid, name.as_deref());
    // getsubids costs a process, so it is asked only if another source is configured.
    let (uids, gids) = if (uids.is_empty() || gids.is_empty()) && has_directory_of_ids() {
        (ask_getsubids(&[], name.as_deref(), path), ask_getsubids(&["-g"], name.as_deref(), path))
    } else {
        (uids, gids)
    };
    if uids.is_empty() || gids.is_empty() {
        let account = name.unwrap_or_else(|| uid.to_string());
        return Err(format!("`{account}` has no subordinate ids in /etc/subuid and /etc/subgid"));
    }
    Ok(SubordinateIds { uids, gids, newuidmap, newgidmap })
}

fn account_name(uid: u32) -> Option<String> {
    let passwd = fs::read_to_string("/etc/passwd").ok()?;
    let uid = uid.to_string();
    passwd
        .lines()
        .map(|line| line.split(':').collect::<Vec<_>>())
        .find(|f| f.get(2) == Some(&uid.as_str()))
        .map(|f| f[0].to_owned())
}

/// Start and length of each range that `file` grants to the account, by name or number (subuid(5)).
fn ranges(file: &str, uid: u32, name: Option<&str>) -> Vec<(u32, u32)> {
    parse_ranges(&fs::read_to_string(file).unwrap_or_default(), uid, name)
}

fn parse_ranges(text: &str, uid: u32, name: Option<&str>) -> Vec<(u32, u32)> {
    let number = uid.to_string();
    let mut ranges = Vec::new();
    for line in text.lines() {
        let fields: Vec<&str> = line.trim().split(':').collect();
        let [owner, start, count] = fields.as_slice() else { continue };
        if Some(*owner) != name && *owner != number {
            continue;
        }
        if let (Ok(start), Ok(count)) = (start.parse::<u32>(), count.parse::<u32>())
            && count > 0
            && start.checked_add(count).is_some()
        {
            ranges.push((start, count));
        }
    }
    ranges
}

/// Whether nsswitch.conf(5) names a source of subordinate ids other than the files.
fn has_directory_of_ids() -> bool {
    let text = fs::read_to_string("/etc/nsswitch.conf").unwrap_or_default();
    let sources = text.lines().find_map(|line| line.trim_start().strip_prefix("subid:")).unwrap_or_default();
    sources.split_whitespace().any(|source| source != "files")
}

/// Asks libsubid's getsubids(1), which also queries directory services. Its lines are `0: name start count`.
fn ask_getsubids(flags: &[&str], name: Option<&str>, path: &str) -> Vec<(u32, u32)> {
    let (Some(program), Some(name)) = (find_program("getsubids", path), name) else { return Vec::new() };
    let Ok(output) = std::process::Command::new(program).args(flags).arg(name).output() else {
        return Vec::new();
    };
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let fields = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    fields
        .filter_map(|f| Some((f.get(2)?.parse().ok()?, f.get(3)?.parse().ok()?)))
        .filter(|range| range.1 > 0)
        .collect()
}

fn find_program(name: &str, path: &str) -> Option<PathBuf> {
    // A relative entry would find a program in whatever directory the command runs in.
    let dirs = path.split(':').filter(|dir| dir.starts_with('/'));
    dirs.chain(["/usr/bin", "/usr/sbin", "/bin"])
        .map(|dir| Path::new(dir).join(name))
        .find(|file| file.is_file())
}

/// Finds a program that is setuid root or has file capabilities; without either it cannot map ids.
fn find_privileged(name: &str, path: &str) -> Option<PathBuf> {
    let program = find_program(name, path)?;
    let mode = fs::metadata(&program).ok()?.permissions().mode();
    let mut buffer = [0_u8; 64];
    let mut capable = || rustix::fs::getxattr(&program, "security.capability", &mut buffer[..]).is_ok();
    (mode & 0o4000 != 0 || capable()).then_some(program)
}

pub(super) fn map_with_helpers(sub: &SubordinateIds, map: &IdMap, pid: i32) -> Result<()> {
    let null = dhow_sys::stdio::open_dev_null()?;
    let (mut uid_errors, uid_stderr) = pipe()?;
    let (mut gid_errors, gid_stderr) = pipe()?;
    // Both run at once, since every start waits for them.
    let uid = spawn_helper(&sub.newuidmap, pid, &map.uids, null.as_fd(), uid_stderr.as_fd())?;
    let gid = spawn_helper(&sub.newgidmap, pid, &map.gids, null.as_fd(), gid_stderr.as_fd())?;
    drop((uid_stderr, gid_stderr));
    check_helper("newuidmap", &uid, &mut uid_errors)?;
    check_helper("newgidmap", &gid, &mut gid_errors)
}

/// Both ends close-on-exec.
pub(super) fn pipe() -> Result<(fs::File, OwnedFd)> {
    let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    Ok((fs::File::from(read), write))
}

/// Without an environment: the program would load its messages in the user's language.
fn spawn_helper(
    program: &Path,
    pid: i32,
    lines: &[IdMapExtent],
    null: BorrowedFd<'_>,
    stderr: BorrowedFd<'_>,
) -> Result<ChildProcess> {
    let path = CString::new(program.as_os_str().as_bytes())?;
    let mut args = vec![path.clone(), CString::new(pid.to_string())?];
    for number in lines.iter().flat_map(|line| [line.inside, line.outside, line.count]) {
        args.push(CString::new(number.to_string())?);
    }
    spawn::spawn(&path, &args, [null, null, stderr])
        .with_context(|| format!("starting `{}`", program.display()))
}

fn check_helper(name: &str, child: &ChildProcess, errors: &mut fs::File) -> Result<()> {
    if child.wait()? == ChildExit::Exited(0) {
        return Ok(());
    }
    let mut stderr = String::new();
    std::io::Read::read_to_string(errors, &mut stderr)?;
    let failure =
        Failure::new(FailureKind::Denied, format!("{name} refused: {}", stderr.trim().escape_debug()));
    Err(failure.hint("check the account's lines in /etc/subuid and /etc/subgid (root: `usermod --add-subuids 100000-165535 --add-subgids 100000-165535 USER`)").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_found_by_name_and_number() {
        let text = "root:1:2\nalice:100000:65536\n1000:300000:10\nalice:x:3\nalice:4294967295:2\nbob:5:5\n";
        assert_eq!(parse_ranges(text, 1000, Some("alice")), [(100_000, 65_536), (300_000, 10)]);
        assert_eq!(parse_ranges(text, 1001, None), []);
    }
}

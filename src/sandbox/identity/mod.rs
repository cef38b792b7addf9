//! Which ids this account can use in a user namespace, and entering one.
//!
//! # Modes
//!
//! - *mapped*: the account has subordinate ids, and the setuid programs newuidmap(1) and newgidmap(1) are installed.
//!   Root inside is the user; 1 and up are the ranges of subuid(5).
//! - *single*: only the user's own id is available, so exactly one id exists inside.
//! - *root*: dhow runs as root of its own user namespace and maps every id that exists here to itself.
//!
//! The mode is determined once per invocation, from files alone.

pub mod idmap;
use std::fs;
use std::io::Write as _;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::identity::idmap::{IdMap, IdMapExtent};
use dhow_error::{Failure, FailureKind};
use dhow_sys::process;

/// Number of ids that a container of a mapped account can rely on.
const ID_COUNT: u32 = 65_536;

/// Subordinate ids and the programs that map them. Ranges are start and length.
#[derive(Clone, Debug, PartialEq, Eq)]
struct SubordinateIds {
    uids: Vec<(u32, u32)>,
    gids: Vec<(u32, u32)>,
    newuidmap: PathBuf,
    newgidmap: PathBuf,
}

/// The ids that this account can map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostIdentity {
    uid: u32,
    gid: u32,
    mode: IdentityMode,
    /// In [`IdentityMode::Single`]: why subordinate ids are unavailable, for `info` and hints.
    why_single: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum IdentityMode {
    /// Root of its namespace: each id that exists here, mapped to itself, without a helper program.
    Root(IdMap),
    Mapped(SubordinateIds),
    Single,
}

impl HostIdentity {
    /// Detects the mode. `login` is the account's name in case /etc/passwd lacks the id (directory services);
    /// `path` is the value of `PATH`, to look programs up in.
    pub fn probe(login: Option<&str>, path: &str) -> Self {
        let uid = rustix::process::geteuid().as_raw();
        let gid = rustix::process::getegid().as_raw();
        if uid == 0 {
            let read = |path: &str| own_ids(&fs::read_to_string(path).unwrap_or_default());
            let map = IdMap { uids: read("/proc/self/uid_map"), gids: read("/proc/self/gid_map") };
            let several = map.has_uid(1) && map.has_gid(1);
            return Self {
                uid,
                gid,
                mode: if several { IdentityMode::Root(map) } else { IdentityMode::Single },
                why_single: None,
            };
        }
        match find_subordinate_ids(uid, login, path) {
            Ok(found) => Self { uid, gid, mode: IdentityMode::Mapped(found), why_single: None },
            Err(why) => Self { uid, gid, mode: IdentityMode::Single, why_single: Some(why) },
        }
    }

    /// Whether more than one id exists inside a container.
    pub fn is_mapped(&self) -> bool {
        !matches!(self.mode, IdentityMode::Single)
    }

    /// Why the account is limited to one id, if it is.
    pub fn why_single(&self) -> Option<&str> {
        self.why_single.as_deref()
    }

    /// User and group id on the host.
    pub fn host_ids(&self) -> (u32, u32) {
        (self.uid, self.gid)
    }

    /// The id map of a container whose root is the user. In single mode, `alone` is the id inside.
    pub fn map(&self, alone: (u32, u32)) -> IdMap {
        match &self.mode {
            IdentityMode::Root(map) => map.clone(),
            IdentityMode::Mapped(sub) => {
                IdMap { uids: stack_ranges(self.uid, &sub.uids), gids: stack_ranges(self.gid, &sub.gids) }
            }
            IdentityMode::Single => IdMap {
                uids: vec![IdMapExtent { inside: alone.0, outside: self.uid, count: 1 }],
                gids: vec![IdMapExtent { inside: alone.1, outside: self.gid, count: 1 }],
            },
        }
    }

    /// Like [`Self::map`], with the user being `uid`:`gid` inside (`--userns keep-id`); the ids mapped there
    /// move to 0.
    pub fn keep_id_map(&self, uid: u32, gid: u32) -> IdMap {
        let map = self.map((uid, gid));
        if !self.is_mapped() {
            return map;
        }
        IdMap { uids: swap_root(&map.uids, uid), gids: swap_root(&map.gids, gid) }
    }

    /// Writes `map` for process `pid`, a child of this process in a new user namespace.
    pub fn apply(&self, map: &IdMap, pid: i32) -> Result<()> {
        match &self.mode {
            IdentityMode::Mapped(sub) => map_with_helpers(sub, map, pid),
            IdentityMode::Root(_) => write_maps(map, pid, false),
            IdentityMode::Single => write_maps(map, pid, true),
        }
        .context("mapping user ids into a new user namespace")
    }
}

/// Maps 0 to `first` and the ranges consecutively from 1 on.
fn stack_ranges(first: u32, ranges: &[(u32, u32)]) -> Vec<IdMapExtent> {
    let mut lines = vec![IdMapExtent { inside: 0, outside: first, count: 1 }];
    let mut next = 1_u32;
    for &(start, count) in ranges {
        let count = count.min(u32::MAX - next);
        if count > 0 {
            lines.push(IdMapExtent { inside: next, outside: start, count });
            next += count;
        }
    }
    lines
}

/// Swaps what 0 and `id` map to. A no-op if `id` is 0; if `id` is not mapped, 0 moves there.
fn swap_root(lines: &[IdMapExtent], id: u32) -> Vec<IdMapExtent> {
    let Some(root) = outside_of(lines, 0) else { return lines.to_vec() };
    if id == 0 {
        return lines.to_vec();
    }
    let Some(other) = outside_of(lines, id) else {
        return lines
            .iter()
            .map(|l| if l.inside == 0 && l.count == 1 { IdMapExtent { inside: id, ..*l } } else { *l })
            .collect();
    };
    let mut swapped = vec![IdMapExtent { inside: 0, outside: other, count: 1 }];
    for line in lines {
        let keep = without_ids(*line, &[0, id]);
        swapped.extend(keep);
    }
    swapped.push(IdMapExtent { inside: id, outside: root, count: 1 });
    swapped.sort_by_key(|line| line.inside);
    swapped
}

fn outside_of(lines: &[IdMapExtent], id: u32) -> Option<u32> {
    let line = lines.iter().find(|line| id >= line.inside && id - line.inside < line.count)?;
    line.outside.checked_add(id - line.inside)
}

/// Splits `line` so that the ids in `holes`, which are sorted, are left out.
fn without_ids(line: IdMapExtent, holes: &[u32]) -> Vec<IdMapExtent> {
    let mut rest = Some(line);
    let mut kept = Vec::new();
    for &hole in holes {
        let Some(line) = rest else { break };
        if hole < line.inside || hole - line.inside >= line.count {
            continue;
        }
        let before = hole - line.inside;
        if before > 0 {
            kept.push(IdMapExtent { count: before, ..line });
        }
        let after = line.count - before - 1;
        rest = (after > 0).then(|| IdMapExtent {
            inside: hole + 1,
            outside: line.outside + before + 1,
            count: after,
        });
    }
    kept.extend(rest);
    kept
}

/// The first ids of this process's namespace, each mapped to itself, from the text of a uid_map. Split at its
/// extents: an extent of a nested map must lie within one extent of the parent's (user_namespaces(7)).
fn own_ids(map: &str) -> Vec<IdMapExtent> {
    let numbers = |line: &str| line.split_whitespace().map(|n| n.parse().ok()).collect::<Option<Vec<u32>>>();
    let mut extents: Vec<Vec<u32>> = map.lines().filter_map(numbers).filter(|line| line.len() == 3).collect();
    extents.sort_by_key(|extent| extent[0]);
    let mut lines = Vec::new();
    let mut next = 0;
    for extent in extents {
        if extent[0] != next || next >= ID_COUNT {
            break;
        }
        let count = extent[2].min(ID_COUNT - next);
        lines.push(IdMapExtent { inside: next, outside: next, count });
        next += count;
    }
    lines
}

fn find_subordinate_ids(
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
    let (uids, gids) = if (uids.is_empty() || gids.is_empty()) && has_directory_of_ids() {
        (ask_getsubids(&[], name.as_deref(), path), ask_getsubids(&["-g"], name.as_deref(), path))
    } else {
        (uids, gids)
    };
    if uids.is_empty() || gids.is_empty() {
        let who = name.unwrap_or_else(|| uid.to_string());
        return Err(format!("`{who}` has no subordinate ids in /etc/subuid and /etc/subgid"));
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
    let mut found = Vec::new();
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
            found.push((start, count));
        }
    }
    found
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

fn map_with_helpers(sub: &SubordinateIds, map: &IdMap, pid: i32) -> Result<()> {
    let (mut uid_errors, uid_stderr) = pipe()?;
    // Both run at once, since every start waits for them.
    let (mut gid_errors, gid_stderr) = pipe()?;
    let mut uid = spawn_helper(&sub.newuidmap, pid, &map.uids, uid_stderr.as_fd())?;
    let mut gid = spawn_helper(&sub.newgidmap, pid, &map.gids, gid_stderr.as_fd())?;
    drop((uid_stderr, gid_stderr));
    check_helper("newuidmap", &mut uid, &mut uid_errors)?;
    check_helper("newgidmap", &mut gid, &mut gid_errors)
}

fn pipe() -> Result<(fs::File, OwnedFd)> {
    let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    Ok((fs::File::from(read), write))
}

fn spawn_helper(
    program: &Path,
    pid: i32,
    lines: &[IdMapExtent],
    stderr: BorrowedFd<'_>,
) -> Result<std::process::Child> {
    let mut args = vec![pid.to_string()];
    for line in lines {
        args.extend([line.inside, line.outside, line.count].map(|n| n.to_string()));
    }
    process::spawn(program, &args, stderr).with_context(|| format!("starting `{}`", program.display()))
}

fn check_helper(name: &str, child: &mut std::process::Child, errors: &mut fs::File) -> Result<()> {
    if child.wait()?.success() {
        return Ok(());
    }
    let mut said = String::new();
    std::io::Read::read_to_string(errors, &mut said)?;
    let failure =
        Failure::new(FailureKind::Denied, format!("{name} refused: {}", said.trim().escape_debug()));
    Err(failure.hint("check the account's lines in /etc/subuid and /etc/subgid (root: `usermod --add-subuids 100000-165535 --add-subgids 100000-165535 USER`)").into())
}

/// Writes the maps directly: permitted for one's own id, and for all ids to root of the parent namespace
/// (user_namespaces(7)).
pub(super) fn write_maps(map: &IdMap, pid: i32, deny_setgroups: bool) -> Result<()> {
    // An unprivileged process may write gid_map only after giving up setgroups(2) (CVE-2014-8989).
    if deny_setgroups {
        write_once(&format!("/proc/{pid}/setgroups"), "deny")?;
    }
    write_once(&format!("/proc/{pid}/uid_map"), &idmap::render(&map.uids))?;
    write_once(&format!("/proc/{pid}/gid_map"), &idmap::render(&map.gids))
}

/// These files accept exactly one write(2).
fn write_once(path: &str, text: &str) -> Result<()> {
    let mut file =
        fs::OpenOptions::new().write(true).open(path).with_context(|| format!("opening {path}"))?;
    file.write_all(text.as_bytes()).with_context(|| format!("writing {path}"))
}

/// Moves this process to a user namespace in which it is root over all of the account's ids, so that it can
/// create and delete files of any owner. Does nothing in single mode or as root. The process must have one
/// thread, and gains no privilege on the host.
pub fn enter_userns(identity: &HostIdentity) -> Result<()> {
    match identity.mode {
        IdentityMode::Mapped(_) => enter_new_userns(identity),
        IdentityMode::Root(_) | IdentityMode::Single => Ok(()),
    }
}

/// Like [`enter_userns`], but always enters a new user namespace, even if the account has one id only.
pub fn enter_new_userns(identity: &HostIdentity) -> Result<()> {
    let (ready_read, ready_write) = pipe()?;
    // The maps must be written from outside the new namespace, by a process that still has the account's
    // privileges.
    match process::fork().context("starting a helper process")? {
        process::ForkSide::Child => {
            drop(ready_write);
            process::exit_now(map_parent(identity, ready_read))
        }
        process::ForkSide::Parent(helper) => {
            drop(ready_read);
            unshare_user().map_err(|error| explain_userns_refusal(&error))?;
            rustix::io::write(&ready_write, b"1")?;
            match helper.wait()? {
                process::ChildExit::Exited(0) => Ok(()),
                _ => Err(Failure::new(
                    FailureKind::Denied,
                    "the account's subordinate ids could not be mapped",
                )
                .hint("see `dhow info`; `newuidmap` and `newgidmap` must work for this account")
                .into()),
            }
        }
    }
}

/// Moves this process, which has one thread, to a user namespace in which it is root over its single id.
/// There, CAP_DAC_OVERRIDE lets it read its own files even if their mode denies it.
pub fn enter_single_id_userns() -> Result<()> {
    let one = |outside| vec![IdMapExtent { inside: 0, outside, count: 1 }];
    let map = IdMap {
        uids: one(rustix::process::geteuid().as_raw()),
        gids: one(rustix::process::getegid().as_raw()),
    };
    unshare_user().map_err(|error| explain_userns_refusal(&error))?;
    write_maps(&map, rustix::process::getpid().as_raw_nonzero().get(), true)
}

/// In the helper: maps the ids of its parent once that has created its namespace. Returns the exit status.
fn map_parent(identity: &HostIdentity, mut ready: fs::File) -> i32 {
    let mut byte = [0_u8; 1];
    if std::io::Read::read_exact(&mut ready, &mut byte).is_err() {
        return 1;
    }
    let parent = rustix::process::getppid().map_or(0, |pid| pid.as_raw_nonzero().get());
    i32::from(identity.apply(&identity.map((0, 0)), parent).is_err())
}

pub(super) fn unshare_user() -> std::io::Result<()> {
    use nix::sched::{CloneFlags, unshare};
    Ok(unshare(CloneFlags::CLONE_NEWUSER)?)
}

/// Explains a refused user namespace, with the command that permits it.
pub(crate) fn explain_userns_refusal(error: &std::io::Error) -> Failure {
    let setting = |path: &str, bad: &str| fs::read_to_string(path).is_ok_and(|text| text.trim() == bad);
    let failure = Failure::new(FailureKind::Denied, format!("the kernel refused a user namespace: {error}"));
    if setting("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1") {
        return failure.hint("AppArmor restricts them here; root can allow them with `sysctl kernel.apparmor_restrict_unprivileged_userns=0`, or give dhow a profile with `userns,`");
    }
    if setting("/proc/sys/kernel/unprivileged_userns_clone", "0") {
        return failure.hint("root can allow them with `sysctl kernel.unprivileged_userns_clone=1`");
    }
    if setting("/proc/sys/user/max_user_namespaces", "0") {
        return failure.hint("root can allow them with `sysctl user.max_user_namespaces=15000`");
    }
    if error.raw_os_error() == Some(libc::ENOSPC) {
        return failure.hint("the limit on namespaces is reached: see /proc/sys/user/max_*_namespaces");
    }
    failure.hint("inside another container its seccomp profile or missing nesting support may be the reason")
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

    #[test]
    fn the_ids_of_root_are_cut_as_its_own_map() {
        let line = |id, count| IdMapExtent { inside: id, outside: id, count };
        assert_eq!(own_ids("0 0 4294967295\n"), [line(0, ID_COUNT)]);
        assert_eq!(own_ids("  0 1001 1\n  1 100000 65536\n"), [line(0, 1), line(1, ID_COUNT - 1)]);
        assert_eq!(own_ids("0 1000 1\n5 7 9\n"), [line(0, 1)]);
        assert_eq!(own_ids("1000 1000 1\nnonsense"), []);
    }

    #[test]
    fn keep_id_exchanges_root_and_the_user() {
        let lines = stack_ranges(1000, &[(100_000, 65_536)]);
        let swapped = swap_root(&lines, 1000);
        assert_eq!(outside_of(&swapped, 1000), Some(1000));
        assert_eq!(outside_of(&swapped, 0), Some(100_999));
        assert_eq!(outside_of(&swapped, 999), Some(100_998));
        assert_eq!(outside_of(&swapped, 1001), Some(101_000));
        assert_eq!(swapped.iter().map(|l| l.count).sum::<u32>(), 65_537);
        assert_eq!(swap_root(&lines, 0), lines);
        assert_eq!(outside_of(&swap_root(&lines, 3_000_000), 3_000_000), Some(1000));
    }
}

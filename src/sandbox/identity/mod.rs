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
mod subordinate;
mod userns;

use std::fs;

use anyhow::{Context as _, Result};

use self::idmap::{IdMap, IdMapExtent};
use self::subordinate::{SubordinateIds, find_subordinate_ids, map_with_helpers};

pub use self::userns::{enter_new_userns, enter_single_id_userns, enter_userns};
pub(crate) use self::userns::{explain_userns_refusal, unshare_user};

/// Number of ids that a container of a mapped account can rely on.
const ID_COUNT: u32 = 65_536;

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
            // Root may map every id of its namespace without a helper program.
            let read = |path: &str| own_ids(&fs::read_to_string(path).unwrap_or_default());
            let map = IdMap { uids: read("/proc/self/uid_map"), gids: read("/proc/self/gid_map") };
            // Root of a namespace with one id, as inside some containers, is in single mode too.
            let several = map.has_uid(1) && map.has_gid(1);
            return Self {
                uid,
                gid,
                mode: if several { IdentityMode::Root(map) } else { IdentityMode::Single },
                why_single: None,
            };
        }
        match find_subordinate_ids(uid, login, path) {
            Ok(ids) => Self { uid, gid, mode: IdentityMode::Mapped(ids), why_single: None },
            Err(reason) => Self { uid, gid, mode: IdentityMode::Single, why_single: Some(reason) },
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

    /// The id map of a container whose root is the user. In single mode, `single_ids` are the ids inside.
    pub fn map(&self, single_ids: (u32, u32)) -> IdMap {
        match &self.mode {
            IdentityMode::Root(map) => map.clone(),
            IdentityMode::Mapped(sub) => {
                IdMap { uids: stack_ranges(self.uid, &sub.uids), gids: stack_ranges(self.gid, &sub.gids) }
            }
            IdentityMode::Single => IdMap {
                uids: vec![IdMapExtent { inside: single_ids.0, outside: self.uid, count: 1 }],
                gids: vec![IdMapExtent { inside: single_ids.1, outside: self.gid, count: 1 }],
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
            IdentityMode::Root(_) => map.write_for(pid, false),
            IdentityMode::Single => map.write_for(pid, true),
        }
        .context("mapping user ids into a new user namespace")
    }
}

/// Maps 0 to `first` and the ranges consecutively from 1 on.
fn stack_ranges(first: u32, ranges: &[(u32, u32)]) -> Vec<IdMapExtent> {
    let mut extents = vec![IdMapExtent { inside: 0, outside: first, count: 1 }];
    let mut next = 1_u32;
    for &(start, count) in ranges {
        // The largest number is no id: it means "unchanged" (chown(2)).
        let count = count.min(u32::MAX - next);
        if count > 0 {
            extents.push(IdMapExtent { inside: next, outside: start, count });
            next += count;
        }
    }
    extents
}

/// Swaps what 0 and `id` map to. A no-op if `id` is 0; if `id` is not mapped, 0 moves there.
fn swap_root(extents: &[IdMapExtent], id: u32) -> Vec<IdMapExtent> {
    let Some(root) = outside_of(extents, 0) else { return extents.to_vec() };
    if id == 0 {
        return extents.to_vec();
    }
    let Some(other) = outside_of(extents, id) else {
        return extents
            .iter()
            .map(|l| if l.inside == 0 && l.count == 1 { IdMapExtent { inside: id, ..*l } } else { *l })
            .collect();
    };
    let mut swapped = vec![IdMapExtent { inside: 0, outside: other, count: 1 }];
    for line in extents {
        let keep = without_ids(*line, &[0, id]);
        swapped.extend(keep);
    }
    swapped.push(IdMapExtent { inside: id, outside: root, count: 1 });
    swapped.sort_by_key(|line| line.inside);
    swapped
}

fn outside_of(extents: &[IdMapExtent], id: u32) -> Option<u32> {
    let line = extents.iter().find(|line| id >= line.inside && id - line.inside < line.count)?;
    line.outside.checked_add(id - line.inside)
}

/// Splits `line` so that the ids in `holes`, which are sorted, are left out.
fn without_ids(line: IdMapExtent, holes: &[u32]) -> Vec<IdMapExtent> {
    let mut rest = Some(line);
    let mut remaining = Vec::new();
    for &hole in holes {
        let Some(line) = rest else { break };
        if hole < line.inside || hole - line.inside >= line.count {
            continue;
        }
        let before = hole - line.inside;
        if before > 0 {
            remaining.push(IdMapExtent { count: before, ..line });
        }
        let after = line.count - before - 1;
        rest = (after > 0).then(|| IdMapExtent {
            inside: hole + 1,
            outside: line.outside + before + 1,
            count: after,
        });
    }
    remaining.extend(rest);
    remaining
}

/// The first ids of this process's namespace, each mapped to itself, from the text of a uid_map. Split at its
/// extents: an extent of a nested map must lie within one extent of the parent's (user_namespaces(7)).
fn own_ids(map: &str) -> Vec<IdMapExtent> {
    let numbers = |line: &str| line.split_whitespace().map(|n| n.parse().ok()).collect::<Option<Vec<u32>>>();
    let mut extents: Vec<Vec<u32>> = map.lines().filter_map(numbers).filter(|line| line.len() == 3).collect();
    extents.sort_by_key(|extent| extent[0]);
    let mut identical = Vec::new();
    let mut next = 0;
    for extent in extents {
        if extent[0] != next || next >= ID_COUNT {
            break;
        }
        let count = extent[2].min(ID_COUNT - next);
        identical.push(IdMapExtent { inside: next, outside: next, count });
        next += count;
    }
    identical
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let extents = stack_ranges(1000, &[(100_000, 65_536)]);
        let swapped = swap_root(&extents, 1000);
        assert_eq!(outside_of(&swapped, 1000), Some(1000));
        assert_eq!(outside_of(&swapped, 0), Some(100_999));
        assert_eq!(outside_of(&swapped, 999), Some(100_998));
        assert_eq!(outside_of(&swapped, 1001), Some(101_000));
        assert_eq!(swapped.iter().map(|l| l.count).sum::<u32>(), 65_537);
        assert_eq!(swap_root(&extents, 0), extents);
        assert_eq!(outside_of(&swap_root(&extents, 3_000_000), 3_000_000), Some(1000));
    }
}

//! Maps between the ids of a user namespace and those outside.

use std::io::{self, Write as _};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

/// One extent of a uid_map or gid_map (user_namespaces(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdMapExtent {
    pub inside: u32,
    pub outside: u32,
    pub count: u32,
}

/// The id map of a user namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdMap {
    pub uids: Vec<IdMapExtent>,
    pub gids: Vec<IdMapExtent>,
}

impl IdMap {
    /// The map of process `pid`'s user namespace, with outside ids as the caller's namespace sees them.
    pub fn of_process(pid: i32) -> io::Result<Self> {
        let read = |kind: &str| std::fs::read_to_string(format!("/proc/{pid}/{kind}_map"));
        Ok(Self { uids: parse(&read("uid")?), gids: parse(&read("gid")?) })
    }

    /// Writes both maps of process `pid`, which is in a new user namespace: permitted for one's own id, and for all ids
    /// to root of the parent namespace (user_namespaces(7)).
    pub(crate) fn write_for(&self, pid: i32, deny_setgroups: bool) -> Result<()> {
        if deny_setgroups {
            // An unprivileged process may write gid_map only after giving up setgroups(2) (CVE-2014-8989).
            write_once(&format!("/proc/{pid}/setgroups"), "deny")?;
        }
        write_once(&format!("/proc/{pid}/uid_map"), &render(&self.uids))?;
        write_once(&format!("/proc/{pid}/gid_map"), &render(&self.gids))
    }

    /// Whether exactly one user id is mapped.
    pub fn is_single(&self) -> bool {
        matches!(self.uids.as_slice(), [IdMapExtent { count: 1, .. }])
    }

    /// Translates this map, whose outside ids are the host's, for a namespace nested in one with the map
    /// `parent`: outside ids become the parent's inside ids. `None` if the parent lacks an id.
    pub(crate) fn nested_in(&self, parent: &Self) -> Option<Self> {
        Some(Self {
            uids: nest_extents(&self.uids, &parent.uids)?,
            gids: nest_extents(&self.gids, &parent.gids)?,
        })
    }

    pub(crate) fn has_uid(&self, id: u32) -> bool {
        contains(&self.uids, id)
    }

    pub fn has_gid(&self, id: u32) -> bool {
        contains(&self.gids, id)
    }
}

fn contains(extents: &[IdMapExtent], id: u32) -> bool {
    extents.iter().any(|extent| id >= extent.inside && id - extent.inside < extent.count)
}

fn nest_extents(extents: &[IdMapExtent], parent: &[IdMapExtent]) -> Option<Vec<IdMapExtent>> {
    let mut translated = Vec::new();
    for extent in extents {
        let mut mapped = 0;
        while mapped < extent.count {
            // An extent may span several extents of the parent, so it is split at their borders.
            let outside = extent.outside.checked_add(mapped)?;
            let within = |p: &&IdMapExtent| outside >= p.outside && outside - p.outside < p.count;
            let parent_extent = parent.iter().find(within)?;
            let offset = outside - parent_extent.outside;
            let count = (extent.count - mapped).min(parent_extent.count - offset);
            translated.push(IdMapExtent {
                inside: extent.inside.checked_add(mapped)?,
                outside: parent_extent.inside.checked_add(offset)?,
                count,
            });
            mapped += count;
        }
    }
    Some(translated)
}

/// These files accept exactly one write(2).
fn write_once(path: &str, text: &str) -> Result<()> {
    let mut file =
        std::fs::OpenOptions::new().write(true).open(path).with_context(|| format!("opening {path}"))?;
    file.write_all(text.as_bytes()).with_context(|| format!("writing {path}"))
}

/// The format of /proc/PID/uid_map.
pub fn render(extents: &[IdMapExtent]) -> String {
    extents.iter().map(|l| format!("{} {} {}\n", l.inside, l.outside, l.count)).collect()
}

/// Parses what [`render`] writes and the kernel shows; malformed lines are skipped.
fn parse(text: &str) -> Vec<IdMapExtent> {
    let line = |line: &str| {
        let mut numbers = line.split_whitespace().map(|number| number.parse().ok());
        let line =
            IdMapExtent { inside: numbers.next()??, outside: numbers.next()??, count: numbers.next()?? };
        (line.count > 0 && numbers.next().is_none()).then_some(line)
    };
    text.lines().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_shows_is_what_was_written() {
        let lines = [
            IdMapExtent { inside: 0, outside: 1000, count: 1 },
            IdMapExtent { inside: 1, outside: 100_000, count: 65_536 },
        ];
        assert_eq!(parse(&render(&lines)), lines);
        assert_eq!(parse("         0       1000          1\nx y z\n1 2\n5 6 0\n1 2 3 4\n"), lines[..1]);
    }

    #[test]
    fn a_child_counts_in_its_parents_numbers() {
        let line = |inside, outside, count| IdMapExtent { inside, outside, count };
        let host = [line(0, 1000, 1), line(1, 100_000, 65_536)];
        let kept =
            [line(0, 100_999, 1), line(1, 100_000, 999), line(1000, 1000, 1), line(1001, 101_000, 64_536)];
        assert_eq!(nest_extents(&host, &host).unwrap(), [line(0, 0, 1), line(1, 1, 65_536)]);
        let mixed = nest_extents(&host, &kept).unwrap();
        assert_eq!(mixed, [line(0, 1000, 1), line(1, 1, 999), line(1000, 0, 1), line(1001, 1001, 64_536)]);
        assert!(nest_extents(&host, &host[..1]).is_none());
    }

    #[test]
    fn one_id_is_told_from_several() {
        let map = |count| {
            let lines = vec![IdMapExtent { inside: 7, outside: 1000, count }];
            IdMap { uids: lines.clone(), gids: lines }
        };
        assert!(map(1).is_single() && !map(2).is_single());
        assert!(IdMap::of_process(std::process::id().cast_signed()).unwrap().has_uid(0));
    }
}

//! Maps between the ids of a user namespace and those outside.

use std::io;

use serde::{Deserialize, Serialize};

/// One line of a uid_map (user_namespaces(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// First id inside.
    pub inside: u32,
    /// First id outside.
    pub outside: u32,
    /// How many.
    pub count: u32,
}

/// A whole mapping of users and groups.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdMap {
    /// Users.
    pub uids: Vec<Line>,
    /// Groups.
    pub gids: Vec<Line>,
}

impl IdMap {
    /// That of the user namespace of process `pid`, as the caller's namespace counts the ids outside.
    pub fn of_process(pid: i32) -> io::Result<Self> {
        let read = |which: &str| std::fs::read_to_string(format!("/proc/{pid}/{which}_map"));
        Ok(Self { uids: parse(&read("uid")?), gids: parse(&read("gid")?) })
    }

    /// Whether there is one user id only.
    pub fn is_single(&self) -> bool {
        matches!(self.uids.as_slice(), [Line { count: 1, .. }])
    }

    /// Whether user `id` exists inside.
    pub fn has_uid(&self, id: u32) -> bool {
        contains(&self.uids, id)
    }

    /// Whether group `id` exists inside.
    pub fn has_gid(&self, id: u32) -> bool {
        contains(&self.gids, id)
    }
}

fn contains(lines: &[Line], id: u32) -> bool {
    lines.iter().any(|line| id >= line.inside && id - line.inside < line.count)
}

/// As the kernel's files take it.
pub(super) fn render(lines: &[Line]) -> String {
    lines.iter().map(|l| format!("{} {} {}\n", l.inside, l.outside, l.count)).collect()
}

/// Reads what [`render`] writes and the kernel shows; a line that is none counts as absent.
fn parse(text: &str) -> Vec<Line> {
    let line = |line: &str| {
        let mut numbers = line.split_whitespace().map(|number| number.parse().ok());
        let line = Line { inside: numbers.next()??, outside: numbers.next()??, count: numbers.next()?? };
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
            Line { inside: 0, outside: 1000, count: 1 },
            Line { inside: 1, outside: 100_000, count: 65_536 },
        ];
        assert_eq!(parse(&render(&lines)), lines);
        assert_eq!(parse("         0       1000          1\nx y z\n1 2\n5 6 0\n1 2 3 4\n"), lines[..1]);
    }

    #[test]
    fn one_id_is_told_from_several() {
        let map = |count| {
            let lines = vec![Line { inside: 7, outside: 1000, count }];
            IdMap { uids: lines.clone(), gids: lines }
        };
        assert!(map(1).is_single() && !map(2).is_single());
        assert!(IdMap::of_process(std::process::id().cast_signed()).unwrap().has_uid(0));
    }
}

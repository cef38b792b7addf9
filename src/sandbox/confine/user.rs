//! Resolves `user[:group]` and group names by a container's own /etc/passwd and /etc/group.
//!
//! The files belong to the image and may contain anything: they are opened inside the root, read up to a limit, and
//! lines that do not follow passwd(5) or group(5) are skipped.

use std::os::fd::BorrowedFd;
use std::path::Path;

use dhow_error::{Failure, FailureKind, not_found};

/// Bytes read per file: more than the user database of a very large site needs, and harmless to hold in
/// memory.
const MAX_DATABASE: u64 = 16 << 20;

/// The ids a process runs with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessUser {
    pub uid: u32,
    pub gid: u32,
    /// Supplementary groups, without `gid`, sorted.
    pub groups: Vec<u32>,
    /// Home directory; `/` if the user has no entry.
    pub home: String,
}

/// /etc/passwd and /etc/group of a container, as far as they could be read.
pub struct UserDatabase {
    passwd: String,
    group: String,
}

impl UserDatabase {
    /// Reads both files inside `root`. Missing files, directories and dangling links count as empty.
    pub fn read(root: BorrowedFd<'_>) -> Self {
        let read = |path: &str| match dhow_sys::fs::read_in_root(root, Path::new(path), MAX_DATABASE) {
            Ok(content) => String::from_utf8_lossy(&content).into_owned(),
            Err(_) => String::new(),
        };
        Self { passwd: read("etc/passwd"), group: read("etc/group") }
    }

    pub fn from_files(passwd: &[u8], group: &[u8]) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { passwd: text(passwd), group: text(group) }
    }

    /// Resolves the value of `-u` or `USER`, with supplementary groups.
    ///
    /// As docker does: an empty user is root; numbers need no entry. Without a group, the user gets the primary group
    /// of its entry and the groups that list it; with a group, only that one.
    pub fn resolve(&self, spec: &str, extra_groups: &[String]) -> Result<ProcessUser, Failure> {
        let (name, group) = match spec.split_once(':') {
            Some((name, group)) => (name, Some(group).filter(|g| !g.is_empty())),
            None => (spec, None),
        };
        let name = if name.is_empty() { "0" } else { name };
        let mut user = self.user(name, group.is_none())?;
        if let Some(group) = group {
            user.gid = self.group(group)?;
        }
        for name in extra_groups {
            user.groups.push(self.group(name)?);
        }
        user.groups.sort_unstable();
        user.groups.dedup();
        user.groups.retain(|group| *group != user.gid);
        Ok(user)
    }

    fn user(&self, name: &str, with_groups: bool) -> Result<ProcessUser, Failure> {
        let number = parse_id(name, "user")?;
        let mut entries = self.passwd.lines().filter_map(PasswdEntry::parse);
        // Whichever comes first: docker matches names and numbers alike.
        let entry = entries.find(|entry| entry.name == name || Some(entry.uid) == number);
        let Some(entry) = entry else {
            let uid = number.ok_or_else(|| {
                not_found(format!(
                    "unable to find user {}: no matching entries in the container's /etc/passwd",
                    name.escape_debug()
                ))
            })?;
            // As docker, for a number without an entry.
            return Ok(ProcessUser { uid, gid: 0, groups: Vec::new(), home: "/".into() });
        };
        let groups = if with_groups { self.memberships(entry.name) } else { Vec::new() };
        let home = if entry.home.is_empty() { "/" } else { entry.home };
        Ok(ProcessUser { uid: entry.uid, gid: entry.gid, groups, home: home.into() })
    }

    fn memberships(&self, user: &str) -> Vec<u32> {
        let lists = |line: &str| {
            line.split(':').nth(3).is_some_and(|members| members.split(',').any(|m| m.trim() == user))
        };
        self.group
            .lines()
            .filter(|line| lists(line))
            .filter_map(|line| line.split(':').nth(2)?.parse().ok())
            .collect()
    }

    fn group(&self, name: &str) -> Result<u32, Failure> {
        let matches = |line: &&str| {
            let mut fields = line.split(':');
            fields.next() == Some(name) && !name.is_empty()
        };
        if let Some(gid) =
            self.group.lines().find(matches).and_then(|line| line.split(':').nth(2)?.parse().ok())
        {
            return Ok(gid);
        }
        parse_id(name, "group")?.ok_or_else(|| {
            not_found(format!(
                "unable to find group {}: no matching entries in the container's /etc/group",
                name.escape_debug()
            ))
        })
    }
}

/// Parses a number; `None` if the text is a name. A number out of range is an error, since it cannot be a
/// name either.
fn parse_id(text: &str, kind: &str) -> Result<Option<u32>, Failure> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Ok(None);
    }
    match text.parse::<u32>() {
        // docker's range; the kernel's ids go beyond it.
        Ok(number) if number <= i32::MAX.cast_unsigned() => Ok(Some(number)),
        _ => Err(Failure::new(
            FailureKind::Invalid,
            format!("{kind} id `{text}` is out of range (0 to 2147483647)"),
        )),
    }
}

struct PasswdEntry<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

impl<'a> PasswdEntry<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        let home = fields.nth(1).unwrap_or("");
        Some(Self { name, uid, gid, home })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn database() -> UserDatabase {
        UserDatabase {
            passwd: "root:x:0:0:root:/root:/bin/sh\nbroken\n:x:1:1::/:\nweb:x:33:34:w:/srv:/bin/false\nbad:x:nan:0::/:\n".into(),
            group: "root:x:0:\nadm:x:4:web,root\nweb:x:34:\nbroken\nlog:x:7: web ,x\n".into(),
        }
    }

    fn user(uid: u32, gid: u32, groups: &[u32], home: &str) -> ProcessUser {
        ProcessUser { uid, gid, groups: groups.to_vec(), home: home.into() }
    }

    #[test]
    fn resolves_as_docker_does() {
        let db = database();
        let none: &[String] = &[];
        assert_eq!(db.resolve("", none).unwrap(), user(0, 0, &[4], "/root"));
        assert_eq!(db.resolve("web", none).unwrap(), user(33, 34, &[4, 7], "/srv"));
        assert_eq!(db.resolve("33", none).unwrap(), user(33, 34, &[4, 7], "/srv"));
        assert_eq!(db.resolve("web:adm", none).unwrap(), user(33, 4, &[], "/srv"));
        assert_eq!(db.resolve("web:99", none).unwrap(), user(33, 99, &[], "/srv"));
        assert_eq!(db.resolve("1234", none).unwrap(), user(1234, 0, &[], "/"));
        assert_eq!(
            db.resolve("1234:55", &["adm".into(), "12".into()]).unwrap(),
            user(1234, 55, &[4, 12], "/")
        );
    }

    #[test]
    fn refuses_unknown_names_and_absurd_numbers() {
        let db = database();
        for bad in ["nobody", "bad", "web:nogroup", "4294967296", "2147483648", "-1", "a b"] {
            assert!(db.resolve(bad, &[]).is_err(), "{bad}");
        }
        assert!(db.resolve("0", &["nogroup".into()]).is_err());
    }
}

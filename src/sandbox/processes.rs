//! Which processes are a container's: those of its namespace and of the namespaces below, found through /proc.
//!
//! Nothing that they can change is asked: a process leaves neither its user namespace nor its pid namespace for one
//! that is not below it. Whoever reads this must be the user who made the container, outside of its namespaces.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::MetadataExt as _;

use crate::sys;

/// The kind of namespace by which processes are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Boundary {
    /// The pid namespace, where it is the container's own.
    Pid,
    /// The user namespace, which every container has.
    User,
}

impl Boundary {
    fn name(self) -> &'static str {
        match self {
            Self::Pid => "pid",
            Self::User => "user",
        }
    }
}

/// The processes inside the namespace of process `first`, which is among them, and inside those below it, in ascending
/// order of their numbers as the caller sees them. Empty where `first` is gone.
///
/// A process may end, and others may be started, while this looks and afterwards.
pub fn inside(first: i32, boundary: Boundary) -> io::Result<Vec<i32>> {
    let mut known = HashMap::new();
    match std::fs::metadata(path(first, boundary)) {
        Ok(namespace) => known.insert(namespace.ino(), true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut pids = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        let Ok(entry) = entry else { continue };
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        if is_inside(pid, boundary, &mut known) {
            pids.push(pid);
        }
    }
    pids.sort_unstable();
    Ok(pids)
}

fn path(pid: i32, boundary: Boundary) -> String {
    format!("/proc/{pid}/ns/{}", boundary.name())
}

/// Whether `pid` is inside. A process that may not be looked at belongs to somebody else.
fn is_inside(pid: i32, boundary: Boundary, known: &mut HashMap<u64, bool>) -> bool {
    let path = path(pid, boundary);
    let Ok(namespace) = std::fs::metadata(&path) else { return false };
    if let Some(answer) = known.get(&namespace.ino()) {
        return *answer;
    }
    // By descriptor from here on: the number may pass to another process meanwhile.
    File::open(&path).is_ok_and(|namespace| leads_inside(namespace.into(), known))
}

/// Goes up from `namespace` until it comes to one whose place is known, and remembers what it passed.
fn leads_inside(namespace: OwnedFd, known: &mut HashMap<u64, bool>) -> bool {
    let mut passed = Vec::new();
    let mut next = Some(namespace);
    let mut answer = false;
    while let Some(namespace) = next {
        let Ok(stat) = rustix::fs::fstat(&namespace) else { break };
        if let Some(found) = known.get(&stat.st_ino) {
            answer = *found;
            break;
        }
        passed.push(stat.st_ino);
        next = sys::namespace::parent(namespace.as_fd()).ok().flatten();
    }
    known.extend(passed.into_iter().map(|inode| (inode, answer)));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn the_own_namespace_has_this_process() {
        let own = std::process::id().cast_signed();
        for boundary in [Boundary::Pid, Boundary::User] {
            let pids = inside(own, boundary).unwrap();
            assert!(pids.contains(&own), "{pids:?}");
            assert!(pids.is_sorted());
        }
        assert_eq!(inside(i32::MAX, Boundary::Pid).unwrap(), [0; 0]);
    }

    #[test]
    fn namespaces_below_belong_to_it_and_those_beside_do_not() {
        // Two namespaces inside each other: unshare, its child, and what that runs in a further one.
        let nested = "unshare --user --map-root-user --fork --pid sh -c 'echo ready; exec sleep 1000'";
        let mut outer = Command::new("unshare")
            .args(["--user", "--map-root-user", "--fork", "--kill-child", "--pid", "sh", "-c", nested])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let started =
            io::BufRead::read_line(&mut io::BufReader::new(outer.stdout.take().unwrap()), &mut line);
        if started.is_err() || line != "ready\n" {
            // The machine lets nobody make namespaces; containers cannot be shown there at all.
            outer.wait().unwrap();
            return;
        }
        let pid = outer.id().cast_signed();
        let user = inside(pid, Boundary::User).unwrap();
        assert!(user.len() >= 3 && user.contains(&pid), "{user:?}");
        assert!(!user.contains(&std::process::id().cast_signed()));
        // The first child is process 1 of the pid namespace, which unshare itself is not in.
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
        let first: i32 = children.trim().parse().unwrap();
        let pids = inside(first, Boundary::Pid).unwrap();
        assert!(pids.len() >= 2 && pids.contains(&first) && !pids.contains(&pid), "{pids:?}");
        outer.kill().unwrap();
        outer.wait().unwrap();
    }
}

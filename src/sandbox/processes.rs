//! Lists the processes of a container: those in its namespace and in descendants of it, found through /proc.
//!
//! Nothing that a process can change is trusted: it can leave its user or pid namespace only for a descendant. The
//! caller must be the user who launched the container, and be outside its namespaces.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::MetadataExt as _;

/// The type of namespace that separates the container's processes from others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NamespaceBoundary {
    /// The pid namespace, if the container has its own.
    Pid,
    /// The user namespace, which every container has.
    User,
}

impl NamespaceBoundary {
    fn name(self) -> &'static str {
        match self {
            Self::Pid => "pid",
            Self::User => "user",
        }
    }
}

/// The pids, as the caller sees them and ascending, of all processes in the namespace of process `first` and in
/// descendants of it, `first` included. Empty if `first` is gone.
///
/// Processes may start and end during the scan and afterwards.
pub fn pids_inside(first: i32, boundary: NamespaceBoundary) -> io::Result<Vec<i32>> {
    // Inode numbers of namespaces seen so far, and whether each is inside.
    let mut seen = HashMap::new();
    match std::fs::metadata(path(first, boundary)) {
        Ok(namespace) => seen.insert(namespace.ino(), true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut pids = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        // Processes that end during the scan are skipped.
        let Ok(entry) = entry else { continue };
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        if is_inside(pid, boundary, &mut seen) {
            pids.push(pid);
        }
    }
    pids.sort_unstable();
    Ok(pids)
}

fn path(pid: i32, boundary: NamespaceBoundary) -> String {
    format!("/proc/{pid}/ns/{}", boundary.name())
}

/// Whether `pid` is inside. A process that may not be inspected belongs to another user.
fn is_inside(pid: i32, boundary: NamespaceBoundary, seen: &mut HashMap<u64, bool>) -> bool {
    let path = path(pid, boundary);
    let Ok(namespace) = std::fs::metadata(&path) else { return false };
    if let Some(answer) = seen.get(&namespace.ino()) {
        return *answer;
    }
    // By descriptor from here on: the pid could be reused in between.
    File::open(&path).is_ok_and(|namespace| leads_inside(namespace.into(), seen))
}

/// Walks up from `namespace` to the first ancestor in `seen`, and records the answer for all it passed.
fn leads_inside(namespace: OwnedFd, seen: &mut HashMap<u64, bool>) -> bool {
    let mut passed = Vec::new();
    let mut next = Some(namespace);
    let mut answer = false;
    while let Some(namespace) = next {
        let Ok(stat) = rustix::fs::fstat(&namespace) else { break };
        if let Some(found) = seen.get(&stat.st_ino) {
            answer = *found;
            break;
        }
        passed.push(stat.st_ino);
        next = dhow_sys::namespace::parent_namespace(namespace.as_fd()).ok().flatten();
    }
    seen.extend(passed.into_iter().map(|inode| (inode, answer)));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn the_own_namespace_has_this_process() {
        let own = std::process::id().cast_signed();
        for boundary in [NamespaceBoundary::Pid, NamespaceBoundary::User] {
            let pids = pids_inside(own, boundary).unwrap();
            assert!(pids.contains(&own), "{pids:?}");
            assert!(pids.is_sorted());
        }
        assert_eq!(pids_inside(i32::MAX, NamespaceBoundary::Pid).unwrap(), [0; 0]);
    }

    #[test]
    fn namespaces_below_belong_to_it_and_those_beside_do_not() {
        if !dhow_testing::can_unshare(&["--user", "--map-root-user", "--fork", "--pid"]) {
            return;
        }
        // Two namespaces inside each other: unshare, its child, and what that runs in a further one.
        let nested = "unshare --user --map-root-user --fork --pid sh -c 'echo ready; exec sleep 1000'";
        let mut outer = Command::new("unshare")
            .args(["--user", "--map-root-user", "--fork", "--kill-child", "--pid", "sh", "-c", nested])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        io::BufRead::read_line(&mut io::BufReader::new(outer.stdout.take().unwrap()), &mut line).unwrap();
        assert_eq!(
            line,
            "ready
"
        );
        let pid = outer.id().cast_signed();
        let user = pids_inside(pid, NamespaceBoundary::User).unwrap();
        assert!(user.len() >= 3 && user.contains(&pid), "{user:?}");
        assert!(!user.contains(&std::process::id().cast_signed()));
        // The first child is process 1 of the pid namespace, which unshare itself is not in.
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
        let first: i32 = children.trim().parse().unwrap();
        let pids = pids_inside(first, NamespaceBoundary::Pid).unwrap();
        assert!(pids.len() >= 2 && pids.contains(&first) && !pids.contains(&pid), "{pids:?}");
        outer.kill().unwrap();
        outer.wait().unwrap();
    }
}

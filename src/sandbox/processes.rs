//! Lists the processes of a container: those in its namespace and in descendants of it, found through /proc.
//!
//! Nothing that a process can change is trusted: it can leave its user or pid namespace only for a descendant. The
//! caller must be the user who launched the container, and be outside its namespaces.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::rc::Rc;

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
    Ok(pids_inside_each(&[(first, boundary)])?.pop().unwrap_or_default())
}

/// [`pids_inside`] for each of several containers, in a single pass through /proc.
pub fn pids_inside_each(containers: &[(i32, NamespaceBoundary)]) -> io::Result<Vec<Vec<i32>>> {
    let mut found = vec![Vec::new(); containers.len()];
    let mut trees = Vec::new();
    for boundary in [NamespaceBoundary::Pid, NamespaceBoundary::User] {
        let tree = NamespaceTree::new(boundary, containers)?;
        trees.extend((!tree.roots.is_empty()).then_some(tree));
    }
    if trees.is_empty() {
        return Ok(found);
    }
    for entry in std::fs::read_dir("/proc")? {
        // Processes that end during the scan are skipped.
        let Ok(entry) = entry else { continue };
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        for tree in &mut trees {
            for container in tree.containers_of(pid).iter() {
                found.get_mut(*container).into_iter().for_each(|pids| pids.push(pid));
            }
        }
    }
    found.iter_mut().for_each(|pids| pids.sort_unstable());
    Ok(found)
}

fn path(pid: i32, boundary: NamespaceBoundary) -> String {
    format!("/proc/{pid}/ns/{}", boundary.name())
}

/// Which containers, by their position in a list, namespaces of one type belong to.
struct NamespaceTree {
    boundary: NamespaceBoundary,
    /// The containers' own namespaces, by inode number. Two containers may share one.
    roots: HashMap<u64, Vec<usize>>,
    /// For namespaces seen so far, the containers that they are inside.
    seen: HashMap<u64, Rc<[usize]>>,
}

impl NamespaceTree {
    /// Of those `containers`, by their first processes, that are bounded by this type of namespace.
    fn new(boundary: NamespaceBoundary, containers: &[(i32, NamespaceBoundary)]) -> io::Result<Self> {
        let mut roots: HashMap<u64, Vec<usize>> = HashMap::new();
        for (index, (first, _)) in containers.iter().enumerate().filter(|(_, (_, by))| *by == boundary) {
            match std::fs::metadata(path(*first, boundary)) {
                Ok(namespace) => roots.entry(namespace.ino()).or_default().push(index),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Self { boundary, roots, seen: HashMap::new() })
    }

    /// The containers that `pid` is inside. A process that may not be inspected belongs to another user.
    fn containers_of(&mut self, pid: i32) -> Rc<[usize]> {
        let path = path(pid, self.boundary);
        let Ok(namespace) = std::fs::metadata(&path) else { return Rc::default() };
        if let Some(answer) = self.seen.get(&namespace.ino()) {
            return answer.clone();
        }
        // By descriptor from here on: the pid could be reused in between.
        File::open(&path).map_or_else(|_| Rc::default(), |namespace| self.look_up(namespace.into()))
    }

    /// Walks up from `namespace` to the first ancestor that was seen before, and records the answer for all it
    /// passed.
    fn look_up(&mut self, namespace: OwnedFd) -> Rc<[usize]> {
        let mut passed = Vec::new();
        let mut next = Some(namespace);
        let mut answer: Rc<[usize]> = Rc::default();
        while let Some(namespace) = next {
            let Ok(stat) = rustix::fs::fstat(&namespace) else { break };
            if let Some(found) = self.seen.get(&stat.st_ino) {
                answer = found.clone();
                break;
            }
            passed.push(stat.st_ino);
            next = dhow_sys::namespace::parent_namespace(namespace.as_fd()).ok().flatten();
        }
        for inode in passed.into_iter().rev() {
            if let Some(own) = self.roots.get(&inode) {
                answer = answer.iter().chain(own).copied().collect();
            }
            self.seen.insert(inode, answer.clone());
        }
        answer
    }
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
        // The inner namespace, as a container in a container: its processes are those of both.
        let inner = user.iter().copied().find(|other| ![pid, first].contains(other)).unwrap();
        let (by_user, by_pid) = (NamespaceBoundary::User, NamespaceBoundary::Pid);
        let each = pids_inside_each(&[(pid, by_user), (inner, by_user), (first, by_pid), (i32::MAX, by_pid)]);
        let each = each.unwrap();
        assert_eq!((&each[0], &each[2]), (&user, &pids));
        assert!(each[1].contains(&inner) && !each[1].contains(&first), "{each:?}");
        assert!(each[3].is_empty());
        outer.kill().unwrap();
        outer.wait().unwrap();
    }
}

//! The cgroupfs driver: cgroups in a directory that is delegated to this account, such as that of a CI job, of a
//! container that dhow runs in, of a unit with `Delegate=yes`, or one named by `--cgroup-parent`.
//!
//! A cgroup can pass controllers to its children only while it contains no processes itself ("no internal
//! processes"). So the directory is one above the own cgroup, if that is writable too; otherwise all processes of the
//! own cgroup, which belong to this job, are moved to a leaf below it.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use rustix::fs::{Access, access};

use super::controller::ControllerSet;
use super::directory;
use super::hierarchy::CgroupHierarchy;

/// The leaf for processes that are in the way.
const LEAF: &str = "dhow-job";
/// How often moving is repeated, since processes may fork meanwhile.
const ROUNDS: u32 = 10;

/// A directory in which cgroups can be created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DelegatedDir {
    pub(super) path: PathBuf,
    /// Controllers available to its children.
    pub(super) controllers: ControllerSet,
    /// Whether its processes have to be moved to a leaf first.
    occupied: bool,
}

impl DelegatedDir {
    /// The best directory from the own cgroup upwards: most controllers, nearest first; changes nothing.
    pub(super) fn find(hierarchy: &CgroupHierarchy) -> Option<Self> {
        let own = hierarchy.directory(&hierarchy.own);
        let within = own.ancestors().take_while(|path| path.starts_with(hierarchy.root()));
        let mut best: Option<Self> = None;
        for path in within.take_while(|path| is_writable(path)) {
            let candidate = Self::inspect(path, path == own);
            if best.as_ref().is_none_or(|best| candidate.rank() > best.rank()) {
                best = Some(candidate);
            }
        }
        best
    }

    /// The directory named by the user, if it is writable.
    pub(super) fn at_path(hierarchy: &CgroupHierarchy, cgroup: &Path) -> Option<Self> {
        let path = hierarchy.directory(cgroup);
        is_writable(&path).then(|| Self::inspect(&path, path == hierarchy.directory(&hierarchy.own)))
    }

    /// More controllers are better; with equally many, a directory where no process has to be moved.
    fn rank(&self) -> (u32, bool) {
        (self.controllers.count(), !self.occupied)
    }

    fn inspect(path: &Path, is_own: bool) -> Self {
        let available = ControllerSet::read(&path.join("cgroup.controllers"));
        let enabled = ControllerSet::read(&path.join("cgroup.subtree_control"));
        let processes = std::fs::read_to_string(path.join("cgroup.procs")).unwrap_or_default();
        // The root cgroup is exempt from the rule; it has no cgroup.type.
        let non_root = path.join("cgroup.type").exists();
        let occupied = non_root && !processes.trim().is_empty() && available != enabled;
        // Only processes of this job may be moved.
        let controllers = if occupied && !is_own { enabled } else { available };
        Self { path: path.to_owned(), controllers, occupied: occupied && is_own }
    }

    pub(super) fn create_cgroup(&self, id: &str) -> Result<PathBuf> {
        if self.occupied {
            self.move_processes_to_leaf()?;
        }
        directory::enable_controllers(&self.path, self.controllers);
        let path = self.path.join(format!("dhow-{id}"));
        directory::make_dir(&path)?;
        Ok(path)
    }

    /// Moves all processes of the directory to a leaf below it.
    fn move_processes_to_leaf(&self) -> Result<()> {
        let leaf = self.path.join(LEAF);
        directory::make_dir(&leaf)?;
        for _ in 0..ROUNDS {
            let processes = std::fs::read_to_string(self.path.join("cgroup.procs"))?;
            // 0 stands for a process outside of this pid namespace; it cannot be moved.
            let pids: Vec<&str> = processes.lines().filter(|pid| *pid != "0").collect();
            if pids.is_empty() {
                break;
            }
            for pid in pids {
                match directory::move_process(&leaf, pid) {
                    Err(error) if error.raw_os_error() != Some(libc::ESRCH) => {
                        return Err(error).with_context(|| {
                            format!("moving process {pid} of this job to the cgroup `{}`", leaf.display())
                        });
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// Whether children have a file of this name, as far as can be told.
    pub(super) fn has_file(&self, name: &str, root: &Path) -> bool {
        // The root cgroup lacks most files that its children have.
        self.path == root || self.path.join(name).exists()
    }
}

/// Whether this account may create cgroups in `path` and move its processes between them.
fn is_writable(path: &Path) -> bool {
    let allowed = |path: &Path, mode: Access| access(path, mode).is_ok();
    allowed(path, Access::WRITE_OK | Access::EXEC_OK) && allowed(&path.join("cgroup.procs"), Access::WRITE_OK)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory that looks like a cgroup.
    fn cgroup(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, content) in files {
            std::fs::write(dir.path().join(name), content).unwrap();
        }
        dir
    }

    const FULL: [(&str, &str); 4] = [
        ("cgroup.controllers", "cpu memory"),
        ("cgroup.subtree_control", ""),
        ("cgroup.procs", "77\n"),
        ("cgroup.type", "domain"),
    ];

    #[test]
    fn processes_are_in_the_way_of_controllers() {
        let dir = cgroup(&FULL);
        let own = DelegatedDir::inspect(dir.path(), true);
        assert!(own.occupied && own.controllers.count() == 2, "{own:?}");
        // Those of others cannot be moved: what is handed down already is all there is.
        let other = DelegatedDir::inspect(dir.path(), false);
        assert!(!other.occupied && other.controllers.count() == 0, "{other:?}");
        let handed_down = [FULL[0], ("cgroup.subtree_control", "cpu memory"), FULL[2], FULL[3]];
        assert!(!DelegatedDir::inspect(cgroup(&handed_down).path(), true).occupied);
        let empty = [FULL[0], FULL[1], ("cgroup.procs", ""), FULL[3]];
        let parent = DelegatedDir::inspect(cgroup(&empty).path(), false);
        assert!(!parent.occupied && parent.controllers.count() == 2, "{parent:?}");
        let top = DelegatedDir::inspect(cgroup(&FULL[..3]).path(), true);
        assert!(!top.occupied && top.controllers.count() == 2, "{top:?}");
        assert!(top.rank() > own.rank() && own.rank() > other.rank());
    }

    #[test]
    fn only_what_can_be_written_is_ours() {
        assert!(is_writable(cgroup(&FULL).path()));
        assert!(!is_writable(cgroup(&[]).path()));
        assert!(!is_writable(Path::new("/no/such")));
    }
}

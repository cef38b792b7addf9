//! Directories of build steps: unlisted containers. A step has a directory below `containers/` with a lock
//! and never a spec, like a container that is being created. So its addresses are valid while it runs, and a
//! killed step is swept away.

use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::containers::{ContainerDir, LockedContainer, check_id};
use super::fs::make_private_dirs;
use super::layers::create_dir_0755;
use super::lock::{FileLock, LockMode};
use super::{LayerDraft, Store};
use dhow_model::container::ContainerSpec;

impl Store {
    /// Creates the directory of a step with the ID in `spec`, which is not written to disk.
    pub fn create_step_dir(&self, spec: &ContainerSpec) -> anyhow::Result<LockedContainer> {
        check_id(&spec.id)?;
        let path = self.containers_dir().join(&spec.id);
        let make = || {
            let lock = FileLock::acquire(&path.join("lock"), LockMode::Exclusive)?;
            let step = LockedContainer::new(ContainerDir { path, spec: Box::new(spec.clone()) }, lock);
            create_dir_0755(&step.upper())?;
            std::fs::create_dir(step.work())?;
            Ok::<_, io::Error>(step)
        };
        make().context("cannot make the place for a step of a build")
    }

    /// Removes a step's directory. Files with owners that this process cannot remove stay in the trash for a
    /// later sweep.
    pub fn discard_step_dir(&self, step: LockedContainer) {
        // Best effort: the directory is in the trash first, so the step is gone even if files cannot be
        // deleted.
        let _ = self.discard(step.path());
    }

    /// Removes the files that a finished step no longer needs. The caller must be able to remove files of
    /// every owner.
    pub fn clear_step_dir(&self, step: &ContainerDir, draft: &LayerDraft) -> anyhow::Result<()> {
        let clear = || {
            self.discard(&step.upper())?;
            self.discard(&step.work())?;
            self.discard(&draft.scratch_path())
        };
        clear().context("cannot remove what a step of a build left")
    }
}

impl LayerDraft {
    /// Moves the directory `from`, on the same file system, to the draft's tree.
    pub fn move_tree_from(&self, from: &Path) -> anyhow::Result<()> {
        std::fs::rename(from, self.tree()).context("cannot take the changed files over")
    }

    /// Moves the draft's tree to `to`, an empty directory on the same file system.
    pub fn move_tree_to(&self, to: &Path) -> anyhow::Result<()> {
        std::fs::rename(self.tree(), to).context("cannot hand the files over")
    }

    /// Creates a directory of mode 0755 below [`LayerDraft::scratch_path`].
    pub fn scratch_dir(&self, name: &str) -> anyhow::Result<PathBuf> {
        let path = self.scratch_path().join(name);
        make_private_dirs(&self.scratch_path())
            .and_then(|()| create_dir_0755(&path))
            .with_context(|| format!("cannot make the directory `{}`", path.display()))?;
        Ok(path)
    }
}

/// Writes a new file with exactly this mode, regardless of the umask.
pub fn write_new(path: &Path, content: &[u8], mode: u32) -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let write = || {
        let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        io::Write::write_all(&mut file, content)?;
        file.set_permissions(std::fs::Permissions::from_mode(mode))
    };
    write().with_context(|| format!("cannot write `{}`", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::list_dir;
    use crate::new_container_id;

    #[test]
    fn nobody_sees_a_step_and_a_dead_one_is_swept() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().join("store")).unwrap();
        let spec = ContainerSpec { id: new_container_id().unwrap(), ..Default::default() };
        let step = store.create_step_dir(&spec).unwrap();
        assert!(store.containers().unwrap().is_empty());
        store.sweep().unwrap();
        assert!(step.upper().is_dir() && step.is_locked().unwrap());
        std::fs::write(step.upper().join("x"), "").unwrap();
        let draft = store.begin_layer_without_digest().unwrap();
        draft.move_tree_from(&step.upper()).unwrap();
        assert!(draft.tree().join("x").exists());
        let path = step.path().to_owned();
        drop(step);
        store.sweep().unwrap();
        assert!(!path.exists());
        assert_eq!(list_dir(&store.containers_dir()).unwrap(), Vec::<String>::new());
    }
}

//! Programs that run for a build: containers that nobody sees. A step has a directory below `containers/` with a lock
//! and never a spec, as one that is being made; so its addresses are good while it runs, and what a killed one leaves
//! is swept away.

use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::containers::{ContainerDir, LockedContainer, check_id};
use super::layers::make_open_dir;
use super::lock::{Lock, Mode};
use super::{LayerDraft, Store, make_private_dirs};
use crate::model::container::ContainerSpec;

impl Store {
    /// Makes the place of a step with the ID of `spec`, which is written nowhere.
    pub fn begin_step(&self, spec: &ContainerSpec) -> anyhow::Result<LockedContainer> {
        check_id(&spec.id)?;
        let path = self.containers_dir().join(&spec.id);
        let make = || {
            let lock = Lock::acquire(&path.join("lock"), Mode::Exclusive)?;
            let step = LockedContainer::new(ContainerDir { path, spec: Box::new(spec.clone()) }, lock);
            make_open_dir(&step.upper())?;
            std::fs::create_dir(step.work())?;
            Ok::<_, io::Error>(step)
        };
        make().context("cannot make the place for a step of a build")
    }

    /// Removes what is left of a step. Files of other owners stay in the trash for who can delete them.
    pub fn end_step(&self, step: LockedContainer) {
        let _ = self.discard(step.path());
    }

    /// Removes what a step does not need any more, where files of every owner can be removed.
    pub fn clear_step(&self, step: &ContainerDir, draft: &LayerDraft) -> anyhow::Result<()> {
        let clear = || {
            self.discard(&step.upper())?;
            self.discard(&step.work())?;
            self.discard(&draft.scratch())
        };
        clear().context("cannot remove what a step of a build left")
    }
}

impl LayerDraft {
    /// Makes the directory `from`, which is on the same file system, the tree.
    pub fn take_tree(&self, from: &Path) -> anyhow::Result<()> {
        std::fs::rename(from, self.tree()).context("cannot take the changed files over")
    }

    /// Makes the tree the directory `to`, an empty one on the same file system.
    pub fn give_tree(&self, to: &Path) -> anyhow::Result<()> {
        std::fs::rename(self.tree(), to).context("cannot hand the files over")
    }

    /// Makes a directory of mode 0755 below [`LayerDraft::scratch`].
    pub fn scratch_dir(&self, name: &str) -> anyhow::Result<PathBuf> {
        let path = self.scratch().join(name);
        make_private_dirs(&self.scratch())
            .and_then(|()| make_open_dir(&path))
            .with_context(|| format!("cannot make the directory `{}`", path.display()))?;
        Ok(path)
    }
}

/// Writes a new file with this mode, whatever the umask.
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
    use crate::store::{list_dir, new_container_id};

    #[test]
    fn nobody_sees_a_step_and_a_dead_one_is_swept() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().join("store")).unwrap();
        let spec = ContainerSpec { id: new_container_id().unwrap(), ..Default::default() };
        let step = store.begin_step(&spec).unwrap();
        assert!(store.containers().unwrap().is_empty());
        store.sweep().unwrap();
        assert!(step.upper().is_dir() && step.is_locked().unwrap());
        std::fs::write(step.upper().join("x"), "").unwrap();
        let draft = store.begin_unknown_layer().unwrap();
        draft.take_tree(&step.upper()).unwrap();
        assert!(draft.tree().join("x").exists());
        let path = step.path().to_owned();
        drop(step);
        store.sweep().unwrap();
        assert!(!path.exists());
        assert_eq!(list_dir(&store.containers_dir()).unwrap(), Vec::<String>::new());
    }
}

//! Unfinished work: directories below `tmp/`, each with a lock file that its living owner holds.

use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::lock::{FileLock, LockMode};
use super::{Store, atomic, trash};
use crate::fs::{list_dir, make_private_dirs, random_hex, with_dir};

/// A directory that is removed with its contents on drop, or by the next [`Store::sweep`] after a crash.
#[derive(Debug)]
pub struct TempDir {
    path: PathBuf,
    store: Store,
    lock: Option<FileLock>,
}

impl TempDir {
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Renames the directory to `target`, creating the parent if needed; fails if `target` exists and is not
    /// empty.
    pub(super) fn rename_to(self, target: &Path) -> io::Result<()> {
        let parent = target.parent().unwrap_or(Path::new("."));
        with_dir(parent, || std::fs::rename(&self.path, target))
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        // Best effort: anything that cannot be removed now stays below tmp/ or trash/ for the next sweep.
        let _ = self.store.discard(&self.path);
        if let Some(lock) = self.lock.take() {
            let _ = lock.remove_file();
        }
    }
}

impl Store {
    /// A new empty directory below `tmp/`, mode 0700.
    pub fn temp_dir(&self) -> anyhow::Result<TempDir> {
        let make = || -> io::Result<TempDir> {
            let path = self.tmp_dir().join(random_hex(12)?);
            let lock = FileLock::acquire(&path.with_extension("lock"), LockMode::Exclusive)?;
            // The lock comes first: a sweep treats a directory without a held lock as abandoned.
            let temp = TempDir { path, store: self.clone(), lock: Some(lock) };
            make_private_dirs(&temp.path)?;
            Ok(temp)
        };
        make().with_context(|| format!("cannot make a temporary directory in `{}`", self.tmp_dir().display()))
    }

    /// Removes what crashed processes left behind: temporary directories, incomplete containers, unfinished
    /// records and trash. The work of living processes is left alone. Costs a few system calls when there is
    /// nothing to do.
    pub fn sweep(&self) -> anyhow::Result<()> {
        // Here and not in [`Store::open`], so that a store made without the flags gets them and a start does not look.
        self.spread_trees();
        self.sweep_tmp()
            .and_then(|()| self.sweep_containers())
            .and_then(|()| self.sweep_records())
            .and_then(|()| self.sweep_steps())
            .and_then(|()| atomic::sweep(&self.listings_dir()))
            .and_then(|()| trash::empty_trash(&self.trash_dir()))
            .map_err(anyhow::Error::from)
            .and_then(|()| self.sweep_names())
            .context("cannot remove what an interrupted command left in the store")
    }

    /// Whether `tmp/` or `trash/` contains anything for [`Store::sweep`].
    pub fn has_leftovers(&self) -> bool {
        let any = |dir: &Path| std::fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some());
        any(&self.tmp_dir()) || any(&self.trash_dir())
    }

    /// Removes unfinished records from the directories that hold nothing but records. In an object's own directory they
    /// go with the object.
    fn sweep_records(&self) -> io::Result<()> {
        for dir in [self.root.clone(), self.names_dir(), self.manifest_lists_dir(), self.failed_dir()] {
            atomic::sweep(&dir)?;
        }
        Ok(())
    }

    fn sweep_tmp(&self) -> io::Result<()> {
        for name in list_dir(&self.tmp_dir())? {
            let base = name.strip_suffix(".lock").unwrap_or(&name);
            let path = self.tmp_dir().join(base);
            if let Some(lock) = FileLock::try_acquire(&path.with_extension("lock"), LockMode::Exclusive)? {
                self.discard(&path)?;
                lock.remove_file()?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::store;

    #[test]
    fn dropping_leaves_nothing() {
        let (_dir, store) = store();
        let temp = store.temp_dir().unwrap();
        std::fs::create_dir(temp.path().join("x")).unwrap();
        drop(temp);
        assert_eq!(list_dir(&store.tmp_dir()).unwrap(), Vec::<String>::new());
        assert_eq!(list_dir(&store.trash_dir()).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn sweep_takes_the_dead_and_spares_the_living() {
        let (_dir, store) = store();
        let living = store.temp_dir().unwrap();
        for dead in ["dead", "dead-too"] {
            std::fs::create_dir_all(store.tmp_dir().join(dead).join("x")).unwrap();
        }
        std::fs::write(store.tmp_dir().join("dead.lock"), "").unwrap();
        std::fs::create_dir_all(store.trash_dir().join("t/u")).unwrap();
        let records = ["", "names", "manifest-lists", "cache/failed", "cache/steps", "cache/contexts"]
            .map(|dir| store.root().join(dir));
        for dir in &records {
            std::fs::create_dir_all(dir).unwrap();
            std::fs::write(dir.join(".new-dead"), "").unwrap();
        }
        store.sweep().unwrap();
        for dir in &records {
            assert!(!dir.join(".new-dead").exists(), "{}", dir.display());
        }
        assert!(living.path().exists());
        assert_eq!(list_dir(&store.tmp_dir()).unwrap().len(), 2);
        assert_eq!(list_dir(&store.trash_dir()).unwrap(), Vec::<String>::new());
        drop(living);
        assert_eq!(list_dir(&store.tmp_dir()).unwrap().len(), 0);
    }
}

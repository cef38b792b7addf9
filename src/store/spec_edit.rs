//! Edits of a container's spec after its creation (`update`, `rename`, `network connect`).

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use rustix::fs::{Mode, OFlags, open, openat};

use super::lock::{self, wait_lock_file};
use super::{ContainerDir, Store, atomic};
use dhow_error::{Failure, FailureKind, not_found};
use dhow_model::container::ContainerSpec;

impl Store {
    /// Replaces the spec of `container` with the result of `change`, and returns the updated container. Edits
    /// of one container are serialised, whether or not it runs. An error of `change` leaves the spec
    /// unchanged. An error of kind not-found if the container was removed.
    ///
    /// All accesses are relative to an open descriptor of the container's directory: an edit that races with
    /// a removal either completes before it or finds nothing.
    pub fn edit_container(
        &self,
        container: &ContainerDir,
        change: impl FnOnce(&mut ContainerSpec) -> Result<()>,
    ) -> Result<ContainerDir> {
        let editing = SpecEdit::begin(container)?;
        let mut spec = editing.spec.clone();
        change(&mut spec)?;
        if spec != editing.spec {
            editing.write(&spec)?;
        }
        Ok(editing.finish(spec))
    }
}

/// Exclusive access to a container's spec.
pub(crate) struct SpecEdit {
    path: PathBuf,
    dir: OwnedFd,
    spec: ContainerSpec,
    _lock: File,
}

impl SpecEdit {
    /// Waits for the edit lock, then reads the current spec.
    pub(crate) fn begin(container: &ContainerDir) -> Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir =
            open(&container.path, flags, Mode::empty()).map_err(|error| edit_error(container, error))?;
        let lock = edit_lock(dir.as_fd())
            .with_context(|| format!("cannot change container {}", container.spec.name))?;
        let spec = read_spec(container, dir.as_fd())?;
        Ok(Self { path: container.path.clone(), dir, spec, _lock: lock })
    }

    pub(crate) fn spec(&self) -> &ContainerSpec {
        &self.spec
    }

    pub(crate) fn write(&self, spec: &ContainerSpec) -> Result<()> {
        atomic::write_json_at(self.dir.as_fd(), "spec.json", spec)
            .with_context(|| format!("cannot change container {}", self.spec.name))
    }

    /// Releases the lock. `spec` is the one written last.
    pub(crate) fn finish(self, spec: ContainerSpec) -> ContainerDir {
        ContainerDir { path: self.path, spec: Box::new(spec) }
    }
}

fn edit_lock(dir: BorrowedFd<'_>) -> std::io::Result<File> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC;
    let file = File::from(openat(dir, "edit", flags, Mode::RUSR | Mode::WUSR)?);
    wait_lock_file(&file, lock::LockMode::Exclusive)?;
    Ok(file)
}

fn read_spec(container: &ContainerDir, dir: BorrowedFd<'_>) -> Result<ContainerSpec> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let file =
        openat(dir, "spec.json", flags, Mode::empty()).map_err(|error| edit_error(container, error))?;
    serde_json::from_reader(std::io::BufReader::new(File::from(file))).map_err(|error| {
        let path = container.path.join("spec.json");
        Failure::new(FailureKind::Corrupt, format!("the record `{}` is damaged: {error}", path.display()))
            .into()
    })
}

fn edit_error(container: &ContainerDir, error: rustix::io::Errno) -> anyhow::Error {
    match error {
        rustix::io::Errno::NOENT => not_found(format!("No such container: {}", container.spec.id)).into(),
        error => {
            anyhow::Error::from(error).context(format!("cannot change container {}", container.spec.name))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::new_container_id;
    use crate::scratch::store;
    use dhow_error::{invalid, kind_of};

    fn container(store: &Store) -> ContainerDir {
        let spec =
            ContainerSpec { id: new_container_id().unwrap(), name: "web".into(), ..Default::default() };
        drop(store.create_container(&spec).unwrap());
        store.find_container("web").unwrap()
    }

    #[test]
    fn edits_come_one_after_the_other() {
        let (_dir, store) = store();
        let container = container(&store);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    store
                        .edit_container(&container, |spec| {
                            spec.stop_timeout = Some(spec.stop_timeout.unwrap_or(0) + 1);
                            Ok(())
                        })
                        .unwrap()
                });
            }
        });
        assert_eq!(store.find_container("web").unwrap().spec().stop_timeout, Some(8));
    }

    #[test]
    fn a_refused_change_leaves_the_spec() {
        let (_dir, store) = store();
        let container = container(&store);
        let refused = store.edit_container(&container, |spec| {
            spec.init = true;
            Err(invalid("no").into())
        });
        assert_eq!(kind_of(&refused.unwrap_err()), FailureKind::Invalid);
        assert!(!store.find_container("web").unwrap().spec().init);
    }

    #[test]
    fn a_removed_container_does_not_come_back() {
        let (_dir, store) = store();
        let container = container(&store);
        store.remove_container(container.clone().lock().unwrap().unwrap()).unwrap();
        let error = store.edit_container(&container, |_| Ok(())).unwrap_err();
        assert_eq!(kind_of(&error), FailureKind::NotFound);
        assert!(!container.path().exists());
    }

    #[test]
    fn removal_knows_the_name_of_now() {
        let (_dir, store) = store();
        let container = container(&store);
        let names = store.by_name_dir();
        std::os::unix::fs::symlink(&container.spec().id, names.join("other")).unwrap();
        let held = container.clone().lock().unwrap().unwrap();
        store
            .edit_container(&container, |spec| {
                spec.name = "other".into();
                Ok(())
            })
            .unwrap();
        std::fs::remove_file(names.join("web")).unwrap();
        store.remove_container(held).unwrap();
        assert_eq!(std::fs::read_dir(names).unwrap().count(), 0);
    }
}

//! Containers: a directory with the spec, the state, the upper directory, and a lock that says whether it
//! runs.

use std::io;
use std::ops::Deref;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Store;
use super::atomic::{self, Durability};
use super::lock::{FileLock, LockMode};
use super::trash::TrashedEntry;
use crate::fs::{is_missing, list_dir, random_hex, read_record};
use dhow_error::{Failure, FailureKind, invalid, kind_of, not_found};
use dhow_model::container::ContainerSpec;
use dhow_model::event::EngineEvent;
use dhow_model::mount::MountSource;

/// A container's directory together with its spec.
#[derive(Clone, Debug)]
pub struct ContainerDir {
    pub(super) path: PathBuf,
    /// Boxed because it is large and listings move many of them.
    pub(super) spec: Box<ContainerSpec>,
}

impl ContainerDir {
    /// Absolute if the store's root is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn upper(&self) -> PathBuf {
        self.path.join("upper")
    }

    pub fn work(&self) -> PathBuf {
        self.path.join("work")
    }

    /// The log of its output; rotated files have longer names.
    pub fn log_path(&self) -> PathBuf {
        self.path.join("output.log")
    }

    /// The spec as read last; see [`LockedContainer::reload`].
    pub fn spec(&self) -> &ContainerSpec {
        &self.spec
    }

    /// The last written state; `None` before the first write.
    pub fn read_state<T: DeserializeOwned>(&self) -> anyhow::Result<Option<T>> {
        read_record(&self.path.join("state.json"))
    }

    /// Whether a process holds the container: it is running, or being changed or removed. Takes no lock
    /// itself.
    pub fn is_locked(&self) -> anyhow::Result<bool> {
        FileLock::is_held(&self.lock_path())
            .with_context(|| format!("cannot ask about container {}", self.spec.id))
    }

    /// Locks the container; `None` if a process holds it. An error of kind not-found if it was removed.
    pub fn lock(self) -> anyhow::Result<Option<LockedContainer>> {
        let lock = FileLock::try_existing(&self.lock_path(), LockMode::Exclusive);
        self.into_locked(lock)
    }

    /// Locks the container, waiting until no process holds it; `None` if it was removed by then.
    pub fn lock_blocking(self) -> anyhow::Result<Option<LockedContainer>> {
        let lock = FileLock::wait_existing(&self.lock_path(), LockMode::Exclusive).map(Some);
        match self.into_locked(lock) {
            Err(error) if kind_of(&error) == FailureKind::NotFound => Ok(None),
            other => other,
        }
    }

    fn into_locked(self, lock: io::Result<Option<FileLock>>) -> anyhow::Result<Option<LockedContainer>> {
        let lock = match lock {
            Ok(Some(lock)) => lock,
            Ok(None) => return Ok(None),
            Err(error) if is_missing(&error) => return Err(no_such_container(&self.spec.id)),
            Err(error) => {
                return Err(error).with_context(|| format!("cannot lock container {}", self.spec.id));
            }
        };
        // A holder that removes the container moves the whole directory away, so the locked file may be in
        // the trash.
        if !self.path.join("spec.json").exists() {
            return Err(no_such_container(&self.spec.id));
        }
        Ok(Some(LockedContainer { dir: self, lock }))
    }

    fn lock_path(&self) -> PathBuf {
        self.path.join("lock")
    }
}

/// A container locked by this process and the processes it forks; only they may change it.
#[derive(Debug)]
pub struct LockedContainer {
    dir: ContainerDir,
    lock: FileLock,
}

impl Deref for LockedContainer {
    type Target = ContainerDir;

    fn deref(&self) -> &ContainerDir {
        &self.dir
    }
}

impl AsFd for LockedContainer {
    /// The lock's descriptor: the container counts as running while any process has it open.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.lock.as_fd()
    }
}

impl LockedContainer {
    pub(super) fn new(dir: ContainerDir, lock: FileLock) -> Self {
        Self { dir, lock }
    }

    /// Reads the spec again, since a command may have edited it.
    pub fn reload(&mut self) -> anyhow::Result<()> {
        if let Some(spec) = read_record(&self.dir.path.join("spec.json"))? {
            self.dir.spec = spec;
        }
        Ok(())
    }

    pub fn write_state<T: Serialize>(&self, state: &T) -> anyhow::Result<()> {
        atomic::write_json(&self.path.join("state.json"), state, Durability::Unsynced)
            .with_context(|| format!("cannot write the state of container {}", self.spec.id))
    }
}

impl Store {
    /// Creates a container: reserves its name, pins its image, and creates the named volumes it uses if they
    /// do not exist. The caller holds the lock; the container counts as running until every process that
    /// inherited the result has dropped it. `spec.id` has 64 hexadecimal digits ([`new_container_id`]).
    pub fn create_container(&self, spec: &ContainerSpec) -> anyhow::Result<LockedContainer> {
        check_id(&spec.id)?;
        check_name(&spec.name)?;
        let _image = match &spec.image {
            Some(image) => {
                let lock = self.lock_image_shared(&image.id)?;
                if !self.has_image(&image.id) {
                    return Err(not_found(format!("No such image: {}", image.name)).into());
                }
                Some(lock)
            }
            None => None,
        };
        // Lock order: image, then volumes. Both are held until spec.json refers to them.
        let _volumes = self.ensure_volumes(spec)?;
        let path = self.containers_dir().join(&spec.id);
        let doing = || format!("cannot create container {}", spec.name);
        let lock = FileLock::acquire(&path.join("lock"), LockMode::Exclusive).with_context(doing)?;
        let container = LockedContainer { dir: ContainerDir { path, spec: Box::new(spec.clone()) }, lock };
        match self.populate_container(&container) {
            Ok(()) => Ok(container),
            Err(error) => {
                self.remove_container(container)?;
                Err(error.context(doing()))
            }
        }
    }

    fn ensure_volumes(&self, spec: &ContainerSpec) -> anyhow::Result<Vec<FileLock>> {
        let mut locks = Vec::new();
        for mount in &spec.mounts {
            if let MountSource::Volume { name: Some(name), anonymous, setup, .. } = &mount.source {
                locks.push(self.ensure_volume(name, *anonymous, setup)?);
            }
        }
        Ok(locks)
    }

    fn populate_container(&self, container: &LockedContainer) -> anyhow::Result<()> {
        self.reserve_name(&container.spec.id, &container.spec.name)?;
        super::layers::create_dir_0755(&container.upper())?;
        std::fs::create_dir(container.work())?;
        // Written last: a directory without spec.json is an unfinished container.
        atomic::write_json(&container.path.join("spec.json"), &container.spec, Durability::Unsynced)?;
        Ok(())
    }

    /// Removes a container with all its files; its volumes stay.
    pub fn remove_container(&self, container: LockedContainer) -> anyhow::Result<()> {
        let doing = format!("cannot remove container {}", container.spec.name);
        self.trash_container(container)?.delete().context(doing)
    }

    /// Like [`Store::remove_container`], but leaves the deletion of its files to the caller, so that the name
    /// is free early.
    pub fn trash_container(&self, container: LockedContainer) -> anyhow::Result<TrashedEntry> {
        let doing = || format!("cannot remove container {}", container.spec.name);
        let complete = container.path.join("spec.json").exists();
        // The name goes last: a removal that dies here leaves a stale name, never a container without one.
        let trashed = self.move_to_trash(&container.path).with_context(doing)?;
        // It may have been renamed since this process read its spec. A later rename notices that it is gone.
        let spec = read_edited_spec(&trashed.path()).unwrap_or_else(|| container.spec().clone());
        self.remove_stale_name(&spec.name).with_context(doing)?;
        if complete {
            self.record_event(EngineEvent::of_container(&spec, "destroy"));
        }
        Ok(trashed)
    }

    /// All containers, ordered by ID.
    pub fn containers(&self) -> anyhow::Result<Vec<ContainerDir>> {
        self.containers_with("")
    }

    pub fn container(&self, id: &str) -> anyhow::Result<Option<ContainerDir>> {
        let path = self.containers_dir().join(id);
        Ok(read_record(&path.join("spec.json"))?.map(|spec| ContainerDir { path, spec }))
    }

    /// The IDs of all containers in order, and possibly of some that are being created or removed.
    pub fn container_ids(&self) -> anyhow::Result<Vec<String>> {
        let mut names = list_dir(&self.containers_dir()).context("cannot list the containers")?;
        names.retain(|name| check_id(name).is_ok());
        Ok(names)
    }

    /// Removes containers whose creator died before they were complete.
    pub(super) fn sweep_containers(&self) -> io::Result<()> {
        for name in list_dir(&self.containers_dir())? {
            let dir = self.containers_dir().join(&name);
            let spec = dir.join("spec.json");
            if name == "by-name" || spec.exists() {
                continue;
            }
            let Some(_lock) = FileLock::try_acquire(&dir.join("lock"), LockMode::Exclusive)? else {
                continue;
            };
            // Checked again under the lock: the creator may have finished in between.
            if !spec.exists() {
                self.discard(&dir)?;
            }
        }
        Ok(())
    }
}

/// The spec in the container's directory, if it has ever been edited; else `None`.
fn read_edited_spec(dir: &Path) -> Option<ContainerSpec> {
    if !dir.join("edit").exists() {
        return None;
    }
    read_record(&dir.join("spec.json")).ok().flatten()
}

pub fn new_container_id() -> anyhow::Result<String> {
    random_hex(32).context("cannot get random numbers for a container ID")
}

pub(super) fn check_id(id: &str) -> Result<(), Failure> {
    if id.len() == 64 && id.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
        return Ok(());
    }
    Err(invalid(format!("`{}` is not a container ID", id.escape_debug())))
}

/// Checks docker's rule for container names: a letter or digit, then at least one letter, digit, `_`, `.` or
/// `-`.
pub fn check_name(name: &str) -> Result<(), Failure> {
    if is_valid_name(name) {
        return Ok(());
    }
    Err(invalid(format!(
        "Invalid container name ({}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed",
        name.escape_debug()
    )))
}

/// docker's rule for names of containers and volumes; limited to 200 bytes so that they fit a file name.
pub(super) fn is_valid_name(name: &str) -> bool {
    let rest = |b: u8| b.is_ascii_alphanumeric() || b"_.-".contains(&b);
    (2..=200).contains(&name.len())
        && name.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric)
        && name.bytes().all(rest)
}

pub(super) fn no_such_container(text: &str) -> anyhow::Error {
    not_found(format!("No such container: {}", text.escape_debug())).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::images::tests::put;
    use crate::scratch::store;
    use dhow_error::kind_of;
    use dhow_model::container::ContainerImage;
    use dhow_model::mount::MountSpec;
    use dhow_model::mount::VolumeSetup;

    fn spec(name: &str) -> ContainerSpec {
        ContainerSpec { id: new_container_id().unwrap(), name: name.into(), ..Default::default() }
    }

    #[test]
    fn lives_from_creation_to_removal() {
        let (_dir, store) = store();
        let spec = spec("web");
        let container = store.create_container(&spec).unwrap();
        assert!(container.upper().is_dir() && container.work().is_dir());
        container.write_state(&"running").unwrap();
        for text in ["web", "/web", &spec.id, &spec.id[..5]] {
            let found = store.find_container(text).unwrap();
            assert_eq!(found.spec(), &spec);
            assert!(found.is_locked().unwrap());
            assert_eq!(found.read_state::<String>().unwrap().as_deref(), Some("running"));
            assert!(found.lock().unwrap().is_none());
        }
        store.remove_container(container).unwrap();
        assert_eq!(store.find_container("web").unwrap_err().to_string(), "No such container: web");
        assert!(store.containers().unwrap().is_empty());
    }

    #[test]
    fn a_name_is_taken_until_its_container_goes() {
        let (_dir, store) = store();
        let first = store.create_container(&spec("web")).unwrap();
        let error = store.create_container(&spec("web")).unwrap_err();
        assert_eq!(kind_of(&error), FailureKind::Conflict);
        assert!(format!("{error:#}").contains(&first.spec().id));
        assert_eq!(store.containers().unwrap().len(), 1);
        drop(first);
        assert!(store.create_container(&spec("web")).is_err());
        let first = store.find_container("web").unwrap().lock().unwrap().unwrap();
        store.remove_container(first).unwrap();
        store.create_container(&spec("web")).unwrap();
    }

    #[test]
    fn only_one_of_many_gets_a_name() {
        let (_dir, store) = store();
        let made: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..8).map(|_| scope.spawn(|| store.create_container(&spec("web")).ok())).collect();
            threads.into_iter().filter_map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(made.len(), 1);
        assert_eq!(store.find_container("web").unwrap().spec().id, made[0].spec().id);
    }

    #[test]
    fn what_a_dead_maker_left_is_replaced_and_swept() {
        let (_dir, store) = store();
        let dead = new_container_id().unwrap();
        std::fs::create_dir_all(store.containers_dir().join(&dead)).unwrap();
        std::fs::create_dir_all(store.by_name_dir()).unwrap();
        std::os::unix::fs::symlink(&dead, store.by_name_dir().join("web")).unwrap();
        assert!(store.containers().unwrap().is_empty());
        let container = store.create_container(&spec("web")).unwrap();
        store.sweep().unwrap();
        assert!(!store.containers_dir().join(&dead).exists());
        assert!(container.path().exists());
    }

    #[test]
    fn its_image_is_seen_by_whoever_removes_it() {
        let (_dir, store) = store();
        let id = put(&store, "a");
        let image = Some(ContainerImage { id: id.clone(), name: "x".into() });
        store.create_container(&ContainerSpec { image: image.clone(), ..spec("web") }).unwrap();
        let locked = store.lock_image(&id).unwrap().unwrap();
        assert_eq!(locked.containers().unwrap().len(), 1);
        locked.remove().unwrap();
        let late = store.create_container(&ContainerSpec { image, ..spec("late") });
        assert_eq!(kind_of(&late.unwrap_err()), FailureKind::NotFound);
    }

    #[test]
    fn its_volumes_are_made() {
        let (_dir, store) = store();
        let source = MountSource::Volume {
            name: Some("data".into()),
            anonymous: false,
            no_copy: false,
            subpath: None,
            setup: VolumeSetup { labels: [("a".into(), "b".into())].into(), ..VolumeSetup::default() },
        };
        let mount = MountSpec { target: "/data".into(), source, read_only: false };
        store.create_container(&ContainerSpec { mounts: vec![mount], ..spec("web") }).unwrap();
        assert_eq!(store.volume("data").unwrap().unwrap().labels["a"], "b");
        assert_eq!(store.volume_users("data").unwrap().len(), 1);
        assert_eq!(kind_of(&store.remove_volume("data").unwrap_err()), FailureKind::InUse);
    }

    #[test]
    fn names_stay_inside() {
        let (_dir, store) = store();
        for bad in ["", "x", "../x", "a/b", ".ab", "a b", "ä2"] {
            assert!(store.create_container(&spec(bad)).is_err(), "{bad}");
            assert!(store.find_container(bad).is_err(), "{bad}");
        }
        assert!(store.find_container("by-name").is_err());
    }
}

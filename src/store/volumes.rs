//! Volumes: a directory each, named by the user or, if anonymous, by 64 random hexadecimal digits.

use std::path::PathBuf;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use super::atomic::{self, Durability};
use super::containers::is_valid_name;
use super::fs::{list_dir, random_hex, read_record};
use super::lock::{FileLock, LockMode};
use super::{ContainerDir, Store, timestamp_now};
use dhow_error::{Failure, FailureKind, invalid, not_found};
use dhow_model::event::{EngineEvent, EventKind};
use dhow_model::mount::MountSource;
use dhow_model::mount::VolumeSetup;
use dhow_model::volume::{ANONYMOUS_LABEL, VolumeBacking};

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct VolumeRecord {
    pub name: String,
    /// RFC 3339, UTC.
    pub created: String,
    /// Created for a container, without a name from the user.
    pub anonymous: bool,
    pub labels: std::collections::BTreeMap<String, String>,
    /// Driver options, as given.
    pub options: std::collections::BTreeMap<String, String>,
}

impl VolumeRecord {
    /// What holds the volume's files.
    pub fn backing(&self) -> Result<VolumeBacking, Failure> {
        VolumeBacking::parse(&self.options)
    }
}

impl Store {
    /// The volume's record, or `None` if there is no such volume.
    pub fn volume(&self, name: &str) -> anyhow::Result<Option<VolumeRecord>> {
        check_volume_name(name)?;
        read_record(&self.volumes_dir().join(name).join("volume.json"))
    }

    /// The directory of a volume's files, whether or not it exists yet.
    pub fn volume_data(&self, name: &str) -> anyhow::Result<PathBuf> {
        check_volume_name(name)?;
        Ok(self.volumes_dir().join(name).join("_data"))
    }

    /// Creates a volume; an existing one stays unchanged. An empty name is replaced by a random one.
    pub fn create_volume(&self, mut record: VolumeRecord) -> anyhow::Result<VolumeRecord> {
        if record.name.is_empty() {
            record.name = new_volume_name()?;
            record.anonymous = true;
        }
        check_volume_name(&record.name)?;
        let _lock = self.lock_volume(&record.name, LockMode::Shared)?;
        self.make_volume(record)
    }

    /// Ensures that a volume exists. It cannot be removed while the returned lock is held.
    pub(super) fn ensure_volume(
        &self,
        name: &str,
        anonymous: bool,
        setup: &VolumeSetup,
    ) -> anyhow::Result<FileLock> {
        check_volume_name(name)?;
        let lock = self.lock_volume(name, LockMode::Shared)?;
        if self.volume(name)?.is_none() {
            let (name, setup) = (name.to_owned(), setup.clone());
            let (labels, options) = (setup.labels, setup.options);
            self.make_volume(VolumeRecord { name, anonymous, labels, options, ..Default::default() })?;
        }
        Ok(lock)
    }

    /// The caller holds the volume's lock shared, so several creators may race; one wins the rename.
    fn make_volume(&self, mut record: VolumeRecord) -> anyhow::Result<VolumeRecord> {
        // `volume create` is idempotent, as in docker.
        if let Some(existing) = self.volume(&record.name)? {
            return Ok(existing);
        }
        let doing = || format!("cannot create volume {}", record.name);
        let temp = self.temp_dir()?;
        if record.anonymous {
            record.labels.entry(ANONYMOUS_LABEL.into()).or_default();
        }
        if record.created.is_empty() {
            record.created = timestamp_now();
        }
        super::layers::create_dir_0755(&temp.path().join("_data"))
            .and_then(|()| {
                atomic::write_json(&temp.path().join("volume.json"), &record, Durability::Unsynced)
            })
            .with_context(doing)?;
        match temp.rename_to(&self.volumes_dir().join(&record.name)) {
            Ok(()) => {
                self.record_event(event("create", &record.name));
                Ok(record)
            }
            // rename(2) fails if another process created the volume first; then that one counts.
            Err(error) => match self.volume(&record.name)? {
                Some(existing) => Ok(existing),
                None => Err(error).with_context(doing),
            },
        }
    }

    /// All volumes, ordered by name.
    pub fn volumes(&self) -> anyhow::Result<Vec<VolumeRecord>> {
        let mut volumes = Vec::new();
        for name in list_dir(&self.volumes_dir()).context("cannot list the volumes")? {
            if is_valid_name(&name) {
                volumes.extend(self.volume(&name)?);
            }
        }
        Ok(volumes)
    }

    pub fn volume_users(&self, name: &str) -> anyhow::Result<Vec<ContainerDir>> {
        let uses = |dir: &ContainerDir| {
            dir.spec().mounts.iter().any(
                |mount| matches!(&mount.source, MountSource::Volume { name: Some(used), .. } if used == name),
            )
        };
        Ok(self.containers_with(name)?.into_iter().filter(uses).collect())
    }

    /// Removes a volume that no container uses. A host directory that backs it is left alone.
    pub fn remove_volume(&self, name: &str) -> anyhow::Result<()> {
        check_volume_name(name)?;
        let lock = self.lock_volume(name, LockMode::Exclusive)?;
        let exists = self.volume(name)?.is_some();
        let users: Vec<String> = self.volume_users(name)?.iter().map(|user| user.spec().id.clone()).collect();
        if exists && !users.is_empty() {
            let message = format!("remove {name}: volume is in use - [{}]", users.join(", "));
            return Err(Failure::new(FailureKind::InUse, message).into());
        }
        let doing = || format!("cannot remove volume {name}");
        // Even if there is no record, remove what may be left of the directory and the lock file.
        self.discard(&self.volumes_dir().join(name)).with_context(doing)?;
        lock.remove_file().with_context(doing)?;
        if !exists {
            return Err(not_found(format!("get {name}: no such volume")).into());
        }
        self.record_event(event("destroy", name));
        Ok(())
    }

    fn lock_volume(&self, name: &str, mode: LockMode) -> anyhow::Result<FileLock> {
        FileLock::acquire(&self.lock_path("volume", name), mode)
            .with_context(|| format!("cannot lock volume {name}"))
    }
}

fn event(action: &str, name: &str) -> EngineEvent {
    EngineEvent::new(EventKind::Volume, action, name).with("driver", "local")
}

fn new_volume_name() -> anyhow::Result<String> {
    random_hex(32).context("cannot get random numbers for a volume's name")
}

/// Checks a volume name, with docker's message on failure.
pub(crate) fn check_volume_name(name: &str) -> Result<(), Failure> {
    if is_valid_name(name) {
        return Ok(());
    }
    Err(invalid(format!(
        "\"{}\" includes invalid characters for a local volume name, only \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. \
         If you intended to pass a host directory, use absolute path",
        name.escape_debug()
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::store;
    use dhow_error::kind_of;

    fn record(name: &str) -> VolumeRecord {
        VolumeRecord { name: name.into(), ..Default::default() }
    }

    #[test]
    fn is_made_once_and_removed() {
        let (_dir, store) = store();
        let first = store.create_volume(record("data")).unwrap();
        assert!(!first.created.is_empty());
        assert_eq!(store.create_volume(record("data")).unwrap(), first);
        assert!(store.volume_data("data").unwrap().is_dir());
        assert_eq!(store.volumes().unwrap(), [first]);
        store.remove_volume("data").unwrap();
        assert!(store.volumes().unwrap().is_empty());
        assert_eq!(kind_of(&store.remove_volume("data").unwrap_err()), FailureKind::NotFound);
    }

    #[test]
    fn names_stay_inside() {
        let (_dir, store) = store();
        for bad in ["", "..", "../x", "a/b", "x", "/abs"] {
            assert!(bad.is_empty() || store.create_volume(record(bad)).is_err(), "{bad}");
            assert!(store.volume(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn many_makers_agree() {
        let (_dir, store) = store();
        let made: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..6).map(|_| scope.spawn(|| store.create_volume(record("data")).unwrap())).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(made.iter().all(|volume| *volume == made[0]));
    }
}

//! Layers: verified, unpacked directories, shared by all images that contain them.

use std::collections::BTreeSet;
use std::ops::Deref;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::atomic::{self, Durability};
use super::lock::{FileLock, LockMode};
use super::{Store, TempDir, layout};
use crate::fs::{ignore_missing, list_dir, read_record};
use dhow_error::{Failure, FailureKind};
use dhow_model::digest::Digest;
use dhow_model::layer::{LayerRecord, LayerSource};

/// Result of [`Store::begin_layer`].
#[derive(Debug)]
pub enum LayerSlot {
    /// The layer is in the store.
    Present(LayerLease),
    /// The layer is missing and the caller must create it; other processes wait.
    Draft(LayerDraft),
}

/// A layer that exists and cannot be removed while this value lives. Pass it to [`Store::put_image`] and hold
/// it until then: without a lease, a concurrent prune may remove the layer first.
#[derive(Debug)]
pub struct LayerLease {
    record: LayerRecord,
    _lock: FileLock,
}

impl Deref for LayerLease {
    type Target = LayerRecord;

    fn deref(&self) -> &LayerRecord {
        &self.record
    }
}

/// A layer being created. Dropped without [`LayerDraft::commit`] it leaves nothing behind.
#[derive(Debug)]
pub struct LayerDraft {
    store: Store,
    temp: TempDir,
    reserved: Option<LayerReservation>,
}

/// The exclusive right to unpack the layer `diff_id`.
#[derive(Debug)]
struct LayerReservation {
    diff_id: Digest,
    lease: FileLock,
    _unpack: FileLock,
}

impl LayerDraft {
    /// The digest that the layer's tar stream must have; `None` if it is not known in advance.
    pub fn diff_id(&self) -> Option<&Digest> {
        self.reserved.as_ref().map(|reserved| &reserved.diff_id)
    }

    /// The directory to create the tree in. It exists, with mode 0755.
    pub fn tree(&self) -> PathBuf {
        self.temp.path().join("fs")
    }

    /// Creates the file for the tar-split data. It must not exist yet.
    pub fn create_tar_split(&self) -> std::io::Result<std::fs::File> {
        std::fs::File::create_new(self.temp.path().join("recipe"))
    }

    /// The directory for contents that the tree does not hold. It does not exist yet.
    pub fn extra_dir(&self) -> PathBuf {
        self.temp.path().join("extra")
    }

    /// A directory for temporary files that are not part of the layer. It does not exist yet.
    pub fn scratch_path(&self) -> PathBuf {
        self.temp.path().join("scratch")
    }

    /// Publishes the verified layer. If the digest was not known in advance and another process has stored
    /// the same layer meanwhile, that one is kept.
    pub fn commit(mut self, record: LayerRecord) -> anyhow::Result<LayerLease> {
        let reserved = match self.reserved.take() {
            Some(reserved) => reserved,
            None => match self.store.reserve_layer(&record.diff_id)? {
                Ok(reserved) => reserved,
                Err(lease) => return Ok(lease),
            },
        };
        if record.diff_id != reserved.diff_id {
            let message = format!("layer {} was unpacked as {}", record.diff_id, reserved.diff_id);
            return Err(Failure::new(FailureKind::Corrupt, message).into());
        }
        let target = self.store.layer_dir(&record.diff_id);
        atomic::write_json(&self.temp.path().join("layer.json"), &record, Durability::Unsynced)
            // The scratch directory must not become part of the layer.
            .and_then(|()| self.store.discard(&self.scratch_path()))
            .and_then(|()| self.temp.rename_to(&target))
            .with_context(|| format!("cannot store layer {}", record.diff_id))?;
        Ok(LayerLease { record, _lock: reserved.lease })
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemovedLayer {
    pub diff_id: Digest,
    /// Total size of its files, in bytes.
    pub size: u64,
}

impl Store {
    /// The record of a layer, or `None` if the store does not have it.
    pub fn layer(&self, diff_id: &Digest) -> anyhow::Result<Option<LayerRecord>> {
        read_record(&self.layer_dir(diff_id).join("layer.json"))
    }

    /// A lease on the layer, or a draft to create it. Waits while another process creates it, so a caller
    /// that already holds a draft must be filling it in another thread; otherwise two pulls could deadlock.
    pub fn begin_layer(&self, diff_id: &Digest) -> anyhow::Result<LayerSlot> {
        match self.reserve_layer(diff_id)? {
            Ok(reserved) => Ok(LayerSlot::Draft(self.draft(Some(reserved))?)),
            Err(lease) => Ok(LayerSlot::Present(lease)),
        }
    }

    /// A lease on an existing layer; `None` if there is none. Waits while another process creates it.
    pub fn lease_layer(&self, diff_id: &Digest) -> anyhow::Result<Option<LayerLease>> {
        Ok(self.reserve_layer(diff_id)?.err())
    }

    /// A draft of a layer whose digest is known only after it has been read.
    pub fn begin_layer_without_digest(&self) -> anyhow::Result<LayerDraft> {
        self.draft(None)
    }

    fn draft(&self, reserved: Option<LayerReservation>) -> anyhow::Result<LayerDraft> {
        let temp = self.temp_dir()?;
        create_dir_0755(&temp.path().join("fs")).context("cannot make a directory for a layer")?;
        Ok(LayerDraft { store: self.clone(), temp, reserved })
    }

    fn reserve_layer(&self, diff_id: &Digest) -> anyhow::Result<Result<LayerReservation, LayerLease>> {
        let doing = || format!("cannot reserve layer {diff_id}");
        let lease = FileLock::acquire(&self.lock_path("layer", diff_id.hex()), LockMode::Shared)
            .with_context(doing)?;
        if let Some(record) = self.layer(diff_id)? {
            return Ok(Err(LayerLease { record, _lock: lease }));
        }
        // Taken after the shared layer lock, in the documented order. The record is checked again because the
        // previous holder of the unpack lock may have just committed this layer.
        let unpack = FileLock::acquire(&self.lock_path("unpack", diff_id.hex()), LockMode::Exclusive)
            .with_context(doing)?;
        if let Some(record) = self.layer(diff_id)? {
            return Ok(Err(LayerLease { record, _lock: lease }));
        }
        Ok(Ok(LayerReservation { diff_id: diff_id.clone(), lease, _unpack: unpack }))
    }

    /// Records that a registry has the layer's blob.
    pub fn add_layer_source(&self, diff_id: &Digest, source: LayerSource) -> anyhow::Result<()> {
        let _lock = FileLock::acquire(&self.lock_path("unpack", diff_id.hex()), LockMode::Exclusive)
            .with_context(|| format!("cannot lock layer {diff_id}"))?;
        let Some(mut record) = self.layer(diff_id)? else { return Ok(()) };
        if record.sources.contains(&source) {
            return Ok(());
        }
        record.sources.push(source);
        atomic::write_json(&self.layer_dir(diff_id).join("layer.json"), &record, Durability::Unsynced)
            .with_context(|| format!("cannot update the record of layer {diff_id}"))
    }

    pub fn layers(&self) -> anyhow::Result<Vec<LayerRecord>> {
        let mut layers = Vec::new();
        for name in list_dir(&self.layers_dir()).context("cannot list the layers")? {
            let Some(diff_id) = layout::digest_of_dir(&name) else { continue };
            layers.extend(self.layer(&diff_id)?);
        }
        Ok(layers)
    }

    /// Removes layers that are neither referenced by an image or the build cache nor leased.
    pub fn prune_layers(&self) -> anyhow::Result<Vec<RemovedLayer>> {
        let used = self.used_layers()?;
        let mut removed = Vec::new();
        for name in list_dir(&self.layers_dir()).context("cannot list the layers")? {
            if let Some(diff_id) = layout::digest_of_dir(&name)
                && !used.contains(&diff_id)
            {
                removed.extend(self.remove_layer(diff_id)?);
            }
        }
        Ok(removed)
    }

    fn remove_layer(&self, diff_id: Digest) -> anyhow::Result<Option<RemovedLayer>> {
        let doing = || format!("cannot remove layer {diff_id}");
        let path = self.lock_path("layer", diff_id.hex());
        let Some(lock) = FileLock::try_acquire(&path, LockMode::Exclusive).with_context(doing)? else {
            return Ok(None);
        };
        // With the exclusive lock held nobody can be registering an image with this layer; check once more.
        if self.used_layers()?.contains(&diff_id) {
            return Ok(None);
        }
        let size = self.layer(&diff_id)?.map_or(0, |record| record.size);
        self.discard(&self.layer_dir(&diff_id)).with_context(doing)?;
        // A holder of the unpack lock also holds a lease, so the unpack lock is free here.
        let unpack = self.lock_path("unpack", diff_id.hex());
        ignore_missing(std::fs::remove_file(unpack)).with_context(doing)?;
        lock.remove_file().with_context(doing)?;
        Ok(Some(RemovedLayer { diff_id, size }))
    }

    fn used_layers(&self) -> anyhow::Result<BTreeSet<Digest>> {
        let mut used = self.cached_layers()?;
        used.extend(self.images()?.into_iter().flat_map(|image| image.config.rootfs.diff_ids));
        Ok(used)
    }
}

/// Creates the root directory of a container's file system: mode 0755, regardless of the umask.
pub(super) fn create_dir_0755(dir: &Path) -> std::io::Result<()> {
    std::fs::create_dir(dir)?;
    std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o755))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::store;
    use dhow_model::layer::LayerOwnership;

    fn record(diff_id: &Digest) -> LayerRecord {
        LayerRecord {
            diff_id: diff_id.clone(),
            size: 3,
            tar_size: 1024,
            identity: LayerOwnership::Single,
            sources: vec![],
        }
    }

    fn draft(store: &Store, diff_id: &Digest) -> LayerDraft {
        match store.begin_layer(diff_id).unwrap() {
            LayerSlot::Draft(draft) => draft,
            LayerSlot::Present(_) => panic!("present already"),
        }
    }

    #[test]
    fn an_abandoned_draft_leaves_nothing() {
        let (_dir, store) = store();
        let id = Digest::of(b"layer");
        drop(draft(&store, &id));
        assert!(store.layer(&id).unwrap().is_none());
        assert!(list_dir(&store.tmp_dir()).unwrap().is_empty());
        draft(&store, &id);
    }

    #[test]
    fn the_second_waits_and_finds_it_present() {
        let (_dir, store) = store();
        let id = Digest::of(b"layer");
        let first = draft(&store, &id);
        let other = store.clone();
        let wanted = id.clone();
        let second = std::thread::spawn(move || other.begin_layer(&wanted).unwrap());
        std::fs::write(first.tree().join("f"), "abc").unwrap();
        let lease = first.commit(record(&id)).unwrap();
        assert!(matches!(second.join().unwrap(), LayerSlot::Present(_)));
        assert_eq!(lease.size, 3);
        assert!(store.layer_tree(&id).join("f").exists());
    }

    #[test]
    fn a_lease_protects_until_it_is_dropped() {
        let (_dir, store) = store();
        let id = Digest::of(b"layer");
        let lease = draft(&store, &id).commit(record(&id)).unwrap();
        assert!(store.prune_layers().unwrap().is_empty());
        drop(lease);
        assert_eq!(store.prune_layers().unwrap(), vec![RemovedLayer { diff_id: id.clone(), size: 3 }]);
        assert!(store.layer(&id).unwrap().is_none());
        assert!(list_dir(&store.root().join("locks")).unwrap().is_empty());
    }

    #[test]
    fn commit_under_another_digest_is_refused() {
        let (_dir, store) = store();
        let draft = draft(&store, &Digest::of(b"a"));
        assert!(draft.commit(record(&Digest::of(b"b"))).is_err());
        assert!(store.layers().unwrap().is_empty());
    }

    #[test]
    fn sources_are_remembered_once() {
        let (_dir, store) = store();
        let id = Digest::of(b"layer");
        draft(&store, &id).commit(record(&id)).unwrap();
        let source = LayerSource {
            registry: "r".into(),
            repository: "x".into(),
            digest: id.clone(),
            size: 1,
            media_type: "m".into(),
        };
        store.add_layer_source(&id, source.clone()).unwrap();
        store.add_layer_source(&id, source).unwrap();
        assert_eq!(store.layer(&id).unwrap().unwrap().sources.len(), 1);
    }
}

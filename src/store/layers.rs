//! Layers: one verified, unpacked directory each, shared by all images that contain it.

use std::collections::BTreeSet;
use std::ops::Deref;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::atomic::{self, Durability};
use super::lock::{Lock, Mode};
use super::{Store, TempDir, layout, list_dir, read_record};
use crate::error::{Failure, Kind};
use crate::model::digest::Digest;
use crate::model::layer::{LayerRecord, LayerSource};

/// What [`Store::begin_layer`] found.
#[derive(Debug)]
pub enum LayerSlot {
    /// The layer is there.
    Present(LayerLease),
    /// It is not, and the caller is the one to make it; others wait.
    Draft(LayerDraft),
}

/// A layer that is there and cannot be removed while this value lives. Hand it to [`Store::put_image`], or keep it
/// until then: an image that is registered without may lose its layer to a concurrent removal.
#[derive(Debug)]
pub struct LayerLease {
    record: LayerRecord,
    _lock: Lock,
}

impl Deref for LayerLease {
    type Target = LayerRecord;

    fn deref(&self) -> &LayerRecord {
        &self.record
    }
}

/// A layer being made. Dropped without [`LayerDraft::commit`] it leaves nothing.
#[derive(Debug)]
pub struct LayerDraft {
    store: Store,
    temp: TempDir,
    reserved: Option<Reserved>,
}

/// A digest that nobody else unpacks while this lives.
#[derive(Debug)]
struct Reserved {
    diff_id: Digest,
    lease: Lock,
    _unpack: Lock,
}

impl LayerDraft {
    /// The digest that the layer's tar stream must have, where it is known before.
    pub fn diff_id(&self) -> Option<&Digest> {
        self.reserved.as_ref().map(|reserved| &reserved.diff_id)
    }

    /// The directory to create the tree in; it exists, with mode 0755.
    pub fn tree(&self) -> PathBuf {
        self.temp.path().join("fs")
    }

    /// The file to write the recipe to; it does not exist.
    pub fn recipe_path(&self) -> PathBuf {
        self.temp.path().join("recipe")
    }

    /// The directory for contents that are not in the tree; it does not exist.
    pub fn extra(&self) -> PathBuf {
        self.temp.path().join("extra")
    }

    /// A directory for what the layer does not keep; it does not exist.
    pub fn scratch(&self) -> PathBuf {
        self.temp.path().join("scratch")
    }

    /// Gives the verified layer its name. If another process was quicker with a layer whose digest was not known
    /// before, that one stays.
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
            return Err(Failure::new(Kind::Corrupt, message).into());
        }
        let target = self.store.layer_dir(&record.diff_id);
        atomic::write_json(&self.temp.path().join("layer.json"), &record, Durability::Passing)
            .and_then(|()| self.store.discard(&self.scratch()))
            .and_then(|()| self.temp.rename_to(&target))
            .with_context(|| format!("cannot store layer {}", record.diff_id))?;
        Ok(LayerLease { record, _lock: reserved.lease })
    }
}

/// A layer that was removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemovedLayer {
    /// Its digest.
    pub diff_id: Digest,
    /// The sum of its files' sizes, in bytes.
    pub size: u64,
}

impl Store {
    /// The record of a layer, or `None` where the layer is not there.
    pub fn layer(&self, diff_id: &Digest) -> anyhow::Result<Option<LayerRecord>> {
        read_record(&self.layer_dir(diff_id).join("layer.json"))
    }

    /// The layer's lease, or the right to make it. Waits while another process makes it, so a caller that already
    /// holds a draft must be making that one in another thread, or two pulls could wait for each other.
    pub fn begin_layer(&self, diff_id: &Digest) -> anyhow::Result<LayerSlot> {
        match self.reserve_layer(diff_id)? {
            Ok(reserved) => Ok(LayerSlot::Draft(self.draft(Some(reserved))?)),
            Err(lease) => Ok(LayerSlot::Present(lease)),
        }
    }

    /// The lease of a layer that is there; waits while another process makes it.
    pub fn lease_layer(&self, diff_id: &Digest) -> anyhow::Result<Option<LayerLease>> {
        Ok(self.reserve_layer(diff_id)?.err())
    }

    /// A draft of a layer whose digest will be known when it has been read.
    pub fn begin_unknown_layer(&self) -> anyhow::Result<LayerDraft> {
        self.draft(None)
    }

    fn draft(&self, reserved: Option<Reserved>) -> anyhow::Result<LayerDraft> {
        let temp = self.temp_dir()?;
        make_open_dir(&temp.path().join("fs")).context("cannot make a directory for a layer")?;
        Ok(LayerDraft { store: self.clone(), temp, reserved })
    }

    fn reserve_layer(&self, diff_id: &Digest) -> anyhow::Result<Result<Reserved, LayerLease>> {
        let doing = || format!("cannot reserve layer {diff_id}");
        let lease =
            Lock::acquire(&self.lock_path("layer", diff_id.hex()), Mode::Shared).with_context(doing)?;
        if let Some(record) = self.layer(diff_id)? {
            return Ok(Err(LayerLease { record, _lock: lease }));
        }
        let unpack =
            Lock::acquire(&self.lock_path("unpack", diff_id.hex()), Mode::Exclusive).with_context(doing)?;
        if let Some(record) = self.layer(diff_id)? {
            return Ok(Err(LayerLease { record, _lock: lease }));
        }
        Ok(Ok(Reserved { diff_id: diff_id.clone(), lease, _unpack: unpack }))
    }

    /// Remembers that a registry holds a layer's blob.
    pub fn add_layer_source(&self, diff_id: &Digest, source: LayerSource) -> anyhow::Result<()> {
        let _lock = Lock::acquire(&self.lock_path("unpack", diff_id.hex()), Mode::Exclusive)
            .with_context(|| format!("cannot lock layer {diff_id}"))?;
        let Some(mut record) = self.layer(diff_id)? else { return Ok(()) };
        if record.sources.contains(&source) {
            return Ok(());
        }
        record.sources.push(source);
        atomic::write_json(&self.layer_dir(diff_id).join("layer.json"), &record, Durability::Passing)
            .with_context(|| format!("cannot update the record of layer {diff_id}"))
    }

    /// All layers that are there.
    pub fn layers(&self) -> anyhow::Result<Vec<LayerRecord>> {
        let mut layers = Vec::new();
        for name in list_dir(&self.layers_dir()).context("cannot list the layers")? {
            let Some(diff_id) = layout::digest_of_dir(&name) else { continue };
            layers.extend(self.layer(&diff_id)?);
        }
        Ok(layers)
    }

    /// Removes the layers that neither an image nor the build cache names and nobody has a lease on.
    pub fn collect_layers(&self) -> anyhow::Result<Vec<RemovedLayer>> {
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
        let Some(lock) = Lock::try_acquire(&path, Mode::Exclusive).with_context(doing)? else {
            return Ok(None);
        };
        // Only now nobody can be about to register an image with it; look again.
        if self.used_layers()?.contains(&diff_id) {
            return Ok(None);
        }
        let size = self.layer(&diff_id)?.map_or(0, |record| record.size);
        self.discard(&self.layer_dir(&diff_id)).with_context(doing)?;
        // Whoever holds the unpack lock holds the lease too, so it is free.
        let unpack = self.lock_path("unpack", diff_id.hex());
        atomic::ignore_missing(std::fs::remove_file(unpack)).with_context(doing)?;
        lock.remove_file().with_context(doing)?;
        Ok(Some(RemovedLayer { diff_id, size }))
    }

    fn used_layers(&self) -> anyhow::Result<BTreeSet<Digest>> {
        let mut used = self.cached_layers()?;
        used.extend(self.images()?.into_iter().flat_map(|image| image.config.rootfs.diff_ids));
        Ok(used)
    }
}

/// Makes a directory that becomes the root of a file system somewhere: mode 0755, whatever the umask.
pub(super) fn make_open_dir(dir: &Path) -> std::io::Result<()> {
    std::fs::create_dir(dir)?;
    std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o755))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::layer::Identity;
    use crate::store::scratch::store;

    fn record(diff_id: &Digest) -> LayerRecord {
        LayerRecord {
            diff_id: diff_id.clone(),
            size: 3,
            tar_size: 1024,
            identity: Identity::Single,
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
        assert!(store.collect_layers().unwrap().is_empty());
        drop(lease);
        assert_eq!(store.collect_layers().unwrap(), vec![RemovedLayer { diff_id: id.clone(), size: 3 }]);
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

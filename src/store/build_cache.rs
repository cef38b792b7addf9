//! The build cache: a small record for each build step, keyed by its cache key, that names the resulting
//! layer.
//!
//! A record is valid only while its layer exists, and is written after it: a process killed in between leaves
//! an unreferenced layer, which the next prune removes. Layers that a record names are kept until
//! [`Store::prune_steps`].

use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use super::atomic::{self, Durability};
use super::lock::FileLock;
use super::{Store, layout, timestamp_now};
use crate::fs::{ignore_missing, list_dir, read_optional, read_record};
use dhow_model::digest::Digest;

/// The result of a build step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepRecord {
    /// `None` if the step changed no file.
    pub layer: Option<Digest>,
    /// When the step ran (RFC 3339); becomes the creation time of images built from it.
    pub created: String,
    /// When the record was last used.
    pub used: Option<String>,
    /// How often it was used.
    pub uses: u64,
    /// Total size of the layer's files in bytes.
    pub size: u64,
    /// The step as displayed.
    pub description: String,
    /// Cache keys of the steps it is based on.
    #[serde(default)]
    pub parents: Vec<Digest>,
    /// For an alias: the primary cache key of the same step.
    #[serde(default)]
    pub same_as: Option<Digest>,
    /// Metadata of downloads, to skip unchanged ones.
    #[serde(default)]
    pub downloads: Vec<serde_json::Value>,
}

impl StepRecord {
    /// A record with the current time.
    pub fn new(layer: Option<Digest>, size: u64, description: impl Into<String>) -> Self {
        Self {
            layer,
            created: timestamp_now(),
            used: None,
            uses: 0,
            size,
            description: description.into(),
            parents: Vec::new(),
            same_as: None,
            downloads: Vec::new(),
        }
    }
}

impl Store {
    fn steps_dir(&self) -> PathBuf {
        self.root().join("cache/steps")
    }

    fn step_path(&self, key: &Digest) -> PathBuf {
        self.steps_dir().join(key.hex())
    }

    /// The cached result of a step with its primary key; `None` if its layer is gone. Callers that use the
    /// layer must lease it, and look up again if that shows that it is gone.
    pub fn step(&self, key: &Digest) -> anyhow::Result<Option<(Digest, StepRecord)>> {
        let mut key = key.clone();
        let Some(mut record) = self.read_step(&key)? else { return Ok(None) };
        // Aliases are one level deep: they always name a primary key.
        if let Some(primary) = record.same_as.take() {
            key = primary;
            let Some(other) = self.read_step(&key)? else { return Ok(None) };
            record = other;
        }
        match &record.layer {
            // The layer may have been pruned since; the record is then worthless.
            Some(layer) if self.layer(layer)?.is_none() => Ok(None),
            _ => Ok(Some((key, record))),
        }
    }

    /// A damaged record counts as missing: the step runs again and replaces it.
    fn read_step(&self, key: &Digest) -> anyhow::Result<Option<StepRecord>> {
        match read_record(&self.step_path(key)) {
            Err(error) if dhow_error::kind_of(&error) == dhow_error::FailureKind::Corrupt => Ok(None),
            other => other,
        }
    }

    /// Records the result of a step. The caller holds a lease on the layer.
    pub fn put_step(&self, key: &Digest, record: &StepRecord) -> anyhow::Result<()> {
        atomic::write_json(&self.step_path(key), record, Durability::Unsynced)
            .context("cannot write a record of the build cache")
    }

    /// Records a cache hit.
    pub fn record_step_use(&self, key: &Digest, mut record: StepRecord) -> anyhow::Result<()> {
        record.uses += 1;
        record.used = Some(timestamp_now());
        self.put_step(key, &record)
    }

    /// All records except aliases.
    pub fn steps(&self) -> anyhow::Result<Vec<(Digest, StepRecord)>> {
        let mut steps = Vec::new();
        for key in self.step_keys()? {
            if let Some(record) = self.read_step(&key)?
                && record.same_as.is_none()
            {
                steps.push((key, record));
            }
        }
        Ok(steps)
    }

    fn step_keys(&self) -> anyhow::Result<Vec<Digest>> {
        let names = list_dir(&self.steps_dir()).context("cannot list the build cache")?;
        Ok(names.iter().filter_map(|name| layout::digest_of_dir(name)).collect())
    }

    fn context_path(&self, dir: &Path) -> PathBuf {
        let name = Digest::of(dir.as_os_str().as_bytes());
        self.root().join("cache/contexts").join(name.hex())
    }

    /// The cached file metadata of the build context `dir`; empty if there is none or it cannot be read.
    pub fn context_files(&self, dir: &Path) -> Vec<u8> {
        read_optional(&self.context_path(dir)).ok().flatten().unwrap_or_default()
    }

    /// Stores file metadata of the build context `dir`.
    pub fn put_context_files(&self, dir: &Path, content: &[u8]) -> anyhow::Result<()> {
        atomic::write(&self.context_path(dir), content, Durability::Unsynced)
            .context("cannot write what is remembered of a context's files")
    }

    /// Removes the cached file metadata of all build contexts.
    pub fn remove_context_files(&self) -> anyhow::Result<()> {
        self.discard(&self.root().join("cache/contexts"))
            .context("cannot remove what is remembered of contexts' files")
    }

    /// Whether any process holds a lease on the layer.
    pub fn is_layer_leased(&self, layer: &Digest) -> anyhow::Result<bool> {
        Ok(FileLock::is_held(&self.lock_path("layer", layer.hex()))?)
    }

    /// Removes records and the aliases of them. Their layers stay until [`Store::prune_layers`].
    pub fn prune_steps(&self, keys: &BTreeSet<Digest>) -> anyhow::Result<()> {
        for key in self.step_keys()? {
            // An alias goes with its primary record, or it would dangle.
            let remove = keys.contains(&key)
                || self
                    .read_step(&key)?
                    .is_some_and(|record| record.same_as.is_some_and(|same| keys.contains(&same)));
            if remove {
                ignore_missing(std::fs::remove_file(self.step_path(&key)))
                    .context("cannot remove a record of the build cache")?;
            }
        }
        Ok(())
    }

    /// The layers referenced by the build cache.
    pub(super) fn cached_layers(&self) -> anyhow::Result<BTreeSet<Digest>> {
        let mut layers = BTreeSet::new();
        for key in self.step_keys()? {
            layers.extend(self.read_step(&key)?.and_then(|record| record.layer));
        }
        Ok(layers)
    }

    /// Removes unfinished records.
    pub(super) fn sweep_steps(&self) -> std::io::Result<()> {
        atomic::sweep(&self.steps_dir())?;
        atomic::sweep(&self.root().join("cache/contexts"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::store;

    #[test]
    fn a_record_counts_while_its_layer_is_there() {
        let (_dir, store) = store();
        let (key, second) = (Digest::of(b"key"), Digest::of(b"second"));
        store.put_step(&key, &StepRecord::new(Some(Digest::of(b"layer")), 1, "RUN x")).unwrap();
        assert!(store.step(&key).unwrap().is_none());
        store.put_step(&key, &StepRecord::new(None, 0, "RUN x")).unwrap();
        let alias = StepRecord { same_as: Some(key.clone()), ..StepRecord::new(None, 0, "") };
        store.put_step(&second, &alias).unwrap();
        let (found, record) = store.step(&second).unwrap().unwrap();
        assert_eq!((&found, record.description.as_str()), (&key, "RUN x"));
        store.record_step_use(&found, record).unwrap();
        assert_eq!(store.steps().unwrap().len(), 1);
        assert_eq!(store.steps().unwrap()[0].1.uses, 1);
        store.prune_steps(&BTreeSet::from([key.clone()])).unwrap();
        assert!(store.step(&second).unwrap().is_none());
        assert_eq!(store.step_keys().unwrap().len(), 0);
    }

    #[test]
    fn a_damaged_record_is_none() {
        let (_dir, store) = store();
        let key = Digest::of(b"key");
        std::fs::create_dir_all(store.steps_dir()).unwrap();
        std::fs::write(store.step_path(&key), "{").unwrap();
        assert!(store.step(&key).unwrap().is_none());
        assert!(store.cached_layers().unwrap().is_empty());
    }
}

//! What steps of builds made: a small record each, found by the step's key, that names the layer.
//!
//! A record counts only while its layer is there, and is written after it: whoever is killed between leaves a layer that
//! nobody knows, which the next collection removes. Layers that a record names are kept until [`Store::prune_steps`].

use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use super::atomic::{self, Durability};
use super::lock::Lock;
use super::{Store, layout, list_dir, now, read_if_there, read_record};
use crate::model::digest::Digest;

/// What a step made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepRecord {
    /// The layer; `None` where it changed no file.
    pub layer: Option<Digest>,
    /// When it was made, RFC 3339: the time that images made of it have.
    pub created: String,
    /// When it was last taken from here.
    pub used: Option<String>,
    /// How often.
    pub uses: u64,
    /// Size of the layer's files in bytes.
    pub size: u64,
    /// The step as shown.
    pub description: String,
    /// The keys of the steps that it stands on.
    #[serde(default)]
    pub parents: Vec<Digest>,
    /// The step that this is another key of.
    #[serde(default)]
    pub same_as: Option<Digest>,
    /// What was downloaded for it, so that it need not be again.
    #[serde(default)]
    pub downloads: Vec<serde_json::Value>,
}

impl StepRecord {
    /// One that was made now.
    pub fn new(layer: Option<Digest>, size: u64, description: impl Into<String>) -> Self {
        Self {
            layer,
            created: now(),
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

    /// What the step with this key made, if that is still there, with its own key. Who relies on the layer takes a
    /// lease on it, and looks again where that shows that it is gone.
    pub fn step(&self, key: &Digest) -> anyhow::Result<Option<(Digest, StepRecord)>> {
        let mut key = key.clone();
        let Some(mut record) = self.read_step(&key)? else { return Ok(None) };
        if let Some(same) = record.same_as.take() {
            key = same;
            let Some(other) = self.read_step(&key)? else { return Ok(None) };
            record = other;
        }
        match &record.layer {
            Some(layer) if self.layer(layer)?.is_none() => Ok(None),
            _ => Ok(Some((key, record))),
        }
    }

    /// A damaged record is none: it costs the step's work again, and is replaced then.
    fn read_step(&self, key: &Digest) -> anyhow::Result<Option<StepRecord>> {
        match read_record(&self.step_path(key)) {
            Err(error) if crate::error::kind_of(&error) == crate::error::Kind::Corrupt => Ok(None),
            other => other,
        }
    }

    /// Remembers what a step made. The caller has a lease on the layer.
    pub fn put_step(&self, key: &Digest, record: &StepRecord) -> anyhow::Result<()> {
        atomic::write_json(&self.step_path(key), record, Durability::Passing)
            .context("cannot write a record of the build cache")
    }

    /// Remembers that a step was taken from here.
    pub fn used_step(&self, key: &Digest, mut record: StepRecord) -> anyhow::Result<()> {
        record.uses += 1;
        record.used = Some(now());
        self.put_step(key, &record)
    }

    /// All that is remembered, but for second keys of the same.
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

    /// What is remembered of the files of a context, by its directory; nothing where that cannot be read.
    pub fn context_files(&self, dir: &Path) -> Vec<u8> {
        read_if_there(&self.context_path(dir)).ok().flatten().unwrap_or_default()
    }

    /// Remembers something of the files of a context.
    pub fn put_context_files(&self, dir: &Path, content: &[u8]) -> anyhow::Result<()> {
        atomic::write(&self.context_path(dir), content, Durability::Passing)
            .context("cannot write what is remembered of a context's files")
    }

    /// Forgets what is remembered of the files of contexts.
    pub fn forget_contexts(&self) -> anyhow::Result<()> {
        self.discard(&self.root().join("cache/contexts"))
            .context("cannot remove what is remembered of contexts' files")
    }

    /// Whether somebody builds with this layer, or has it for another reason.
    pub fn is_layer_leased(&self, layer: &Digest) -> anyhow::Result<bool> {
        Ok(Lock::is_held(&self.lock_path("layer", layer.hex()))?)
    }

    /// Forgets steps, and second keys that lead to none. Their layers stay until [`Store::collect_layers`].
    pub fn prune_steps(&self, keys: &BTreeSet<Digest>) -> anyhow::Result<()> {
        for key in self.step_keys()? {
            let goes = keys.contains(&key)
                || self
                    .read_step(&key)?
                    .is_some_and(|record| record.same_as.is_some_and(|same| keys.contains(&same)));
            if goes {
                atomic::ignore_missing(std::fs::remove_file(self.step_path(&key)))
                    .context("cannot remove a record of the build cache")?;
            }
        }
        Ok(())
    }

    /// The layers that the build cache names.
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
    use crate::store::scratch::store;

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
        store.used_step(&found, record).unwrap();
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

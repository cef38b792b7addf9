//! File systems that failed steps of builds left: a record each, `cache/failed/<digest of the key>.json`, of an image
//! that was made of the state. Only the last few are kept.

use std::path::PathBuf;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use super::atomic::{self, Durability};
use super::lock::{Lock, Mode};
use super::{Store, list_dir, make_private_dirs, read_record};
use crate::model::digest::Digest;

/// So many are kept.
const MOST: usize = 5;

/// What a failed step left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedState {
    /// The step's cache key.
    pub key: String,
    /// An image of the state.
    pub image: Digest,
    /// The name of that.
    pub name: String,
    /// When it failed, RFC 3339 in UTC.
    pub created: String,
    /// What failed.
    pub about: String,
    /// What the step stood on, lowest first.
    pub layers: Vec<Digest>,
    /// What the step itself changed before it failed; `None` for nothing.
    pub changed: Option<Digest>,
}

impl Store {
    /// All of them, the latest first.
    pub fn failed_states(&self) -> anyhow::Result<Vec<FailedState>> {
        let mut states: Vec<FailedState> = Vec::new();
        for name in list_dir(&self.failed_dir()).context("cannot list the states of failed steps")? {
            states.extend(read_record(&self.failed_dir().join(name))?);
        }
        states.sort_by(|a, b| b.created.cmp(&a.created));
        Ok(states)
    }

    /// What the step with this key left; `None` too where the image of it was removed.
    pub fn failed_state(&self, key: &str) -> anyhow::Result<Option<FailedState>> {
        let state: Option<FailedState> = read_record(&self.failed_path(key))?;
        Ok(state.filter(|state| self.has_image(&state.image)))
    }

    /// Notes one. Those that were there before it go as far as they are too many; what they were is returned.
    pub fn put_failed_state(&self, state: &FailedState) -> anyhow::Result<Vec<FailedState>> {
        make_private_dirs(&self.failed_dir())
            .and_then(|()| atomic::write_json(&self.failed_path(&state.key), state, Durability::Passing))
            .context("cannot note the state of a failed step")?;
        let old = self.failed_states()?.split_off(MOST.min(self.failed_states()?.len()));
        old.iter().try_for_each(|state| self.remove_failed_state(&state.key))?;
        Ok(old)
    }

    /// Forgets one, with its image unless a container was made of that or it got another name.
    pub fn remove_failed_state(&self, key: &str) -> anyhow::Result<()> {
        let path = self.failed_path(key);
        let state: Option<FailedState> = read_record(&path)?;
        atomic::ignore_missing(std::fs::remove_file(&path)).context("cannot forget a failed step")?;
        let Some(state) = state else { return Ok(()) };
        let Some(image) = self.lock_image(&state.image)? else { return Ok(()) };
        if let Ok(name) = state.name.parse() {
            image.remove_name(&name)?;
        }
        if image.names()?.is_empty() && image.containers()?.is_empty() {
            image.remove()?;
        }
        Ok(())
    }

    /// Moves the tree of a layer to `target`, an empty directory on the same file system, and forgets the layer.
    /// `false`, and nothing happens, where an image names it or somebody relies on it.
    pub fn take_layer(&self, diff_id: &Digest, target: &std::path::Path) -> anyhow::Result<bool> {
        let doing = || format!("cannot take over layer {diff_id}");
        let lock = Lock::try_acquire(&self.lock_path("layer", diff_id.hex()), Mode::Exclusive)
            .with_context(doing)?;
        let Some(lock) = lock else { return Ok(false) };
        if self.layer(diff_id)?.is_none() || self.is_layer_used(diff_id)? {
            return Ok(false);
        }
        // It loses its name as a whole first.
        let retired = self.retire(&self.layer_dir(diff_id)).with_context(doing)?;
        std::fs::rename(retired.path().join("fs"), target)
            .and_then(|()| retired.delete())
            .with_context(doing)?;
        lock.remove_file().with_context(doing)?;
        Ok(true)
    }

    fn failed_dir(&self) -> PathBuf {
        self.root().join("cache/failed")
    }

    fn failed_path(&self, key: &str) -> PathBuf {
        self.failed_dir().join(format!("{}.json", Digest::of(key.as_bytes()).hex()))
    }

    fn is_layer_used(&self, diff_id: &Digest) -> anyhow::Result<bool> {
        Ok(self.images()?.iter().any(|image| image.config.rootfs.diff_ids.contains(diff_id)))
    }
}

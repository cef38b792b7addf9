//! File systems of failed build steps: one record each, `cache/failed/<digest of the key>.json`, naming an
//! image made of the state. Only the latest few are kept.

use std::path::PathBuf;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use super::Store;
use super::atomic::{self, Durability};
use super::lock::{FileLock, LockMode};
use crate::fs::{ignore_missing, list_dir, make_private_dirs, read_record};
use dhow_model::digest::Digest;

const MAX_FAILED_STATES: usize = 5;

/// The state left by a failed build step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedState {
    pub key: String,
    /// An image of the file system as the step left it.
    pub image: Digest,
    /// The image's name.
    pub name: String,
    /// RFC 3339, UTC.
    pub created: String,
    /// What failed, for display.
    pub about: String,
    /// The layers below the step, lowest first.
    pub layers: Vec<Digest>,
    /// The layer with the step's own changes; `None` if it changed nothing.
    pub changed: Option<Digest>,
}

impl Store {
    /// All states, latest first.
    pub(crate) fn failed_states(&self) -> anyhow::Result<Vec<FailedState>> {
        let mut states: Vec<FailedState> = Vec::new();
        for name in list_dir(&self.failed_dir()).context("cannot list the states of failed steps")? {
            states.extend(read_record(&self.failed_dir().join(name))?);
        }
        states.sort_by(|a, b| b.created.cmp(&a.created));
        Ok(states)
    }

    /// The state left by the step with this key; `None` also if its image was removed.
    pub fn failed_state(&self, key: &str) -> anyhow::Result<Option<FailedState>> {
        let state: Option<FailedState> = read_record(&self.failed_path(key))?;
        Ok(state.filter(|state| self.has_image(&state.image)))
    }

    /// Records a state and removes the oldest ones beyond the limit, which are returned.
    pub fn put_failed_state(&self, state: &FailedState) -> anyhow::Result<Vec<FailedState>> {
        make_private_dirs(&self.failed_dir())
            .and_then(|()| atomic::write_json(&self.failed_path(&state.key), state, Durability::Unsynced))
            .context("cannot note the state of a failed step")?;
        // Read once: another build may add or remove states meanwhile.
        let old: Vec<FailedState> = self.failed_states()?.into_iter().skip(MAX_FAILED_STATES).collect();
        old.iter().try_for_each(|state| self.remove_failed_state(&state.key))?;
        Ok(old)
    }

    /// Removes a state, and its image unless a container uses it or it has another name.
    pub fn remove_failed_state(&self, key: &str) -> anyhow::Result<()> {
        let path = self.failed_path(key);
        let state: Option<FailedState> = read_record(&path)?;
        ignore_missing(std::fs::remove_file(&path)).context("cannot forget a failed step")?;
        let Some(state) = state else { return Ok(()) };
        let Some(image) = self.lock_image(&state.image)? else { return Ok(()) };
        if let Ok(name) = state.name.parse() {
            image.remove_name(&name)?;
        }
        // The user may have tagged the image or started a container from it to debug the step.
        if image.names()?.is_empty() && image.containers()?.is_empty() {
            image.remove()?;
        }
        Ok(())
    }

    /// Moves a layer's tree to `target`, an empty directory on the same file system, and removes the layer.
    /// Does nothing and returns `false` if an image refers to the layer or it is leased.
    pub fn take_layer_tree(&self, diff_id: &Digest, target: &std::path::Path) -> anyhow::Result<bool> {
        let doing = || format!("cannot take over layer {diff_id}");
        let lock = FileLock::try_acquire(&self.lock_path("layer", diff_id.hex()), LockMode::Exclusive)
            .with_context(doing)?;
        let Some(lock) = lock else { return Ok(false) };
        if self.layer(diff_id)?.is_none() || self.is_layer_used(diff_id)? {
            return Ok(false);
        }
        // Retire the whole layer first, so that no reader sees a layer without its tree.
        let trashed = self.move_to_trash(&self.layer_dir(diff_id)).with_context(doing)?;
        std::fs::rename(trashed.path().join("fs"), target)
            .and_then(|()| trashed.delete())
            .with_context(doing)?;
        lock.remove_file().with_context(doing)?;
        Ok(true)
    }

    pub(super) fn failed_dir(&self) -> PathBuf {
        self.root().join("cache/failed")
    }

    fn failed_path(&self, key: &str) -> PathBuf {
        self.failed_dir().join(format!("{}.json", Digest::of(key.as_bytes()).hex()))
    }

    fn is_layer_used(&self, diff_id: &Digest) -> anyhow::Result<bool> {
        Ok(self.images()?.iter().any(|image| image.config.rootfs.diff_ids.contains(diff_id)))
    }
}

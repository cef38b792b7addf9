//! Commits an upper directory in place: what `RUN` left in its overlay, or what `COPY` wrote, becomes a
//! layer.
//!
//! Nothing is copied or moved. Entries that are no change are removed from the tree; the tar stream that it
//! stands for is hashed in the order and format of [`super::snapshot`], so that the same changes have the
//! same digest however they were made; and the tar-split data is written next to the tree.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::changes::prune_unchanged;
use super::snapshot::{InPlaceFixups, SnapshotMode, write_layer};
use dhow_model::layer::{LayerOwnership, LayerRecord};
use dhow_store::LayerDraft;

/// Parameters of [`commit_upper`].
#[derive(Clone, Copy, Debug)]
pub struct UpperCommit<'a> {
    /// The trees of the layers below, topmost first.
    pub lower: &'a [&'a Path],
    /// `SOURCE_DATE_EPOCH`, seconds since 1970: later modification times are clamped to it, in the tree and
    /// in the stream.
    pub epoch: Option<i64>,
    pub identity: LayerOwnership,
    /// In single-id mode, the owner of new files whose owner was never set: the user and group of the process
    /// that created them.
    pub owner_of_new: Option<(u32, u32)>,
    /// Owners by path, for links and pipes, which cannot have `user.dhow.owner`.
    pub owners: Option<&'a BTreeMap<Vec<u8>, (u32, u32)>>,
}

/// Turns the draft's tree into its layer. Returns the record to commit the draft with, or `None` if the tree
/// contains no change, so that there is no layer.
///
/// The caller must be able to access files of every owner, and nobody may use the tree meanwhile.
pub fn commit_upper(draft: &LayerDraft, commit: &UpperCommit<'_>) -> Result<Option<LayerRecord>> {
    let tree = draft.tree();
    let changes = prune_unchanged(&tree, commit.lower).context("cannot look through the changed files")?;
    if changes.is_empty() {
        return Ok(None);
    }
    let fixups = InPlaceFixups {
        epoch: commit.epoch,
        owner_of_new: commit
            .owner_of_new
            // Root is what a file without a record counts as; real ownership needs no record.
            .filter(|owner| *owner != (0, 0) && commit.identity == LayerOwnership::Single),
        owners: commit.owners.cloned().unwrap_or_default(),
    };
    write_layer(&tree, &changes, draft, commit.identity, SnapshotMode::InPlace(fixups)).map(Some)
}

#[cfg(test)]
mod tests;

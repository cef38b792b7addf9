//! Digests of the compressed forms that a layer was packed into before, so that a push need not compress it
//! again to find them out.

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use super::Store;
use super::atomic::{self, Durability};
use super::fs::read_record;
use super::lock::{FileLock, LockMode};
use dhow_model::digest::Digest;

/// A compressed form of a layer that can be reproduced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackedBlob {
    /// Algorithm and level, for example `gzip-6`.
    pub compression: String,
    /// Digest of the compressed bytes.
    pub digest: Digest,
    /// Compressed size in bytes.
    pub size: u64,
}

impl Store {
    /// The known forms, oldest first.
    pub fn packed_blobs(&self, diff_id: &Digest) -> anyhow::Result<Vec<PackedBlob>> {
        Ok(read_record(&self.layer_dir(diff_id).join("blobs.json"))?.unwrap_or_default())
    }

    /// Records a form, replacing an older one with the same compression.
    pub fn add_packed_blob(&self, diff_id: &Digest, blob: PackedBlob) -> anyhow::Result<()> {
        let doing = || format!("cannot remember the digest of layer {diff_id}");
        let _lock = FileLock::acquire(&self.lock_path("unpack", diff_id.hex()), LockMode::Exclusive)
            .with_context(doing)?;
        let mut blobs = self.packed_blobs(diff_id)?;
        // The layer may have been removed meanwhile; do not recreate its directory.
        if blobs.contains(&blob) || self.layer(diff_id)?.is_none() {
            return Ok(());
        }
        blobs.retain(|other| other.compression != blob.compression);
        blobs.push(blob);
        atomic::write_json(&self.layer_dir(diff_id).join("blobs.json"), &blobs, Durability::Unsynced)
            .with_context(doing)
    }
}

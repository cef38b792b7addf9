//! The store's record of a layer.

use serde::{Deserialize, Serialize};

use super::digest::Digest;

/// How a layer's files record the owners that the image asks for. Stored in the field `identity`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LayerOwnership {
    /// By real ownership: ids are mapped to the subordinate range by the user namespace.
    Mapped,
    /// Only a single id: all files belong to the user, other owners are recorded in the xattr
    /// `user.dhow.owner`.
    Single,
}

/// Stored beside the layer's tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerRecord {
    /// Digest of the uncompressed tar stream, which names the layer.
    pub diff_id: Digest,
    /// Sum of file sizes in bytes.
    pub size: u64,
    /// Length of the tar stream in bytes.
    pub tar_size: u64,
    pub identity: LayerOwnership,
    /// Registry blobs with this layer, which a push can mount instead of uploading.
    #[serde(default)]
    pub sources: Vec<LayerSource>,
}

/// A compressed blob in a registry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerSource {
    /// Host and port.
    pub registry: String,
    pub repository: String,
    pub digest: Digest,
    /// In bytes.
    pub size: u64,
    pub media_type: String,
}

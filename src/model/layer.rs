//! What the store remembers of a layer beside its files: size, how owners were kept, where it came from.

use serde::{Deserialize, Serialize};

use super::digest::Digest;

/// How the ownership that an image asks for is kept on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Identity {
    /// Files have the owners of the image, seen through the user namespace with the subordinate range.
    Mapped,
    /// Everything belongs to the user; other owners are remembered in the attribute `user.dhow.owner`.
    Single,
}

/// The record beside a layer's tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerRecord {
    /// Digest of the uncompressed tar stream; the layer's name.
    pub diff_id: Digest,
    /// Sum of the sizes of the files in it, in bytes.
    pub size: u64,
    /// Length of the tar stream, in bytes.
    pub tar_size: u64,
    /// How owners were kept when it was unpacked.
    pub identity: Identity,
    /// The blobs on registries that hold it, so that a push there need not upload it.
    #[serde(default)]
    pub sources: Vec<LayerSource>,
}

/// A compressed blob on a registry that holds a layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerSource {
    /// Host and port.
    pub registry: String,
    /// Repository on it.
    pub repository: String,
    /// Digest of the blob.
    pub digest: Digest,
    /// Size of the blob in bytes.
    pub size: u64,
    /// Its media type.
    pub media_type: String,
}

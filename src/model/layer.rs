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

/// The xattr with the owner that a file should have; see [`owner_value`].
pub const OWNER_XATTR: &str = "user.dhow.owner";
/// The xattr of an empty file that stands for a device node; see [`device_value`].
pub const DEVICE_XATTR: &str = "user.dhow.device";
/// The prefix of xattrs that could not be set under their own name.
pub const ENCODED_XATTR_PREFIX: &str = "user.dhow.xattr.";

/// The value of [`OWNER_XATTR`], for example `1000:50`.
pub fn owner_value((uid, gid): (u32, u32)) -> String {
    format!("{uid}:{gid}")
}

/// Parses the value of [`OWNER_XATTR`].
pub fn parse_owner(value: &[u8]) -> Option<(u32, u32)> {
    let (first, second) = std::str::from_utf8(value).ok()?.split_once(':')?;
    Some((first.parse().ok()?, second.parse().ok()?))
}

/// The value of [`DEVICE_XATTR`] for a block or character device, for example `c 1:3`.
pub fn device_value(block: bool, (major, minor): (u32, u32)) -> String {
    let kind = if block { 'b' } else { 'c' };
    format!("{kind} {major}:{minor}")
}

/// Parses the value of [`DEVICE_XATTR`]: whether it is a block device, and its numbers.
pub fn parse_device(value: &[u8]) -> Option<(bool, (u32, u32))> {
    let block = value.starts_with(b"b ");
    Some((block, parse_owner(value.strip_prefix(b"c ").or_else(|| value.strip_prefix(b"b "))?)?))
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

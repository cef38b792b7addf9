//! An image of an archive, as the archive's listing and the image's configuration describe it.

use anyhow::Result;

use super::layers::RequestedLayer;
use dhow_error::{corrupt, invalid};
use dhow_model::digest::Digest;
use dhow_model::image::ImageConfig;
use dhow_model::platform::Platform;
use dhow_model::reference::ImageReference;

/// The same limit as for manifests.
const MAX_LAYERS: usize = 1000;

/// An image as described by the archive's listing.
#[derive(Debug)]
pub(super) struct ArchivedImage {
    pub(super) id: Digest,
    pub(super) config: Vec<u8>,
    pub(super) parsed: ImageConfig,
    pub(super) manifest: Option<Vec<u8>>,
    /// Member names, lowest layer first.
    pub(super) layers: Vec<Vec<u8>>,
    pub(super) names: Vec<ImageReference>,
}

impl ArchivedImage {
    pub(super) fn new(
        config: Vec<u8>,
        manifest: Option<Vec<u8>>,
        layers: Vec<Vec<u8>>,
        names: Vec<ImageReference>,
    ) -> Result<Self> {
        let parsed: ImageConfig = serde_json::from_slice(&config).map_err(|error| {
            invalid(format!("its configuration is malformed: {}", error.to_string().escape_debug()))
        })?;
        let expected = parsed.rootfs.diff_ids.len();
        if layers.len() != expected || expected > MAX_LAYERS {
            return Err(corrupt(format!(
                "it lists {} layers and its configuration {expected}, of at most {MAX_LAYERS}",
                layers.len()
            ))
            .into());
        }
        Ok(Self { id: Digest::of(&config), config, parsed, manifest, layers, names })
    }

    pub(super) fn platform(&self) -> Platform {
        self.parsed.platform()
    }

    pub(super) fn requested_layers(&self) -> impl Iterator<Item = RequestedLayer> {
        let layers = self.parsed.rootfs.diff_ids.iter().zip(&self.layers);
        layers.map(|(diff_id, member)| RequestedLayer { diff_id: diff_id.clone(), member: member.clone() })
    }
}

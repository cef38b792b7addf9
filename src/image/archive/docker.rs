//! `manifest.json`, docker's list of images by configuration, names and layers (moby, `image/spec/v1.2.md`,
//! "Combined Image JSON + Filesystem Changeset Format").

use anyhow::{Context as _, Result};
use serde::Deserialize;

use super::archived_image::ArchivedImage;
use super::members::{ArchiveMembers, digest_in_name, normalize_path};
use dhow_error::{Failure, corrupt, invalid};
use dhow_model::digest::Digest;
use dhow_model::platform::Platform;
use dhow_model::reference::ImageReference;

pub(super) const MANIFEST_JSON: &str = "manifest.json";
const MAX_IMAGES: usize = 10_000;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ManifestJsonEntry {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    layers: Option<Vec<String>>,
}

/// The images listed in `text`.
pub(super) fn describe_images(
    members: &ArchiveMembers,
    text: &[u8],
    platform: Option<&Platform>,
) -> Result<Vec<ArchivedImage>> {
    let entries: Vec<ManifestJsonEntry> = serde_json::from_slice(text).map_err(|error| malformed(&error))?;
    if entries.len() > MAX_IMAGES {
        return Err(invalid(format!("the archive lists more than {MAX_IMAGES} images")).into());
    }
    let mut images = Vec::new();
    for entry in &entries {
        let image = entry
            .describe(members)
            .with_context(|| format!("the image `{}` of the archive", entry.config.escape_debug()))?;
        if platform.is_none_or(|platform| platform.rank(&image.platform()).is_some()) {
            images.push(image);
        }
    }
    Ok(images)
}

impl ManifestJsonEntry {
    fn describe(&self, members: &ArchiveMembers) -> Result<ArchivedImage> {
        // Only blobs below blobs/ promise a digest by their name; other archives may use any file name.
        let config =
            members.text(&self.config)?.ok_or_else(|| corrupt("the archive lacks its configuration"))?;
        if let Some(expected) = digest_in_name(self.config.as_bytes())
            && self.config.starts_with("blobs/")
            && expected != Digest::of(&config)
        {
            return Err(corrupt(format!("the archive's blob {expected} has another digest")).into());
        }
        let layers = self.layers.iter().flatten().map(|layer| normalize_path(layer.as_bytes())).collect();
        let names =
            self.repo_tags.iter().flatten().map(|name| Ok(name.parse::<ImageReference>()?.or_latest()));
        ArchivedImage::new(config, None, layers, names.collect::<Result<_>>()?)
    }
}

fn malformed(error: &serde_json::Error) -> Failure {
    invalid(format!("the archive's {MANIFEST_JSON} is malformed: {}", error.to_string().escape_debug()))
}

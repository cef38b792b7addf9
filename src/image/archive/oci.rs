//! `index.json`, the index of an OCI image layout (OCI image specification, `image-layout.md`), with the
//! names that containerd and skopeo store in annotations.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result};

use super::archived_image::ArchivedImage;
use super::members::{ArchiveMembers, blob_name};
use crate::manifest::{Descriptor, ImageIndex, ImageManifest, Manifest, OCI_INDEX};
use dhow_error::invalid;
use dhow_model::platform::Platform;
use dhow_model::reference::ImageReference;

pub(super) const INDEX_JSON: &str = "index.json";
/// Full image names, as containerd and docker write them.
pub(super) const FULL_NAME: &str = "io.containerd.image.name";
/// Full names or bare tags, as the specification defines it.
pub(super) use oci_spec::image::ANNOTATION_REF_NAME as REF_NAME;
/// Maximum nesting of indexes.
const MAX_INDEX_DEPTH: usize = 3;

/// The images listed in `text`: those for `platform` if given, else for each name the one that best matches
/// this machine.
pub(super) fn describe_images(
    members: &ArchiveMembers,
    text: &[u8],
    platform: Option<&Platform>,
) -> Result<Vec<ArchivedImage>> {
    let index = match Manifest::parse(text, OCI_INDEX).context("the archive's index.json")? {
        Manifest::Index(index) => index,
        Manifest::Image(_) => return Err(invalid("the archive's index.json is no index").into()),
    };
    let host = Platform::host();
    let target = platform.unwrap_or(&host);
    let mut images = Vec::new();
    for entry in select_entries(&index, target)? {
        let image = describe_image(members, entry, target)
            .with_context(|| format!("the image {} of the archive", entry.digest))?;
        if platform.is_none_or(|platform| platform.rank(&image.platform()).is_some()) {
            images.push(image);
        }
    }
    Ok(images)
}

/// The entries to load: one per name, where entries with the same name differ by platform.
fn select_entries<'a>(index: &'a ImageIndex, platform: &Platform) -> Result<Vec<&'a Descriptor>> {
    let mut chosen = Vec::new();
    let mut seen = BTreeSet::new();
    for entry in index.manifests.iter().filter(|entry| !is_attestation(entry)) {
        let name = name_text(entry);
        let group: Vec<Descriptor> = index
            .manifests
            .iter()
            .filter(|other| name_text(other) == name && !is_attestation(other))
            .cloned()
            .collect();
        if !differ_by_platform(&group) {
            chosen.push(entry);
        } else if seen.insert(name) {
            // The first entry stands for the whole group.
            let best = ImageIndex { manifests: group }.select(platform)?.digest.clone();
            chosen.extend(
                index.manifests.iter().find(|other| other.digest == best && name_text(other) == name),
            );
        }
    }
    Ok(chosen)
}

fn differ_by_platform(group: &[Descriptor]) -> bool {
    group.iter().any(|entry| entry.platform.is_some() && entry.platform != group[0].platform)
}

/// Attestations are listed next to images, with the platform `unknown/unknown`.
fn is_attestation(entry: &Descriptor) -> bool {
    entry.platform.as_ref().is_some_and(|platform| platform.os == "unknown")
}

fn name_text(entry: &Descriptor) -> Option<&str> {
    let name = entry.annotations.get(FULL_NAME).or_else(|| entry.annotations.get(REF_NAME));
    name.map(String::as_str)
}

/// The image name of an entry. A bare tag has no repository, so it names nothing.
fn entry_name(entry: &Descriptor) -> Result<Option<ImageReference>> {
    match name_text(entry) {
        Some(text) if text.contains(['/', ':']) => Ok(Some(text.parse::<ImageReference>()?.or_latest())),
        _ => Ok(None),
    }
}

fn describe_image(
    members: &ArchiveMembers,
    entry: &Descriptor,
    platform: &Platform,
) -> Result<ArchivedImage> {
    let (manifest, raw) = find_manifest(members, entry, platform)?;
    let config = members.blob(&manifest.config).context("its configuration")?;
    let layers = manifest.layers.iter().map(|layer| blob_name(&layer.digest).into_bytes()).collect();
    ArchivedImage::new(config, Some(raw), layers, entry_name(entry)?.into_iter().collect())
}

fn find_manifest(
    members: &ArchiveMembers,
    entry: &Descriptor,
    platform: &Platform,
) -> Result<(ImageManifest, Vec<u8>)> {
    let mut entry = entry.clone();
    for _ in 0..MAX_INDEX_DEPTH {
        let text = members.blob(&entry)?;
        match Manifest::parse(&text, &entry.media_type)? {
            Manifest::Image(manifest) => return Ok((manifest, text)),
            Manifest::Index(index) => entry = index.select(platform)?.clone(),
        }
    }
    Err(invalid("indexes lie in indexes too deeply").into())
}

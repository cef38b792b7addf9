//! Manifests on registries.

use anyhow::{Context as _, Result};
use serde_json::Value;

use dhow_error::invalid;
use dhow_image::manifest::{DescriptorPlatform, Manifest};
use dhow_image::registry::push_target::PushTarget;
use dhow_image::registry::repository::{ManifestRef, RawManifest, Repository};
use dhow_model::environment::Environment;
use dhow_model::image::ImageConfig;
use dhow_model::reference::{DEFAULT_TAG, ImageReference};

/// Limit on a configuration blob in bytes; other engines have the same.
pub(crate) const CONFIG_LIMIT: u64 = 8 << 20;

/// A manifest on a registry, and the repository it was fetched from.
pub(crate) struct RemoteManifest {
    pub repository: Repository,
    pub raw: RawManifest,
}

/// Opens the repository of `reference` for reading.
pub(super) fn open_repository(
    environment: &Environment,
    reference: &ImageReference,
    insecure: bool,
) -> Result<Repository> {
    let target = PushTarget::resolve(environment, reference)?;
    if insecure { target.insecure() } else { target }.open_to_read()
}

/// Fetches what a registry has under `reference`.
pub(crate) fn fetch_manifest(
    environment: &Environment,
    reference: &ImageReference,
    insecure: bool,
) -> Result<RemoteManifest> {
    let repository = open_repository(environment, reference, insecure)?;
    let raw = read_manifest(&repository, reference)?;
    Ok(RemoteManifest { repository, raw })
}

/// Fetches what `repository` has under the tag or digest of `reference`.
pub(crate) fn read_manifest(repository: &Repository, reference: &ImageReference) -> Result<RawManifest> {
    let manifest_ref = match (reference.digest(), reference.tag()) {
        (Some(digest), _) => ManifestRef::Digest(digest),
        (None, tag) => ManifestRef::Tag(tag.unwrap_or(DEFAULT_TAG)),
    };
    let mut raw = repository.manifest(&manifest_ref, &reference.familiar())?;
    // Some registries answer with a generic Content-Type; the field in the manifest is right.
    if let Some(media_type) = serde_json::from_slice::<Value>(&raw.text)
        .ok()
        .and_then(|text| text.get("mediaType").and_then(Value::as_str).map(str::to_owned))
    {
        raw.media_type = media_type;
    }
    Ok(raw)
}

/// The platform according to the image's configuration; `None` for an index.
pub(crate) fn image_platform(
    repository: &Repository,
    raw: &RawManifest,
) -> Result<Option<DescriptorPlatform>> {
    let Manifest::Image(image) = Manifest::parse(&raw.text, &raw.media_type)? else { return Ok(None) };
    let config = repository.small_blob(&image.config, CONFIG_LIMIT).context("the image's configuration")?;
    let config: ImageConfig = serde_json::from_slice(&config).map_err(|error| {
        invalid(format!("the image's configuration is malformed: {}", error.to_string().escape_debug()))
    })?;
    Ok(Some(DescriptorPlatform {
        architecture: config.architecture,
        os: config.os,
        variant: config.variant,
        ..DescriptorPlatform::default()
    }))
}

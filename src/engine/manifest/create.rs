//! `manifest create`: makes a manifest list of images on registries.

use anyhow::Result;

use super::remote::{RemoteManifest, fetch_manifest, image_platform};
use dhow_error::{Failure, FailureKind, invalid};
use dhow_image::manifest::OCI_MANIFEST;
use dhow_model::environment::Environment;
use dhow_model::reference::ImageReference;
use dhow_store::{ListedManifest, ManifestList, Store};

/// Creates the list `name` of the images called `names`; with `amend` adds them to an existing list.
pub fn create(
    store: &Store,
    environment: &Environment,
    name: &ImageReference,
    names: &[ImageReference],
    amend: bool,
    insecure: bool,
) -> Result<()> {
    if !amend && store.manifest_list(name)?.is_some() {
        return Err(Failure::new(
            FailureKind::Conflict,
            "refusing to amend an existing manifest list with no --amend flag",
        )
        .into());
    }
    // Fetched before the list is edited: the store's lock is not held while a registry is slow.
    let mut entries = Vec::new();
    for reference in names {
        let remote = fetch_manifest(environment, reference, insecure)?;
        let listed = list_entry(reference, &remote)?;
        entries.push(listed);
    }
    store.edit_manifest_list(name, |slot| {
        let list =
            slot.get_or_insert_with(|| ManifestList { reference: name.clone(), manifests: Vec::new() });
        for manifest in entries {
            // With --amend, an image that is already in the list is replaced.
            list.manifests.retain(|listed| listed.reference != manifest.reference);
            list.manifests.push(manifest);
        }
        Ok(())
    })
}

fn list_entry(reference: &ImageReference, remote: &RemoteManifest) -> Result<ListedManifest> {
    let raw = &remote.raw;
    let Some(platform) = image_platform(&remote.repository, raw)? else {
        return Err(invalid(format!("{} is a manifest list", reference.familiar()))
            .hint("name the images in it by their digests, or use `dhow buildx imagetools create`")
            .into());
    };
    let text = String::from_utf8(raw.text.clone())
        .map_err(|_| invalid(format!("the manifest of {} is no text", reference.familiar())))?;
    Ok(ListedManifest {
        reference: reference.clone(),
        digest: raw.digest.clone(),
        // Only an OCI manifest may lack its `mediaType` (OCI image specification, "Image Manifest").
        media_type: if raw.media_type.is_empty() { OCI_MANIFEST.into() } else { raw.media_type.clone() },
        text,
        os: platform.os,
        architecture: platform.architecture,
        variant: platform.variant,
        os_version: String::new(),
        os_features: Vec::new(),
    })
}

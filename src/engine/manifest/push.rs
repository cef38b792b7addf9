//! `manifest push`: pushes a manifest list, with the manifests that the registry lacks.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};

use super::list::{check_platform, list_descriptor};
use super::remote::open_repository;
use dhow_error::{invalid, not_found};
use dhow_image::manifest::Descriptor;
use dhow_image::push::assemble::build_index;
use dhow_image::push::copy::RepositoryCopy;
use dhow_image::registry::push_target::PushTarget;
use dhow_image::registry::repository::{ManifestRef, RawManifest, Repository};
use dhow_model::environment::Environment;
use dhow_model::reference::{DEFAULT_TAG, ImageReference};
use dhow_store::{ManifestList, Store};

/// A list that is ready to be pushed, with the open repositories.
pub struct ManifestListPush {
    list: ManifestList,
    to: Repository,
    from: Vec<Repository>,
}

/// Resolves everything that is needed to push the list `name`.
pub fn prepare_push(
    store: &Store,
    environment: &Environment,
    name: &ImageReference,
    insecure: bool,
) -> Result<ManifestListPush> {
    let list = store.manifest_list(name)?;
    let list = list.ok_or_else(|| not_found(format!("{} not found", name.familiar())))?;
    let target = PushTarget::resolve(environment, name)?;
    let to = if insecure { target.insecure() } else { target }.open()?;
    let mut from = Vec::new();
    for manifest in &list.manifests {
        if manifest.reference.registry() != name.registry() {
            return Err(invalid(format!(
                "cannot use source images from a different registry than the target image: {} != {}",
                manifest.reference.registry(),
                name.registry()
            ))
            .hint("`dhow buildx imagetools create` copies from one to the other")
            .into());
        }
        check_platform(manifest)?;
        from.push(open_repository(environment, &manifest.reference, insecure)?);
    }
    Ok(ManifestListPush { list, to, from })
}

/// Pushes the manifests that the registry lacks, then the list. Calls `say` for each, and returns the list's
/// digest.
pub fn push(push: &ManifestListPush, say: &mut dyn FnMut(&str) -> Result<()>) -> Result<String> {
    let name = &push.list.reference;
    for (manifest, from) in push.list.manifests.iter().zip(&push.from) {
        let raw = RawManifest {
            text: manifest.text.clone().into_bytes(),
            digest: manifest.digest.clone(),
            media_type: manifest.media_type.clone(),
        };
        // `prepare_push` refused images on other registries.
        let copy = RepositoryCopy { from, to: &push.to, same_registry: true };
        copy.copy_manifest(&raw).with_context(|| format!("cannot push {}", manifest.reference.familiar()))?;
        let pushed = name.with_digest(manifest.digest.clone());
        say(&format!("Pushed ref {pushed} with digest: {}", manifest.digest))?;
    }
    let entries: Vec<Descriptor> = push.list.manifests.iter().map(list_descriptor).collect();
    let ready = build_index(&entries, &BTreeMap::new())?;
    let tag = ManifestRef::Tag(name.tag().unwrap_or(DEFAULT_TAG));
    // The list last: a registry refuses one whose manifests it lacks.
    push.to.put_manifest(&tag, &ready.descriptor.media_type, &ready.text)?;
    Ok(ready.descriptor.digest.to_string())
}

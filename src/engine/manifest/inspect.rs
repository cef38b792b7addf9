//! `manifest inspect`: shows a manifest or manifest list, local or on a registry.

use std::collections::BTreeMap;

use anyhow::Result;
use serde_json::{Value, json};

use super::list::{list_descriptor, no_such_manifest};
use super::remote::{fetch_manifest, image_platform, read_manifest};
use dhow_image::manifest::{Descriptor, Manifest};
use dhow_image::push::assemble::build_index;
use dhow_image::push::copy::descriptor_of;
use dhow_model::environment::Environment;
use dhow_model::reference::ImageReference;
use dhow_store::Store;

/// The output of `manifest inspect`.
pub enum ManifestInspection {
    Text {
        text: Vec<u8>,
        /// Whether it is a list rather than a manifest.
        list: bool,
    },
    /// docker's verbose form, one object or an array.
    Verbose(Value),
}

/// Inspects `manifest`: from the local list `list`, else the local list of that name, else on a registry.
pub fn inspect(
    store: &Store,
    environment: &Environment,
    list: Option<&ImageReference>,
    manifest: &ImageReference,
    verbose: bool,
    insecure: bool,
) -> Result<ManifestInspection> {
    if let Some(name) = list {
        let list = store.manifest_list(name)?.ok_or_else(|| no_such_manifest(name))?;
        let entry = list.manifests.iter().find(|entry| entry.reference == *manifest);
        let entry = entry.ok_or_else(|| no_such_manifest(manifest))?;
        if verbose {
            return Ok(ManifestInspection::Verbose(verbose_entry(
                &entry.reference,
                &list_descriptor(entry),
                entry.text.as_bytes(),
            )));
        }
        return Ok(ManifestInspection::Text { text: entry.text.clone().into_bytes(), list: false });
    }
    if let Some(list) = store.manifest_list(manifest)? {
        if verbose {
            let entries = list
                .manifests
                .iter()
                .map(|it| verbose_entry(&it.reference, &list_descriptor(it), it.text.as_bytes()));
            return Ok(ManifestInspection::Verbose(entries.collect()));
        }
        // As `manifest push` would send it.
        let entries: Vec<Descriptor> = list.manifests.iter().map(list_descriptor).collect();
        return Ok(ManifestInspection::Text {
            text: build_index(&entries, &BTreeMap::new())?.text,
            list: true,
        });
    }
    let remote = fetch_manifest(environment, manifest, insecure)?;
    let Manifest::Index(index) = Manifest::parse(&remote.raw.text, &remote.raw.media_type)? else {
        if !verbose {
            return Ok(ManifestInspection::Text { text: remote.raw.text, list: false });
        }
        let mut entry = descriptor_of(&remote.raw);
        entry.platform = image_platform(&remote.repository, &remote.raw)?;
        return Ok(ManifestInspection::Verbose(verbose_entry(manifest, &entry, &remote.raw.text)));
    };
    if !verbose {
        return Ok(ManifestInspection::Text { text: remote.raw.text, list: true });
    }
    let mut entries = Vec::new();
    for entry in &index.manifests {
        let pinned = manifest.with_digest(entry.digest.clone());
        let raw = read_manifest(&remote.repository, &pinned)?;
        entries.push(verbose_entry(&pinned, entry, &raw.text));
    }
    Ok(ManifestInspection::Verbose(Value::Array(entries)))
}

fn verbose_entry(reference: &ImageReference, entry: &Descriptor, text: &[u8]) -> Value {
    use base64::Engine as _;
    // docker's ImageManifest has one field for each format.
    let kind = if entry.media_type.contains(".oci.") { "OCIManifest" } else { "SchemaV2Manifest" };
    json!({
        "Ref": reference.to_string(),
        "Descriptor": entry,
        "Raw": base64::engine::general_purpose::STANDARD.encode(text),
        kind: serde_json::from_slice::<Value>(text).unwrap_or_default(),
    })
}

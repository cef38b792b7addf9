//! `manifest annotate`: changes the platform of an entry in a manifest list.

use anyhow::Result;

use super::list::{check_platform, no_such_manifest};
use dhow_error::not_found;
use dhow_model::reference::ImageReference;
use dhow_store::Store;

/// New values for the platform of an entry; `None` and empty ones keep the old value.
#[derive(Clone, Debug, Default)]
pub struct PlatformAnnotation {
    pub architecture: Option<String>,
    pub os: Option<String>,
    pub variant: Option<String>,
    pub os_version: Option<String>,
    /// Features the system must have.
    pub os_features: Vec<String>,
}

pub fn annotate(
    store: &Store,
    name: &ImageReference,
    manifest: &ImageReference,
    annotation: &PlatformAnnotation,
) -> Result<()> {
    store.edit_manifest_list(name, |slot| {
        let list = slot.as_mut().ok_or_else(|| no_such_manifest(name))?;
        let entry =
            list.manifests.iter_mut().find(|entry| entry.reference == *manifest).ok_or_else(|| {
                not_found(format!(
                    "manifest for image {} does not exist in {}",
                    manifest.familiar(),
                    name.familiar()
                ))
            })?;
        let set = |field: &mut String, value: &Option<String>| {
            if let Some(value) = value {
                field.clone_from(value);
            }
        };
        set(&mut entry.architecture, &annotation.architecture);
        set(&mut entry.os, &annotation.os);
        set(&mut entry.variant, &annotation.variant);
        set(&mut entry.os_version, &annotation.os_version);
        // As with docker, features of repeated commands add up.
        for feature in &annotation.os_features {
            if !entry.os_features.contains(feature) {
                entry.os_features.push(feature.clone());
            }
        }
        // After the edit, since it is the merged platform that counts; an error discards the edit.
        check_platform(entry)
    })
}

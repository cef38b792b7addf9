//! `manifest annotate`: changes the platform of an entry in a manifest list.

use anyhow::Result;

use super::list::{check_platform, no_such_manifest};
use dhow_error::not_found;
use dhow_model::reference::ImageReference;
use dhow_store::Store;

/// New values for what a list says about a manifest; `None` and empty leave the old ones.
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
    said: &PlatformAnnotation,
) -> Result<()> {
    store.edit_manifest_list(name, |slot| {
        let list = slot.as_mut().ok_or_else(|| no_such_manifest(name))?;
        let known =
            list.manifests.iter_mut().find(|known| known.reference == *manifest).ok_or_else(|| {
                not_found(format!(
                    "manifest for image {} does not exist in {}",
                    manifest.familiar(),
                    name.familiar()
                ))
            })?;
        let set = |slot: &mut String, said: &Option<String>| {
            if let Some(said) = said {
                slot.clone_from(said);
            }
        };
        set(&mut known.architecture, &said.architecture);
        set(&mut known.os, &said.os);
        set(&mut known.variant, &said.variant);
        set(&mut known.os_version, &said.os_version);
        for feature in &said.os_features {
            if !known.os_features.contains(feature) {
                known.os_features.push(feature.clone());
            }
        }
        check_platform(known)
    })
}

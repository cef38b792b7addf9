//! Local manifest lists: assembled by `manifest create` from images on registries, until they are pushed.

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use super::Store;
use super::atomic::{self, Durability};
use super::image_names::file_name;
use super::lock::{FileLock, LockMode};
use crate::fs::{ignore_missing, read_record};
use dhow_model::digest::Digest;
use dhow_model::reference::ImageReference;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestList {
    pub reference: ImageReference,
    /// In the order in which they were added.
    pub manifests: Vec<ListedManifest>,
}

/// A manifest on a registry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedManifest {
    /// The reference it was added by.
    pub reference: ImageReference,
    pub digest: Digest,
    pub media_type: String,
    /// Exact bytes of the manifest, as text.
    pub text: String,
    pub os: String,
    pub architecture: String,
    /// May be empty.
    pub variant: String,
    /// May be empty.
    pub os_version: String,
    pub os_features: Vec<String>,
}

impl Store {
    pub fn manifest_list(&self, reference: &ImageReference) -> anyhow::Result<Option<ManifestList>> {
        let list: Option<ManifestList> = read_record(&self.list_path(reference))?;
        // Long names are hashed; make sure the record is really about this reference.
        Ok(list.filter(|list| list.reference == *reference))
    }

    /// Creates, changes or (by setting `None`) removes a list while no other process can.
    pub fn edit_manifest_list<T>(
        &self,
        reference: &ImageReference,
        edit: impl FnOnce(&mut Option<ManifestList>) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let doing = || format!("cannot record the manifest list {reference}");
        let _lock = FileLock::acquire(&self.plain_lock_path("manifest-lists"), LockMode::Exclusive)
            .with_context(doing)?;
        let before = self.manifest_list(reference)?;
        let mut list = before.clone();
        let result = edit(&mut list)?;
        let path = self.list_path(reference);
        match &list {
            Some(list) if before.as_ref() != Some(list) => {
                atomic::write_json(&path, list, Durability::Unsynced).with_context(doing)?;
            }
            None if before.is_some() => {
                ignore_missing(std::fs::remove_file(path)).with_context(doing)?;
            }
            _ => {}
        }
        Ok(result)
    }

    fn list_path(&self, reference: &ImageReference) -> std::path::PathBuf {
        self.manifest_lists_dir().join(file_name(reference))
    }

    pub(super) fn manifest_lists_dir(&self) -> std::path::PathBuf {
        self.root.join("manifest-lists")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_comes_and_goes() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().join("store")).unwrap();
        let name: ImageReference = "r.example/x:1".parse().unwrap();
        let list = ManifestList { reference: name.clone(), manifests: vec![] };
        let put = |slot: &mut Option<ManifestList>| {
            *slot = Some(list.clone());
            Ok(())
        };
        store.edit_manifest_list(&name, put).unwrap();
        assert_eq!(store.manifest_list(&name).unwrap(), Some(list));
        assert!(store.edit_manifest_list(&name, |_| anyhow::bail!("no") as anyhow::Result<()>).is_err());
        store
            .edit_manifest_list(&name, |slot| {
                *slot = None;
                Ok(())
            })
            .unwrap();
        assert_eq!(store.manifest_list(&name).unwrap(), None);
    }
}

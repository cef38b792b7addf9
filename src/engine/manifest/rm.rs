//! `manifest rm`: removes a manifest list from the store.

use anyhow::Result;

use super::list::no_such_manifest;
use dhow_model::reference::ImageReference;
use dhow_store::Store;

/// Removes the list `name` from the store.
pub fn remove(store: &Store, name: &ImageReference) -> Result<()> {
    store.edit_manifest_list(name, |slot| match slot.take() {
        Some(_) => Ok(()),
        None => Err(no_such_manifest(name).into()),
    })
}

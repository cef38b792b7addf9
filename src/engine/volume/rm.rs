//! `volume rm`: removes a volume.

use anyhow::Result;

use dhow_error::{FailureKind, kind_of};
use dhow_store::Store;

/// Removes a volume that nothing uses; with `force` it need not exist.
///
/// The process must be able to delete files of every owner (see `dhow_runtime::userns`).
pub fn rm(store: &Store, name: &str, force: bool) -> Result<()> {
    match store.remove_volume(name) {
        Err(error) if force && kind_of(&error) == FailureKind::NotFound => Ok(()),
        other => other,
    }
}

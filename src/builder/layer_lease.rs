//! Leases on layers that must exist, because a result of the build cache names them.

use anyhow::Result;

use dhow_error::corrupt;
use dhow_model::digest::Digest;
use dhow_store::{LayerLease, Store};

/// A lease on a layer. Fails if the layer is gone.
pub(crate) fn lease_existing(store: &Store, diff_id: &Digest) -> Result<LayerLease> {
    let gone = || corrupt(format!("layer {diff_id} is gone"));
    Ok(store.lease_layer(diff_id)?.ok_or_else(gone)?)
}

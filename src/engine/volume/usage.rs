//! Which volumes are in use, and how large they are.

use anyhow::Result;

use crate::tree_size::size_below;
use dhow_model::mount::MountSource;
use dhow_model::volume::VolumeBacking;
use dhow_store::{Store, VolumeRecord};

/// The names of volumes in containers' specifications, one for each use.
pub(crate) fn used_volumes(store: &Store) -> Result<Vec<String>> {
    let mut used = Vec::new();
    for container in store.containers()? {
        used.extend(container.spec().mounts.iter().filter_map(|mount| match &mount.source {
            MountSource::Volume { name, .. } => name.clone(),
            _ => None,
        }));
    }
    Ok(used)
}

/// Bytes of the files that a volume keeps in the store; 0 for a directory of the host or a tmpfs.
pub(crate) fn volume_size(store: &Store, record: &VolumeRecord) -> u64 {
    match (record.backing(), store.volume_data(&record.name)) {
        (Ok(VolumeBacking::Store), Ok(data)) => size_below(&data),
        _ => 0,
    }
}

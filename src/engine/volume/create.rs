//! `volume create`: creates a volume.

use anyhow::Result;

use dhow_model::volume::{StringMap, check_driver};
use dhow_store::{Store, VolumeRecord};

#[derive(Clone, Debug, Default)]
pub struct NewVolume {
    /// A random one if empty.
    pub name: String,
    /// Empty for `local`.
    pub driver: String,
    pub labels: StringMap,
    /// Options of the driver.
    pub options: StringMap,
}

/// Creates the volume unless it exists, and returns its name.
pub fn create(store: &Store, new: NewVolume) -> Result<String> {
    check_driver(&new.driver)?;
    let NewVolume { name, labels, options, .. } = new;
    let record = VolumeRecord { name, labels, options, ..VolumeRecord::default() };
    // Only to refuse options that make no sense, before anything is created.
    record.backing()?;
    // An existing volume keeps its options, as with docker.
    Ok(store.create_volume(record)?.name)
}

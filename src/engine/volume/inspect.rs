//! `volume inspect`: a volume as docker's API describes one.

use std::collections::BTreeMap;

use anyhow::Result;
use serde::Serialize;

use dhow_error::not_found;
use dhow_store::Store;

/// docker's `volume.Volume`.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct VolumeInspect {
    created_at: String,
    driver: &'static str,
    labels: Option<BTreeMap<String, String>>,
    mountpoint: String,
    name: String,
    options: Option<BTreeMap<String, String>>,
    scope: &'static str,
}

pub(crate) fn inspect(store: &Store, name: &str) -> Result<VolumeInspect> {
    let record = store.volume(name)?.ok_or_else(|| not_found(format!("get {name}: no such volume")))?;
    let unless_empty = |map: BTreeMap<String, String>| Some(map).filter(|map| !map.is_empty());
    Ok(VolumeInspect {
        created_at: record.created,
        driver: "local",
        labels: unless_empty(record.labels),
        mountpoint: store.volume_data(name)?.display().to_string(),
        name: record.name,
        options: unless_empty(record.options),
        scope: "local",
    })
}

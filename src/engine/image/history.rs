//! `history`: how the layers of an image came about.

use anyhow::Result;

use dhow_model::digest::Digest;
use dhow_model::image::HistoryEntry;
use dhow_store::{Store, StoredImage};

/// A build step of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryStep {
    /// The image's ID, for the last step only; IDs of intermediate images are not recorded.
    pub id: Option<Digest>,
    pub history: HistoryEntry,
    /// Bytes of its layer's files; zero if it made no layer.
    pub size: u64,
}

/// The steps of `image`, newest first.
pub fn history(store: &Store, image: &StoredImage) -> Result<Vec<HistoryStep>> {
    let mut layers = image.config.rootfs.diff_ids.iter();
    let mut steps = Vec::new();
    for history in &image.config.history {
        // Entries that are not empty match the layers, in order.
        let layer = if history.empty_layer { None } else { layers.next() };
        let record = layer.map(|diff_id| store.layer(diff_id)).transpose()?.flatten();
        let size = record.map_or(0, |record| record.size);
        steps.push(HistoryStep { id: None, history: history.clone(), size });
    }
    steps.reverse();
    if let Some(last) = steps.first_mut() {
        last.id = Some(image.id.clone());
    }
    Ok(steps)
}

#[cfg(test)]
mod tests {
    use super::*;
    use dhow_store::NewImage;

    #[test]
    fn the_last_step_comes_first_and_has_the_id() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().into()).unwrap();
        let config = br#"{"history":[{"created_by":"a"},{"created_by":"b","empty_layer":true}],"rootfs":{"type":"layers","diff_ids":[]}}"#;
        let new = NewImage { config, manifest: None, layers: &[], names: &[] };
        let id = store.put_image(&new).unwrap();
        let steps = history(&store, &store.image(&id).unwrap().unwrap()).unwrap();
        let told: Vec<_> =
            steps.iter().map(|step| (step.id.clone(), step.history.created_by.as_str(), step.size)).collect();
        assert_eq!(told, [(Some(id), "b", 0), (None, "a", 0)]);
    }
}

//! `image prune`: removes images that nothing uses.

use std::collections::BTreeSet;

use anyhow::Result;

use super::rm::{ImageRemoval, finish_removal};
use crate::prune_conditions::PruneConditions;
use dhow_model::digest::Digest;
use dhow_model::event::EventKind;
use dhow_store::Store;
use dhow_store::event_records;

#[derive(Clone, Debug, Default)]
pub struct ImagePruneRequest {
    /// All unused images, not only dangling ones.
    pub all: bool,
    pub conditions: PruneConditions,
}

/// Removes dangling images, or all, that no container uses and that match the request's conditions, and layers that
/// no image has.
///
/// The process must be able to delete files of every owner (see `userns`).
pub fn prune_images(store: &Store, request: &ImagePruneRequest) -> Result<ImageRemoval> {
    let mut pruned = ImageRemoval::default();
    let tagged = tagged(store)?;
    for image in store.images()? {
        let candidate = request.all || !tagged.contains(&image.id);
        let config = &image.config;
        let matches = request.conditions.matches(config.created.as_deref(), config.config.labels.as_ref());
        if !candidate || !matches {
            continue;
        }
        let Some(locked) = store.lock_image(&image.id)? else { continue };
        // Another process may have added names or containers before we got the lock.
        let named = locked.names()?.iter().any(|name| name.reference.tag().is_some());
        if (named && !request.all) || !locked.containers()?.is_empty() {
            continue;
        }
        let removal = finish_removal(store, locked)?;
        pruned.lines.extend(removal.lines);
        pruned.reclaimed = pruned.reclaimed.saturating_add(removal.reclaimed);
    }
    let orphans = store.prune_layers()?;
    pruned.reclaimed = orphans.iter().fold(pruned.reclaimed, |sum, layer| sum.saturating_add(layer.size));
    event_records::pruned(store, EventKind::Image, pruned.reclaimed);
    Ok(pruned)
}

fn tagged(store: &Store) -> Result<BTreeSet<Digest>> {
    let names = store.names()?.into_iter().filter(|name| name.reference.tag().is_some());
    Ok(names.flat_map(|name| name.ids().cloned().collect::<Vec<_>>()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::rm::tests::RmiFixture;
    use dhow_model::filter::LabelFilter;

    fn left(fixture: &RmiFixture) -> usize {
        fixture.store.images().unwrap().len()
    }

    #[test]
    fn only_untagged_ones_unless_all() {
        let fixture = RmiFixture::new();
        let (a, b, c) = (fixture.image("a"), fixture.image("b"), fixture.image("c"));
        fixture.name("x", &a);
        fixture.store.set_name(&format!("y@{b}").parse().unwrap(), &b, None).unwrap();
        let _container = fixture.container(&c, "user");
        let pruned = prune_images(&fixture.store, &ImagePruneRequest::default()).unwrap();
        assert_eq!((left(&fixture), pruned.reclaimed), (2, 10), "a digest alone is no tag");
        let all = ImagePruneRequest { all: true, ..ImagePruneRequest::default() };
        prune_images(&fixture.store, &all).unwrap();
        assert!(fixture.store.image(&c).unwrap().is_some(), "in use");
        assert_eq!(left(&fixture), 1);
    }

    #[test]
    fn conditions_must_all_hold() {
        let fixture = RmiFixture::new();
        fixture.image_with("old", "2001-01-01T00:00:00Z", r#"{"a":"1"}"#);
        fixture.image_with("new", "2020-01-01T00:00:00Z", r#"{"a":"2"}"#);
        let label = |value: Option<&str>, wanted| LabelFilter {
            key: "a".into(),
            value: value.map(str::to_owned),
            must_have: wanted,
        };
        let until = Some("2010-01-01T00:00:00Z".parse().unwrap());
        let prune = |until, labels| {
            let conditions = PruneConditions { until, labels };
            prune_images(&fixture.store, &ImagePruneRequest { all: true, conditions }).unwrap();
            left(&fixture)
        };
        assert_eq!(prune(until, vec![label(Some("2"), true)]), 2);
        assert_eq!(prune(None, vec![label(None, false)]), 2);
        assert_eq!(prune(None, vec![label(None, true), label(Some("2"), false)]), 1);
        assert_eq!(prune(until, vec![]), 1);
        assert_eq!(prune(None, vec![]), 0);
        assert!(fixture.store.layers().unwrap().is_empty());
    }

    #[test]
    fn layers_of_an_interrupted_pull_go_too() {
        let fixture = RmiFixture::new();
        let id = fixture.image("a");
        // As if the process had ended between the removal of an image and that of its layers.
        fixture.store.lock_image(&id).unwrap().unwrap().remove().unwrap();
        let pruned = prune_images(&fixture.store, &ImagePruneRequest::default()).unwrap();
        assert_eq!(pruned.reclaimed, 20);
        assert!(fixture.store.layers().unwrap().is_empty());
    }
}

//! `container prune`: removes all stopped containers.

use anyhow::Result;

use crate::prune_conditions::PruneConditions;
use crate::tree_size::size_below;
use dhow_error::{FailureKind, kind_of};
use dhow_model::event::EventKind;
use dhow_runtime::remove::remove_container;
use dhow_sandbox::identity::HostIdentity;
use dhow_store::Store;
use dhow_store::event_records;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PrunedContainers {
    pub containers: Vec<String>,
    /// Bytes that they had written to their layers.
    pub reclaimed: u64,
}

/// Removes all stopped containers that match the conditions. Their volumes stay.
///
/// The process must be single-threaded and able to delete files of every owner (see `userns`).
pub fn prune_containers(
    store: &Store,
    conditions: &PruneConditions,
    identity: &HostIdentity,
) -> Result<PrunedContainers> {
    let mut pruned = PrunedContainers::default();
    for container in store.containers()? {
        let spec = container.spec();
        if !conditions.matches(Some(&spec.created), Some(&spec.labels)) {
            continue;
        }
        // One that runs, and one that another process is removing, hold their lock and are left alone.
        let Some(locked) = container.lock().or_else(ignore_removed)? else { continue };
        // An --rm container that was left behind takes its anonymous volumes along, as it would have itself.
        let (id, volumes) = (locked.spec().id.clone(), locked.spec().auto_remove);
        pruned.reclaimed = pruned.reclaimed.saturating_add(size_below(&locked.upper()));
        remove_container(store, locked, volumes, identity)?;
        pruned.containers.push(id);
    }
    event_records::pruned(store, EventKind::Container, pruned.reclaimed);
    Ok(pruned)
}

fn ignore_removed<T>(error: anyhow::Error) -> Result<Option<T>> {
    match kind_of(&error) {
        FailureKind::NotFound => Ok(None),
        _ => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dhow_model::container::ContainerSpec;
    use dhow_model::filter::LabelFilter;

    #[test]
    fn what_runs_and_what_does_not_match_stays() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().join("store")).unwrap();
        let make = |name: &str, created: &str| {
            let spec = ContainerSpec {
                id: dhow_store::new_container_id().unwrap(),
                name: name.into(),
                created: created.into(),
                labels: [("kind".to_owned(), name.to_owned())].into(),
                ..ContainerSpec::default()
            };
            store.create_container(&spec).unwrap()
        };
        let running = make("running", "2026-01-01T00:00:00Z");
        let old = make("old", "2026-01-01T00:00:00Z").spec().id.clone();
        let new = make("new", "2026-01-03T00:00:00Z").spec().id.clone();
        let identity = HostIdentity::probe(None, "");
        let prune = |conditions: &PruneConditions| {
            prune_containers(&store, conditions, &identity).unwrap().containers
        };
        let labelled =
            PruneConditions { labels: vec![LabelFilter::new("kind=other", true)], ..Default::default() };
        assert_eq!(prune(&labelled), [""; 0]);
        let until = Some("2026-01-02T00:00:00Z".parse().unwrap());
        assert_eq!(prune(&PruneConditions { until, ..Default::default() }), [old]);
        assert_eq!(prune(&PruneConditions::default()), [new]);
        assert_eq!(store.containers().unwrap().len(), 1);
        drop(running);
    }
}

//! `network prune`: removes networks without containers.

use anyhow::Result;

use super::lookup::used_networks;
use crate::prune_conditions::PruneConditions;
use dhow_error::{FailureKind, kind_of};
use dhow_model::event::EventKind;
use dhow_store::Store;
use dhow_store::event_records;

/// Removes the networks that no container is on, running or not, and that match the conditions. Returns their
/// names.
pub fn prune(store: &Store, conditions: &PruneConditions) -> Result<Vec<String>> {
    let used = used_networks(store)?;
    let mut pruned = Vec::new();
    for network in store.networks()? {
        if network.is_default()
            || used.contains(&network.id)
            || !conditions.matches(Some(&network.created), Some(&network.labels))
        {
            continue;
        }
        match store.remove_network(&network) {
            Ok(()) => pruned.push(network.name),
            // Another command used or removed it first.
            Err(error) if matches!(kind_of(&error), FailureKind::InUse | FailureKind::NotFound) => {}
            Err(error) => return Err(error),
        }
    }
    event_records::pruned(store, EventKind::Network, 0);
    Ok(pruned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use dhow_model::container::ContainerSpec;
    use dhow_model::filter::ListFilter;
    use dhow_model::network::NetworkAttachment;
    use dhow_model::new_network::NewNetwork;

    #[test]
    fn what_is_used_and_what_does_not_match_stays() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().join("store")).unwrap();
        let make = |name: &str| {
            let labels = [("kind".to_owned(), name.to_owned())].into();
            store.create_network(&NewNetwork { name: name.into(), labels, ..NewNetwork::default() }).unwrap()
        };
        let (one, _two, _three) = (make("one"), make("two"), make("three"));
        store.default_network().unwrap();
        let spec = ContainerSpec {
            id: dhow_store::new_container_id().unwrap(),
            name: "web".into(),
            networks: vec![NetworkAttachment { network: one.id, ..NetworkAttachment::default() }],
            ..ContainerSpec::default()
        };
        drop(store.create_container(&spec).unwrap());
        let prune = |filters: &[&str]| {
            let filters: Vec<ListFilter> = filters.iter().map(|text| text.parse().unwrap()).collect();
            super::prune(&store, &PruneConditions::parse(&filters).unwrap()).unwrap()
        };
        assert_eq!(prune(&["until=2020-01-01"]), [""; 0]);
        assert_eq!(prune(&["label=kind=two"]), ["two"]);
        assert_eq!(prune(&[]), ["three"]);
        assert_eq!(store.networks().unwrap().len(), 2);
        assert!(PruneConditions::parse(&["name=x".parse().unwrap()]).is_err());
    }
}

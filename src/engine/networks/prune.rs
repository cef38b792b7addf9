//! `network prune`: removes networks without containers.

use anyhow::Result;

use super::used;
use crate::engine::prune::Conditions;
use crate::engine::record;
use crate::error::{Kind, kind_of};
use crate::model::event::EventKind;
use crate::store::Store;

/// Removes the networks that no container is on, running or not, and that match the conditions. Returns their
/// names.
pub fn prune(store: &Store, conditions: &Conditions) -> Result<Vec<String>> {
    let used = used(store)?;
    let mut pruned = Vec::new();
    for network in store.networks()? {
        if network.is_default()
            || used.contains(&network.id)
            || !conditions.hold(Some(&network.created), Some(&network.labels))
        {
            continue;
        }
        match store.remove_network(&network) {
            Ok(()) => pruned.push(network.name),
            // Another command used or removed it first.
            Err(error) if matches!(kind_of(&error), Kind::InUse | Kind::NotFound) => {}
            Err(error) => return Err(error),
        }
    }
    record::pruned(store, EventKind::Network, 0);
    Ok(pruned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::container::ContainerSpec;
    use crate::model::filter::Filter;
    use crate::model::network::Attachment;
    use crate::model::new_network::NewNetwork;

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
            id: crate::store::new_container_id().unwrap(),
            name: "web".into(),
            networks: vec![Attachment { network: one.id, ..Attachment::default() }],
            ..ContainerSpec::default()
        };
        drop(store.create_container(&spec).unwrap());
        let prune = |filters: &[&str]| {
            let filters: Vec<Filter> = filters.iter().map(|text| text.parse().unwrap()).collect();
            super::prune(&store, &Conditions::of(&filters).unwrap()).unwrap()
        };
        assert_eq!(prune(&["until=2020-01-01"]), [""; 0]);
        assert_eq!(prune(&["label=kind=two"]), ["two"]);
        assert_eq!(prune(&[]), ["three"]);
        assert_eq!(store.networks().unwrap().len(), 2);
        assert!(Conditions::of(&["name=x".parse().unwrap()]).is_err());
    }
}

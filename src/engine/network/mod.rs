//! `network`: creates, lists, removes and looks up networks, and connects containers to them.

pub mod connect;
pub(crate) mod inspect;
mod lookup;
mod prune;

use std::collections::BTreeMap;

use anyhow::Result;

use super::container::ls::FilterPattern;
use dhow_error::{Failure, FailureKind, kind_of, not_found};
use dhow_model::filter::{self, ListFilter};
use dhow_model::new_network::{NewNetwork, check_driver, driver_options};
use dhow_store::Store;

pub use lookup::ResolvedNetwork;
pub use prune::prune;

/// Creates a network and returns its ID, and warnings about its options.
pub fn create(store: &Store, driver: &str, new: &NewNetwork) -> Result<(String, Vec<String>)> {
    check_driver(driver)?;
    new.check()?;
    let mut warnings = driver_options(&new.options)?.warnings;
    let without_effect =
        |name: &String| format!("option {} of address management has no effect", name.escape_debug());
    warnings.extend(new.ipam_options.keys().map(without_effect));
    Ok((store.create_network(new)?.id, warnings))
}

/// The networks that match all `filters`, sorted by name.
pub fn list(store: &Store, filters: &[ListFilter]) -> Result<Vec<ResolvedNetwork>> {
    let filters = NetworkFilters::new(store, filters)?;
    let mut networks = lookup::all_networks(store)?;
    networks.retain(|network| filters.accept(network));
    Ok(networks)
}

/// The network `text`, predefined or created.
pub fn find(store: &Store, text: &str) -> Result<ResolvedNetwork> {
    lookup::find_network(store, text)
}

/// Removes a network that no running container is on. Returns whether there was one; with `force` it need not
/// exist.
pub fn rm(store: &Store, text: &str, force: bool) -> Result<bool> {
    let network = match find(store, text) {
        Err(error) if force && kind_of(&error) == FailureKind::NotFound => return Ok(false),
        other => other?,
    };
    match network {
        ResolvedNetwork::Bridge(network) => store.remove_network(&network)?,
        ResolvedNetwork::Predefined { name, .. } => {
            let message = format!("{name} is a pre-defined network and cannot be removed");
            return Err(Failure::new(FailureKind::Denied, message).into());
        }
    }
    Ok(true)
}

const KEYS: &str = "dangling, driver, id, label, name, scope, type";

struct NetworkFilters<'a> {
    filters: &'a [ListFilter],
    /// IDs of networks with containers; only looked up for the `dangling` filter.
    used: Vec<String>,
}

impl<'a> NetworkFilters<'a> {
    fn new(store: &Store, filters: &'a [ListFilter]) -> Result<Self> {
        let mut used = Vec::new();
        for filter in filters {
            let value = filter.value.as_str();
            match filter.key.as_str() {
                "dangling" => {
                    filter.boolean()?;
                    used = self::used_networks(store)?;
                }
                "type" if !matches!(value, "custom" | "builtin") => {
                    let message = format!("invalid filter: 'type'='{}'", value.escape_debug());
                    return Err(dhow_error::invalid(message).hint("custom or builtin").into());
                }
                "driver" | "id" | "label" | "name" | "scope" | "type" => {}
                _ => return Err(filter.unknown(KEYS).into()),
            }
        }
        Ok(Self { filters, used })
    }

    fn accept(&self, network: &ResolvedNetwork) -> bool {
        let any =
            |key: &str, holds: &dyn Fn(&ListFilter) -> bool| filter::any_matches(self.filters, key, holds);
        let dangling = !network.is_predefined() && !self.used.iter().any(|id| id == network.id());
        let kind = if network.is_predefined() { "builtin" } else { "custom" };
        any("dangling", &|filter| filter.boolean().is_ok_and(|wanted| wanted == dangling))
            && any("driver", &|filter| filter.value == network.driver())
            && any("id", &|filter| FilterPattern::new(&filter.value).matches(network.id()))
            && any("name", &|filter| FilterPattern::new(&filter.value).matches(network.name()))
            && any("scope", &|filter| filter.value == "local")
            && any("type", &|filter| filter.value == kind)
            && filter::labels_match(self.filters, network.labels())
    }
}

/// Network IDs of all containers' attachments, one for each.
fn used_networks(store: &Store) -> Result<Vec<String>> {
    let containers = store.containers()?;
    let networks = containers.iter().flat_map(|container| &container.spec().networks);
    Ok(networks.map(|attachment| attachment.network.clone()).collect())
}

/// docker's wording.
fn no_such_network(text: &str) -> anyhow::Error {
    not_found(format!("network {} not found", text.escape_debug())).into()
}

static NO_LABELS: BTreeMap<String, String> = BTreeMap::new();

#[cfg(test)]
mod tests {
    use super::*;
    use dhow_store::scratch;

    fn names(store: &Store, filters: &[&str]) -> Vec<String> {
        let filters: Vec<ListFilter> = filters.iter().map(|text| text.parse().unwrap()).collect();
        list(store, &filters).unwrap().iter().map(|network| network.name().to_owned()).collect()
    }

    fn store() -> (tempfile::TempDir, Store) {
        let (dir, store) = scratch::store();
        for (name, label) in [("one", "a"), ("two", "b")] {
            let labels = [(label.to_owned(), name.to_owned())].into();
            create(&store, "", &NewNetwork { name: name.into(), labels, ..NewNetwork::default() }).unwrap();
        }
        (dir, store)
    }

    #[test]
    fn filters_choose() {
        let (_dir, store) = store();
        assert_eq!(names(&store, &[]), ["bridge", "host", "none", "one", "two"]);
        assert_eq!(names(&store, &["type=builtin"]), ["bridge", "host", "none"]);
        assert_eq!(names(&store, &["type=custom", "label=a"]), ["one"]);
        assert_eq!(names(&store, &["driver=null", "driver=host"]), ["host", "none"]);
        assert_eq!(names(&store, &["name=^t"]), ["two"]);
        assert_eq!(names(&store, &["dangling=true"]), ["one", "two"]);
        let id = find(&store, "one").unwrap().id().to_owned();
        assert_eq!(names(&store, &[&format!("id={}", &id[..12])]), ["one"]);
        for bad in ["colour=red", "type=swarm", "dangling=maybe"] {
            assert!(list(&store, &[bad.parse().unwrap()]).is_err(), "{bad}");
        }
    }

    #[test]
    fn built_in_networks_stay() {
        let (_dir, store) = store();
        for name in ["bridge", "host", "none"] {
            let id = find(&store, name).unwrap().id().to_owned();
            assert_eq!(find(&store, &id[..10]).unwrap().name(), name);
            let error = rm(&store, name, true).unwrap_err();
            assert!(error.to_string().contains("pre-defined network"), "{error}");
        }
        assert!(rm(&store, "one", false).unwrap());
        assert!(!rm(&store, "one", true).unwrap());
        assert_eq!(rm(&store, "one", false).unwrap_err().to_string(), "network one not found");
    }
}

//! `network ls`: lists networks, narrowed by filters.

use anyhow::Result;

use super::lookup::{ResolvedNetwork, all_networks, used_networks};
use crate::filter_pattern::FilterPattern;
use dhow_model::filter::{self, ListFilter};
use dhow_store::Store;

/// The networks that match all `filters`, sorted by name.
pub fn list(store: &Store, filters: &[ListFilter]) -> Result<Vec<ResolvedNetwork>> {
    let filters = NetworkFilters::new(store, filters)?;
    let mut networks = all_networks(store)?;
    networks.retain(|network| filters.accept(network));
    Ok(networks)
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
                    // Only checked here; `accept` parses it again.
                    filter.boolean()?;
                    used = used_networks(store)?;
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
            // Other scopes are for Swarm.
            && any("scope", &|filter| filter.value == "local")
            && any("type", &|filter| filter.value == kind)
            && filter::labels_match(self.filters, network.labels())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::create::create;
    use crate::network::lookup::find_network;
    use dhow_model::new_network::NewNetwork;
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
        let id = find_network(&store, "one").unwrap().id().to_owned();
        assert_eq!(names(&store, &[&format!("id={}", &id[..12])]), ["one"]);
        for bad in ["colour=red", "type=swarm", "dangling=maybe"] {
            assert!(list(&store, &[bad.parse().unwrap()]).is_err(), "{bad}");
        }
    }
}

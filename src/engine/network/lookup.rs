//! The networks that exist: those that were created, and the predefined `host` and `none`, which are only
//! names.

use std::collections::BTreeMap;

use anyhow::Result;

use dhow_error::{FailureKind, invalid, kind_of, not_found};
use dhow_model::digest::Digest;
use dhow_model::network::NetworkSpec;
use dhow_store::Store;

#[derive(Clone, Debug)]
pub enum ResolvedNetwork {
    /// A bridge network: the default one, or created by the user.
    Bridge(Box<NetworkSpec>),
    /// `host` or `none`.
    Predefined {
        name: &'static str,
        /// 64 hexadecimal digits, derived from the data root and the name.
        id: String,
        /// docker's name of the driver.
        driver: &'static str,
    },
}

impl ResolvedNetwork {
    pub fn id(&self) -> &str {
        match self {
            Self::Bridge(network) => &network.id,
            Self::Predefined { id, .. } => id,
        }
    }

    pub fn name(&self) -> &str {
        match self {
            Self::Bridge(network) => &network.name,
            Self::Predefined { name, .. } => name,
        }
    }

    pub fn driver(&self) -> &'static str {
        match self {
            Self::Bridge(_) => "bridge",
            Self::Predefined { driver, .. } => driver,
        }
    }

    pub fn labels(&self) -> &BTreeMap<String, String> {
        match self {
            Self::Bridge(network) => &network.labels,
            Self::Predefined { .. } => &NO_LABELS,
        }
    }

    /// `None` for `host` and `none`, which have no record.
    pub fn spec(&self) -> Option<&NetworkSpec> {
        match self {
            Self::Bridge(network) => Some(network),
            Self::Predefined { .. } => None,
        }
    }

    /// Whether it exists without having been created by the user; the default network counts too.
    pub(crate) fn is_predefined(&self) -> bool {
        self.spec().is_none_or(NetworkSpec::is_default)
    }
}

fn predefined(store: &Store) -> [ResolvedNetwork; 2] {
    [("host", "host"), ("none", "null")].map(|(name, driver)| {
        let seed = format!("{}\n{name}", store.root().display());
        ResolvedNetwork::Predefined { name, driver, id: Digest::of(seed.as_bytes()).hex().to_owned() }
    })
}

/// All networks, sorted by name. Creates the default network if it is missing.
pub(crate) fn all_networks(store: &Store) -> Result<Vec<ResolvedNetwork>> {
    store.default_network()?;
    let bridges = store.networks()?.into_iter().map(|network| ResolvedNetwork::Bridge(Box::new(network)));
    let mut networks: Vec<ResolvedNetwork> = bridges.chain(predefined(store)).collect();
    networks.sort_by(|a, b| a.name().cmp(b.name()));
    Ok(networks)
}

/// The network `text`: its name, its ID, or a prefix of the ID.
pub(crate) fn find_network(store: &Store, text: &str) -> Result<ResolvedNetwork> {
    let built_in = predefined(store);
    if let Some(network) = built_in.iter().find(|network| network.name() == text || network.id() == text) {
        return Ok(network.clone());
    }
    let bridge = match store.find_network(text) {
        Ok(network) => Some(ResolvedNetwork::Bridge(Box::new(network))),
        // It may still be a prefix of a predefined network's ID.
        Err(error) if kind_of(&error) == FailureKind::NotFound => None,
        Err(error) => return Err(error),
    };
    // Every ID starts with the empty text.
    if text.is_empty() {
        return Err(no_such_network(text));
    }
    let by_prefix = built_in.into_iter().filter(|network| network.id().starts_with(text));
    let mut matches = bridge.into_iter().chain(by_prefix);
    let first = matches.next().ok_or_else(|| no_such_network(text))?;
    match matches.next() {
        // An exact name wins over a prefix.
        Some(_) if first.name() != text => {
            Err(invalid(format!("network {text} is ambiguous (2 matches found on ID prefix)")).into())
        }
        _ => Ok(first),
    }
}

/// Network IDs of all containers' attachments, one for each.
pub(super) fn used_networks(store: &Store) -> Result<Vec<String>> {
    let containers = store.containers()?;
    let networks = containers.iter().flat_map(|container| &container.spec().networks);
    Ok(networks.map(|attachment| attachment.network.clone()).collect())
}

/// docker's wording.
fn no_such_network(text: &str) -> anyhow::Error {
    not_found(format!("network {} not found", text.escape_debug())).into()
}

static NO_LABELS: BTreeMap<String, String> = BTreeMap::new();

//! `network rm`: removes a network.

use anyhow::Result;

use super::lookup::{ResolvedNetwork, find_network};
use dhow_error::{Failure, FailureKind, kind_of};
use dhow_store::Store;

/// Removes a network that no running container is on. Returns whether there was one; with `force` it need not
/// exist.
pub fn rm(store: &Store, text: &str, force: bool) -> Result<bool> {
    let network = match find_network(store, text) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use dhow_model::new_network::NewNetwork;
    use dhow_store::scratch;

    #[test]
    fn built_in_networks_stay() {
        let (_dir, store) = scratch::store();
        store.create_network(&NewNetwork { name: "one".into(), ..NewNetwork::default() }).unwrap();
        for name in ["bridge", "host", "none"] {
            let id = find_network(&store, name).unwrap().id().to_owned();
            assert_eq!(find_network(&store, &id[..10]).unwrap().name(), name);
            let error = rm(&store, name, true).unwrap_err();
            assert!(error.to_string().contains("pre-defined network"), "{error}");
        }
        assert!(rm(&store, "one", false).unwrap());
        assert!(!rm(&store, "one", true).unwrap());
        assert_eq!(rm(&store, "one", false).unwrap_err().to_string(), "network one not found");
    }
}

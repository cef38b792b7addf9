//! `network connect`: connects a container to a network, whether it runs or not.
//!
//! The specification on disk is changed first, then the supervisor is told. If that fails, the specification is
//! restored.

use anyhow::Result;

use super::lookup::{ResolvedNetwork, find_network};
use dhow_error::{Failure, FailureKind, invalid};
use dhow_model::container::{ContainerSpec, NetworkMode};
use dhow_model::network::{NetworkAttachment, NetworkSpec};
use dhow_runtime::control::protocol::ControlRequest;
use dhow_runtime::control::{ControlAnswer, send_request};
use dhow_runtime::create;
use dhow_store::Store;
use dhow_store::event_records;

/// Connects the container `text` to a network; `attachment` names it and says how.
pub fn connect(store: &Store, text: &str, mut attachment: NetworkAttachment) -> Result<()> {
    let container = store.find_container(text)?;
    let network = find_bridge(store, &attachment.network)?;
    check_mode(container.spec())?;
    create::complete_attachment(store, &mut attachment, &network)?;
    let added = attachment.clone();
    // Checked while the specification is locked: another command may connect the container meanwhile.
    let edit = |spec: &mut ContainerSpec| {
        if spec.networks.iter().any(|other| other.network == network.id) {
            let message =
                format!("endpoint with name {} already exists in network {}", spec.name, network.name);
            return Err(Failure::new(FailureKind::Denied, message).into());
        }
        spec.networks.push(added);
        Ok(())
    };
    let container = store.edit_container(&container, edit)?;
    match send_request(&container, &ControlRequest::Connect(attachment)) {
        Ok(ControlAnswer::Report(_)) => {}
        // It is stopped: it gets its endpoint when it starts.
        Ok(ControlAnswer::Unsupervised(locked)) => store.reserve_addresses(locked.spec())?,
        Err(error) => {
            // The container goes on without the network, so its specification must not have it.
            store.edit_container(&container, |spec| {
                spec.networks.retain(|other| other.network != network.id);
                Ok(())
            })?;
            return Err(error);
        }
    }
    event_records::network_event(store, "connect", &network, &container.spec().id);
    Ok(())
}

fn find_bridge(store: &Store, name: &str) -> Result<NetworkSpec> {
    match find_network(store, name)? {
        ResolvedNetwork::Bridge(network) => Ok(*network),
        ResolvedNetwork::Predefined { name: "host", .. } => Err(host_network().into()),
        ResolvedNetwork::Predefined { .. } => Err(none_network().into()),
    }
}

fn check_mode(spec: &ContainerSpec) -> Result<(), Failure> {
    match spec.namespaces.network {
        Some(NetworkMode::Networks) => Ok(()),
        Some(NetworkMode::Host) => Err(host_network()),
        Some(NetworkMode::Container(_)) => Err(invalid(
            "container sharing network namespace with another container or host cannot be connected to any other network",
        )),
        Some(NetworkMode::None) | None => Err(none_network()),
    }
}

pub(super) fn host_network() -> Failure {
    invalid("container cannot be disconnected from host network or connected to host network")
}

fn none_network() -> Failure {
    invalid(
        "container cannot be connected to multiple networks with one of the networks in private (none) mode",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::disconnect::disconnect;
    use dhow_model::ipam::consolidate;
    use dhow_model::new_network::NewNetwork;

    fn made(mode: NetworkMode) -> (tempfile::TempDir, Store, NetworkSpec) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().join("store")).unwrap();
        let pools = consolidate(&["198.51.100.0/24".into()], &[], &[], &[]).unwrap();
        let network = NewNetwork { name: "back".into(), pools, ..NewNetwork::default() };
        let network = store.create_network(&network).unwrap();
        let mut spec = ContainerSpec {
            id: dhow_store::new_container_id().unwrap(),
            name: "web".into(),
            ..ContainerSpec::default()
        };
        spec.namespaces.network = Some(mode);
        drop(store.create_container(&spec).unwrap());
        (dir, store, network)
    }

    fn to(network: &str) -> NetworkAttachment {
        NetworkAttachment {
            network: network.into(),
            ip: Some([198, 51, 100, 9].into()),
            ..NetworkAttachment::default()
        }
    }

    #[test]
    fn one_that_does_not_run_is_on_the_network_from_its_next_start() {
        let (_dir, store, network) = made(NetworkMode::Networks);
        connect(&store, "web", to("back")).unwrap();
        let spec = store.find_container("web").unwrap().spec().clone();
        assert_eq!(
            (spec.networks[0].network.as_str(), spec.networks[0].name.as_str()),
            (&*network.id, "back")
        );
        let error = connect(&store, "web", to("back")).unwrap_err();
        assert_eq!(error.to_string(), "endpoint with name web already exists in network back");
        assert!(store.root().join("networks").join(&network.id).join("leases/198.51.100.9").is_symlink());
        disconnect(&store, "back", "web", false).unwrap();
        assert!(store.find_container("web").unwrap().spec().networks.is_empty());
        assert!(!store.root().join("networks").join(&network.id).join("leases/198.51.100.9").is_symlink());
        let error = disconnect(&store, "back", "web", false).unwrap_err();
        assert!(error.to_string().contains("is not connected to network back"), "{error}");
    }

    #[test]
    fn modes_without_networks_are_refused() {
        let other = NetworkMode::Container("x".into());
        for (mode, why) in
            [(NetworkMode::Host, "host network"), (NetworkMode::None, "(none) mode"), (other, "sharing")]
        {
            let (_dir, store, _) = made(mode);
            let error = connect(&store, "web", to("back")).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
        let (_dir, store, _) = made(NetworkMode::Networks);
        for (network, why) in
            [("host", "host network"), ("none", "(none) mode"), ("mesh", "network mesh not found")]
        {
            let error = connect(&store, "web", to(network)).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
        let outside = NetworkAttachment { ip: Some([192, 0, 2, 1].into()), ..to("back") };
        assert!(connect(&store, "web", outside).is_err());
        assert!(store.find_container("web").unwrap().spec().networks.is_empty());
    }
}

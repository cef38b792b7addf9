//! `network disconnect`: disconnects a container from a network, whether it runs or not.
//!
//! In the same order as `network connect`: the specification first, then the supervisor.

use anyhow::Result;

use super::connect::host_network;
use super::lookup::{ResolvedNetwork, find_network};
use dhow_error::{Failure, FailureKind, kind_of};
use dhow_model::container::ContainerSpec;
use dhow_model::network::{NetworkAttachment, NetworkSpec};
use dhow_runtime::control::protocol::ControlRequest;
use dhow_runtime::control::{ControlAnswer, send_request};
use dhow_store::event_records;
use dhow_store::{ContainerDir, Store};

/// Disconnects the container `text` from a network; with `force` even if its supervisor fails to.
pub fn disconnect(store: &Store, name: &str, text: &str, force: bool) -> Result<()> {
    let container = store.find_container(text)?;
    let network = match find_network(store, name)? {
        ResolvedNetwork::Predefined { name: "host", .. } => return Err(host_network().into()),
        ResolvedNetwork::Predefined { name, .. } => return Err(not_connected(container.spec(), name).into()),
        ResolvedNetwork::Bridge(network) => network,
    };
    let mut removed = None;
    let edit = |spec: &mut ContainerSpec| {
        let position = spec.networks.iter().position(|other| other.network == network.id);
        let index = position.ok_or_else(|| not_connected(spec, &network.name))?;
        removed = Some((index, spec.networks.remove(index)));
        Ok(())
    };
    let edited = store.edit_container(&container, edit)?;
    match send_request(&edited, &ControlRequest::Disconnect { network: network.id.clone(), force }) {
        Ok(ControlAnswer::Report(_)) => {}
        Ok(ControlAnswer::Unsupervised(locked)) => {
            release_addresses(store, &locked, &network, removed.as_ref())?
        }
        // It may be restarting, for example; the next start is without the network.
        Err(error) if force && kind_of(&error) != FailureKind::NotFound => {}
        Err(error) => {
            // The container is still connected, so its specification must say so.
            store.edit_container(&edited, |spec| {
                // At its old position: listings show the first network. The list may be shorter by now.
                if let Some((index, attachment)) = removed {
                    spec.networks.insert(index.min(spec.networks.len()), attachment);
                }
                Ok(())
            })?;
            return Err(error);
        }
    }
    event_records::network_event(store, "disconnect", &network, &container.spec().id);
    Ok(())
}

/// A stopped container holds only the addresses it asked for explicitly.
fn release_addresses(
    store: &Store,
    container: &ContainerDir,
    network: &NetworkSpec,
    removed: Option<&(usize, NetworkAttachment)>,
) -> Result<()> {
    let Some((_, attachment)) = removed else { return Ok(()) };
    let released = ContainerSpec {
        id: container.spec().id.clone(),
        networks: vec![NetworkAttachment { network: network.id.clone(), ..attachment.clone() }],
        ..ContainerSpec::default()
    };
    store.release_addresses(&released, &[])
}

fn not_connected(spec: &ContainerSpec, network: &str) -> Failure {
    Failure::new(FailureKind::Denied, format!("container {} is not connected to network {network}", spec.id))
}

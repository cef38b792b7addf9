//! Completes a new container's networks: resolves names to IDs and checks what only the networks can tell.

use anyhow::{Context as _, Result};

use dhow_error::invalid;
use dhow_model::container::{ContainerSpec, NetworkMode};
use dhow_model::network::{self, NetworkAttachment, NetworkSpec};
use dhow_store::Store;

/// Without `--network` a container joins the default network, or none if its image needs none.
pub(crate) fn resolve_networks(store: &Store, spec: &mut ContainerSpec, needs_none: bool) -> Result<()> {
    if spec.namespaces.network.is_none() {
        let mode = if needs_none { NetworkMode::None } else { NetworkMode::Networks };
        spec.namespaces.network = Some(mode);
    }
    if spec.namespaces.network != Some(NetworkMode::Networks) {
        return Ok(());
    }
    if spec.networks.is_empty() {
        spec.networks
            .push(NetworkAttachment { network: network::DEFAULT.into(), ..NetworkAttachment::default() });
    }
    for index in 0..spec.networks.len() {
        let (before, rest) = spec.networks.split_at_mut(index);
        let Some(attachment) = rest.first_mut() else { continue };
        let network = store.find_network(&attachment.network)?;
        complete_attachment(store, attachment, &network)?;
        if before.iter().any(|other| other.network == network.id) {
            return Err(invalid(format!("network \"{}\" is specified multiple times", network.name)).into());
        }
    }
    Ok(())
}

/// Fills in what is known about an attachment to `network`, and checks that its addresses are possible there.
pub fn complete_attachment(
    store: &Store,
    attachment: &mut NetworkAttachment,
    network: &NetworkSpec,
) -> Result<()> {
    attachment.network.clone_from(&network.id);
    attachment.name.clone_from(&network.name);
    if network.is_default() {
        // docker resolves links on the default network when the container is created, to IDs.
        for (container, _) in &mut attachment.links {
            let other = store.find_container(container);
            let other = other.with_context(|| format!("could not get container for {container}"))?;
            container.clone_from(&other.spec().id);
        }
    }
    check_static_addresses(attachment, network)
}

fn check_static_addresses(attachment: &NetworkAttachment, network: &NetworkSpec) -> Result<()> {
    if attachment.ip.is_none() && attachment.ip6.is_none() {
        return Ok(());
    }
    if network.is_default() {
        let message = "user specified IP address is supported on user defined networks only";
        return Err(invalid(message).into());
    }
    let fits_v4 = attachment.ip.is_none_or(|ip| network.v4.as_ref().is_some_and(|own| own.net.contains(&ip)));
    let fits_v6 =
        attachment.ip6.is_none_or(|ip| network.v6.as_ref().is_some_and(|own| own.net.contains(&ip)));
    // A subnet that dhow chose by itself may change, so only one that the user configured can have static
    // addresses.
    let chosen_v4 = attachment.ip.is_some() && !network.v4_asked;
    let chosen_v6 = attachment.ip6.is_some() && !network.v6_asked;
    if chosen_v4 || chosen_v6 {
        let message = "user specified IP address is supported only when connecting to networks with user configured subnets";
        return Err(invalid(message).into());
    }
    if !fits_v4 || !fits_v6 {
        let v4 = attachment.ip.filter(|_| !fits_v4).map(|ip| ip.to_string());
        let address = v4.or(attachment.ip6.map(|ip| ip.to_string())).unwrap_or_default();
        let message = format!(
            "invalid endpoint settings: no configured subnet contains IP address {address} (network {})",
            network.name
        );
        return Err(invalid(message).into());
    }
    Ok(())
}

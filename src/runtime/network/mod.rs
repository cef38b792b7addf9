//! A container's part in its networks: what it needs, and its lease at the network helper.
//!
//! # Roles
//!
//! The network helper is a process per account that runs the networks: bridges, datapath, DNS, published ports. A
//! supervisor holds a connection to it, the lease; when it is closed the helper disconnects the container.
//!
//! # Order at a start
//!
//! 1. The command resolves the networks and allocates addresses ([`prepare_networks`] → [`NetworkPlan`]).
//! 2. It connects to the helper or starts to fork it ([`reach_helper`] → [`PendingHelper`]), and goes on meanwhile.
//! 3. The supervisor opens the lease, which reserves the published ports ([`HelperLease::acquire`]).
//! 4. The sandbox calls back with the container's network namespace ([`HelperLease::connect`]).
//!
//! # When the helper is killed
//!
//! The namespaces of running containers survive. Each supervisor sees its connection close, and one of them starts a
//! new helper in the user namespace of the old one, where the rest of the network namespaces belong
//! ([`HelperLease::recover`]).

pub(crate) mod file_edit;
mod helper_client;
mod lease;
mod legacy_links;

use std::net::IpAddr;
use std::os::fd::{AsFd as _, OwnedFd};

use anyhow::{Context as _, Result};

pub(crate) use self::helper_client::PendingHelper;
use self::helper_client::{HelperClient, HelperStarter};
pub use self::lease::HelperLease;
use super::state::ContainerState;
use dhow_model::container::{ContainerSpec, NetworkMode};
use dhow_model::environment::Environment;
use dhow_model::network::{NetworkEndpoint, NetworkSpec};
use dhow_network::backend::NetworkBackend;
use dhow_network::helper::HelperOptions;
use dhow_sandbox::identity::HostIdentity;
use dhow_store::{ContainerDir, LockedContainer, Store};

/// What a container needs of networks, resolved before it starts.
#[derive(Clone, Debug)]
pub struct NetworkPlan {
    /// The networks, with the container's endpoint on each.
    pub(crate) attached_networks: Vec<(NetworkSpec, NetworkEndpoint)>,
    /// Addresses of linked containers on the default network, with the names for each.
    pub links: Vec<(IpAddr, String)>,
    /// Options for the helper, in case this container is the one that starts it.
    pub start: HelperOptions,
}

impl NetworkPlan {
    /// From the state of a running container; `None` if it has no networks of its own.
    pub(crate) fn of_running(store: &Store, container: &ContainerDir) -> Result<Option<Self>> {
        let state: Option<ContainerState> = container.read_state()?;
        let mut attached = Vec::new();
        for endpoint in state.map(|state| state.endpoints).unwrap_or_default() {
            if let Some(network) = store.network(&endpoint.network)? {
                attached.push((network, endpoint));
            }
        }
        // A link's target may have exited since.
        let links = legacy_links::legacy_links(store, container.spec(), &attached).unwrap_or_default();
        Ok(Some(Self { attached_networks: attached, links, start: HelperOptions::default() })
            .filter(|plan| !plan.attached_networks.is_empty()))
    }

    pub fn endpoints(&self) -> Vec<NetworkEndpoint> {
        self.attached_networks.iter().map(|(_, endpoint)| endpoint.clone()).collect()
    }

    /// Addresses of the networks' gateways, those of the default route's network first.
    pub fn gateways(&self) -> Vec<IpAddr> {
        let mut attached: Vec<_> = self.attached_networks.iter().collect();
        attached.sort_by_key(|(_, endpoint)| !endpoint.default_route);
        let v4 = |network: &NetworkSpec| network.v4.as_ref().map(|subnet| IpAddr::from(subnet.gateway));
        let v6 = |network: &NetworkSpec| network.v6.as_ref().map(|subnet| IpAddr::from(subnet.gateway));
        attached.first().into_iter().flat_map(|(network, _)| [v4(network), v6(network)]).flatten().collect()
    }

    /// Whether the container is on no network but the default one.
    pub(crate) fn is_default_only(&self) -> bool {
        self.attached_networks.iter().all(|(network, _)| network.is_default())
    }
}

/// The user namespace that running containers live in, if their helper was killed.
fn surviving_userns(store: &Store) -> Result<Option<OwnedFd>> {
    for container in store.containers()? {
        if container.spec().namespaces.network != Some(NetworkMode::Networks) {
            continue;
        }
        if let Some(namespace) = helper_userns_of(&container)? {
            return Ok(Some(namespace));
        }
    }
    Ok(None)
}

/// The user namespace of the helper that served `container`; `None` if that does not run any more.
fn helper_userns_of(container: &ContainerDir) -> Result<Option<OwnedFd>> {
    let Some(first) = super::first_process::find(container)? else { return Ok(None) };
    let namespace = match dhow_sys::namespace::open_namespace(first.pid(), "user") {
        Ok(namespace) => namespace,
        Err(_) => return Ok(None),
    };
    // Checked last: if it lives now, the PID was still its own when the namespace was opened.
    if first.has_ended()? {
        return Ok(None);
    }
    // The container's may be nested deeper, below that of a donor. The helper's is the one whose parent is ours.
    let mut outermost = namespace;
    while let Some(parent) = dhow_sys::namespace::parent_namespace(outermost.as_fd())? {
        if dhow_sys::namespace::parent_namespace(parent.as_fd())?.is_none() {
            return Ok(Some(outermost));
        }
        outermost = parent;
    }
    Ok(None)
}

/// Connects to the helper, or starts to fork it, if the container of `spec` needs networks. The result is for
/// the container's supervisor. The process must be single-threaded.
pub fn reach_helper(
    store: &Store,
    identity: &HostIdentity,
    spec: &ContainerSpec,
    plan: Option<&NetworkPlan>,
) -> Result<Option<PendingHelper>> {
    let Some(plan) = plan else { return Ok(None) };
    let surviving_userns = || surviving_userns(store);
    let starter = HelperStarter { store, identity, start: &plan.start, surviving_userns: &surviving_userns };
    helper_client::reach_helper(&starter)
        .with_context(|| format!("cannot start container {}", spec.name))
        .map(Some)
}

/// Resolves the networks of a container whose lock this process holds, and allocates its addresses.
pub fn prepare_networks(
    store: &Store,
    container: &LockedContainer,
    environment: &Environment,
) -> Result<Option<NetworkPlan>> {
    if container.spec().namespaces.network != Some(NetworkMode::Networks) {
        return Ok(None);
    }
    let backend = forced_backend(environment)?;
    let state: Option<ContainerState> = container.read_state()?;
    let previous = state.map(|state| state.endpoints).unwrap_or_default();
    let attached = store.join_networks(container.spec(), &previous)?;
    let links = match legacy_links::legacy_links(store, container.spec(), &attached) {
        Ok(links) => links,
        Err(error) => {
            let endpoints: Vec<NetworkEndpoint> =
                attached.into_iter().map(|(_, endpoint)| endpoint).collect();
            // Addresses that stay allocated are reclaimed by whoever needs them.
            let _ = store.leave_networks(container.spec(), &endpoints);
            return Err(error);
        }
    };
    Ok(Some(NetworkPlan { attached_networks: attached, links, start: HelperOptions { backend } }))
}

/// A connection that only keeps the helper alive.
pub struct HelperKeepalive(#[expect(unused, reason = "what counts is that it is open")] HelperClient);

/// Connects to the helper or starts it, and keeps it alive. The process must be single-threaded.
pub fn hold_helper(
    store: &Store,
    identity: &HostIdentity,
    environment: &Environment,
) -> Result<HelperKeepalive> {
    let start = HelperOptions { backend: forced_backend(environment)? };
    let surviving_userns = || surviving_userns(store);
    let starter = HelperStarter { store, identity, start: &start, surviving_userns: &surviving_userns };
    Ok(HelperKeepalive(helper_client::reach_helper(&starter)?.wait()?))
}

/// Allocates the addresses of a build step, whose directory the caller holds.
pub fn prepare_step_networks(
    store: &Store,
    spec: &ContainerSpec,
    environment: &Environment,
) -> Result<NetworkPlan> {
    let start = HelperOptions { backend: forced_backend(environment)? };
    Ok(NetworkPlan { attached_networks: store.join_networks(spec, &[])?, links: Vec::new(), start })
}

/// The network backend that the environment forces (`DHOW_NETWORK`).
pub fn forced_backend(environment: &Environment) -> Result<Option<NetworkBackend>> {
    let name = environment.text("DHOW_NETWORK");
    name.map(str::parse).transpose().context("cannot use DHOW_NETWORK")
}

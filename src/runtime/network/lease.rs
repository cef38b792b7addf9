//! A running container's lease at the network helper: opened at the start, kept alive by the connection, opened anew at
//! the helper's successor when the helper is killed.

use std::net::IpAddr;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use anyhow::{Context as _, Result};

use super::helper_client::{self, HelperClient, HelperStarter, PendingHelper};
use super::{NetworkPlan, surviving_userns};
use crate::state::ContainerState;
use dhow_error::{Failure, FailureKind};
use dhow_model::container::ContainerSpec;
use dhow_model::network::{NetworkEndpoint, NetworkSpec, PortSpec, PublishedPort};
use dhow_network::helper::{HelperOptions, HelperReply, HelperRequest, OpenRequest};
use dhow_network::publish::{self, PortUnavailable};
use dhow_sandbox::identity::HostIdentity;
use dhow_sandbox::launch::nested::ParentUserns;
use dhow_store::{Store, elect_default_route};

/// A container's lease at the network helper.
pub struct HelperLease {
    store: Store,
    identity: HostIdentity,
    start: HelperOptions,
    attached_networks: Vec<(NetworkSpec, NetworkEndpoint)>,
    open_request: OpenRequest,
    log: Option<std::fs::File>,
    client: HelperClient,
    /// The helper's user namespace, the parent of the container's.
    parent_userns: OwnedFd,
    /// The container's network namespace, once it exists.
    namespace: Option<OwnedFd>,
    published: Vec<PublishedPort>,
}

impl HelperLease {
    /// Opens the lease. Fails if a published port is taken.
    pub fn acquire(
        store: &Store,
        identity: &HostIdentity,
        spec: &ContainerSpec,
        plan: NetworkPlan,
        helper: Option<PendingHelper>,
    ) -> Result<Self> {
        let NetworkPlan { attached_networks: attached, links: _, start } = plan;
        let open_request = open_request(spec, &attached);
        let log = spec.egress_log.as_deref().map(open_log).transpose()?;
        let (client, outer, published) = {
            let surviving_userns = || surviving_userns(store);
            let starter =
                HelperStarter { store, identity, start: &start, surviving_userns: &surviving_userns };
            open_lease(&starter, helper, &open_request, log.as_ref())?
        };
        let (store, identity) = (store.clone(), identity.clone());
        Ok(Self {
            store,
            identity,
            start,
            attached_networks: attached,
            open_request,
            log,
            client,
            parent_userns: outer,
            namespace: None,
            published,
        })
    }

    /// The user namespace below which the container's is created.
    pub fn parent_userns(&self) -> Result<ParentUserns> {
        Ok(ParentUserns { userns: self.parent_userns.try_clone()?, ids: self.identity.map((0, 0)) })
    }

    /// Connects the container's network namespace.
    pub fn connect(&mut self, namespace: BorrowedFd<'_>) -> Result<()> {
        // Kept for a successor of the helper, which has to be given it again.
        self.namespace = Some(namespace.try_clone_to_owned()?);
        match self.wire_namespace() {
            Err(error) if is_helper_gone(&error) => self.recover(),
            wired => wired,
        }
    }

    fn wire_namespace(&mut self) -> Result<()> {
        let Some(namespace) = &self.namespace else { return Ok(()) };
        let request = HelperRequest::Wire(self.endpoints());
        let answer = self.client.request(&request, &[namespace.as_fd()])?;
        self.update_published(answer.0);
        Ok(())
    }

    fn update_published(&mut self, reply: HelperReply) {
        if let HelperReply::Published(published) = reply {
            self.published = published;
        }
    }

    pub fn endpoints(&self) -> Vec<NetworkEndpoint> {
        self.attached_networks.iter().map(|(_, endpoint)| endpoint.clone()).collect()
    }

    /// The networks, with the container's endpoint on each.
    pub fn attached(&self) -> &[(NetworkSpec, NetworkEndpoint)] {
        &self.attached_networks
    }

    pub fn published(&self) -> &[PublishedPort] {
        &self.published
    }

    /// Readable when the helper is gone.
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.client.as_fd()
    }

    /// After the helper is gone: connects to another or starts one, and restores everything as it was.
    pub fn recover(&mut self) -> Result<()> {
        let mut tries = 0;
        loop {
            match self.reconnect() {
                Err(error) if tries < MAX_TRIES && is_helper_gone(&error) => tries += 1,
                recovered => return recovered,
            }
        }
    }

    fn reconnect(&mut self) -> Result<()> {
        // Ports that were chosen at random must be the same ones again.
        let bound: Vec<PortSpec> = self.published.iter().map(PublishedPort::as_spec).collect();
        let ports = if bound.is_empty() { self.open_request.ports.clone() } else { bound };
        let open_request = OpenRequest { ports, ..self.open_request.clone() };
        let outer = self.parent_userns.as_fd();
        // The successor must be in the user namespace of the old helper, which owns the container's.
        let surviving_userns = || Ok(Some(outer.try_clone_to_owned()?));
        let starter = HelperStarter {
            store: &self.store,
            identity: &self.identity,
            start: &self.start,
            surviving_userns: &surviving_userns,
        };
        let (client, outer, published) = open_lease(&starter, None, &open_request, self.log.as_ref())?;
        (self.client, self.parent_userns, self.published) = (client, outer, published);
        self.wire_namespace()
    }

    /// Sends a request; if the helper is gone, to its successor.
    fn request(&mut self, request: &HelperRequest) -> Result<HelperReply> {
        match self.client.request(request, &[]) {
            Err(error) if is_helper_gone(&error) => {
                self.recover()?;
                Ok(self.client.request(request, &[])?.0)
            }
            answer => Ok(answer?.0),
        }
    }

    /// Connects the container of `spec` to one more network.
    pub fn join_network(
        &mut self,
        spec: &ContainerSpec,
        network: NetworkSpec,
        endpoint: NetworkEndpoint,
    ) -> Result<()> {
        // A copy: the lease changes only once the helper has agreed.
        let mut attached = self.attached_networks.clone();
        attached.push((network.clone(), endpoint.clone()));
        elect_default_route(spec, &mut attached);
        let (network, endpoint) = (Box::new(network), Box::new(endpoint));
        let request = HelperRequest::Connect { network, endpoint, lead: default_route_network(&attached) };
        self.change_networks(&request, attached)
    }

    /// Disconnects the container of `spec` from a network.
    pub fn leave_network(&mut self, spec: &ContainerSpec, network: &str) -> Result<()> {
        let mut attached = self.attached_networks.clone();
        attached.retain(|(other, _)| other.id != network);
        elect_default_route(spec, &mut attached);
        let request =
            HelperRequest::Disconnect { network: network.to_owned(), lead: default_route_network(&attached) };
        self.change_networks(&request, attached)
    }

    fn change_networks(
        &mut self,
        request: &HelperRequest,
        attached: Vec<(NetworkSpec, NetworkEndpoint)>,
    ) -> Result<()> {
        let reply = self.request(request)?;
        self.update_published(reply);
        self.open_request.networks = attached.iter().map(|(network, _)| network.clone()).collect();
        self.open_request.lead = default_route_network(&attached);
        self.attached_networks = attached;
        Ok(())
    }

    /// The container's name as the helper's DNS knows it.
    pub fn name(&self) -> &str {
        &self.open_request.name
    }

    /// Tells the helper the container's new name.
    pub fn rename(&mut self, name: &str) -> Result<()> {
        // First, so that a successor of the helper is opened with the new name.
        name.clone_into(&mut self.open_request.name);
        self.request(&HelperRequest::Rename(name.to_owned()))?;
        Ok(())
    }
}

/// Opens a lease at the helper, trying again with its successor if it exits just then.
fn open_lease(
    starter: &HelperStarter<'_>,
    mut helper: Option<PendingHelper>,
    open_request: &OpenRequest,
    log: Option<&std::fs::File>,
) -> Result<(HelperClient, OwnedFd, Vec<PublishedPort>)> {
    let mut tries = 0;
    loop {
        let client = helper.take().map_or_else(|| helper_client::reach_helper(starter), Ok)?.wait()?;
        let log = log.map(std::os::fd::AsFd::as_fd);
        let request = HelperRequest::Open(Box::new(open_request.clone()));
        match client.request(&request, log.as_slice()) {
            Ok((HelperReply::Opened(published), mut fds)) => {
                let outer = fds.pop().context("the network helper kept its user namespace to itself")?;
                return Ok((client, outer, published));
            }
            Ok(_) => return Err(Failure::new(FailureKind::Other, "the network helper gave no answer").into()),
            Err(error) if tries < MAX_TRIES && is_helper_gone(&error) => tries += 1,
            Err(error) => {
                return Err(match error.downcast::<PortUnavailable>() {
                    Ok(port) => port.failure(port_holder(starter.store, &port).as_deref()).into(),
                    Err(error) => error,
                });
            }
        }
    }
}

/// What holds a port: a container, or a process as far as it can be seen.
fn port_holder(store: &Store, port: &PortUnavailable) -> Option<String> {
    if !port.is_taken() {
        return None;
    }
    let containers = store.scan_containers(false, ContainerState::may_run).unwrap_or_default();
    let container = containers.into_iter().find(|container| {
        container
            .state
            .as_ref()
            .is_some_and(|state: &ContainerState| state.published.iter().any(|other| port.is_taken_by(other)))
    });
    match container {
        Some(container) => Some(format!("container {}", container.dir.spec().name)),
        None => publish::port_holder(port.protocol, port.at),
    }
}

/// How often in a row a helper may exit while it is being talked to.
const MAX_TRIES: u32 = 20;

// EPIPE and ECONNRESET: it exited with our request unread. Interrupted: it closed the connection.
fn is_helper_gone(error: &anyhow::Error) -> bool {
    use rustix::io::Errno;
    let broken = |code: i32| [Errno::PIPE, Errno::CONNRESET].iter().any(|errno| errno.raw_os_error() == code);
    dhow_error::kind_of(error) == FailureKind::Interrupted
        || error.downcast_ref::<std::io::Error>().and_then(std::io::Error::raw_os_error).is_some_and(broken)
}

fn open_request(spec: &ContainerSpec, attached: &[(NetworkSpec, NetworkEndpoint)]) -> OpenRequest {
    let servers: Vec<IpAddr> = spec.dns.servers.iter().filter_map(|server| server.parse().ok()).collect();
    OpenRequest {
        id: spec.id.clone(),
        name: spec.name.clone(),
        hostname: spec.hostname.clone(),
        networks: attached.iter().map(|(network, _)| network.clone()).collect(),
        lead: default_route_network(attached),
        ports: spec.ports_to_publish(),
        dns: servers,
        ndots_set: spec.dns.options.iter().any(|option| option.starts_with("ndots:") && option != "ndots:0"),
        host_gateway: spec.extra_hosts.iter().any(|(_, address)| address == "host-gateway"),
    }
}

/// ID of the network that the default route goes through.
fn default_route_network(attached: &[(NetworkSpec, NetworkEndpoint)]) -> Option<String> {
    let (network, _) = attached.iter().find(|(_, endpoint)| endpoint.default_route)?;
    Some(network.id.clone())
}

/// Opened before the fork with the user's rights, so that the container has no say in what is opened.
fn open_log(path: &std::path::Path) -> Result<std::fs::File> {
    let file = std::fs::OpenOptions::new().append(true).create(true).open(path);
    file.with_context(|| format!("cannot open the egress log `{}`", path.display()))
}

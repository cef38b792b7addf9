//! The helper's state for one container, and the state that all of them share.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::{Arc, OnceLock, Weak};

use anyhow::{Context as _, Result};

use super::active_network::{ActiveNetwork, AttachedEndpoint};
use super::protocol::{HelperReply, HelperRequest, OpenRequest};
use crate::backend::{BackendSelector, NetworkBackend};
use crate::datapath::DropGuard;
use crate::dns::{self, DnsService};
use crate::egress;
use crate::egress::log::EgressLog;
use crate::netns::{self, NetnsThread};
use crate::nft::dns_redirect;
use crate::publish::{self, BoundPort, ReservedPorts};
use crate::relay::TcpRelay;
use crate::socket::open_socket;
use dhow_error::{Failure, FailureKind};
use dhow_model::network::{NetworkEndpoint, NetworkSpec, PortSpec, PublishedPort};
use dhow_sys::process::ns;

/// What the sessions share.
pub(crate) struct HelperState {
    userns: OwnedFd,
    /// Which backends work on this machine.
    selector: Arc<BackendSelector>,
    relay: Arc<TcpRelay>,
    dns: DnsService,
    networks: HashMap<String, Weak<ActiveNetwork>>,
}

impl HelperState {
    pub(super) fn new(backend: Option<NetworkBackend>) -> Result<Self> {
        let dns =
            DnsService::start(dns::DnsConfig { resolv_conf: "/etc/resolv.conf".into(), port: dns::PORT })
                .context("starting the name service")?;
        Ok(Self {
            userns: super::own_userns()?,
            selector: Arc::new(BackendSelector::new(backend)),
            relay: Arc::new(TcpRelay::start().context("starting the relay")?),
            dns,
            networks: HashMap::new(),
        })
    }

    /// The helper's user namespace.
    pub(super) fn namespace(&self) -> BorrowedFd<'_> {
        self.userns.as_fd()
    }

    /// The network `network`, set up if it is not in use yet.
    fn network(&mut self, network: &NetworkSpec) -> Result<Arc<ActiveNetwork>> {
        if let Some(active) = self.networks.get(&network.id).and_then(Weak::upgrade) {
            return Ok(active);
        }
        self.networks.retain(|_, active| active.strong_count() > 0);
        let active = Arc::new(ActiveNetwork::start(network.clone(), &self.selector, &self.relay)?);
        self.networks.insert(network.id.clone(), Arc::downgrade(&active));
        Ok(active)
    }
}

/// The helper's side of one container's connection.
pub(crate) struct HelperSession {
    request: OpenRequest,
    log: Option<Arc<EgressLog>>,
    /// The host ports that were chosen last; they may have been closed since.
    assigned: Vec<PublishedPort>,
    /// Ports that are bound but not forwarded yet.
    reserved: Option<ReservedPorts>,
    /// Declared before the endpoints: traffic must stop before its target goes.
    ports: ActivePorts,
    dns: Option<dns::DnsClientHandle>,
    endpoints: Vec<AttachedEndpoint>,
    /// Its network namespace, once it exists.
    container: Option<OwnedFd>,
    /// Keeps networks alive from the start on, before the container is attached.
    requested_networks: Vec<Arc<ActiveNetwork>>,
}

/// The published ports that are forwarded.
#[derive(Default)]
struct ActivePorts {
    /// The ID of the network through which they reach the container.
    network: Option<String>,
    _guards: Vec<DropGuard>,
}

impl ActivePorts {
    fn open(mut reserved: ReservedPorts, attached: &AttachedEndpoint) -> Result<Self> {
        let services = attached.network().services()?;
        let datapath = services
            .datapath
            .as_ref()
            .context("the network has no datapath that ports could be published through")?;
        let mut guards = Vec::new();
        for BoundPort { published, socket } in reserved.take_udp() {
            let target = address_for_family(&attached.endpoint, published.ip.is_ipv6())
                .context("it has no address")?;
            guards.push(datapath.publish_udp(socket, SocketAddr::new(target, published.container))?);
        }
        let target = publish_target(&attached.network().spec, &attached.endpoint);
        guards.push(datapath.publish_tcp(reserved, target)?);
        Ok(Self { network: Some(attached.endpoint.network.clone()), _guards: guards })
    }
}

/// The container's address for clients of this family, or of the other one if it has none.
fn address_for_family(endpoint: &NetworkEndpoint, v6: bool) -> Option<IpAddr> {
    let preferred = endpoint.addresses().find(|address| address.is_ipv6() == v6);
    preferred.or_else(|| endpoint.addresses().next())
}

fn publish_target(network: &NetworkSpec, endpoint: &NetworkEndpoint) -> publish::PublishTarget {
    publish::PublishTarget {
        v4: network.v4.as_ref().zip(endpoint.v4).map(|(subnet, own)| publish::TargetSubnet {
            container: own.addr(),
            gateway: subnet.gateway,
            subnet: subnet.net,
        }),
        v6: network.v6.as_ref().zip(endpoint.v6).map(|(subnet, own)| publish::TargetSubnet {
            container: own.addr(),
            gateway: subnet.gateway,
            subnet: subnet.net,
        }),
    }
}

impl HelperSession {
    /// Binds the ports and starts to set the networks up.
    pub(super) fn open(shared: &mut HelperState, request: OpenRequest, fds: Vec<OwnedFd>) -> Result<Self> {
        let lead = request.networks.iter().find(|network| Some(&network.id) == request.lead.as_ref());
        let reserved =
            lead.map(|network| publish::reserve_ports(&network.bind_ports(&request.ports))).transpose()?;
        let active_networks =
            request.networks.iter().map(|network| shared.network(network)).collect::<Result<_>>()?;
        let log =
            fds.into_iter().next().map(EgressLog::start).transpose().context("starting the egress log")?;
        Ok(Self {
            assigned: reserved.as_ref().map(ReservedPorts::published).unwrap_or_default(),
            reserved,
            request,
            log,
            ports: ActivePorts::default(),
            dns: None,
            endpoints: Vec::new(),
            container: None,
            requested_networks: active_networks,
        })
    }

    /// The ports that are bound.
    pub(super) fn published(&self) -> Vec<PublishedPort> {
        let bound = self.reserved.is_some() || self.ports.network.is_some();
        if bound { self.assigned.clone() } else { Vec::new() }
    }

    /// Closes the published ports, so that others can bind them.
    pub(crate) fn release_ports(&mut self) {
        (self.ports, self.reserved) = (ActivePorts::default(), None);
    }

    /// The networks that it is or will be attached to.
    pub(super) fn networks(&self) -> Vec<Arc<ActiveNetwork>> {
        let mut networks = self.requested_networks.clone();
        networks.extend(self.endpoints.iter().map(|attached| Arc::clone(attached.network())));
        // Each once: the caller tells by the reference count who uses them last.
        networks.sort_by_key(Arc::as_ptr);
        networks.dedup_by_key(|network| Arc::as_ptr(network));
        networks
    }

    /// Handles a request of the supervisor.
    pub(crate) fn handle_request(
        &mut self,
        shared: &mut HelperState,
        request: HelperRequest,
        fds: Vec<OwnedFd>,
    ) -> Result<HelperReply> {
        match request {
            HelperRequest::Open(_) => return Err(Failure::new(FailureKind::Invalid, "opened twice").into()),
            HelperRequest::Wire(endpoints) => self.attach_networks(shared, endpoints, fds)?,
            HelperRequest::Connect { network, endpoint, lead } => {
                self.connect(shared, &network, *endpoint, lead)?
            }
            HelperRequest::Disconnect { network, lead } => self.disconnect(shared, &network, lead)?,
            HelperRequest::Rename(name) => {
                self.endpoints.iter_mut().for_each(|attached| attached.rename(&name));
                self.request.name = name;
                self.update_dns(shared)?;
                return Ok(HelperReply::Done);
            }
        }
        Ok(HelperReply::Published(self.published()))
    }

    fn attach_networks(
        &mut self,
        shared: &mut HelperState,
        endpoints: Vec<NetworkEndpoint>,
        fds: Vec<OwnedFd>,
    ) -> Result<()> {
        let container = fds.into_iter().next().context("no network namespace came along")?;
        self.container = Some(container);
        for endpoint in endpoints {
            let network = self.request.networks.iter().find(|network| network.id == endpoint.network);
            let active =
                shared.network(network.context("an endpoint of a network that the container is not on")?)?;
            self.attach(active, endpoint)?;
        }
        self.update_dns(shared)?;
        self.publish()
    }

    fn connect(
        &mut self,
        shared: &mut HelperState,
        network: &NetworkSpec,
        endpoint: NetworkEndpoint,
        lead: Option<String>,
    ) -> Result<()> {
        let active = shared.network(network)?;
        let before = self.request.lead.clone();
        let connected = self
            // Not the default route until `apply_default_route` has set it.
            .attach(Arc::clone(&active), NetworkEndpoint { default_route: false, ..endpoint })
            .and_then(|()| self.apply_default_route(shared, lead));
        match connected {
            Ok(()) => self.requested_networks.push(active),
            // Report the first error.
            Err(_) => drop(self.disconnect(shared, &network.id, before)),
        }
        connected
    }

    fn disconnect(&mut self, shared: &mut HelperState, network: &str, lead: Option<String>) -> Result<()> {
        let detached: Vec<_> =
            self.endpoints.extract_if(.., |attached| attached.endpoint.network == network).collect();
        detached.iter().try_for_each(AttachedEndpoint::detach)?;
        drop(detached);
        self.requested_networks.retain(|active| active.spec.id != network);
        self.apply_default_route(shared, lead)
    }

    /// Applies a change of its networks: default route, DNS, published ports.
    fn apply_default_route(&mut self, shared: &HelperState, lead: Option<String>) -> Result<()> {
        let container = self.container.as_ref().context("it has no network namespace yet")?;
        for attached in &mut self.endpoints {
            attached
                .set_default_route(lead.as_ref() == Some(&attached.endpoint.network), container.as_fd())?;
        }
        self.request.lead = lead;
        self.update_dns(shared)?;
        self.publish()
    }

    fn attach(&mut self, active: Arc<ActiveNetwork>, endpoint: NetworkEndpoint) -> Result<()> {
        let container = self.container.as_ref().context("it has no network namespace yet")?;
        let member = egress::EgressMember {
            name: self.request.name.clone(),
            addresses: endpoint.addresses().collect(),
            host_gateway: self.request.host_gateway,
            log: self.log.clone(),
        };
        self.endpoints.push(AttachedEndpoint::attach(active, endpoint, member, container.as_fd())?);
        Ok(())
    }

    /// Forwards the published ports through the network that has the default route. Without such a network,
    /// as on internal ones alone, no ports are published.
    fn publish(&mut self) -> Result<()> {
        let attached = self.endpoints.iter().find(|attached| attached.endpoint.default_route);
        let network = attached.map(|attached| &attached.endpoint.network);
        if network == self.ports.network.as_ref() && self.reserved.is_none() {
            return Ok(());
        }
        // Closed first, because the same host ports may be bound again below.
        self.ports = ActivePorts::default();
        let Some(attached) = attached else {
            (self.reserved, self.assigned) = (None, Vec::new());
            return Ok(());
        };
        let reserved = match self.reserved.take() {
            Some(reserved) => reserved,
            // The ports may have been taken by others meanwhile, so the numbers chosen before are only a
            // preference.
            None => {
                let reserve =
                    |ports: &[PortSpec]| publish::reserve_ports(&attached.network().spec.bind_ports(ports));
                reserve(&self.requested_ports()).or_else(|_| reserve(&self.request.ports))?
            }
        };
        self.assigned = reserved.published();
        self.ports = ActivePorts::open(reserved, attached)?;
        Ok(())
    }

    /// The ports to publish, preferring the host ports that were assigned before.
    fn requested_ports(&self) -> Vec<PortSpec> {
        let mut assigned: Vec<&PublishedPort> = self.assigned.iter().collect();
        let mut ports = self.request.ports.clone();
        for port in ports.iter_mut().filter(|port| port.host.is_none_or(|(first, last)| first < last)) {
            let matches = |published: &&PublishedPort| {
                (published.container, published.protocol) == (port.container, port.protocol)
            };
            if let Some(index) = assigned.iter().position(&matches) {
                let number = assigned.remove(index).host;
                // There may be an entry for each family.
                assigned.retain(|published| published.host != number || !matches(published));
                port.host = Some((number, number));
            }
        }
        ports
    }

    /// Tells the name service who the container is and what it may resolve.
    fn update_dns(&mut self, shared: &HelperState) -> Result<()> {
        let Some(container) = &self.container else { return Ok(()) };
        let client = self.dns_client(container)?;
        match &self.dns {
            Some(handle) => handle.update(client),
            None => {
                let sockets = netns::run_in(container.as_fd(), bind_dns_sockets)?
                    .context("opening the name service's sockets in the container")?;
                self.dns = Some(shared.dns.add(client, sockets)?);
            }
        }
        Ok(())
    }

    fn dns_client(&self, container: &OwnedFd) -> Result<dns::DnsClient> {
        let mut memberships = Vec::new();
        for attached in &self.endpoints {
            memberships.push(dns::DnsMembership {
                endpoint: attached.endpoint.clone(),
                network: attached.network().spec.clone(),
                egress: Some(attached.network().services()?.egress.clone()),
            });
        }
        memberships.sort_by_key(|membership| !membership.endpoint.default_route);
        let upstream = (!self.request.dns.is_empty())
            .then(|| {
                let sockets = socket_factory(container.try_clone()?);
                anyhow::Ok(dns::CustomUpstream { servers: self.request.dns.clone(), sockets })
            })
            .transpose()?;
        Ok(dns::DnsClient {
            id: self.request.id.clone(),
            name: self.request.name.clone(),
            hostname: self.request.hostname.clone(),
            memberships,
            upstream,
            ndots_set: self.request.ndots_set,
            log: self.log.clone(),
        })
    }
}

/// Creates sockets in the network namespace `container`, on one thread that is started with the first socket.
fn socket_factory(container: OwnedFd) -> dns::SocketFactory {
    let container = Arc::new(container);
    let thread: OnceLock<io::Result<NetnsThread>> = OnceLock::new();
    Arc::new(move |v6, kind| {
        let enter = || {
            let container = Arc::clone(&container);
            NetnsThread::start("dns-sockets", move || dhow_sys::namespace::setns(container.as_fd(), ns::NET))
        };
        let netns_thread =
            thread.get_or_init(enter).as_ref().map_err(|error| io::Error::from(error.kind()))?;
        netns_thread.call(move || Ok(open_socket(v6, kind, None)?))?
    })
}

/// Creates the name service's sockets in the calling thread's network namespace. Where port 53 can be
/// redirected, they use another port, so that the container can run its own server on 53.
fn bind_dns_sockets() -> io::Result<dns::DnsSockets> {
    let sockets = dns::DnsSockets::here(0)?;
    let port = sockets.port()?;
    match dns_redirect::forward_names(dns::ADDRESS, port) {
        Ok(()) => Ok(sockets),
        Err(_) => dns::DnsSockets::here(dns::PORT),
    }
}

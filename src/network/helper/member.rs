//! The helper's state for one container, and the state that all of them share.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::{Arc, OnceLock, Weak};

use anyhow::{Context as _, Result};

use super::bridge::{Bridge, Seat, addresses};
use super::wire::{Opening, Reply, Request};
use crate::error::{Failure, Kind};
use crate::model::network::{Endpoint, NetworkSpec, PortSpec, Published};
use crate::network::dns::{self, Dns};
use crate::network::egress::{self, log::Log};
use crate::network::gateway;
use crate::network::inside::{self, Inside};
use crate::network::publish::{self, Binding, Reserved};
use crate::network::relay::Relay;
use crate::network::rung::{Ladder, Rung};
use crate::network::way::Held;
use crate::sys::{self, process::ns};

/// What the sessions share.
pub(super) struct Shared {
    namespace: OwnedFd,
    /// Which backends work on this machine.
    ladder: Arc<Ladder>,
    relay: Arc<Relay>,
    dns: Dns,
    bridges: HashMap<String, Weak<Bridge>>,
}

impl Shared {
    pub(super) fn new(rung: Option<Rung>) -> Result<Self> {
        let dns = Dns::start(dns::Config { resolv_conf: "/etc/resolv.conf".into(), port: dns::PORT })
            .context("starting the name service")?;
        Ok(Self {
            namespace: super::own_namespace()?,
            ladder: Arc::new(Ladder::new(rung)),
            relay: Arc::new(Relay::start().context("starting the relay")?),
            dns,
            bridges: HashMap::new(),
        })
    }

    /// The helper's user namespace.
    pub(super) fn namespace(&self) -> BorrowedFd<'_> {
        self.namespace.as_fd()
    }

    /// The network `network`, set up if it is not in use yet.
    fn bridge(&mut self, network: &NetworkSpec) -> Result<Arc<Bridge>> {
        if let Some(bridge) = self.bridges.get(&network.id).and_then(Weak::upgrade) {
            return Ok(bridge);
        }
        self.bridges.retain(|_, bridge| bridge.strong_count() > 0);
        let bridge = Arc::new(Bridge::begin(network.clone(), &self.ladder, &self.relay)?);
        self.bridges.insert(network.id.clone(), Arc::downgrade(&bridge));
        Ok(bridge)
    }
}

/// The helper's side of one container's connection.
pub(super) struct Member {
    opening: Opening,
    log: Option<Arc<Log>>,
    published: Vec<Published>,
    /// Ports that are bound but not forwarded yet.
    reserved: Option<Reserved>,
    /// Declared before the endpoints: traffic must stop before its target goes.
    ports: Ports,
    dns: Option<dns::Handle>,
    seats: Vec<Seat>,
    /// Its network namespace, once it exists.
    container: Option<OwnedFd>,
    /// Keeps networks alive from the start on, before the container is attached.
    bridges: Vec<Arc<Bridge>>,
}

/// The published ports that are forwarded.
#[derive(Default)]
struct Ports {
    /// The ID of the network through which they reach the container.
    network: Option<String>,
    _held: Vec<Held>,
}

impl Ports {
    fn open(mut reserved: Reserved, seat: &Seat) -> Result<Self> {
        let works = seat.bridge().works()?;
        let way = works.way.as_ref().context("the network has no way in")?;
        let mut held = Vec::new();
        for Binding { published, socket } in reserved.udp() {
            let target = target_of(&seat.endpoint, published.ip.is_ipv6()).context("it has no address")?;
            held.push(way.publish_udp(socket, SocketAddr::new(target, published.container))?);
        }
        let target = target(&seat.bridge().spec, &seat.endpoint);
        held.push(way.publish_tcp(reserved, target)?);
        Ok(Self { network: Some(seat.endpoint.network.clone()), _held: held })
    }
}

/// The container's address for clients of this family, or of the other one if it has none.
fn target_of(endpoint: &Endpoint, v6: bool) -> Option<IpAddr> {
    let own4 = endpoint.v4.map(|net| IpAddr::from(net.addr()));
    let own6 = endpoint.v6.map(|net| IpAddr::from(net.addr()));
    if v6 { own6.or(own4) } else { own4.or(own6) }
}

fn target(network: &NetworkSpec, endpoint: &Endpoint) -> publish::Target {
    publish::Target {
        v4: network.v4.as_ref().zip(endpoint.v4).map(|(subnet, own)| publish::Place {
            container: own.addr(),
            gateway: subnet.gateway,
            subnet: subnet.net,
        }),
        v6: network.v6.as_ref().zip(endpoint.v6).map(|(subnet, own)| publish::Place {
            container: own.addr(),
            gateway: subnet.gateway,
            subnet: subnet.net,
        }),
    }
}

impl Member {
    /// Binds the ports and starts to set the networks up.
    pub(super) fn open(shared: &mut Shared, opening: Opening, fds: Vec<OwnedFd>) -> Result<Self> {
        let lead = opening.networks.iter().find(|network| Some(&network.id) == opening.lead.as_ref());
        let reserved =
            lead.map(|network| publish::reserve(&network.bind_ports(&opening.ports))).transpose()?;
        let bridges = opening.networks.iter().map(|network| shared.bridge(network)).collect::<Result<_>>()?;
        let log = fds.into_iter().next().map(Log::start).transpose().context("starting the egress log")?;
        Ok(Self {
            published: reserved.as_ref().map(Reserved::published).unwrap_or_default(),
            reserved,
            opening,
            log,
            ports: Ports::default(),
            dns: None,
            seats: Vec::new(),
            container: None,
            bridges,
        })
    }

    /// The ports that were bound.
    pub(super) fn published(&self) -> &[Published] {
        &self.published
    }

    /// Closes the published ports, so that others can bind them.
    pub(super) fn withdraw(&mut self) {
        (self.ports, self.reserved) = (Ports::default(), None);
    }

    /// The networks that it is or will be attached to.
    pub(super) fn networks(&self) -> Vec<Arc<Bridge>> {
        let mut networks = self.bridges.clone();
        networks.extend(self.seats.iter().map(|seat| Arc::clone(seat.bridge())));
        networks.sort_by_key(Arc::as_ptr);
        networks.dedup_by_key(|network| Arc::as_ptr(network));
        networks
    }

    /// Handles a request of the supervisor.
    pub(super) fn follow(
        &mut self,
        shared: &mut Shared,
        request: Request,
        fds: Vec<OwnedFd>,
    ) -> Result<Reply> {
        match request {
            Request::Open(_) => return Err(Failure::new(Kind::Invalid, "opened twice").into()),
            Request::Wire(endpoints) => self.wire(shared, endpoints, fds)?,
            Request::Connect { network, endpoint, lead } => {
                self.connect(shared, &network, *endpoint, lead)?
            }
            Request::Disconnect { network, lead } => self.disconnect(shared, &network, lead)?,
            Request::Rename(name) => {
                self.seats.iter_mut().for_each(|seat| seat.rename(&name));
                self.opening.name = name;
                self.serve_names(shared)?;
                return Ok(Reply::Done);
            }
        }
        Ok(Reply::Wired(self.published.clone()))
    }

    fn wire(&mut self, shared: &mut Shared, endpoints: Vec<Endpoint>, fds: Vec<OwnedFd>) -> Result<()> {
        let container = fds.into_iter().next().context("no network namespace came along")?;
        self.container = Some(container);
        for endpoint in endpoints {
            let network = self.opening.networks.iter().find(|network| network.id == endpoint.network);
            let bridge = shared.bridge(network.context("a place on an unknown network")?)?;
            self.sit(bridge, endpoint)?;
        }
        self.serve_names(shared)?;
        self.publish()
    }

    fn connect(
        &mut self,
        shared: &mut Shared,
        network: &NetworkSpec,
        endpoint: Endpoint,
        lead: Option<String>,
    ) -> Result<()> {
        let bridge = shared.bridge(network)?;
        let before = self.opening.lead.clone();
        let connected = self
            .sit(Arc::clone(&bridge), Endpoint { default_route: false, ..endpoint })
            .and_then(|()| self.settle(shared, lead));
        match connected {
            Ok(()) => self.bridges.push(bridge),
            // Report the first error.
            Err(_) => drop(self.disconnect(shared, &network.id, before)),
        }
        connected
    }

    fn disconnect(&mut self, shared: &mut Shared, network: &str, lead: Option<String>) -> Result<()> {
        let left: Vec<_> = self.seats.extract_if(.., |seat| seat.endpoint.network == network).collect();
        left.iter().try_for_each(Seat::leave)?;
        drop(left);
        self.bridges.retain(|bridge| bridge.spec.id != network);
        self.settle(shared, lead)
    }

    /// Applies a change of its networks: default route, DNS, published ports.
    fn settle(&mut self, shared: &Shared, lead: Option<String>) -> Result<()> {
        let container = self.container.as_ref().context("it has no network namespace yet")?;
        for seat in &mut self.seats {
            seat.lead(lead.as_ref() == Some(&seat.endpoint.network), container.as_fd())?;
        }
        self.opening.lead = lead;
        self.serve_names(shared)?;
        self.publish()
    }

    fn sit(&mut self, bridge: Arc<Bridge>, endpoint: Endpoint) -> Result<()> {
        let container = self.container.as_ref().context("it has no network namespace yet")?;
        let member = egress::Member {
            name: self.opening.name.clone(),
            addresses: addresses(&endpoint),
            host_gateway: self.opening.host_gateway,
            log: self.log.clone(),
        };
        self.seats.push(Seat::take(bridge, endpoint, member, container.as_fd())?);
        Ok(())
    }

    /// Forwards the published ports through the network that has the default route. Without such a network,
    /// as on internal ones alone, no ports are published.
    fn publish(&mut self) -> Result<()> {
        let seat = self.seats.iter().find(|seat| seat.endpoint.default_route);
        let network = seat.map(|seat| &seat.endpoint.network);
        if network == self.ports.network.as_ref() && self.reserved.is_none() {
            return Ok(());
        }
        self.ports = Ports::default();
        let Some(seat) = seat else {
            (self.reserved, self.published) = (None, Vec::new());
            return Ok(());
        };
        let reserved = match self.reserved.take() {
            Some(reserved) => reserved,
            // The ports may have been taken by others meanwhile, so the numbers chosen before are only a
            // preference.
            None => {
                let reserve = |ports: &[PortSpec]| publish::reserve(&seat.bridge().spec.bind_ports(ports));
                reserve(&self.wishes()).or_else(|_| reserve(&self.opening.ports))?
            }
        };
        self.published = reserved.published();
        self.ports = Ports::open(reserved, seat)?;
        Ok(())
    }

    /// The ports to publish, preferring the host ports that were assigned before.
    fn wishes(&self) -> Vec<PortSpec> {
        let mut given: Vec<&Published> = self.published.iter().collect();
        let mut wishes = self.opening.ports.clone();
        for wish in wishes.iter_mut().filter(|wish| wish.host.is_none_or(|(first, last)| first < last)) {
            let is_it =
                |port: &&Published| (port.container, port.protocol) == (wish.container, wish.protocol);
            if let Some(index) = given.iter().position(&is_it) {
                let number = given.remove(index).host;
                given.retain(|port| port.host != number || !is_it(port));
                wish.host = Some((number, number));
            }
        }
        wishes
    }

    /// Tells the name service who the container is and what it may resolve.
    fn serve_names(&mut self, shared: &Shared) -> Result<()> {
        let Some(container) = &self.container else { return Ok(()) };
        let asker = self.asker(container)?;
        match &self.dns {
            Some(handle) => handle.update(asker),
            None => {
                let sockets = inside::visit(container.as_fd(), name_sockets)?
                    .context("opening the name service's sockets in the container")?;
                self.dns = Some(shared.dns.add(asker, sockets)?);
            }
        }
        Ok(())
    }

    fn asker(&self, container: &OwnedFd) -> Result<dns::Asker> {
        let mut memberships = Vec::new();
        for seat in &self.seats {
            memberships.push(dns::Membership {
                endpoint: seat.endpoint.clone(),
                network: seat.bridge().spec.clone(),
                egress: Some(seat.bridge().works()?.egress.clone()),
            });
        }
        memberships.sort_by_key(|membership| !membership.endpoint.default_route);
        let upstream = (!self.opening.dns.is_empty())
            .then(|| {
                let sockets = sockets_in(container.try_clone()?);
                anyhow::Ok(dns::Upstream { servers: self.opening.dns.clone(), sockets })
            })
            .transpose()?;
        Ok(dns::Asker {
            id: self.opening.id.clone(),
            name: self.opening.name.clone(),
            hostname: self.opening.hostname.clone(),
            memberships,
            upstream,
            ndots_set: self.opening.ndots_set,
            log: self.log.clone(),
        })
    }
}

/// Creates sockets in the network namespace `container`, on one thread that is started with the first socket.
fn sockets_in(container: OwnedFd) -> dns::MakeSocket {
    let container = Arc::new(container);
    let thread: OnceLock<io::Result<Inside>> = OnceLock::new();
    Arc::new(move |family, kind| {
        let enter = || {
            let container = Arc::clone(&container);
            Inside::start("names", move || sys::namespace::join(container.as_fd(), ns::NET))
        };
        let inside = thread.get_or_init(enter).as_ref().map_err(|error| io::Error::from(error.kind()))?;
        inside.call(move || dns::socket(family, kind))?
    })
}

/// Creates the name service's sockets in the calling thread's network namespace. Where port 53 can be
/// redirected, they use another port, so that the container can run its own server on 53.
fn name_sockets() -> io::Result<dns::Sockets> {
    let sockets = dns::Sockets::here(0)?;
    let port = sockets.port()?;
    match gateway::forward_names(dns::ADDRESS, port) {
        Ok(()) => Ok(sockets),
        Err(_) => dns::Sockets::here(dns::PORT),
    }
}

//! The ports of a gateway's bridge, each with the container behind it.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::os::fd::BorrowedFd;
use std::sync::MutexGuard;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::{BRIDGE_INDEX, BRIDGE_NAME, Gateway, links, sysctl};
use crate::netlink::requests::{LinkAttribute, RouteSpec, TABLE_MAIN, VethPeer, is_delivered_locally};
use crate::netlink::{NetlinkError, NetlinkFamily, NetlinkSocket, RouteBatch};
use crate::nft;
use crate::sync::lock;
use dhow_model::network::{MacAddress, NetworkEndpoint};
use dhow_sys::interface;

/// Index of the first port. Indices are never reused.
const FIRST_INDEX: u32 = BRIDGE_INDEX + 1;
/// How often and how long to look whether an interface is ready. On a busy machine the kernel's workers may
/// be late by more than a second.
const READY_POLL: Duration = Duration::from_micros(100);
const READY_TIMEOUT: Duration = Duration::from_secs(3);

/// The attached containers, by hardware address.
#[derive(Debug)]
pub(super) struct BridgePorts {
    made: u32,
    by_mac: HashMap<MacAddress, BridgePort>,
    /// Whether the bridge exists.
    pub(super) bridged: bool,
}

#[derive(Debug)]
pub(super) struct BridgePort {
    pub(super) index: u32,
    /// The addresses that it may use as a sender.
    pub(super) addresses: Vec<IpAddr>,
}

impl BridgePorts {
    pub(super) fn new(bridged: bool) -> Self {
        Self { made: 0, by_mac: HashMap::new(), bridged }
    }

    /// Whether any port may use `address`.
    pub(super) fn has(&self, address: IpAddr) -> bool {
        self.by_mac.values().any(|port| port.addresses.contains(&address))
    }
}

impl BridgePort {
    pub(super) fn name(&self) -> String {
        format!("port{}", self.index)
    }
}

impl Gateway {
    /// Attaches the container whose network namespace is `netns`: creates its interface there, with addresses
    /// and routes, ready for use. Replaces what was attached with the same hardware address.
    pub(crate) fn attach(&self, netns: BorrowedFd<'_>, endpoint: &NetworkEndpoint) -> anyhow::Result<()> {
        let endpoint = &self.supported_endpoint(endpoint);
        let mut ports = self.ports();
        self.remove_port(&mut ports, endpoint.mac).context("cannot unplug what was there before")?;
        let v6 = endpoint.v6.is_some();
        let there = self
            .run_in(netns, move || {
                sysctl::apply_container(v6)?;
                anyhow::Ok(NetlinkSocket::open(NetlinkFamily::Route)?)
            })
            .context("cannot enter the container's network namespace")??;
        let mut made = self.create_port(&mut ports, netns, endpoint);
        if made.as_ref().is_err_and(|error| error.is_errno(libc::EEXIST)) {
            // The interface of a gateway that is gone. The kernel will delete it, but may take its time.
            remove_interface(&there, &endpoint.interface)?;
            made = self.create_port(&mut ports, netns, endpoint);
        }
        let port = made?;
        let wired = self
            .allow_addresses(true, &port, endpoint.mac)
            .map_err(anyhow::Error::from)
            .and_then(|()| self.configure(&there, endpoint));
        if wired.is_ok() {
            let (name, here) = (port.name(), self.route.as_fd());
            let mut interfaces = vec![(here, &*name), (there.as_fd(), &endpoint.interface)];
            interfaces.extend(ports.bridged.then_some((here, BRIDGE_NAME)));
            await_ready(&interfaces, &there, endpoint);
        }
        ports.by_mac.insert(endpoint.mac, port);
        if wired.is_err() {
            // Report the first error.
            let _ = self.remove_port(&mut ports, endpoint.mac);
        }
        wired.with_context(|| format!("cannot set up the interface {}", endpoint.interface))
    }

    /// Detaches a container. Its interface is gone when this returns.
    pub(crate) fn detach(&self, endpoint: &NetworkEndpoint) -> anyhow::Result<()> {
        self.remove_port(&mut self.ports(), endpoint.mac)?;
        Ok(())
    }

    /// Detaches a container that has exited, without waiting for its interface to go.
    pub(crate) fn detach_later(&self, endpoint: &NetworkEndpoint) {
        let mut ports = self.ports();
        let Some(port) = ports.by_mac.remove(&endpoint.mac) else { return };
        // The container is gone, so nobody could use the addresses any more.
        let _ = self.allow_addresses(false, &port, endpoint.mac);
        if ports.bridged {
            // Otherwise the old port would receive frames for the next container with this hardware address.
            let mut batch = RouteBatch::default();
            batch.set_bridge(port.index, &port.name(), 0);
            // The port may have gone with the container's namespace.
            let _ = batch.send(&self.route);
        }
        drop(ports);
        self.sweeper.schedule(port);
    }

    /// `endpoint` without the families that the kernel lacks.
    fn supported_endpoint(&self, endpoint: &NetworkEndpoint) -> NetworkEndpoint {
        let mut endpoint = endpoint.clone();
        if self.config.v6.is_none() {
            endpoint.v6 = None;
            endpoint.link_local.retain(IpAddr::is_ipv4);
        }
        endpoint
    }

    fn ports(&self) -> MutexGuard<'_, BridgePorts> {
        lock(&self.ports)
    }

    /// Allows a port to use its addresses as a sender, or forbids it.
    fn allow_addresses(&self, may: bool, port: &BridgePort, mac: MacAddress) -> Result<(), NetlinkError> {
        let Some(filter) = &self.filter else { return Ok(()) };
        nft::anti_spoof::change_allowed(may, port.index, mac, &port.addresses).commit(filter)
    }

    /// Creates the veth pair and tells the bridge, or the routing table if this is the only container, who is
    /// there.
    fn create_port(
        &self,
        ports: &mut BridgePorts,
        netns: BorrowedFd<'_>,
        endpoint: &NetworkEndpoint,
    ) -> Result<BridgePort, NetlinkError> {
        let alone = !ports.bridged && ports.by_mac.is_empty();
        if !ports.bridged && !alone {
            self.create_bridge(ports)?;
        }
        let port = BridgePort { index: FIRST_INDEX + ports.made, addresses: sender_addresses(endpoint) };
        ports.made += 1;
        let (name, config) = (port.name(), &self.config);
        let mut batch = RouteBatch::default();
        let far = VethPeer { netns, name: &endpoint.interface, mac: endpoint.mac };
        if alone {
            let as_gateway = LinkAttribute::Address(config.mac);
            batch.add_veth(port.index, &name, config.mtu.mtu, as_gateway, &far);
            batch.set_up(port.index, &name, &config.port_devconf(), &[]);
            links::push_container_routes(&mut batch, config, port.index);
        } else {
            batch.add_veth(port.index, &name, config.mtu.mtu, LinkAttribute::Bridge(BRIDGE_INDEX), &far);
            if config.isolated {
                batch.isolate(port.index, &name);
            }
        }
        let at = if alone { port.index } else { BRIDGE_INDEX };
        for address in &port.addresses {
            batch.add_neighbour(at, *address, endpoint.mac);
        }
        match batch.send(&self.route) {
            Ok(()) => Ok(port),
            Err(error) => {
                let mut batch = RouteBatch::default();
                batch.delete(port.index, &name);
                // There may be nothing to delete.
                let _ = batch.send(&self.route);
                Err(error)
            }
        }
    }

    /// Creates the bridge and makes the only port its first one. Existing connections go on, because
    /// addresses and rules stay where they are.
    fn create_bridge(&self, ports: &mut BridgePorts) -> Result<(), NetlinkError> {
        let mut batch = RouteBatch::default();
        links::push_bridge(&mut batch, &self.config);
        for (mac, port) in &ports.by_mac {
            let name = port.name();
            batch.set_bridge(port.index, &name, BRIDGE_INDEX);
            if self.config.isolated {
                batch.isolate(port.index, &name);
            }
            port.addresses.iter().for_each(|address| batch.add_neighbour(BRIDGE_INDEX, *address, *mac));
        }
        links::push_container_routes(&mut batch, &self.config, BRIDGE_INDEX);
        match batch.send(&self.route) {
            Ok(()) => {
                ports.bridged = true;
                Ok(())
            }
            Err(error) => {
                // Deleting the bridge removes its routes, so point them at the ports again.
                let mut batch = RouteBatch::default();
                batch.delete(BRIDGE_INDEX, BRIDGE_NAME);
                ports
                    .by_mac
                    .values()
                    .for_each(|port| links::push_container_routes(&mut batch, &self.config, port.index));
                // Report the first error.
                let _ = batch.send(&self.route);
                Err(error)
            }
        }
    }

    /// Sets up the container's end with addresses and routes.
    fn configure(&self, there: &NetlinkSocket, endpoint: &NetworkEndpoint) -> anyhow::Result<()> {
        let name = &endpoint.interface;
        let index = rustix::net::netdevice::name_to_index(there.as_fd(), name)?;
        let mut batch = RouteBatch::default();
        batch.up(index, name);
        let own = endpoint.v4.map(IpNet::V4).into_iter().chain(endpoint.v6.map(IpNet::V6));
        for address in own.chain(endpoint.link_local.iter().map(|address| with_link_prefix(*address))) {
            batch.add_address(index, address);
        }
        for gateway in self.gateways_of(endpoint) {
            // A permanent entry: nobody is asked for the gateway's hardware address, so nobody can claim to
            // be it.
            batch.add_neighbour(index, gateway, self.config.mac);
        }
        if endpoint.default_route {
            self.default_routes(&mut batch, index, endpoint);
        }
        Ok(batch.send(there)?)
    }

    /// Routes an attached container's default routes through this gateway, in place of the ones it has.
    pub(crate) fn set_default_route(
        &self,
        netns: BorrowedFd<'_>,
        endpoint: &NetworkEndpoint,
    ) -> anyhow::Result<()> {
        let there = self.run_in(netns, || NetlinkSocket::open(NetlinkFamily::Route))??;
        let index = rustix::net::netdevice::name_to_index(there.as_fd(), &endpoint.interface)?;
        let mut batch = RouteBatch::default();
        self.default_routes(&mut batch, index, endpoint);
        batch.send(&there).context("cannot change the default route")
    }

    fn default_routes(&self, batch: &mut RouteBatch, index: u32, endpoint: &NetworkEndpoint) {
        if self.config.internal {
            return;
        }
        for gateway in self.gateways_of(endpoint).filter(|gateway| gateway.is_ipv4() || self.has_v6_out()) {
            let to = match gateway {
                IpAddr::V4(_) => IpNet::V4(Ipv4Net::default()),
                IpAddr::V6(_) => IpNet::V6(Ipv6Net::default()),
            };
            let route = |to, mtu| RouteSpec {
                to,
                via: Some(gateway),
                out: index,
                table: TABLE_MAIN,
                local: false,
                mtu,
            };
            let sizes = &self.config.mtu;
            batch.add_route(&route(to, sizes.external));
            for near in sizes.host_addresses.iter().filter(|near| near.is_ipv4() == gateway.is_ipv4()) {
                batch.add_route(&route(IpNet::from(*near), None));
            }
        }
    }

    /// The gateway's addresses of the families that a container has.
    fn gateways_of(&self, endpoint: &NetworkEndpoint) -> impl Iterator<Item = IpAddr> {
        let (v4, v6) = (endpoint.v4.is_some(), endpoint.v6.is_some());
        self.config.gateways().filter(move |gateway| if gateway.is_ipv4() { v4 } else { v6 })
    }

    /// Removes the port with this hardware address, if there is one.
    fn remove_port(&self, ports: &mut BridgePorts, mac: MacAddress) -> Result<(), NetlinkError> {
        let Some(port) = ports.by_mac.remove(&mac) else { return Ok(()) };
        let mut batch = RouteBatch::default();
        batch.delete(port.index, &port.name());
        let deleted = batch.send(&self.route);
        let mut batch = RouteBatch::default();
        // Without a bridge the neighbour entries go with the port.
        for address in port.addresses.iter().filter(|_| ports.bridged) {
            batch.delete_neighbour(BRIDGE_INDEX, *address);
        }
        let forgotten = if batch.is_empty() { Ok(()) } else { batch.send(&self.route) };
        let silenced = self.allow_addresses(false, &port, mac);
        // ENODEV: the port went away with the container's namespace.
        let deleted = deleted.or_else(|error| if error.is_errno(libc::ENODEV) { Ok(()) } else { Err(error) });
        deleted.and(forgotten).and(silenced)
    }
}

/// All addresses that a container may send from on the network.
fn sender_addresses(endpoint: &NetworkEndpoint) -> Vec<IpAddr> {
    let mut all = endpoint.link_local.clone();
    all.extend(endpoint.addresses());
    if endpoint.v6.is_some() {
        all.push(IpAddr::V6(link_local(endpoint.mac)));
    }
    all
}

/// The link-local address that the kernel derives from the hardware address (RFC 4291, appendix A).
fn link_local(MacAddress([a, b, c, d, e, f]): MacAddress) -> Ipv6Addr {
    let pair = |high, low| u16::from_be_bytes([high, low]);
    Ipv6Addr::new(0xfe80, 0, 0, 0, pair(a ^ 0x02, b), pair(c, 0xff), pair(0xfe, d), pair(e, f))
}

/// A link-local address with its standard prefix length.
fn with_link_prefix(address: IpAddr) -> IpNet {
    let nothing = (Ipv4Net::default(), Ipv6Net::default());
    match address {
        IpAddr::V4(address) => IpNet::V4(Ipv4Net::new(address, 16).unwrap_or(nothing.0)),
        IpAddr::V6(address) => IpNet::V6(Ipv6Net::new(address, 64).unwrap_or(nothing.1)),
    }
}

/// Waits until these interfaces forward packets and the container's IPv6 address is delivered locally, up to
/// a time-out: otherwise the container's first packets, or the answers to them, would be lost.
fn await_ready(interfaces: &[(BorrowedFd<'_>, &str)], there: &NetlinkSocket, endpoint: &NetworkEndpoint) {
    let deadline = Instant::now() + READY_TIMEOUT;
    for (socket, name) in interfaces {
        // Makes the kernel update the link state now (Linux 6.8); by itself it takes its time.
        let _ = interface::refresh_link_state(*socket, name);
    }
    let runs = |(socket, name): &(BorrowedFd<'_>, &str)| interface::is_running(*socket, name).unwrap_or(true);
    let taken =
        || endpoint.v6.is_none_or(|net| is_delivered_locally(there, net.addr().into()).unwrap_or(true));
    while !(interfaces.iter().all(runs) && taken()) && Instant::now() < deadline {
        std::thread::sleep(READY_POLL);
    }
}

/// Deletes the interface `name`, if it exists.
fn remove_interface(there: &NetlinkSocket, name: &str) -> anyhow::Result<()> {
    let index = match rustix::net::netdevice::name_to_index(there.as_fd(), name) {
        Ok(index) => index,
        Err(rustix::io::Errno::NODEV) => return Ok(()),
        Err(error) => return Err(io::Error::from(error).into()),
    };
    let mut batch = RouteBatch::default();
    batch.delete(index, name);
    match batch.send(there) {
        Err(error) if !error.is_errno(libc::ENODEV) => Err(error.into()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_has_the_address_of_its_hardware() {
        let mac = "02:42:0a:59:00:02".parse().unwrap();
        assert_eq!(link_local(mac).to_string(), "fe80::42:aff:fe59:2");
        assert_eq!(with_link_prefix("169.254.3.4".parse().unwrap()).to_string(), "169.254.3.4/16");
    }
}

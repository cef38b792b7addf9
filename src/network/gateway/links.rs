//! A gateway's interfaces and routes, and the device that leads to the forwarder.

use std::sync::Arc;

use anyhow::Context as _;
use ipnet::IpNet;

use super::mtu::MAX_MTU;
use super::{BRIDGE_INDEX, BRIDGE_NAME, GatewayConfig};
use crate::backend::NetworkBackend;
use crate::forwarder::device::{PacketDevice, PacketSocket, TunDevice};
use crate::netlink::requests::{
    Ipv4Devconf, LinkAttribute, RouteSpec, RuleSelector, TABLE_LOCAL, TABLE_MAIN, VethEnd,
};
use crate::netlink::{NetlinkSocket, RouteBatch};
use crate::nft;
use dhow_model::network::MacAddress;

/// MTU of the device, in bytes: large enough for a reassembled packet and for several UDP datagrams as one
/// (GSO).
const DEVICE_MTU: u32 = MAX_MTU;
/// Packets that the device queues while the forwarder is busy; each may be of maximum length.
const DEVICE_QUEUE: u32 = 1024;

const LOOPBACK: u32 = 1;
/// The veth pair that replaces the TUN device. Its hardware addresses are seen nowhere else.
const NEAR: VethEnd<'_> =
    VethEnd { index: BRIDGE_INDEX - 2, name: "gate0", mac: MacAddress([2, 0, 0, 0, 0, 1]) };
const FAR: VethEnd<'_> =
    VethEnd { index: BRIDGE_INDEX - 1, name: "gate1", mac: MacAddress([2, 0, 0, 0, 0, 2]) };

/// Routing tables: for packets that belong to a local socket, and for those that go to the forwarder.
const TABLE_SOCKET: u8 = 100;
const TABLE_GATE: u8 = 101;

/// The interface that leads to the forwarder.
pub(super) struct ForwarderLink {
    name: &'static str,
    pub(super) index: u32,
    pub(super) device: Arc<dyn PacketDevice>,
}

/// Creates the device for the backend `backend`.
pub(super) fn create_device(backend: NetworkBackend, route: &NetlinkSocket) -> anyhow::Result<ForwarderLink> {
    match backend {
        NetworkBackend::Tproxy => open_tun(route),
        NetworkBackend::Packet => open_veth(route),
        _ => open_tun(route)
            .or_else(|error| open_veth(route).map_err(|other| error.context(format!("{other:#}")))),
    }
}

fn open_tun(route: &NetlinkSocket) -> anyhow::Result<ForwarderLink> {
    let name = "tun0";
    let device = TunDevice::open(name).context("cannot open /dev/net/tun")?;
    let index = rustix::net::netdevice::name_to_index(route.as_fd(), name)?;
    Ok(ForwarderLink { name, index, device: Arc::new(device) })
}

/// What is sent into one end of the veth pair is read at the other. There is no ARP: frames carry the address
/// of their own interface, so that the kernel at the far end drops them as somebody else's.
fn open_veth(route: &NetlinkSocket) -> anyhow::Result<ForwarderLink> {
    let mut batch = RouteBatch::default();
    // A single queue and no offloads, so that the packet socket sees one datagram or segment at a time.
    let attributes = [LinkAttribute::Mtu(DEVICE_MTU), LinkAttribute::TxQueues(1), LinkAttribute::RxQueues(1)];
    batch.add_local_veth(&NEAR, &FAR, &attributes);
    batch.set_up(FAR.index, FAR.name, &[(Ipv4Devconf::Forwarding, 0)], &[]);
    batch.send(route)?;
    let device = PacketSocket::open(FAR.index, NEAR.mac.0).context("cannot open a packet socket")?;
    Ok(ForwarderLink { name: NEAR.name, index: NEAR.index, device: Arc::new(device) })
}

/// Adds the bridge and brings it up.
pub(super) fn push_bridge(batch: &mut RouteBatch, config: &GatewayConfig) {
    batch.add_bridge(BRIDGE_INDEX, BRIDGE_NAME, config.mac, config.mtu.mtu);
    batch.set_up(BRIDGE_INDEX, BRIDGE_NAME, &config.port_devconf(), &[]);
}

/// Routes the subnets to `out`, an interface without the gateway's addresses.
pub(super) fn push_container_routes(batch: &mut RouteBatch, config: &GatewayConfig, out: u32) {
    for address in config.addresses() {
        batch.add_route(&RouteSpec {
            to: address.trunc(),
            via: None,
            out,
            table: TABLE_MAIN,
            local: false,
            mtu: None,
        });
    }
}

/// Sets up the addresses, the bridge unless it is created on demand, the device, and the routing.
pub(super) fn build_links(
    config: &GatewayConfig,
    backend: NetworkBackend,
    link: Option<&ForwarderLink>,
) -> RouteBatch {
    let mut batch = RouteBatch::default();
    batch.up(LOOPBACK, "lo");
    if config.bridge_on_demand {
        // On `lo`, so that they are local whichever port their packets arrive on.
        config.gateways().for_each(|address| batch.add_address(LOOPBACK, IpNet::from(address)));
    } else {
        push_bridge(&mut batch, config);
        config.addresses().for_each(|address| batch.add_address(BRIDGE_INDEX, address));
    }
    let Some(link) = link else { return batch };
    let mut sizes = vec![LinkAttribute::Mtu(DEVICE_MTU), LinkAttribute::TxQueueLength(DEVICE_QUEUE)];
    if link.index == NEAR.index {
        // A packet socket cannot describe pending segmentation in a way that all kernels understand.
        sizes.push(LinkAttribute::GsoMaxSegments(1));
    }
    // Packets from the forwarder carry any source address, even local ones.
    let speaks =
        [(Ipv4Devconf::Forwarding, 1), (Ipv4Devconf::ReversePathFilter, 0), (Ipv4Devconf::AcceptLocal, 1)];
    batch.set_up(link.index, link.name, &speaks, &sizes);
    for to in config.default_prefixes() {
        let v6 = matches!(to, IpNet::V6(_));
        let route = |out, table, local| RouteSpec { to, via: None, out, table, local, mtu: None };
        batch.add_route(&route(link.index, TABLE_GATE, false));
        batch.add_route(&route(link.index, TABLE_MAIN, false));
        if backend.has_listeners() {
            batch.add_route(&route(LOOPBACK, TABLE_SOCKET, true));
            batch.add_rule(v6, 1, RuleSelector::Mark(nft::MARK_SOCKET), TABLE_SOCKET);
            batch.add_rule(v6, 2, RuleSelector::Mark(nft::MARK_FORWARDER), TABLE_GATE);
        } else {
            // Without marks: everything that the containers send.
            batch.add_rule(v6, 2, RuleSelector::InputInterface(BRIDGE_NAME), TABLE_GATE);
        }
        // The local table moves behind the rules above, or the gateway's own addresses would never reach the
        // forwarder.
        batch.add_rule(v6, 3, RuleSelector::All, TABLE_LOCAL);
        batch.delete_rule(v6, 0, TABLE_LOCAL);
    }
    batch
}

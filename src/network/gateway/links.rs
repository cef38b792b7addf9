//! A gateway's interfaces and routes, and the device that leads to the forwarder.

use std::sync::Arc;

use anyhow::Context as _;
use ipnet::IpNet;
use netlink_packet_route::link::LinkAttribute;

use super::size::LONGEST;
use super::{BRIDGE, BRIDGE_NAME, Shape};
use crate::model::network::Mac;
use crate::network::gate::device::{Device, Tun, Wire};
use crate::network::netlink::requests::{End, Route, Setting, TABLE_LOCAL, TABLE_MAIN, Which};
use crate::network::netlink::{Batch, Socket};
use crate::network::nft;
use crate::network::rung::Rung;

/// MTU of the device, in bytes: large enough for a reassembled packet and for several UDP datagrams as one
/// (GSO).
const DEVICE_MTU: u32 = LONGEST;
/// Packets that the device queues while the forwarder is busy; each may be of maximum length.
const DEVICE_QUEUE: u32 = 1024;

const LOOPBACK: u32 = 1;
/// The veth pair that replaces the TUN device. Its hardware addresses are seen nowhere else.
const NEAR: End<'_> = End { index: BRIDGE - 2, name: "gate0", mac: Mac([2, 0, 0, 0, 0, 1]) };
const FAR: End<'_> = End { index: BRIDGE - 1, name: "gate1", mac: Mac([2, 0, 0, 0, 0, 2]) };

/// Routing tables: for packets that belong to a local socket, and for those that go to the forwarder.
const TABLE_SOCKET: u8 = 100;
const TABLE_GATE: u8 = 101;

/// The interface that leads to the forwarder.
pub(super) struct Link {
    name: &'static str,
    pub(super) index: u32,
    pub(super) device: Arc<dyn Device>,
}

/// Creates the device for the backend `rung`.
pub(super) fn device(rung: Rung, route: &Socket) -> anyhow::Result<Link> {
    match rung {
        Rung::Tproxy => tun(route),
        Rung::Packet => pair(route),
        _ => tun(route).or_else(|error| pair(route).map_err(|other| error.context(format!("{other:#}")))),
    }
}

fn tun(route: &Socket) -> anyhow::Result<Link> {
    let name = "tun0";
    let device = Tun::open(name).context("cannot open /dev/net/tun")?;
    let index = rustix::net::netdevice::name_to_index(route.as_fd(), name)?;
    Ok(Link { name, index, device: Arc::new(device) })
}

/// What is sent into one end of the veth pair is read at the other. There is no ARP: frames carry the address
/// of their own interface, so that the kernel at the far end drops them as somebody else's.
fn pair(route: &Socket) -> anyhow::Result<Link> {
    let mut batch = Batch::default();
    // A single queue and no offloads, so that the packet socket sees one datagram or segment at a time.
    let attributes =
        [LinkAttribute::Mtu(DEVICE_MTU), LinkAttribute::NumTxQueues(1), LinkAttribute::NumRxQueues(1)];
    batch.pair_here(&NEAR, &FAR, &attributes);
    batch.up_with(FAR.index, FAR.name, &[(Setting::Forwarding, 0)], Vec::new());
    batch.send(route)?;
    let device = Wire::open(FAR.index, NEAR.mac.0).context("cannot open a packet socket")?;
    Ok(Link { name: NEAR.name, index: NEAR.index, device: Arc::new(device) })
}

/// Adds the bridge and brings it up.
pub(super) fn bridge(batch: &mut Batch, shape: &Shape) {
    batch.bridge(BRIDGE, BRIDGE_NAME, shape.mac, shape.sizes.mtu);
    batch.up_with(BRIDGE, BRIDGE_NAME, &shape.passes(), Vec::new());
}

/// Routes the subnets to `out`, an interface without the gateway's addresses.
pub(super) fn inward(batch: &mut Batch, shape: &Shape, out: u32) {
    for address in shape.addresses() {
        batch.route(&Route {
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
pub(super) fn all(shape: &Shape, rung: Rung, link: Option<&Link>) -> Batch {
    let mut batch = Batch::default();
    batch.up(LOOPBACK, "lo");
    if shape.late {
        // On `lo`, so that they are local whichever port their packets arrive on.
        shape.gateways().for_each(|address| batch.address(LOOPBACK, IpNet::from(address)));
    } else {
        bridge(&mut batch, shape);
        shape.addresses().for_each(|address| batch.address(BRIDGE, address));
    }
    let Some(link) = link else { return batch };
    let mut sizes = vec![LinkAttribute::Mtu(DEVICE_MTU), LinkAttribute::TxQueueLen(DEVICE_QUEUE)];
    if link.index == NEAR.index {
        // A packet socket cannot describe pending segmentation in a way that all kernels understand.
        sizes.push(LinkAttribute::GsoMaxSegs(1));
    }
    // Packets from the forwarder carry any source address, even local ones.
    let speaks = [(Setting::Forwarding, 1), (Setting::ReversePathFilter, 0), (Setting::AcceptLocal, 1)];
    batch.up_with(link.index, link.name, &speaks, sizes);
    for to in shape.everywhere() {
        let v6 = matches!(to, IpNet::V6(_));
        let route = |out, table, local| Route { to, via: None, out, table, local, mtu: None };
        batch.route(&route(link.index, TABLE_GATE, false));
        batch.route(&route(link.index, TABLE_MAIN, false));
        if rung.has_listeners() {
            batch.route(&route(LOOPBACK, TABLE_SOCKET, true));
            batch.rule(v6, 1, Which::Mark(nft::MARK_SOCKET), TABLE_SOCKET);
            batch.rule(v6, 2, Which::Mark(nft::MARK_GATE), TABLE_GATE);
        } else {
            // Without marks: everything that the containers send.
            batch.rule(v6, 2, Which::From(BRIDGE_NAME), TABLE_GATE);
        }
        // The local table moves behind the rules above, or the gateway's own addresses would never reach the
        // forwarder.
        batch.rule(v6, 3, Which::All, TABLE_LOCAL);
        batch.delete_rule(v6, 0, TABLE_LOCAL);
    }
    batch
}

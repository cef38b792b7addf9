//! The rtnetlink requests that networks are set up with.

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsRawFd as _, BorrowedFd};

use ipnet::IpNet;
use netlink_packet_core::{DefaultNla, NLA_F_NESTED, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE};
use netlink_packet_route::address::{AddressAttribute, AddressHeaderFlags, AddressMessage, AddressScope};
use netlink_packet_route::link::{
    AfSpecInet, AfSpecUnspec, InfoBridge, InfoData, InfoKind, InfoVeth, LinkAttribute, LinkFlags, LinkInfo,
    LinkMessage, LinkProtoInfoBridge,
};
use netlink_packet_route::neighbour::{NeighbourAttribute, NeighbourMessage, NeighbourState};
use netlink_packet_route::route::{
    RouteAttribute, RouteMessage, RouteMetric, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::rule::{RuleAction, RuleAttribute, RuleMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::{NetlinkSocket, RouteBatch};
use dhow_model::network::MacAddress;

/// Per-interface IPv4 settings that netlink can change, with their numbers in `linux/ip.h`
/// (`IPV4_DEVCONF_*`).
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ipv4Devconf {
    Forwarding = 1,
    ProxyArp = 3,
    ReversePathFilter = 8,
    AcceptLocal = 23,
}

/// `IFLA_INET_CONF` of `linux/if_link.h`.
const INET_CONF: u16 = 1;
/// `IFLA_BRPORT_ISOLATED` of `linux/if_link.h`.
const ISOLATED: u16 = 33;
/// The table of local addresses, `RT_TABLE_LOCAL`.
pub(crate) const TABLE_LOCAL: u8 = 255;
/// The default routing table, `RT_TABLE_MAIN`.
pub(crate) const TABLE_MAIN: u8 = 254;

/// The end of a veth pair that moves into another namespace.
pub(crate) struct VethPeer<'a> {
    pub netns: BorrowedFd<'a>,
    pub name: &'a str,
    pub mac: MacAddress,
}

/// The end of a veth pair that stays here.
pub(crate) struct VethEnd<'a> {
    pub index: u32,
    pub name: &'a str,
    pub mac: MacAddress,
}

pub(crate) struct RouteSpec {
    /// The destination; everything of the family if the prefix length is 0.
    pub to: IpNet,
    pub via: Option<IpAddr>,
    /// The interface's index.
    pub out: u32,
    pub table: u8,
    /// Whether the destination is this machine itself.
    pub local: bool,
    /// The MTU of the route in bytes, if it differs from the interface's.
    pub mtu: Option<u32>,
}

/// The packets that a routing rule matches.
#[derive(Clone, Copy, Debug)]
pub(crate) enum RuleSelector {
    All,
    /// By firewall mark.
    Mark(u32),
    /// By name of the incoming interface.
    InputInterface(&'static str),
    /// By source address.
    Source(IpAddr),
}

fn family(address: IpAddr) -> AddressFamily {
    if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 }
}

fn link(index: u32, attributes: Vec<LinkAttribute>) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = index;
    message.attributes = attributes;
    message
}

fn up(mut message: LinkMessage) -> LinkMessage {
    message.header.flags = LinkFlags::Up;
    message.header.change_mask = LinkFlags::Up;
    message
}

impl RouteBatch {
    /// Adds a bridge that is down, without multicast snooping or VLANs.
    pub(crate) fn add_bridge(&mut self, index: u32, name: &str, mac: MacAddress, mtu: u32) {
        let settings = vec![InfoBridge::MulticastSnooping(false), InfoBridge::VlanDefaultPvid(0)];
        let info = vec![LinkInfo::Kind(InfoKind::Bridge), LinkInfo::Data(InfoData::Bridge(settings))];
        let attributes = vec![
            LinkAttribute::IfName(name.to_owned()),
            LinkAttribute::Address(mac.0.to_vec()),
            LinkAttribute::Mtu(mtu),
            LinkAttribute::LinkInfo(info),
        ];
        self.create(format!("make the bridge {name}"), link(index, attributes));
    }

    /// Adds a veth pair: one end here and up, the other in another namespace and down, both with this MTU;
    /// `more` applies to the end here.
    pub(crate) fn add_veth(
        &mut self,
        index: u32,
        name: &str,
        mtu: u32,
        more: LinkAttribute,
        far: &VethPeer<'_>,
    ) {
        let elsewhere = vec![
            LinkAttribute::IfName(far.name.to_owned()),
            LinkAttribute::Address(far.mac.0.to_vec()),
            LinkAttribute::Mtu(mtu),
            LinkAttribute::NetNsFd(far.netns.as_raw_fd()),
            LinkAttribute::NumTxQueues(1),
            LinkAttribute::NumRxQueues(1),
        ];
        let peer = InfoData::Veth(InfoVeth::Peer(link(0, elsewhere)));
        let mut attributes = vec![
            LinkAttribute::IfName(name.to_owned()),
            LinkAttribute::Mtu(mtu),
            LinkAttribute::NumTxQueues(1),
            LinkAttribute::NumRxQueues(1),
            LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Veth), LinkInfo::Data(peer)]),
        ];
        attributes.push(more);
        self.create(format!("make the interface {}", far.name), up(link(index, attributes)));
    }

    /// Adds a veth pair with both ends here, down and without ARP.
    pub(crate) fn add_local_veth(
        &mut self,
        near: &VethEnd<'_>,
        far: &VethEnd<'_>,
        attributes: &[LinkAttribute],
    ) {
        let end = |end: &VethEnd<'_>| {
            let mut message = link(end.index, attributes.to_vec());
            message.attributes.push(LinkAttribute::IfName(end.name.to_owned()));
            message.attributes.push(LinkAttribute::Address(end.mac.0.to_vec()));
            message
        };
        let mut message = end(near);
        message.header.flags = LinkFlags::Noarp;
        message.header.change_mask = LinkFlags::Noarp;
        let peer = InfoData::Veth(InfoVeth::Peer(end(far)));
        let info = vec![LinkInfo::Kind(InfoKind::Veth), LinkInfo::Data(peer)];
        message.attributes.push(LinkAttribute::LinkInfo(info));
        self.create(format!("make the interface {}", near.name), message);
    }

    fn create(&mut self, name: String, message: LinkMessage) {
        self.push(name, NLM_F_CREATE | NLM_F_EXCL, RouteNetlinkMessage::NewLink(message));
    }

    /// Brings an interface up.
    pub(crate) fn up(&mut self, index: u32, name: &str) {
        self.push(format!("bring up {name}"), 0, RouteNetlinkMessage::SetLink(up(link(index, Vec::new()))));
    }

    /// Turns ARP off on an interface: its other end accepts every frame.
    pub(crate) fn disable_arp(&mut self, index: u32, name: &str) {
        let mut message = link(index, Vec::new());
        message.header.flags = LinkFlags::Noarp;
        message.header.change_mask = LinkFlags::Noarp;
        self.push(format!("turn off ARP on {name}"), 0, RouteNetlinkMessage::SetLink(message));
    }

    /// Brings an interface up with IPv4 `settings` and further attributes.
    pub(crate) fn set_up(
        &mut self,
        index: u32,
        name: &str,
        settings: &[(Ipv4Devconf, u32)],
        mut attributes: Vec<LinkAttribute>,
    ) {
        let mut values = Vec::new();
        for (setting, value) in settings {
            // The attribute's length and type, then its value.
            values.extend(8_u16.to_ne_bytes());
            values.extend((*setting as u16).to_ne_bytes());
            values.extend(value.to_ne_bytes());
        }
        let values = AfSpecInet::Other(DefaultNla::new(INET_CONF | NLA_F_NESTED, values));
        attributes.push(LinkAttribute::AfSpecUnspec(vec![AfSpecUnspec::Inet(vec![values])]));
        let message = up(link(index, attributes));
        self.push(format!("set up {name}"), 0, RouteNetlinkMessage::SetLink(message));
    }

    /// Makes an interface a port of the bridge with index `bridge`; 0 detaches it.
    pub(crate) fn set_bridge(&mut self, index: u32, name: &str, bridge: u32) {
        let message = link(index, vec![LinkAttribute::Controller(bridge)]);
        self.push(format!("attach {name}"), 0, RouteNetlinkMessage::SetLink(message));
    }

    /// Isolates a bridge port from all other isolated ports (Linux 4.18).
    pub(crate) fn isolate(&mut self, index: u32, name: &str) {
        let isolated = LinkProtoInfoBridge::Other(DefaultNla::new(ISOLATED, vec![1]));
        let mut message = link(index, vec![LinkAttribute::ProtoInfoBridge(vec![isolated])]);
        message.header.interface_family = AddressFamily::Bridge;
        self.push(format!("isolate {name}"), 0, RouteNetlinkMessage::SetLink(message));
    }

    /// Deletes an interface, and with it the other end of a veth pair.
    pub(crate) fn delete(&mut self, index: u32, name: &str) {
        let message = RouteNetlinkMessage::DelLink(link(index, Vec::new()));
        self.push(format!("delete the interface {name}"), 0, message);
    }

    /// Adds an address, which is usable at once (`IFA_F_NODAD`).
    pub(crate) fn add_address(&mut self, index: u32, address: IpNet) {
        let mut message = AddressMessage::default();
        message.header.family = family(address.addr());
        message.header.prefix_len = address.prefix_len();
        message.header.index = index;
        message.header.flags = AddressHeaderFlags::Nodad | AddressHeaderFlags::Permanent;
        message.header.scope = AddressScope::Universe;
        message.attributes =
            vec![AddressAttribute::Local(address.addr()), AddressAttribute::Address(address.addr())];
        if let IpNet::V4(net) = address
            && net.prefix_len() < 31
        {
            message.attributes.push(AddressAttribute::Broadcast(net.broadcast()));
        }
        let flags = NLM_F_CREATE | NLM_F_REPLACE;
        self.push(format!("add the address {address}"), flags, RouteNetlinkMessage::NewAddress(message));
    }

    /// Adds or replaces a route.
    pub(crate) fn add_route(&mut self, route: &RouteSpec) {
        let mut message = RouteMessage::default();
        message.header.address_family = family(route.to.addr());
        message.header.destination_prefix_length = route.to.prefix_len();
        message.header.table = route.table;
        message.header.protocol = RouteProtocol::Static;
        message.header.kind = if route.local { RouteType::Local } else { RouteType::Unicast };
        message.header.scope = match (route.local, route.via) {
            (true, _) => RouteScope::Host,
            (false, Some(_)) => RouteScope::Universe,
            (false, None) => RouteScope::Link,
        };
        message.attributes = vec![RouteAttribute::Oif(route.out)];
        if route.to.prefix_len() > 0 {
            message.attributes.push(RouteAttribute::Destination(route.to.addr().into()));
        }
        message.attributes.extend(route.via.map(|via| RouteAttribute::Gateway(via.into())));
        let metrics = route.mtu.map(|mtu| RouteAttribute::Metrics(vec![RouteMetric::Mtu(mtu)]));
        message.attributes.extend(metrics);
        let name = format!("add the route to {}", route.to);
        self.push(name, NLM_F_CREATE | NLM_F_REPLACE, RouteNetlinkMessage::NewRoute(message));
    }

    /// Adds a routing rule: matching packets are looked up in `table`. Lower priorities come first.
    pub(crate) fn add_rule(&mut self, v6: bool, priority: u32, which: RuleSelector, table: u8) {
        let message = rule(v6, priority, which, table);
        let name = format!("add the routing rule {priority}");
        self.push(name, NLM_F_CREATE | NLM_F_EXCL, RouteNetlinkMessage::NewRule(message));
    }

    pub(crate) fn delete_rule(&mut self, v6: bool, priority: u32, table: u8) {
        let message = rule(v6, priority, RuleSelector::All, table);
        self.push(format!("delete the routing rule {priority}"), 0, RouteNetlinkMessage::DelRule(message));
    }

    /// Adds a permanent neighbour entry: `address` has the hardware address `mac`.
    pub(crate) fn add_neighbour(&mut self, index: u32, address: IpAddr, mac: MacAddress) {
        let mut message = NeighbourMessage::default();
        message.header.family = family(address);
        message.header.ifindex = index;
        message.header.state = NeighbourState::Permanent;
        message.header.kind = RouteType::Unicast;
        message.attributes = vec![
            NeighbourAttribute::Destination(address.into()),
            NeighbourAttribute::LinkLayerAddress(mac.0.to_vec()),
        ];
        let flags = NLM_F_CREATE | NLM_F_REPLACE;
        self.push(format!("add the neighbour {address}"), flags, RouteNetlinkMessage::NewNeighbour(message));
    }

    /// Deletes a neighbour entry.
    pub(crate) fn delete_neighbour(&mut self, index: u32, address: IpAddr) {
        let mut message = NeighbourMessage::default();
        message.header.family = family(address);
        message.header.ifindex = index;
        message.attributes = vec![NeighbourAttribute::Destination(address.into())];
        let message = RouteNetlinkMessage::DelNeighbour(message);
        self.push(format!("delete the neighbour {address}"), 0, message);
    }
}

/// Whether packets to `address` are delivered locally in the network namespace of `socket`. An IPv6 address
/// can be used as a source as soon as an interface has it, but a kernel worker adds its local route some time
/// later, even without duplicate address detection (`addrconf_dad_work`). Until then, answers are dropped.
pub(crate) fn is_delivered_locally(socket: &NetlinkSocket, address: IpAddr) -> io::Result<bool> {
    let mut message = RouteMessage::default();
    message.header.address_family = family(address);
    message.header.destination_prefix_length = if address.is_ipv4() { 32 } else { 128 };
    message.attributes = vec![RouteAttribute::Destination(address.into())];
    match socket.ask(RouteNetlinkMessage::GetRoute(message))? {
        RouteNetlinkMessage::NewRoute(route) => Ok(route.header.kind == RouteType::Local),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

fn rule(v6: bool, priority: u32, which: RuleSelector, table: u8) -> RuleMessage {
    let mut message = RuleMessage::default();
    message.header.family = if v6 { AddressFamily::Inet6 } else { AddressFamily::Inet };
    message.header.table = table;
    message.header.action = RuleAction::ToTable;
    message.attributes = vec![RuleAttribute::Priority(priority)];
    if let RuleSelector::Source(address) = which {
        message.header.src_len = if address.is_ipv4() { 32 } else { 128 };
    }
    message.attributes.extend(match which {
        RuleSelector::All => None,
        RuleSelector::Mark(mark) => Some(RuleAttribute::FwMark(mark)),
        RuleSelector::InputInterface(name) => Some(RuleAttribute::Iifname(name.to_owned())),
        RuleSelector::Source(address) => Some(RuleAttribute::Source(address)),
    });
    message
}

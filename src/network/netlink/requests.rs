//! The rtnetlink requests that networks are set up with.

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsRawFd as _, BorrowedFd};

use ipnet::IpNet;

use super::message::{
    AddressHeader, BRIDGE, CREATE, EXCLUSIVE, INET, INET6, LinkHeader, NESTED, NeighbourHeader, REPLACE,
    RequestHeader, RouteHeader, RouteMessageWriter, RuleHeader, family,
};
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

/// A property of an interface, `IFLA_*` of `linux/if_link.h`.
#[derive(Clone, Copy, Debug)]
pub(crate) enum LinkAttribute {
    /// The hardware address.
    Address(MacAddress),
    /// In bytes.
    Mtu(u32),
    /// How many queues there are for sending.
    TxQueues(u32),
    /// How many queues there are for receiving.
    RxQueues(u32),
    /// How many packets a queue for sending holds.
    TxQueueLength(u32),
    /// How many segments a packet may be cut into below the interface.
    GsoMaxSegments(u32),
    /// The index of the bridge that the interface is a port of, or 0.
    Bridge(u32),
}

/// `IFLA_BR_MCAST_SNOOPING` of `linux/if_link.h`.
const BRIDGE_MULTICAST_SNOOPING: u16 = 23;
/// `IFLA_BR_VLAN_DEFAULT_PVID` of `linux/if_link.h`.
const BRIDGE_VLAN_DEFAULT: u16 = 39;
/// `IFLA_BRPORT_ISOLATED` of `linux/if_link.h`.
const PORT_ISOLATED: u16 = 33;
/// `IFLA_INET_CONF` of `linux/if_link.h`.
const INET_CONF: u16 = 1;
/// `VETH_INFO_PEER` of `linux/veth.h`.
const VETH_PEER: u16 = 1;
/// `RTAX_MTU` of `linux/rtnetlink.h`.
const METRIC_MTU: u16 = 2;
/// `FRA_*` of `linux/fib_rules.h`.
const RULE_SOURCE: u16 = 2;
const RULE_INPUT_INTERFACE: u16 = 3;
const RULE_PRIORITY: u16 = 6;
const RULE_MARK: u16 = 10;
/// The table of local addresses.
pub(crate) const TABLE_LOCAL: u8 = libc::RT_TABLE_LOCAL;
/// The default routing table.
pub(crate) const TABLE_MAIN: u8 = libc::RT_TABLE_MAIN;

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

impl RouteMessageWriter<'_> {
    fn link_attributes(&mut self, attributes: &[LinkAttribute]) {
        for attribute in attributes {
            match *attribute {
                LinkAttribute::Address(mac) => self.bytes(libc::IFLA_ADDRESS, &mac.0),
                LinkAttribute::Mtu(mtu) => self.number(libc::IFLA_MTU, mtu),
                LinkAttribute::TxQueues(count) => self.number(libc::IFLA_NUM_TX_QUEUES, count),
                LinkAttribute::RxQueues(count) => self.number(libc::IFLA_NUM_RX_QUEUES, count),
                LinkAttribute::TxQueueLength(packets) => self.number(libc::IFLA_TXQLEN, packets),
                LinkAttribute::GsoMaxSegments(count) => self.number(libc::IFLA_GSO_MAX_SEGS, count),
                LinkAttribute::Bridge(index) => self.number(libc::IFLA_MASTER, index),
            }
        }
    }

    /// Makes the link a veth pair. `describe` adds the attributes of the other end, whose index is `peer`, or
    /// chosen by the kernel if that is 0.
    fn veth_info(&mut self, peer: u32, describe: impl FnOnce(&mut Self)) {
        self.nest(libc::IFLA_LINKINFO, |info| {
            info.text(libc::IFLA_INFO_KIND, "veth");
            info.nest(libc::IFLA_INFO_DATA, |data| {
                data.nest(VETH_PEER, |end| {
                    end.fixed_header(&LinkHeader::new(peer, 0));
                    describe(end);
                });
            });
        });
    }
}

impl RouteBatch {
    /// Adds a bridge that is down, without multicast snooping or VLANs.
    pub(crate) fn add_bridge(&mut self, index: u32, name: &str, mac: MacAddress, mtu: u32) {
        self.create(format!("make the bridge {name}"), &LinkHeader::new(index, 0), |link| {
            link.text(libc::IFLA_IFNAME, name);
            link.link_attributes(&[LinkAttribute::Address(mac), LinkAttribute::Mtu(mtu)]);
            link.nest(libc::IFLA_LINKINFO, |info| {
                info.text(libc::IFLA_INFO_KIND, "bridge");
                info.nest(libc::IFLA_INFO_DATA, |data| {
                    data.bytes(BRIDGE_MULTICAST_SNOOPING, &[0]);
                    data.bytes(BRIDGE_VLAN_DEFAULT, &0_u16.to_ne_bytes());
                });
            });
        });
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
        let mtu = LinkAttribute::Mtu(mtu);
        let one_queue = [LinkAttribute::TxQueues(1), LinkAttribute::RxQueues(1)];
        let request = format!("make the interface {}", far.name);
        self.create(request, &LinkHeader::new(index, libc::IFF_UP), |link| {
            link.text(libc::IFLA_IFNAME, name);
            link.link_attributes(&[mtu]);
            link.link_attributes(&one_queue);
            link.veth_info(0, |peer| {
                peer.text(libc::IFLA_IFNAME, far.name);
                peer.link_attributes(&[LinkAttribute::Address(far.mac), mtu]);
                peer.bytes(libc::IFLA_NET_NS_FD, &far.netns.as_raw_fd().to_ne_bytes());
                peer.link_attributes(&one_queue);
            });
            link.link_attributes(&[more]);
        });
    }

    /// Adds a veth pair with both ends here, down and without ARP.
    pub(crate) fn add_local_veth(
        &mut self,
        near: &VethEnd<'_>,
        far: &VethEnd<'_>,
        attributes: &[LinkAttribute],
    ) {
        let describe = |link: &mut RouteMessageWriter<'_>, end: &VethEnd<'_>| {
            link.link_attributes(attributes);
            link.text(libc::IFLA_IFNAME, end.name);
            link.link_attributes(&[LinkAttribute::Address(end.mac)]);
        };
        let header = LinkHeader::new(near.index, libc::IFF_NOARP);
        self.create(format!("make the interface {}", near.name), &header, |link| {
            describe(link, near);
            link.veth_info(far.index, |peer| describe(peer, far));
        });
    }

    fn create(
        &mut self,
        name: String,
        header: &LinkHeader,
        describe: impl FnOnce(&mut RouteMessageWriter<'_>),
    ) {
        self.push(name, libc::RTM_NEWLINK, CREATE | EXCLUSIVE, header, describe);
    }

    fn change(
        &mut self,
        name: String,
        header: &LinkHeader,
        describe: impl FnOnce(&mut RouteMessageWriter<'_>),
    ) {
        self.push(name, libc::RTM_SETLINK, 0, header, describe);
    }

    /// Brings an interface up.
    pub(crate) fn up(&mut self, index: u32, name: &str) {
        self.change(format!("bring up {name}"), &LinkHeader::new(index, libc::IFF_UP), |_| {});
    }

    /// Turns ARP off on an interface: its other end accepts every frame.
    pub(crate) fn disable_arp(&mut self, index: u32, name: &str) {
        self.change(format!("turn off ARP on {name}"), &LinkHeader::new(index, libc::IFF_NOARP), |_| {});
    }

    /// Brings an interface up with IPv4 `settings` and further attributes.
    pub(crate) fn set_up(
        &mut self,
        index: u32,
        name: &str,
        settings: &[(Ipv4Devconf, u32)],
        attributes: &[LinkAttribute],
    ) {
        self.change(format!("set up {name}"), &LinkHeader::new(index, libc::IFF_UP), |link| {
            link.link_attributes(attributes);
            link.nest(libc::IFLA_AF_SPEC, |families| {
                families.nest(INET.into(), |inet| {
                    inet.nest(INET_CONF | NESTED, |values| {
                        settings.iter().for_each(|(setting, value)| values.number(*setting as u16, *value));
                    });
                });
            });
        });
    }

    /// Makes an interface a port of the bridge with index `bridge`; 0 detaches it.
    pub(crate) fn set_bridge(&mut self, index: u32, name: &str, bridge: u32) {
        self.change(format!("attach {name}"), &LinkHeader::new(index, 0), |link| {
            link.link_attributes(&[LinkAttribute::Bridge(bridge)]);
        });
    }

    /// Isolates a bridge port from all other isolated ports (Linux 4.18).
    pub(crate) fn isolate(&mut self, index: u32, name: &str) {
        let header = LinkHeader { family: BRIDGE, ..LinkHeader::new(index, 0) };
        self.change(format!("isolate {name}"), &header, |link| {
            // Without the flag the kernel takes the attribute for the port's STP state.
            link.nest(libc::IFLA_PROTINFO | NESTED, |port| port.bytes(PORT_ISOLATED, &[1]));
        });
    }

    /// Deletes an interface, and with it the other end of a veth pair.
    pub(crate) fn delete(&mut self, index: u32, name: &str) {
        let request = format!("delete the interface {name}");
        self.push(request, libc::RTM_DELLINK, 0, &LinkHeader::new(index, 0), |_| {});
    }

    /// Adds an address, which is usable at once (`IFA_F_NODAD`).
    pub(crate) fn add_address(&mut self, index: u32, address: IpNet) {
        let header = AddressHeader {
            family: family(address.addr()),
            prefix_length: address.prefix_len(),
            flags: (libc::IFA_F_NODAD | libc::IFA_F_PERMANENT) as u8,
            index,
        };
        let request = format!("add the address {address}");
        self.push(request, libc::RTM_NEWADDR, CREATE | REPLACE, &header, |message| {
            message.address(libc::IFA_LOCAL, address.addr());
            message.address(libc::IFA_ADDRESS, address.addr());
            if let IpNet::V4(net) = address
                && net.prefix_len() < 31
            {
                message.address(libc::IFA_BROADCAST, net.broadcast().into());
            }
        });
    }

    /// Adds or replaces a route.
    pub(crate) fn add_route(&mut self, route: &RouteSpec) {
        let header = RouteHeader {
            family: family(route.to.addr()),
            destination_length: route.to.prefix_len(),
            table: route.table,
            protocol: libc::RTPROT_STATIC,
            scope: match (route.local, route.via) {
                (true, _) => libc::RT_SCOPE_HOST,
                (false, Some(_)) => libc::RT_SCOPE_UNIVERSE,
                (false, None) => libc::RT_SCOPE_LINK,
            },
            kind: if route.local { libc::RTN_LOCAL } else { libc::RTN_UNICAST },
        };
        let request = format!("add the route to {}", route.to);
        self.push(request, libc::RTM_NEWROUTE, CREATE | REPLACE, &header, |message| {
            message.number(libc::RTA_OIF, route.out);
            if route.to.prefix_len() > 0 {
                message.address(libc::RTA_DST, route.to.addr());
            }
            if let Some(via) = route.via {
                message.address(libc::RTA_GATEWAY, via);
            }
            if let Some(mtu) = route.mtu {
                message.nest(libc::RTA_METRICS, |metrics| metrics.number(METRIC_MTU, mtu));
            }
        });
    }

    /// Adds a routing rule: matching packets are looked up in `table`. Lower priorities come first.
    pub(crate) fn add_rule(&mut self, v6: bool, priority: u32, which: RuleSelector, table: u8) {
        let request = format!("add the routing rule {priority}");
        let header = rule_header(v6, which, table);
        self.push(request, libc::RTM_NEWRULE, CREATE | EXCLUSIVE, &header, |rule| {
            rule.number(RULE_PRIORITY, priority);
            match which {
                RuleSelector::All => {}
                RuleSelector::Mark(mark) => rule.number(RULE_MARK, mark),
                RuleSelector::InputInterface(name) => rule.text(RULE_INPUT_INTERFACE, name),
                RuleSelector::Source(address) => rule.address(RULE_SOURCE, address),
            }
        });
    }

    pub(crate) fn delete_rule(&mut self, v6: bool, priority: u32, table: u8) {
        let request = format!("delete the routing rule {priority}");
        let header = rule_header(v6, RuleSelector::All, table);
        self.push(request, libc::RTM_DELRULE, 0, &header, |rule| rule.number(RULE_PRIORITY, priority));
    }

    /// Adds a permanent neighbour entry: `address` has the hardware address `mac`.
    pub(crate) fn add_neighbour(&mut self, index: u32, address: IpAddr, mac: MacAddress) {
        let header = NeighbourHeader {
            family: family(address),
            index,
            state: libc::NUD_PERMANENT,
            kind: libc::RTN_UNICAST,
        };
        let request = format!("add the neighbour {address}");
        self.push(request, libc::RTM_NEWNEIGH, CREATE | REPLACE, &header, |neighbour| {
            neighbour.address(libc::NDA_DST, address);
            neighbour.bytes(libc::NDA_LLADDR, &mac.0);
        });
    }

    /// Deletes a neighbour entry.
    pub(crate) fn delete_neighbour(&mut self, index: u32, address: IpAddr) {
        let header = NeighbourHeader { family: family(address), index, state: 0, kind: 0 };
        self.push(format!("delete the neighbour {address}"), libc::RTM_DELNEIGH, 0, &header, |neighbour| {
            neighbour.address(libc::NDA_DST, address);
        });
    }
}

/// Whether packets to `address` are delivered locally in the network namespace of `socket`. An IPv6 address
/// can be used as a source as soon as an interface has it, but a kernel worker adds its local route some time
/// later, even without duplicate address detection (`addrconf_dad_work`). Until then, answers are dropped.
pub(crate) fn is_delivered_locally(socket: &NetlinkSocket, address: IpAddr) -> io::Result<bool> {
    let route = socket.ask(&route_question(address), libc::RTM_NEWROUTE)?;
    let kind = RouteHeader::kind_in(&route).ok_or(io::ErrorKind::InvalidData)?;
    Ok(kind == libc::RTN_LOCAL)
}

/// The query for the route that packets to `address` take.
pub(super) fn route_question(address: IpAddr) -> Vec<u8> {
    let mut question = Vec::new();
    let header = RequestHeader { kind: libc::RTM_GETROUTE, flags: 0, sequence: 1 };
    let fixed = RouteHeader {
        family: family(address),
        destination_length: host_prefix(address),
        ..RouteHeader::default()
    };
    RouteMessageWriter::append_request(&mut question, &header, &fixed, |route| {
        route.address(libc::RTA_DST, address);
    });
    question
}

fn rule_header(v6: bool, which: RuleSelector, table: u8) -> RuleHeader {
    RuleHeader {
        family: if v6 { INET6 } else { INET },
        source_length: if let RuleSelector::Source(address) = which { host_prefix(address) } else { 0 },
        table,
    }
}

/// The prefix length that stands for this address alone.
fn host_prefix(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

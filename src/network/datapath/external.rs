//! The backends that run a foreign program in the gateway ([`crate::external`]); tried last. Ports are
//! published through our own sockets, which cannot take the clients' addresses here: a server sees the
//! gateway's.
//!
//! Features that need a look at each connection are refused: egress rules, the egress log, and access to the
//! host's loopback.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex};

use anyhow::{Context as _, Result};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::{Datapath, DatapathContext, DropGuard};
use crate::backend::NetworkBackend;
use crate::egress::EgressMember;
use crate::external::udp_forward::UdpPortForward;
use crate::external::{self, ExternalCommand, ExternalProcess};
use crate::gateway::Gateway;
use crate::netlink::requests::{Ipv4Devconf, LinkAttribute, RouteSpec, RuleSelector, TABLE_MAIN};
use crate::netlink::{NetlinkFamily, NetlinkSocket, RouteBatch};
use crate::netns::NetnsThread;
use crate::publish::{GatewaySockets, PublishTarget, ReservedPorts};
use crate::relay::TcpRelay;
use crate::sync::lock;
use dhow_error::Failure;
use dhow_model::network::{MacAddress, NetworkEndpoint, NetworkSpec};

/// What both programs have in common.
struct ExternalBase {
    backend: NetworkBackend,
    netns_thread: Arc<NetnsThread>,
    namespace: OwnedFd,
    mtu: u32,
    relay: Arc<TcpRelay>,
    sockets: Arc<GatewaySockets>,
}

impl ExternalBase {
    fn new(backend: NetworkBackend, gateway: &Gateway, context: DatapathContext<'_>) -> Result<Self> {
        if context.egress.restricts() {
            return Err(unsupported_by(backend, "hold connections to the rules of --egress-allow").into());
        }
        let netns_thread = Arc::clone(gateway.netns_thread());
        let namespace = gateway.namespace().try_clone_to_owned()?;
        let sockets = GatewaySockets::new(Arc::clone(&netns_thread));
        Ok(Self {
            backend,
            netns_thread,
            namespace,
            mtu: gateway.mtu(),
            relay: Arc::clone(context.relay),
            sockets,
        })
    }

    fn check_supported(&self, member: &EgressMember) -> Result<(), Failure> {
        if member.host_gateway {
            return Err(unsupported_by(
                self.backend,
                "lead to the host's loopback (--add-host NAME:host-gateway)",
            ));
        }
        if member.log.is_some() {
            return Err(unsupported_by(self.backend, "see what a container reaches (--egress-log)"));
        }
        Ok(())
    }

    fn publish_udp(&self, socket: OwnedFd, container: SocketAddr) -> Result<DropGuard> {
        Ok(DropGuard::new(UdpPortForward::start(socket, container, Arc::clone(&self.netns_thread))?))
    }

    fn publish_tcp(&self, ports: ReservedPorts, target: PublishTarget) -> Result<DropGuard> {
        let target = hide_client_addresses(target);
        Ok(DropGuard::new(ports.publish(&self.relay, Arc::clone(&self.sockets) as _, target)?))
    }
}

fn unsupported_by(backend: NetworkBackend, what: &str) -> Failure {
    dhow_error::unsupported(format!("{backend} cannot {what}"))
        .hint("`dhow info` says which ways to make a network are tried first, and why they do not work here")
}

/// Makes all clients appear under the gateway's own address, as clients from within the subnet do.
fn hide_client_addresses(mut target: PublishTarget) -> PublishTarget {
    if let Some(place) = &mut target.v4 {
        place.subnet = Ipv4Net::default();
    }
    if let Some(place) = &mut target.v6 {
        place.subnet = Ipv6Net::default();
    }
    target
}

/// Configures the interface `name` in the namespace of the calling thread. Returns its index.
fn configure_interface(
    name: &str,
    settings: &[(Ipv4Devconf, u32)],
    mac: Option<MacAddress>,
    more: impl FnOnce(&mut RouteBatch, u32),
) -> Result<u32> {
    let route = NetlinkSocket::open(NetlinkFamily::Route)?;
    let index = rustix::net::netdevice::name_to_index(route.as_fd(), name)
        .with_context(|| format!("it has not made the interface {name}"))?;
    let mut batch = RouteBatch::default();
    let mut all = vec![(Ipv4Devconf::Forwarding, 1), (Ipv4Devconf::ReversePathFilter, 0)];
    all.extend(settings);
    let mac = mac.map(LinkAttribute::Address);
    batch.set_up(index, name, &all, mac.as_slice());
    more(&mut batch, index);
    batch.send(&route)?;
    Ok(index)
}

/// One slirp4netns for the network: it accepts packets from any source address, and resolves hardware
/// addresses by ARP.
pub(crate) struct SlirpDatapath {
    base: ExternalBase,
    containers: ContainerAddresses,
    _program: ExternalProcess,
}

/// The containers that are attached.
type ContainerAddresses = Arc<Mutex<Vec<Ipv4Addr>>>;

/// slirp4netns' own subnet, its address there and ours. Packets never carry an address of it (RFC 6890).
const SLIRP_NET: &str = "192.0.0.0/24";
const SLIRP_OWN: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 0, 100));
const SLIRP: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 0, 2));
/// Its hardware address, which accepts frames for everyone, and ours.
const SLIRP_MAC: MacAddress = MacAddress([0x52, 0x55, 192, 0, 0, 2]);
const SLIRP_TAP_MAC: MacAddress = MacAddress([0x02, 0, 0, 0, 0, 4]);

impl SlirpDatapath {
    pub(super) fn open(gateway: &Gateway, context: DatapathContext<'_>) -> Result<Self> {
        let base = ExternalBase::new(NetworkBackend::Slirp4netns, gateway, context)?;
        let arguments = vec![
            format!("--mtu={}", base.mtu.clamp(1280, 65_521)),
            format!("--cidr={SLIRP_NET}"),
            "--disable-host-loopback".to_owned(),
            "--disable-dns".to_owned(),
            "--ready-fd=1".to_owned(),
            "--netns-type=path".to_owned(),
            "/proc/self/fd/0".to_owned(),
            "tap0".to_owned(),
        ];
        let netns_thread = Arc::clone(&base.netns_thread);
        let containers = ContainerAddresses::default();
        let known = Arc::clone(&containers);
        let ready = move || {
            let containers = lock(&known).clone();
            netns_thread.call(move || configure_slirp(&containers))?
        };
        let namespace = base.namespace.try_clone()?;
        let plan = ExternalCommand { name: "slirp4netns", arguments, namespace, ready: Box::new(ready) };
        Ok(Self { _program: ExternalProcess::start(plan)?, containers, base })
    }
}

fn configure_slirp(containers: &[Ipv4Addr]) -> Result<()> {
    let settings = [(Ipv4Devconf::ProxyArp, 1)];
    let index = configure_interface("tap0", &settings, Some(SLIRP_TAP_MAC), |batch, index| {
        if let Ok(own) = IpNet::new(SLIRP_OWN, 24) {
            batch.add_address(index, own);
        }
        batch.add_neighbour(index, SLIRP, SLIRP_MAC);
        let to = IpNet::V4(Ipv4Net::default());
        batch.add_route(&RouteSpec {
            to,
            via: Some(SLIRP),
            out: index,
            table: TABLE_MAIN,
            local: false,
            mtu: None,
        });
    })?;
    for container in containers {
        dhow_sys::packet_socket::announce_arp(index, SLIRP_TAP_MAC.0, *container)?;
    }
    // slirp4netns caches few hardware addresses. A delayed ARP reply (up to 0.8 s by default) would stall its
    // traffic.
    let flags = rustix::fs::OFlags::WRONLY | rustix::fs::OFlags::CLOEXEC;
    let delay = "/proc/sys/net/ipv4/neigh/tap0/proxy_delay";
    if let Ok(file) = rustix::fs::open(delay, flags, rustix::fs::Mode::empty()) {
        let _ = rustix::io::write(&file, b"0");
    }
    Ok(())
}

/// A container whose address has been announced to slirp4netns.
struct AnnouncedAddress(ContainerAddresses, Ipv4Addr);

impl Drop for AnnouncedAddress {
    fn drop(&mut self) {
        lock(&self.0).retain(|address| *address != self.1);
    }
}

impl Datapath for SlirpDatapath {
    fn join(&self, endpoint: &NetworkEndpoint, member: &EgressMember) -> Result<DropGuard> {
        self.base.check_supported(member)?;
        let Some(own) = endpoint.v4.map(|net| net.addr()) else { return Ok(DropGuard::new(())) };
        lock(&self.containers).push(own);
        let known = AnnouncedAddress(Arc::clone(&self.containers), own);
        // Without the announcement slirp4netns drops the first datagram to every address that it has to
        // resolve.
        self.base.netns_thread.call(move || -> Result<()> {
            let index = nix::net::if_::if_nametoindex("tap0").context("slirp4netns has just ended")?;
            Ok(dhow_sys::packet_socket::announce_arp(index, SLIRP_TAP_MAC.0, own)?)
        })??;
        Ok(DropGuard::new(known))
    }

    fn forget(&self, _container: IpAddr) {}

    fn publish_udp(&self, socket: OwnedFd, container: SocketAddr) -> Result<DropGuard> {
        self.base.publish_udp(socket, container)
    }

    fn publish_tcp(&self, ports: ReservedPorts, target: PublishTarget) -> Result<DropGuard> {
        self.base.publish_tcp(ports, target)
    }
}

/// One pasta per container, because it knows one address of each family. Routing rules select it by source
/// address.
pub(crate) struct PastaDatapath {
    base: ExternalBase,
    gateways: Vec<IpAddr>,
    /// Numbers in use, each shared by an interface, a routing table and a rule priority.
    used_slots: Arc<Mutex<Vec<u8>>>,
}

/// Routing tables for containers, between the gateway's own and the kernel's (253 and up).
const TABLES: std::ops::RangeInclusive<u8> = 110..=250;
/// Priorities of the rules start after the one that looks up local addresses.
const PRIORITY: u32 = 1000;
/// pasta's hardware address.
const PASTA_MAC: MacAddress = MacAddress([0x02, 0, 0, 0, 0, 3]);

impl PastaDatapath {
    pub(super) fn open(gateway: &Gateway, context: DatapathContext<'_>) -> Result<Self> {
        let base = ExternalBase::new(NetworkBackend::Pasta, gateway, context)?;
        // Each container starts its own later. Check now whether it is installed, while another backend can
        // still be chosen.
        external::check_installed("pasta")?;
        let NetworkSpec { v4, v6, .. } = context.spec;
        let gateways = v4.iter().map(|subnet| subnet.gateway.into());
        let gateways = gateways.chain(v6.iter().map(|subnet| subnet.gateway.into())).collect();
        Ok(Self { base, gateways, used_slots: Arc::default() })
    }

    fn allocate_slot(&self) -> Result<PastaSlot> {
        let mut used = lock(&self.used_slots);
        let free = TABLES.into_iter().find(|number| !used.contains(number));
        let number = free
            .ok_or_else(|| unsupported_by(NetworkBackend::Pasta, "serve more containers on one network"))?;
        used.push(number);
        Ok(PastaSlot {
            number,
            used: Arc::clone(&self.used_slots),
            netns_thread: Arc::clone(&self.base.netns_thread),
        })
    }

    fn arguments(&self, name: &str, own: &[IpNet]) -> Vec<String> {
        let mut arguments: Vec<String> =
            ["--foreground", "--quiet", "--stderr", "--netns-only", "--no-map-gw"]
                .into_iter()
                .chain(["--no-dhcp", "--no-dhcpv6", "--no-ra", "--tcp-ports=none", "--udp-ports=none"])
                .chain(["--tcp-ns=none", "--udp-ns=none", "--pid=/proc/self/fd/1", "--netns=/proc/self/fd/0"])
                .map(str::to_owned)
                .collect();
        arguments.push(format!("--ns-ifname={name}"));
        arguments.push(format!("--mac-addr={PASTA_MAC}"));
        arguments.push(format!("--mtu={}", self.base.mtu.clamp(1280, 65_520)));
        for net in own {
            arguments.push(format!("--address={}", net.addr()));
            if net.addr().is_ipv4() {
                arguments.push(format!("--netmask={}", net.prefix_len()));
            }
            let gateway = self.gateways.iter().find(|gateway| gateway.is_ipv4() == net.addr().is_ipv4());
            arguments.extend(gateway.map(|gateway| format!("--gateway={gateway}")));
        }
        let has = |v4: bool| own.iter().any(|net| net.addr().is_ipv4() == v4);
        match (has(true), has(false)) {
            (true, false) => arguments.push("--ipv4-only".to_owned()),
            (false, true) => arguments.push("--ipv6-only".to_owned()),
            _ => {}
        }
        arguments
    }
}

/// The number of a container. Dropping it removes the rules and frees the number.
struct PastaSlot {
    number: u8,
    used: Arc<Mutex<Vec<u8>>>,
    netns_thread: Arc<NetnsThread>,
}

impl Drop for PastaSlot {
    fn drop(&mut self) {
        let number = self.number;
        self.netns_thread.post(move || {
            let Ok(route) = NetlinkSocket::open(NetlinkFamily::Route) else { return };
            for v6 in [false, true] {
                let mut batch = RouteBatch::default();
                batch.delete_rule(v6, PRIORITY + u32::from(number), number);
                // A family that the container does not have has no rule.
                let _ = batch.send(&route);
            }
        });
        lock(&self.used).retain(|used| *used != number);
    }
}

impl Datapath for PastaDatapath {
    fn join(&self, endpoint: &NetworkEndpoint, member: &EgressMember) -> Result<DropGuard> {
        self.base.check_supported(member)?;
        // pasta silently drops packets of a family that the host lacks. Without a route the kernel answers
        // with an error.
        let v6 = endpoint.v6.filter(|_| host_has_v6_route());
        let own: Vec<IpNet> = endpoint.v4.map(IpNet::V4).into_iter().chain(v6.map(IpNet::V6)).collect();
        let number = self.allocate_slot()?;
        let (table, name) = (number.number, format!("tap{}", number.number));
        let arguments = self.arguments(&name, &own);
        let (netns_thread, addresses) = (Arc::clone(&self.base.netns_thread), own);
        let rules = Arc::clone(&netns_thread);
        let addresses_of_rules: Vec<IpAddr> = addresses.iter().map(IpNet::addr).collect();
        rules.call(move || add_pasta_rules(table, &addresses_of_rules))??;
        let ready = move || {
            let (name, v6) = (name.clone(), addresses.iter().map(|net| net.addr().is_ipv6()).collect());
            netns_thread.call(move || configure_pasta(&name, table, v6))?
        };
        let namespace = self.base.namespace.try_clone()?;
        let program = ExternalProcess::start(ExternalCommand {
            name: "pasta",
            arguments,
            namespace,
            ready: Box::new(ready),
        })?;
        Ok(DropGuard::new((program, number)))
    }

    fn forget(&self, _container: IpAddr) {}

    fn publish_udp(&self, socket: OwnedFd, container: SocketAddr) -> Result<DropGuard> {
        self.base.publish_udp(socket, container)
    }

    fn publish_tcp(&self, ports: ReservedPorts, target: PublishTarget) -> Result<DropGuard> {
        self.base.publish_tcp(ports, target)
    }
}

/// Whether the host has an IPv6 default route. Connecting a UDP socket sends no packet, and the target is a
/// documentation address (RFC 3849).
fn host_has_v6_route() -> bool {
    let far = SocketAddr::new(Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, 1).into(), 9);
    let any = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), 0);
    UdpSocket::bind(any).and_then(|socket| socket.connect(far)).is_ok()
}

/// Routes packets from these addresses by `table`.
fn add_pasta_rules(table: u8, addresses: &[IpAddr]) -> Result<()> {
    let mut batch = RouteBatch::default();
    for address in addresses {
        batch.add_rule(address.is_ipv6(), PRIORITY + u32::from(table), RuleSelector::Source(*address), table);
    }
    Ok(batch.send(&NetlinkSocket::open(NetlinkFamily::Route)?)?)
}

fn configure_pasta(name: &str, table: u8, families: Vec<bool>) -> Result<()> {
    configure_interface(name, &[], None, |batch, index| {
        batch.disable_arp(index, name);
        for v6 in families {
            let to = if v6 { IpNet::V6(Ipv6Net::default()) } else { IpNet::V4(Ipv4Net::default()) };
            batch.add_route(&RouteSpec { to, via: None, out: index, table, local: false, mtu: None });
        }
    })?;
    Ok(())
}

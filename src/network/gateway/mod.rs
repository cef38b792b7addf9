//! A network's gateway: a network namespace with the containers' bridge, the rules that decide what happens
//! to their packets, and the device that leads to the forwarder.
//!
//! ```text
//!  endpoint.interface ══ port ── br0 ── SYNs, UDP, ICMP ── mark 2 ── tun0 ── forwarder
//!                                 └──── TCP segments, and SYNs from tun0 ── mark 1 ── transparent listener
//! ```
//!
//! # Bridge on demand
//!
//! With the `tproxy` backend the bridge is created when the second container joins. Until then the port of
//! the first one carries the gateway's addresses, which saves the way over the bridge. It also saves the
//! removal: while the kernel deletes a bridge, `br_multicast_dev_del` waits for RCU under the lock of all
//! interfaces, for tens of milliseconds, and everything that starts or ends waits with it.
//!
//! # Invariants
//!
//! - Packets with mark 2 are routed before local addresses are looked up. So the forwarder also gets what is
//!   meant for the gateway itself, and a packet from the bridge is never routed to another port of it.
//! - A frame passes the bridge only with the addresses of the container behind its port
//!   ([`super::nft::anti_spoof`]).
//! - The namespace vanishes with everything in it once its thread has ended and the last socket created there
//!   and the device are closed.

mod links;
mod mtu;
mod ports;
mod sweep;
mod sysctl;
#[cfg(test)]
mod tests;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex};

use anyhow::Context as _;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use rustix::fs::{Mode, OFlags};

use super::backend::NetworkBackend;
use super::forwarder::device::PacketDevice;
use super::forwarder::syn_interceptor::{self, OriginalDst};
use super::netlink::requests::Ipv4Devconf;
use super::netlink::{NetlinkFamily, NetlinkSocket};
use super::netns::NetnsThread;
use super::nft::{self, NftTransaction, tproxy::GatewayInterfaces};
use dhow_model::network::{MacAddress, NetworkSpec};
use mtu::MtuSizes;
use ports::BridgePorts;

const BRIDGE_INDEX: u32 = 10;
const BRIDGE_NAME: &str = "br0";
/// Port of the transparent listeners. Nothing else listens in a gateway, and no container can reach it
/// directly.
const LISTENER_PORT: nft::SocketPort = 7070;

/// A network's gateway.
#[derive(Debug)]
pub(crate) struct Gateway {
    netns_thread: Arc<NetnsThread>,
    netns: Arc<OwnedFd>,
    route: NetlinkSocket,
    filter: Option<NetlinkSocket>,
    config: GatewayConfig,
    ports: Arc<Mutex<BridgePorts>>,
    sweeper: Arc<sweep::PortSweeper>,
    device: Option<Arc<dyn PacketDevice>>,
    listeners: Vec<OwnedFd>,
    backend: NetworkBackend,
    /// Whether there is a way out for IPv6, if the network has it.
    v6_out: bool,
}

/// The parts of a network's spec that its gateway depends on.
#[derive(Clone, Debug)]
struct GatewayConfig {
    v4: Option<(Ipv4Net, Ipv4Addr)>,
    v6: Option<(Ipv6Net, Ipv6Addr)>,
    mac: MacAddress,
    mtu: MtuSizes,
    internal: bool,
    isolated: bool,
    /// The bridge is created when a second container joins.
    bridge_on_demand: bool,
}

impl GatewayConfig {
    fn of(spec: &NetworkSpec, backend: NetworkBackend) -> Self {
        let v4 = spec.v4.as_ref().map(|subnet| (subnet.net, subnet.gateway));
        let v6 = spec.v6.as_ref().map(|subnet| (subnet.net, subnet.gateway));
        // The same address whenever the gateway is recreated, because containers cache it. Docker derives a
        // container's hardware address from its IPv4 address in the same way, so no container has this one.
        let octets = v4.map_or_else(
            || {
                u32::from_str_radix(spec.id.get(..8).unwrap_or_default(), 16)
                    .unwrap_or_default()
                    .to_be_bytes()
            },
            |(_, gateway)| gateway.octets(),
        );
        let [a, b, c, d] = octets;
        Self {
            v4,
            v6,
            mac: MacAddress([0x02, 0x42, a, b, c, d]),
            mtu: MtuSizes::of(spec, backend),
            internal: spec.internal,
            isolated: spec.no_icc,
            bridge_on_demand: backend == NetworkBackend::Tproxy && !spec.internal,
        }
    }

    /// Settings of the interface through which the containers' packets arrive.
    fn port_devconf(&self) -> [(Ipv4Devconf, u32); 2] {
        [(Ipv4Devconf::Forwarding, u32::from(!self.internal)), (Ipv4Devconf::ReversePathFilter, 0)]
    }

    fn gateways(&self) -> impl Iterator<Item = IpAddr> {
        let v4 = self.v4.map(|(_, gateway)| IpAddr::V4(gateway));
        v4.into_iter().chain(self.v6.map(|(_, gateway)| IpAddr::V6(gateway)))
    }

    /// The gateway's addresses with their prefix lengths.
    fn addresses(&self) -> impl Iterator<Item = IpNet> {
        let v4 = self.v4.and_then(|(net, gateway)| Ipv4Net::new(gateway, net.prefix_len()).ok());
        let v6 = self.v6.and_then(|(net, gateway)| Ipv6Net::new(gateway, net.prefix_len()).ok());
        v4.map(IpNet::V4).into_iter().chain(v6.map(IpNet::V6))
    }

    /// The default prefix of each family that the network has.
    fn default_prefixes(&self) -> impl Iterator<Item = IpNet> {
        let v4 = self.v4.map(|_| IpNet::V4(Ipv4Net::default()));
        v4.into_iter().chain(self.v6.map(|_| IpNet::V6(Ipv6Net::default())))
    }
}

/// What the thread in the namespace creates.
struct GatewayParts {
    netns: OwnedFd,
    route: NetlinkSocket,
    /// For the sweeper.
    sweeper_socket: NetlinkSocket,
    filter: Option<NetlinkSocket>,
    device: Option<Arc<dyn PacketDevice>>,
    listeners: Vec<OwnedFd>,
    v6_out: bool,
}

impl Gateway {
    /// Creates the namespace and everything in it for the backend `backend`. The caller needs CAP_SYS_ADMIN
    /// and CAP_NET_ADMIN in its user namespace.
    pub(crate) fn open(spec: &NetworkSpec, backend: NetworkBackend) -> anyhow::Result<Self> {
        let mut config = GatewayConfig::of(spec, backend);
        // Without IPv6 in the kernel, the network has only IPv4.
        config.v6 = config.v6.filter(|_| sysctl::has_v6());
        let enter = || Ok(nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET)?);
        let netns_thread =
            NetnsThread::start("dhow-gateway", enter).context("cannot make a network namespace")?;
        let for_thread = config.clone();
        let parts = netns_thread.call(move || create(&for_thread, backend))??;
        let ports = Arc::new(Mutex::new(BridgePorts::new(!config.bridge_on_demand)));
        Ok(Self {
            netns_thread: Arc::new(netns_thread),
            netns: Arc::new(parts.netns),
            route: parts.route,
            filter: parts.filter,
            config,
            ports: Arc::clone(&ports),
            sweeper: sweep::PortSweeper::new(parts.sweeper_socket, ports),
            device: parts.device,
            listeners: parts.listeners,
            backend,
            v6_out: parts.v6_out,
        })
    }

    /// Whether containers reach IPv6 destinations.
    pub(crate) fn has_v6_out(&self) -> bool {
        self.v6_out
    }

    /// A file descriptor of the namespace.
    pub(crate) fn namespace(&self) -> BorrowedFd<'_> {
        self.netns.as_fd()
    }

    /// The thread that creates sockets in this gateway.
    pub(crate) fn netns_thread(&self) -> &Arc<NetnsThread> {
        &self.netns_thread
    }

    /// The device whose packets the forwarder handles, once; `None` for an internal network.
    pub(crate) fn take_device(&mut self) -> Option<Arc<dyn PacketDevice>> {
        self.device.take()
    }

    /// The sockets that accept intercepted connections, one per family, once.
    pub(crate) fn take_listeners(&mut self) -> Vec<OwnedFd> {
        std::mem::take(&mut self.listeners)
    }

    /// How the listeners' accepted sockets tell their original destination.
    pub(crate) fn original_dst(&self) -> OriginalDst {
        if self.backend == NetworkBackend::Redirect {
            OriginalDst::Redirected
        } else {
            OriginalDst::LocalAddress
        }
    }

    /// MTU within the network, in bytes.
    pub(crate) fn mtu(&self) -> u32 {
        self.config.mtu.mtu
    }

    /// The longest packet that gets further than to a neighbour or the host, in bytes.
    pub(crate) fn mtu_out(&self) -> u32 {
        self.config.mtu.external.unwrap_or(self.config.mtu.mtu)
    }

    /// Runs `work` in the network namespace `netns`, on this gateway's thread.
    pub(crate) fn run_in<R: Send + 'static>(
        &self,
        netns: BorrowedFd<'_>,
        work: impl FnOnce() -> R + Send + 'static,
    ) -> io::Result<R> {
        let target = netns.try_clone_to_owned()?;
        let own = Arc::clone(&self.netns);
        self.netns_thread.call(move || {
            dhow_sys::namespace::setns(target.as_fd(), dhow_sys::process::ns::NET)?;
            let result = work();
            dhow_sys::namespace::setns(own.as_fd(), dhow_sys::process::ns::NET)?;
            Ok(result)
        })?
    }
}

fn create(config: &GatewayConfig, backend: NetworkBackend) -> anyhow::Result<GatewayParts> {
    sysctl::apply_gateway(backend, config.v6.is_some())?;
    // slirp4netns only knows IPv6 addresses of its own prefix.
    let has_way_out = !config.internal && backend != NetworkBackend::Slirp4netns;
    let v6_out = config.v6.is_some() && has_way_out && sysctl::enable_v6_forwarding();
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let netns = rustix::fs::open("/proc/thread-self/ns/net", flags, Mode::empty())?;
    let route = NetlinkSocket::open(NetlinkFamily::Route)?;
    let link = if config.internal || !backend.uses_forwarder() {
        None
    } else {
        Some(links::create_device(backend, &route)?)
    };
    links::build_links(config, backend, link.as_ref()).send(&route)?;
    let filter = install_filter(config, backend)?;
    let sweeper_socket = NetlinkSocket::open(NetlinkFamily::Route)?;
    let mut parts =
        GatewayParts { netns, route, sweeper_socket, filter, device: None, listeners: Vec::new(), v6_out };
    if let Some(link) = link {
        if let Some(filter) = parts.filter.as_ref().filter(|_| backend.has_listeners()) {
            // nf_tables reports a missing expression as ENOENT only, so name the modules.
            let modules = if backend == NetworkBackend::Redirect { "nft_ct, nft_nat" } else { "nft_tproxy" };
            let refused = || format!("the kernel does not take the rules (it needs {modules})");
            datapath_rules(config, backend, link.index).commit(filter).with_context(refused)?;
            if backend == NetworkBackend::Redirect {
                sysctl::apply_conntrack()?;
            }
            for family in config.default_prefixes() {
                let any = SocketAddr::new(family.addr(), LISTENER_PORT);
                parts
                    .listeners
                    .push(syn_interceptor::bind_listener(any).context("cannot listen in the gateway")?);
            }
        }
        parts.device = Some(link.device);
    }
    Ok(parts)
}

/// What happens to packets from containers.
fn datapath_rules(config: &GatewayConfig, backend: NetworkBackend, forwarder_index: u32) -> NftTransaction {
    let interfaces = GatewayInterfaces {
        bridge: (!config.bridge_on_demand).then_some(BRIDGE_INDEX),
        forwarder: forwarder_index,
    };
    if backend == NetworkBackend::Redirect {
        return nft::redirect::rules(interfaces, LISTENER_PORT, &config.addresses().collect::<Vec<_>>());
    }
    nft::tproxy::rules(interfaces, LISTENER_PORT, config.v4.is_some(), config.v6.is_some())
}

/// Lets the bridge pass only frames with the sender's own addresses. Backends without nf_tables rules do
/// without where the kernel has no nf_tables.
fn install_filter(config: &GatewayConfig, backend: NetworkBackend) -> anyhow::Result<Option<NetlinkSocket>> {
    let filter =
        NetlinkSocket::open(NetlinkFamily::Netfilter).map_err(anyhow::Error::from).and_then(|socket| {
            let refused = "the kernel does not take rules for bridges (it needs nf_tables)";
            nft::anti_spoof::rules(config.v6.is_some()).commit(&socket).context(refused)?;
            Ok(socket)
        });
    match filter {
        Err(_) if !backend.has_listeners() => Ok(None),
        filter => Ok(Some(filter?)),
    }
}

//! The forwarder's settings for its network.

use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;

use crate::relay::ShareCount;
use dhow_sys::rlimit::RlimitResource;

/// A network, as far as its forwarder must know it.
#[derive(Clone, Debug)]
pub(crate) struct ForwarderSettings {
    /// Source addresses outside of these are dropped.
    pub subnets: Vec<IpNet>,
    pub gateways: Vec<IpAddr>,
    /// The MTU towards the containers, in bytes.
    pub mtu: u16,
    /// The longest packet that leaves this machine in one piece, in bytes.
    pub(crate) external_mtu: u16,
    pub limits: FlowLimits,
    /// This forwarder and the others that share the limit on sockets.
    pub(crate) forwarders: ShareCount,
}

/// How much is kept for containers, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FlowLimits {
    /// Host sockets of all forwarders together, each for a port of a container.
    pub sockets: usize,
    /// Sockets of one container address.
    pub(crate) sockets_per_container: usize,
    /// Pairs of a container's port and a peer.
    pub flows: usize,
    /// Pairs of one container address.
    pub(crate) flows_per_container: usize,
    /// Clients of one published UDP port.
    pub clients: usize,
    /// How long to wait for the first answer.
    pub(crate) unreplied: Duration,
    /// How long an answered flow may stay silent.
    pub(crate) replied: Duration,
}

impl Default for FlowLimits {
    /// Leaves descriptors for the relay and for other networks. The times are those of Linux' connection
    /// tracking, somewhat longer than the minimum of RFC 4787 §4.3.
    fn default() -> Self {
        let descriptors =
            RlimitResource::by_name("nofile").and_then(|limit| limit.get().ok()).map_or(1024, |both| both.0);
        let sockets = usize::try_from(descriptors / 8).unwrap_or(usize::MAX).clamp(64, 8192);
        Self {
            sockets,
            sockets_per_container: sockets / 4,
            flows: 65_536,
            flows_per_container: 16_384,
            clients: 8192,
            unreplied: Duration::from_secs(30),
            replied: Duration::from_secs(180),
        }
    }
}

impl ForwarderSettings {
    /// The gateway's address of the family of `address`.
    pub(crate) fn gateway(&self, address: IpAddr) -> Option<IpAddr> {
        self.gateways.iter().copied().find(|gateway| gateway.is_ipv4() == address.is_ipv4())
    }

    /// Whether `address` is in one of the subnets, and not the gateway's.
    pub(crate) fn is_inside(&self, address: IpAddr) -> bool {
        self.subnets.iter().any(|net| net.contains(&address)) && !self.gateways.contains(&address)
    }

    /// Whether packets to `address` may be forwarded: neither broadcast or multicast, nor an address that
    /// means the sender itself.
    pub(crate) fn is_routable(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(address) => {
                // 0.0.0.0/8 is "this network" and 240.0.0.0/4, with the broadcast address, is nobody (RFC
                // 6890).
                let [first, ..] = address.octets();
                first != 0 && first < 224 && !address.is_loopback()
            }
            IpAddr::V6(address) => {
                !address.is_unspecified()
                    && !address.is_multicast()
                    && !address.is_loopback()
                    && !address.is_unicast_link_local()
                    && address.to_ipv4_mapped().is_none()
            }
        }
    }

    /// The address under which a container sees a client of a published port: its own, unless answers to that
    /// would not come back here; then the gateway's.
    pub(crate) fn visible_client(&self, client: IpAddr, container: IpAddr) -> Option<IpAddr> {
        let client = client.to_canonical();
        let local = match client {
            IpAddr::V4(address) => {
                address.is_loopback() || address.is_unspecified() || address.is_link_local()
            }
            IpAddr::V6(address) => {
                address.is_loopback() || address.is_unspecified() || address.is_unicast_link_local()
            }
        };
        let inside = self.subnets.iter().any(|net| net.contains(&client));
        let keeps_address = client.is_ipv4() == container.is_ipv4() && !local && !inside;
        if keeps_address { Some(client) } else { self.gateway(container) }
    }
}

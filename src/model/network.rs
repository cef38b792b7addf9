//! Networks, and the containers attached to them.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};

use super::record::is_default;

/// The network that containers join by default.
pub const DEFAULT: &str = "bridge";

/// Driver option: the host address for published ports that name none.
pub(crate) const HOST_BINDING: &str = "com.docker.network.bridge.host_binding_ipv4";

/// Endpoint option: the name of the interface in the container.
pub const INTERFACE_NAME: &str = "com.docker.network.endpoint.ifname";

/// A user-defined or default bridge network. Stored as JSON; immutable.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NetworkSpec {
    /// 64 hex digits.
    pub id: String,
    pub name: String,
    /// RFC 3339, in UTC.
    pub created: String,
    /// `--internal`: no route to the outside, no published ports.
    pub internal: bool,
    /// `None` with `--ipv4=false`.
    pub v4: Option<SubnetSpec<Ipv4Net, Ipv4Addr>>,
    pub v6: Option<SubnetSpec<Ipv6Net, Ipv6Addr>>,
    /// Driver options as given (`com.docker.network.driver.mtu`, …).
    pub options: BTreeMap<String, String>,
    /// `--ipam-opt` as given.
    pub ipam_options: BTreeMap<String, String>,
    pub labels: BTreeMap<String, String>,
    /// `--egress-allow`: the permitted destinations; `None` for all.
    pub egress: Option<Vec<EgressRule>>,
    /// In bytes; `None` for the default.
    pub mtu: Option<u32>,
    /// Containers cannot reach each other (`com.docker.network.bridge.enable_icc=false`).
    pub no_icc: bool,
    /// For swarm services; stored, without effect.
    pub attachable: bool,
    /// The IPv4 subnet was chosen by the user, which permits fixed addresses (`--ip`).
    pub v4_asked: bool,
    /// Likewise for IPv6 (`--ip6`).
    pub v6_asked: bool,
}

impl NetworkSpec {
    /// Applies the option `com.docker.network.bridge.host_binding_ipv4` to ports without a host address.
    pub fn bind_ports(&self, ports: &[PortSpec]) -> Vec<PortSpec> {
        let option = self.options.get(HOST_BINDING).and_then(|text| text.parse::<IpAddr>().ok());
        // 0.0.0.0 is the default anyway.
        let binding = option.filter(|ip| !ip.is_unspecified());
        ports.iter().map(|port| PortSpec { ip: port.ip.or(binding), ..port.clone() }).collect()
    }

    /// Whether it is the default network, on which containers cannot resolve each other's names.
    pub fn is_default(&self) -> bool {
        self.name == DEFAULT
    }
}

/// The subnet of one address family.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubnetSpec<N, A> {
    pub net: N,
    /// An address in the subnet.
    pub gateway: A,
    /// Allocate only from this part; `None` for the whole subnet.
    pub range: Option<N>,
    /// Addresses that are never allocated, by name.
    pub reserved: BTreeMap<String, A>,
}

/// An `--egress-allow` rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EgressRule {
    pub host: EgressHost,
    /// `None` for all ports.
    pub port: Option<u16>,
}

/// The destination of a rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EgressHost {
    Net(IpNet),
    /// In lower case, without a trailing dot; `*.example.org` matches all subdomains.
    Name(String),
}

/// The requested settings of a container on one network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NetworkAttachment {
    /// Name or ID as given; the ID once the container is created.
    #[serde(skip_serializing_if = "is_default")]
    pub network: String,
    /// Set on creation; networks cannot be renamed.
    #[serde(skip_serializing_if = "is_default")]
    pub name: String,
    /// `None` to allocate one.
    #[serde(skip_serializing_if = "is_default")]
    pub ip: Option<Ipv4Addr>,
    /// `None` to allocate one.
    #[serde(skip_serializing_if = "is_default")]
    pub ip6: Option<Ipv6Addr>,
    /// `None` to generate one.
    #[serde(skip_serializing_if = "is_default")]
    pub mac: Option<MacAddress>,
    /// Additional DNS names on this network.
    #[serde(skip_serializing_if = "is_default")]
    pub aliases: Vec<String>,
    /// Legacy links as (container, alias), resolvable by this container only.
    #[serde(skip_serializing_if = "is_default")]
    pub links: Vec<(String, String)>,
    /// Additional link-local addresses.
    #[serde(skip_serializing_if = "is_default")]
    pub link_local: Vec<IpAddr>,
    /// `--driver-opt` as given.
    #[serde(skip_serializing_if = "is_default")]
    pub driver_options: BTreeMap<String, String>,
    /// The network with the highest priority provides the default route.
    #[serde(skip_serializing_if = "is_default")]
    pub gateway_priority: i32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MacAddress(pub [u8; 6]);

impl fmt::Display for MacAddress {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, f] = self.0;
        write!(out, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}")
    }
}

impl std::str::FromStr for MacAddress {
    type Err = String;

    /// Six pairs of hex digits, separated by colons or dashes.
    fn from_str(text: &str) -> Result<Self, String> {
        let malformed = || format!("invalid MAC address: {}", text.escape_debug());
        let mut bytes = [0; 6];
        let mut parts = text.split([':', '-']);
        for byte in &mut bytes {
            let part = parts.next().filter(|part| part.len() == 2).ok_or_else(malformed)?;
            *byte = u8::from_str_radix(part, 16).map_err(|_| malformed())?;
        }
        // EUI-64 and InfiniBand addresses are longer.
        if parts.next().is_some() {
            return Err(malformed());
        }
        // The group bit (IEEE 802): not a unicast address.
        if bytes == [0; 6] || bytes[0] & 1 == 1 {
            return Err(format!("{}: it is not the address of one interface", malformed()));
        }
        Ok(Self(bytes))
    }
}

impl TryFrom<String> for MacAddress {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<MacAddress> for String {
    fn from(mac: MacAddress) -> Self {
        mac.to_string()
    }
}

/// A container's attachment to one network with its allocated addresses: all that the datapath needs to know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkEndpoint {
    pub network: String,
    /// In the container, `eth0`.
    pub interface: String,
    /// With the subnet's prefix length.
    pub v4: Option<Ipv4Net>,
    /// With the subnet's prefix length.
    pub v6: Option<Ipv6Net>,
    pub mac: MacAddress,
    /// DNS names on this network besides the container's name, host name and short ID.
    pub aliases: Vec<String>,
    /// Names that only this container resolves: (alias, the other container's ID or one of its names).
    pub links: Vec<(String, String)>,
    /// Additional link-local addresses.
    pub link_local: Vec<IpAddr>,
    /// The default route goes through this network.
    pub default_route: bool,
}

impl NetworkEndpoint {
    /// The addresses from the network's subnets, IPv4 first.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> + use<> {
        let v4 = self.v4.map(|net| IpAddr::from(net.addr()));
        v4.into_iter().chain(self.v6.map(|net| IpAddr::from(net.addr())))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PortProtocol {
    Tcp,
    Udp,
}

impl fmt::Display for PortProtocol {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

/// A port to publish (`-p`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PortSpec {
    /// In the container.
    pub container: u16,
    pub protocol: PortProtocol,
    /// The host address; `None` for all addresses of both families.
    pub ip: Option<IpAddr>,
    /// First and last host port to choose from; `None` for any free one.
    pub host: Option<(u16, u16)>,
}

/// A published port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PublishedPort {
    /// In the container.
    pub container: u16,
    pub protocol: PortProtocol,
    /// On the host.
    pub ip: IpAddr,
    /// On the host.
    pub host: u16,
}

impl PublishedPort {
    /// A request for exactly this port.
    pub fn as_spec(&self) -> PortSpec {
        let Self { container, protocol, ip, host } = *self;
        PortSpec { container, protocol, ip: Some(ip), host: Some((host, host)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hardware_addresses_are_read_and_written() {
        let mac: MacAddress = "02:42:AC-11-00:02".parse().unwrap();
        assert_eq!(mac.to_string(), "02:42:ac:11:00:02");
        for bad in [
            "",
            "02:42:ac:11:00",
            "02:42:ac:11:00:02:03",
            "2:42:ac:11:00:02",
            "02:42:ac:11:00:0g",
            "01:42:ac:11:00:02",
            "00:00:00:00:00:00",
        ] {
            assert!(bad.parse::<MacAddress>().is_err(), "{bad}");
        }
    }
}

//! Networks and how containers are on them.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};

/// The name of the network that containers are on where nothing else is asked for.
pub const DEFAULT: &str = "bridge";

/// The option for the address on the host of ports that are published without one.
pub const HOST_BINDING: &str = "com.docker.network.bridge.host_binding_ipv4";

/// The option of a place on a network for the name of the interface inside.
pub const INTERFACE_NAME: &str = "com.docker.network.endpoint.ifname";

/// A network of bridged containers, as it was made; it never changes afterwards.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NetworkSpec {
    /// 64 hexadecimal digits.
    pub id: String,
    /// The unique name.
    pub name: String,
    /// RFC 3339 time of creation, in UTC.
    pub created: String,
    /// No way out, and no published ports.
    pub internal: bool,
    /// The IPv4 subnet; `None` with `--ipv4=false`.
    pub v4: Option<Subnet<Ipv4Net, Ipv4Addr>>,
    /// The IPv6 subnet, if it has one.
    pub v6: Option<Subnet<Ipv6Net, Ipv6Addr>>,
    /// Options of the driver (`com.docker.network.driver.mtu`, …), as given.
    pub options: BTreeMap<String, String>,
    /// Options of address management, as given.
    pub ipam_options: BTreeMap<String, String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Where its containers may go; `None` for anywhere.
    pub egress: Option<Vec<Egress>>,
    /// The maximum transmission unit in bytes, if one was asked for.
    pub mtu: Option<u32>,
    /// Whether containers on it reach each other (`com.docker.network.bridge.enable_icc`).
    pub no_icc: bool,
    /// What swarm services would need; remembered only.
    pub attachable: bool,
    /// Whether the IPv4 subnet was asked for, so that addresses in it can be.
    pub v4_asked: bool,
    /// Whether the IPv6 subnet was asked for.
    pub v6_asked: bool,
}

impl NetworkSpec {
    /// `ports` on the addresses of the host where this network has them published: the option
    /// `com.docker.network.bridge.host_binding_ipv4` is for those without an address of their own.
    pub fn bind_ports(&self, ports: &[PortSpec]) -> Vec<PortSpec> {
        let option = self.options.get(HOST_BINDING).and_then(|text| text.parse::<IpAddr>().ok());
        let binding = option.filter(|ip| !ip.is_unspecified());
        ports.iter().map(|port| PortSpec { ip: port.ip.or(binding), ..port.clone() }).collect()
    }

    /// Whether it is the one that containers are on by default, where they know no names of each other.
    pub fn is_default(&self) -> bool {
        self.name == DEFAULT
    }
}

/// Addresses of one family.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subnet<N, A> {
    /// The subnet.
    pub net: N,
    /// The address of the gateway, which is in it.
    pub gateway: A,
    /// Where addresses are taken from; anywhere in the subnet if `None`.
    pub range: Option<N>,
    /// Addresses that no container gets, by name.
    pub reserved: BTreeMap<String, A>,
}

/// A permission of `--egress-allow`: a destination with all its ports or one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Egress {
    /// Where to.
    pub host: EgressHost,
    /// The one port, else any.
    pub port: Option<u16>,
}

/// A destination.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EgressHost {
    /// Addresses.
    Net(IpNet),
    /// A domain name in lower case without the last dot; `*.example.org` for all below it.
    Name(String),
}

/// What was asked of a container's place on one network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Attachment {
    /// The network, by name or ID as it was given; an ID once the container is created.
    pub network: String,
    /// Its name, once the container is created; networks are never renamed.
    pub name: String,
    /// A fixed address.
    pub ip: Option<Ipv4Addr>,
    /// A fixed address.
    pub ip6: Option<Ipv6Addr>,
    /// A fixed hardware address.
    pub mac: Option<Mac>,
    /// Further names of the container on this network.
    pub aliases: Vec<String>,
    /// Other containers under names of the asker's own: (container, alias).
    pub links: Vec<(String, String)>,
    /// Addresses of the link-local range beside its own.
    pub link_local: Vec<IpAddr>,
    /// Options for the driver, as given.
    pub driver_options: BTreeMap<String, String>,
    /// The network with the highest gives the default route.
    pub gateway_priority: i32,
}

/// A hardware address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Mac(pub [u8; 6]);

impl fmt::Display for Mac {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, f] = self.0;
        write!(out, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}")
    }
}

impl std::str::FromStr for Mac {
    type Err = String;

    /// Six pairs of hexadecimal digits between colons or dashes.
    fn from_str(text: &str) -> Result<Self, String> {
        let malformed = || format!("invalid MAC address: {}", text.escape_debug());
        let mut bytes = [0; 6];
        let mut parts = text.split([':', '-']);
        for byte in &mut bytes {
            let part = parts.next().filter(|part| part.len() == 2).ok_or_else(malformed)?;
            *byte = u8::from_str_radix(part, 16).map_err(|_| malformed())?;
        }
        if parts.next().is_some() {
            return Err(malformed());
        }
        // The lowest bit says that it is the address of a group (IEEE 802).
        if bytes == [0; 6] || bytes[0] & 1 == 1 {
            return Err(format!("{}: it is not the address of one interface", malformed()));
        }
        Ok(Self(bytes))
    }
}

impl TryFrom<String> for Mac {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Mac> for String {
    fn from(mac: Mac) -> Self {
        mac.to_string()
    }
}

/// A container's place on one network, with the addresses it was given: everything that the datapath needs to know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// The ID of the network.
    pub network: String,
    /// The name of the interface inside, `eth0`.
    pub interface: String,
    /// Its address with the length of the subnet's prefix.
    pub v4: Option<Ipv4Net>,
    /// Its address with the length of the subnet's prefix.
    pub v6: Option<Ipv6Net>,
    /// Its hardware address.
    pub mac: Mac,
    /// Names of the container on this network beside its own name, host name and short ID.
    pub aliases: Vec<String>,
    /// Names that only this container knows: (alias, the other container by its ID or any name that it has there).
    pub links: Vec<(String, String)>,
    /// Addresses of the link-local range beside its own.
    pub link_local: Vec<IpAddr>,
    /// Whether the default route goes through this network.
    pub default_route: bool,
}

/// The protocol of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

/// A port to be published, as asked (`-p`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PortSpec {
    /// The port inside.
    pub container: u16,
    /// Its protocol.
    pub protocol: Protocol,
    /// The address on the host; all of both families where `None`.
    pub ip: Option<IpAddr>,
    /// The first and the last of the ports on the host that may be taken; any free one where `None`.
    pub host: Option<(u16, u16)>,
}

/// A port that is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Published {
    /// The port inside.
    pub container: u16,
    /// Its protocol.
    pub protocol: Protocol,
    /// The address on the host.
    pub ip: IpAddr,
    /// The port on the host.
    pub host: u16,
}

impl Published {
    /// The wish for exactly this.
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
        let mac: Mac = "02:42:AC-11-00:02".parse().unwrap();
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
            assert!(bad.parse::<Mac>().is_err(), "{bad}");
        }
    }
}

//! The MTUs of a network.
//!
//! Between containers, and between them and this machine, there is no physical link, so packets can be as
//! long as the kernel allows. Everything that goes further has docker's MTU: the host would have to fragment
//! a longer packet or tell its sender to use a shorter one, which costs the first packet.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};

use crate::backend::NetworkBackend;
use dhow_model::network::NetworkSpec;

/// The longest packet that the kernel's devices take and one read of the forwarder gets, in bytes.
pub(crate) const MAX_MTU: u32 = 65520;
/// The default MTU for what leaves this machine, in bytes, as docker has it.
const EXTERNAL_MTU: u32 = 1500;

#[derive(Clone, Debug)]
pub(crate) struct MtuSizes {
    /// Within the network, in bytes.
    pub mtu: u32,
    /// For packets that leave it, if that is less.
    pub(crate) external: Option<u32>,
    /// Addresses of the host outside of the network that are reached without leaving this machine.
    pub(crate) host_addresses: Vec<IpAddr>,
}

impl MtuSizes {
    /// The MTUs of a network with the backend `backend`. Must be called in the host's network namespace.
    pub(super) fn of(spec: &NetworkSpec, backend: NetworkBackend) -> Self {
        let uniform = |mtu| Self { mtu, external: None, host_addresses: Vec::new() };
        match spec.mtu {
            Some(mtu) => uniform(mtu),
            // pasta and slirp4netns have one MTU for all destinations.
            None if !backend.uses_forwarder() => uniform(EXTERNAL_MTU),
            None if spec.internal => uniform(MAX_MTU),
            None => {
                let source_v4 =
                    source_address_towards(Ipv4Addr::UNSPECIFIED.into(), Ipv4Addr::new(192, 0, 2, 1).into());
                let source_v6 = spec.v6.as_ref().and_then(|_| {
                    let destination = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
                    source_address_towards(Ipv6Addr::UNSPECIFIED.into(), destination.into())
                });
                Self {
                    mtu: MAX_MTU,
                    external: Some(EXTERNAL_MTU),
                    host_addresses: source_v4.into_iter().chain(source_v6).collect(),
                }
            }
        }
    }
}

/// The source address that this machine uses towards `destination`, a documentation address. Connecting a
/// UDP socket sends nothing.
fn source_address_towards(any: IpAddr, destination: IpAddr) -> Option<IpAddr> {
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect((destination, 9)).ok()?;
    let source = socket.local_addr().ok()?.ip();
    (!source.is_loopback() && !source.is_unspecified()).then_some(source)
}

//! How long the packets of a network may be.
//!
//! Between containers, and between them and this machine, there is no wire, so nothing has to be cut to pieces there.
//! Whatever goes further is as long as it is with docker: a longer packet would have to be fragmented by the host, or its
//! sender be told to send shorter ones, which costs the first packet.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};

use crate::model::network::NetworkSpec;
use crate::network::rung::Rung;

/// The longest packet, in bytes, that a device of the kernel takes and one read of the gate's gets.
pub(super) const LONGEST: u32 = 65520;
/// The longest that leaves this machine where nothing else was asked for, in bytes, as docker has it.
const OUT: u32 = 1500;

/// The longest packets of a network.
#[derive(Clone, Debug)]
pub(super) struct Sizes {
    /// On it, in bytes.
    pub(super) mtu: u32,
    /// On the ways out of it, where that is less.
    pub(super) out: Option<u32>,
    /// Addresses of the host that are out of it and no further.
    pub(super) near: Vec<IpAddr>,
}

impl Sizes {
    /// Those of a network that is made the way of `rung`; the caller is in the host's network namespace.
    pub(super) fn of(spec: &NetworkSpec, rung: Rung) -> Self {
        let alike = |mtu| Self { mtu, out: None, near: Vec::new() };
        match spec.mtu {
            Some(mtu) => alike(mtu),
            // A program at the gateway has but one size for all.
            None if !rung.has_gate() => alike(OUT),
            None if spec.internal => alike(LONGEST),
            None => {
                let near = own(Ipv4Addr::UNSPECIFIED.into(), Ipv4Addr::new(192, 0, 2, 1).into());
                let near6 = spec.v6.as_ref().and_then(|_| {
                    let some = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
                    own(Ipv6Addr::UNSPECIFIED.into(), some.into())
                });
                Self { mtu: LONGEST, out: Some(OUT), near: near.into_iter().chain(near6).collect() }
            }
        }
    }
}

/// The address that this machine has for `far`, an address of the documentation and so as far away as any, to which
/// nothing is sent.
fn own(any: IpAddr, far: IpAddr) -> Option<IpAddr> {
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect((far, 9)).ok()?;
    let own = socket.local_addr().ok()?.ip();
    (!own.is_loopback() && !own.is_unspecified()).then_some(own)
}

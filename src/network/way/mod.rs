//! A network's way out of its gateway, and into it: one implementation for each kind of [`Rung`].

mod kernel;
mod stack;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use anyhow::Result;

use super::egress::Egress;
use super::gate::{Limits, Settings};
use super::gateway::Gateway;
use super::publish::{Reserved, Target};
use super::relay::Relay;
use super::rung::Rung;
use crate::error;
use crate::model::network::NetworkSpec;

/// What connects a network to the host's. All of it ends when this is dropped, before its gateway.
pub trait Way: Send + Sync {
    /// Lets go of everything that belongs to the container with this address, and resets its connections.
    fn forget(&self, container: IpAddr);

    /// Publishes a UDP port until what is returned is dropped: what comes to `socket`, which is bound in the host's
    /// network, goes to `container`.
    fn publish_udp(&self, socket: OwnedFd, container: SocketAddr) -> Result<Held>;

    /// Publishes the TCP ports of `ports` until what is returned is dropped.
    fn publish_tcp(&self, ports: Reserved, target: Target) -> Result<Held>;
}

/// Something that ends when it is dropped.
pub struct Held(#[expect(dead_code, reason = "it is there to be dropped")] Box<dyn Send>);

impl Held {
    /// Keeps `what`.
    pub fn of(what: impl Send + 'static) -> Self {
        Self(Box::new(what))
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Held")
    }
}

/// What every way is made for.
#[derive(Clone, Copy)]
pub struct For<'a> {
    /// The network.
    pub spec: &'a NetworkSpec,
    /// What decides where containers may go.
    pub egress: &'a Arc<Egress>,
    /// The threads that move bytes.
    pub relay: &'a Arc<Relay>,
}

/// Opens the way that `rung` is out of `gateway`, which was made for it and is not internal. Called in the network
/// namespace of the host.
pub fn open(rung: Rung, gateway: &mut Gateway, what: For<'_>) -> Result<Box<dyn Way>> {
    match rung {
        Rung::Tproxy | Rung::Packet | Rung::Redirect => Ok(Box::new(kernel::Kernel::open(gateway, what)?)),
        Rung::Stack => Ok(Box::new(stack::Stack::open(gateway, what)?)),
        Rung::Pasta | Rung::Slirp4netns => Err(error::unsupported("it is not known to this version").into()),
    }
}

/// The settings of the gate of a network.
fn settings(spec: &NetworkSpec, gateway: &Gateway) -> Settings {
    let v4 = spec.v4.iter();
    let v6 = spec.v6.iter();
    Settings {
        subnets: v4
            .clone()
            .map(|subnet| subnet.net.into())
            .chain(v6.clone().map(|subnet| subnet.net.into()))
            .collect(),
        gateways: v4
            .map(|subnet| subnet.gateway.into())
            .chain(v6.map(|subnet| subnet.gateway.into()))
            .collect(),
        mtu: u16::try_from(gateway.mtu()).unwrap_or(u16::MAX),
        limits: Limits::default(),
    }
}

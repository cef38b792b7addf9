//! A network's way out of its gateway, and into it: one implementation for each kind of [`Rung`].

mod gated;
mod program;

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use anyhow::Result;
use ipnet::{Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};

use super::egress::{Egress, Member};
use super::gate::{Limits, Settings, echo};
use super::gateway::Gateway;
use super::publish::{Reserved, Target};
use super::relay::Relay;
use super::rung::{Ladder, Rung};
use crate::model::network::{Endpoint, NetworkSpec, Subnet};

/// What connects a network to the host's. All of it ends when this is dropped, before its gateway.
pub trait Way: Send + Sync {
    /// Lets a container on the network, which stays until what is returned is dropped: `endpoint` is plugged in and
    /// `member` is who it is. An error where the way cannot do what is asked of it.
    fn join(&self, _endpoint: &Endpoint, _member: &Member) -> Result<Held> {
        Ok(Held::of(()))
    }

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
        Rung::Tproxy | Rung::Packet | Rung::Redirect => Ok(Box::new(gated::Gated::by_kernel(gateway, what)?)),
        Rung::Stack => Ok(Box::new(gated::Gated::by_stack(gateway, what)?)),
        Rung::Pasta => Ok(Box::new(program::Pasta::open(gateway, what)?)),
        Rung::Slirp4netns => Ok(Box::new(program::Slirp4netns::open(gateway, what)?)),
    }
}

/// What networks are like here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// The best way that works, or the one that is forced if it does.
    pub rung: Option<Rung>,
    /// Those that are better, and why they do not work; all of them where none does.
    pub refused: Vec<(Rung, String)>,
    /// Whether containers get out by IPv6.
    pub v6: bool,
    /// Whether the host lets this account ping.
    pub ping: bool,
}

/// Finds out which way works, by making a gateway of each kind and no network. The caller needs CAP_SYS_ADMIN and
/// CAP_NET_ADMIN in its user namespace.
pub fn find(forced: Option<Rung>) -> Found {
    let ladder = Ladder::new(forced);
    let (net, gateway) = (Ipv4Addr::new(192, 0, 2, 0), Ipv4Addr::new(192, 0, 2, 1));
    let v4 = Subnet { net: Ipv4Net::new_assert(net, 24), gateway, range: None, reserved: BTreeMap::new() };
    let prefix = |last| Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last);
    let (net, gateway) = (Ipv6Net::new_assert(prefix(0), 64), prefix(1));
    let v6 = Subnet { net, gateway, range: None, reserved: BTreeMap::new() };
    let spec = NetworkSpec { name: "test".into(), v4: Some(v4), v6: Some(v6), ..NetworkSpec::default() };
    let works = ladder.climb(|rung| works(rung, &spec)).ok();
    Found {
        rung: works.map(|(rung, _)| rung),
        refused: ladder.refused(),
        v6: works.is_some_and(|(_, v6)| v6),
        ping: echo::allowed(),
    }
}

/// Whether the way `rung` works, as far as can be seen without a network of that kind, and with IPv6.
fn works(rung: Rung, spec: &NetworkSpec) -> Result<bool> {
    if !rung.has_gate() {
        super::program::find(&rung.to_string())?;
    }
    Ok(Gateway::open(spec, rung)?.has_v6_out())
}

/// The settings of the gate of a network.
fn settings(spec: &NetworkSpec, gateway: &Gateway, relay: &Relay) -> Settings {
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
        out: u16::try_from(gateway.mtu_out()).unwrap_or(u16::MAX),
        limits: Limits::default(),
        gates: relay.crew().gates.clone(),
    }
}

//! The datapath between a network's gateway and the host: one implementation for each kind of
//! [`NetworkBackend`].

mod external;
mod native;

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use anyhow::Result;
use ipnet::{Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};

use super::backend::{BackendSelector, NetworkBackend};
use super::egress::{EgressMember, EgressPolicy};
use super::forwarder::{FlowLimits, ForwarderSettings, echo};
use super::gateway::Gateway;
use super::publish::{PublishTarget, ReservedPorts};
use super::relay::TcpRelay;
use dhow_model::network::{NetworkEndpoint, NetworkSpec, SubnetSpec};

/// Connects a network to the host's. Dropping it ends all its traffic; it must be dropped before its gateway.
pub(crate) trait Datapath: Send + Sync {
    /// Admits a container that is attached as `endpoint`, until the returned guard is dropped. Fails if the
    /// backend cannot do what `member` asks for.
    fn join(&self, _endpoint: &NetworkEndpoint, _member: &EgressMember) -> Result<DropGuard> {
        Ok(DropGuard::new(()))
    }

    /// Drops all state of the container with this address and resets its connections.
    fn forget(&self, container: IpAddr);

    /// Publishes a UDP port until the returned guard is dropped: what arrives at `socket`, which is bound in
    /// the host's network namespace, goes to `container`.
    fn publish_udp(&self, socket: OwnedFd, container: SocketAddr) -> Result<DropGuard>;

    /// Publishes the TCP ports of `ports` until the returned guard is dropped.
    fn publish_tcp(&self, ports: ReservedPorts, target: PublishTarget) -> Result<DropGuard>;
}

/// Keeps a value alive until this is dropped.
pub(crate) struct DropGuard {
    _value: Box<dyn Send>,
}

impl DropGuard {
    pub(crate) fn new(value: impl Send + 'static) -> Self {
        Self { _value: Box::new(value) }
    }
}

impl fmt::Debug for DropGuard {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("DropGuard").finish_non_exhaustive()
    }
}

/// What every datapath is built from.
#[derive(Clone, Copy)]
pub(crate) struct DatapathContext<'a> {
    pub spec: &'a NetworkSpec,
    /// Decides where containers may go.
    pub egress: &'a Arc<EgressPolicy>,
    pub relay: &'a Arc<TcpRelay>,
}

/// Opens the datapath of `backend` out of `gateway`, which was created for this backend and is not internal.
/// Must be called in the host's network namespace.
pub(crate) fn open_datapath(
    backend: NetworkBackend,
    gateway: &mut Gateway,
    context: DatapathContext<'_>,
) -> Result<Box<dyn Datapath>> {
    match backend {
        NetworkBackend::Tproxy | NetworkBackend::Packet | NetworkBackend::Redirect => {
            Ok(Box::new(native::NativeDatapath::with_kernel_tcp(gateway, context)?))
        }
        NetworkBackend::Stack => Ok(Box::new(native::NativeDatapath::with_user_stack(gateway, context)?)),
        NetworkBackend::Pasta => Ok(Box::new(external::PastaDatapath::open(gateway, context)?)),
        NetworkBackend::Slirp4netns => Ok(Box::new(external::SlirpDatapath::open(gateway, context)?)),
    }
}

/// What networking on this machine can do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackendProbe {
    /// The best backend that works, or the forced one if it does.
    pub backend: Option<NetworkBackend>,
    /// Better backends and why they do not work; all of them if none works.
    pub refused: Vec<(NetworkBackend, String)>,
    /// Whether containers reach IPv6 destinations.
    pub v6: bool,
    /// Whether the host lets this user send pings (`net.ipv4.ping_group_range`).
    pub ping: bool,
}

/// Finds the backend to use by creating a gateway for each in turn, without a network. The caller needs
/// CAP_SYS_ADMIN and CAP_NET_ADMIN in its user namespace.
pub fn probe_backends(forced: Option<NetworkBackend>) -> BackendProbe {
    let selector = BackendSelector::new(forced);
    // TEST-NET-1 (RFC 5737) and the IPv6 documentation prefix (RFC 3849): nobody's addresses.
    let (net, gateway) = (Ipv4Addr::new(192, 0, 2, 0), Ipv4Addr::new(192, 0, 2, 1));
    let v4 =
        SubnetSpec { net: Ipv4Net::new_assert(net, 24), gateway, range: None, reserved: BTreeMap::new() };
    let prefix = |last| Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last);
    let (net, gateway) = (Ipv6Net::new_assert(prefix(0), 64), prefix(1));
    let v6 = SubnetSpec { net, gateway, range: None, reserved: BTreeMap::new() };
    let spec = NetworkSpec { name: "test".into(), v4: Some(v4), v6: Some(v6), ..NetworkSpec::default() };
    let working = selector.select(|backend| probe_backend(backend, &spec)).ok();
    BackendProbe {
        backend: working.map(|(backend, _)| backend),
        refused: selector.refused(),
        v6: working.is_some_and(|(_, v6)| v6),
        ping: echo::is_ping_allowed(),
    }
}

/// Whether `backend` works, as far as an empty gateway can tell; and if so, whether IPv6 does.
fn probe_backend(backend: NetworkBackend, spec: &NetworkSpec) -> Result<bool> {
    if !backend.uses_forwarder() {
        super::external::check_installed(&backend.to_string())?;
    }
    Ok(Gateway::open(spec, backend)?.has_v6_out())
}

/// The settings of a network's forwarder.
fn forwarder_settings(spec: &NetworkSpec, gateway: &Gateway, relay: &TcpRelay) -> ForwarderSettings {
    let v4 = spec.v4.iter();
    let v6 = spec.v6.iter();
    ForwarderSettings {
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
        external_mtu: u16::try_from(gateway.mtu_out()).unwrap_or(u16::MAX),
        limits: FlowLimits::default(),
        forwarders: relay.pool().forwarders.clone(),
    }
}

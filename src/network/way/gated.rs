//! The backends that dhow implements itself: the forwarder handles SYNs, UDP and ICMP echo; the rest of TCP
//! goes to the kernel's listeners in the gateway or, without the nf_tables rules for those, to a user-space
//! stack.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use anyhow::{Context as _, Result};

use super::{For, Held, Way, settings};
use crate::network::gate::Gate;
use crate::network::gate::tcp::TcpGate;
use crate::network::gateway::Gateway;
use crate::network::publish::{Entry, Reserved, Sockets, Target};
use crate::network::relay::Relay;
use crate::network::stack::Stack;

/// A forwarder, and the way to connect to containers.
pub(super) struct Gated {
    tcp: TcpGate,
    gate: Gate,
    entry: Arc<dyn Entry>,
    relay: Arc<Relay>,
}

impl Gated {
    /// Kernel TCP on both sides: listeners in the gateway, and sockets created there for clients of published
    /// ports.
    pub(super) fn by_kernel(gateway: &mut Gateway, what: For<'_>) -> Result<Self> {
        let device = gateway.take_device().context("the gateway has no device")?;
        let tcp = TcpGate::new(what.relay, what.egress.clone(), Arc::new(Arc::clone(&device)));
        for listener in gateway.take_listeners() {
            tcp.listen(listener, gateway.original())?;
        }
        let settings = settings(what.spec, gateway, what.relay);
        let gate = Gate::start(device, settings, what.egress.clone(), Box::new(tcp.clone()), what.relay)?;
        let entry = Sockets::new(Arc::clone(gateway.inside()));
        Ok(Self { tcp, gate, entry, relay: Arc::clone(what.relay) })
    }

    /// User-space TCP towards the containers ([`crate::network::stack`]).
    pub(super) fn by_stack(gateway: &mut Gateway, what: For<'_>) -> Result<Self> {
        let device = gateway.take_device().context("the gateway has no device")?;
        let settings = settings(what.spec, gateway, what.relay);
        let stack = Stack::new(Arc::clone(&device), settings.mtu, what.relay, what.egress.clone())?;
        let tcp = stack.gate().clone();
        let entry: Arc<dyn Entry> = Arc::clone(stack.desk()) as _;
        let gate = Gate::start_alone(device, settings, what.egress.clone(), Box::new(stack))?;
        Ok(Self { tcp, gate, entry, relay: Arc::clone(what.relay) })
    }
}

impl Way for Gated {
    fn forget(&self, container: IpAddr) {
        self.tcp.forget(container);
        self.gate.forget(container);
    }

    fn publish_udp(&self, socket: OwnedFd, container: SocketAddr) -> Result<Held> {
        Ok(Held::of(self.gate.publish(socket, container)?))
    }

    fn publish_tcp(&self, ports: Reserved, target: Target) -> Result<Held> {
        Ok(Held::of(ports.start(&self.relay, Arc::clone(&self.entry), target)?))
    }
}

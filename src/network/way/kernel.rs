//! The way whose TCP is the kernel's on both sides: the gate for first segments, UDP and echo, listeners in the gateway
//! for the rest, and sockets made there for who comes in.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use anyhow::{Context as _, Result};

use super::{For, Held, Way, settings};
use crate::network::gate::Gate;
use crate::network::gate::tcp::TcpGate;
use crate::network::gateway::Gateway;
use crate::network::publish::{Reserved, Sockets, Target};
use crate::network::relay::Relay;

/// A gate and its listeners.
pub(super) struct Kernel {
    tcp: TcpGate,
    gate: Gate,
    sockets: Arc<Sockets>,
    relay: Arc<Relay>,
}

impl Kernel {
    pub(super) fn open(gateway: &mut Gateway, what: For<'_>) -> Result<Self> {
        let device = gateway.take_device().context("the gateway has no device")?;
        let tcp = TcpGate::new(what.relay, what.egress.clone(), Arc::new(Arc::clone(&device)));
        for listener in gateway.take_listeners() {
            tcp.listen(listener, gateway.original())?;
        }
        let settings = settings(what.spec, gateway);
        let gate = Gate::start(device, settings, what.egress.clone(), Box::new(tcp.clone()))?;
        let sockets = Sockets::new(Arc::clone(gateway.inside()));
        Ok(Self { tcp, gate, sockets, relay: Arc::clone(what.relay) })
    }
}

impl Way for Kernel {
    fn forget(&self, container: IpAddr) {
        self.tcp.forget(container);
        self.gate.forget(container);
    }

    fn publish_udp(&self, socket: OwnedFd, container: SocketAddr) -> Result<Held> {
        Ok(Held::of(self.gate.publish(socket, container)?))
    }

    fn publish_tcp(&self, ports: Reserved, target: Target) -> Result<Held> {
        Ok(Held::of(ports.start(&self.relay, Arc::clone(&self.sockets) as _, target)?))
    }
}

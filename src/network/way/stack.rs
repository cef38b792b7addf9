//! The way whose TCP is this program's towards the containers ([`crate::network::stack`]).

use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use anyhow::{Context as _, Result};

use super::{For, Held, Way, settings};
use crate::network::gate::Gate;
use crate::network::gate::tcp::TcpGate;
use crate::network::gateway::Gateway;
use crate::network::publish::{Reserved, Target};
use crate::network::relay::Relay;
use crate::network::stack::{self, Desk};

/// A gate with a stack in it.
pub(super) struct Stack {
    tcp: TcpGate,
    gate: Gate,
    desk: Arc<Desk>,
    relay: Arc<Relay>,
}

impl Stack {
    pub(super) fn open(gateway: &mut Gateway, what: For<'_>) -> Result<Self> {
        let device = gateway.take_device().context("the gateway has no device")?;
        let settings = settings(what.spec, gateway);
        let stack = stack::Stack::new(Arc::clone(&device), settings.mtu, what.relay, what.egress.clone())?;
        let (tcp, desk) = (stack.gate().clone(), Arc::clone(stack.desk()));
        let gate = Gate::start(device, settings, what.egress.clone(), Box::new(stack))?;
        Ok(Self { tcp, gate, desk, relay: Arc::clone(what.relay) })
    }
}

impl Way for Stack {
    fn forget(&self, container: IpAddr) {
        self.tcp.forget(container);
        self.gate.forget(container);
    }

    fn publish_udp(&self, socket: OwnedFd, container: SocketAddr) -> Result<Held> {
        Ok(Held::of(self.gate.publish(socket, container)?))
    }

    fn publish_tcp(&self, ports: Reserved, target: Target) -> Result<Held> {
        Ok(Held::of(ports.start(&self.relay, Arc::clone(&self.desk) as _, target)?))
    }
}

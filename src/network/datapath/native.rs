//! The backends that dhow implements itself: the forwarder handles SYNs, UDP and ICMP echo; the rest of TCP
//! goes to the kernel's listeners in the gateway or, without the nf_tables rules for those, to a user-space
//! stack.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use anyhow::{Context as _, Result};

use super::{Datapath, DatapathContext, DropGuard, forwarder_settings};
use crate::forwarder::syn_interceptor::SynInterceptor;
use crate::forwarder::{ForwarderConfig, PacketForwarder};
use crate::gateway::Gateway;
use crate::publish::{ContainerDialer, GatewaySockets, PublishTarget, ReservedPorts};
use crate::relay::TcpRelay;
use crate::stack::TcpStack;

/// A forwarder, and the way to connect to containers.
pub(crate) struct NativeDatapath {
    interceptor: SynInterceptor,
    forwarder: PacketForwarder,
    dialer: Arc<dyn ContainerDialer>,
    relay: Arc<TcpRelay>,
}

impl NativeDatapath {
    /// Kernel TCP on both sides: listeners in the gateway, and sockets created there for clients of published
    /// ports.
    pub(crate) fn with_kernel_tcp(gateway: &mut Gateway, context: DatapathContext<'_>) -> Result<Self> {
        let device = gateway.take_device().context("the gateway has no device")?;
        let tcp = SynInterceptor::new(context.relay, context.egress.clone(), Arc::new(Arc::clone(&device)));
        // Before the forwarder runs: the SYNs that it sends back must find a listener.
        for listener in gateway.take_listeners() {
            tcp.listen(listener, gateway.original_dst())?;
        }
        let settings = forwarder_settings(context.spec, gateway, context.relay);
        let (policy, handler) = (context.egress.clone(), Box::new(tcp.clone()));
        let config = ForwarderConfig { device, settings, policy, tcp: handler };
        let forwarder = PacketForwarder::start_on_worker(config, context.relay)?;
        let dialer = GatewaySockets::new(Arc::clone(gateway.netns_thread()));
        Ok(Self { interceptor: tcp, forwarder, dialer, relay: Arc::clone(context.relay) })
    }

    /// User-space TCP towards the containers ([`crate::stack`]).
    pub(crate) fn with_user_stack(gateway: &mut Gateway, context: DatapathContext<'_>) -> Result<Self> {
        let device = gateway.take_device().context("the gateway has no device")?;
        let settings = forwarder_settings(context.spec, gateway, context.relay);
        let stack = TcpStack::new(Arc::clone(&device), settings.mtu, context.relay, context.egress.clone())?;
        let tcp = stack.interceptor().clone();
        let dialer: Arc<dyn ContainerDialer> = Arc::clone(stack.mailbox()) as _;
        let policy = context.egress.clone();
        let config = ForwarderConfig { device, settings, policy, tcp: Box::new(stack) };
        let forwarder = PacketForwarder::start_on_thread(config)?;
        Ok(Self { interceptor: tcp, forwarder, dialer, relay: Arc::clone(context.relay) })
    }
}

impl Datapath for NativeDatapath {
    fn forget(&self, container: IpAddr) {
        self.interceptor.forget(container);
        self.forwarder.forget(container);
    }

    fn publish_udp(&self, socket: OwnedFd, container: SocketAddr) -> Result<DropGuard> {
        Ok(DropGuard::new(self.forwarder.publish_udp(socket, container)?))
    }

    fn publish_tcp(&self, ports: ReservedPorts, target: PublishTarget) -> Result<DropGuard> {
        Ok(DropGuard::new(ports.publish(&self.relay, Arc::clone(&self.dialer), target)?))
    }
}

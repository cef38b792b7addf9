//! Published ports: container ports on the host's addresses.
//!
//! ```text
//!  reserve_ports()  binds in the host's netns, before anything starts: all ports, or an error with the port and the cause
//!  publish()        listens; for every client, creates a socket in the gateway with the client's own address and connects
//!                   it to the container, so that the server sees the client; or the user-space stack does the same
//! ```
//!
//! The host's kernel accepts a client before anybody can ask the container, as with any user-space forwarder:
//! if nobody listens inside, the client's connection is established and then reset.

mod dialer;
mod gateway_sockets;
mod holder;
mod reserve;
#[cfg(test)]
mod tests;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use ipnet::{Ipv4Net, Ipv6Net};
use rustix::net::sockopt;

use crate::relay::{AcceptHandler, QuotaPermit, RelayPair, TcpRelay, WorkerPool};
use dhow_model::network::PortProtocol;

pub(crate) use dialer::{ContainerDialer, PublishedClient};
pub(crate) use gateway_sockets::GatewaySockets;
pub use holder::port_holder;
pub use reserve::PortUnavailable;
pub(crate) use reserve::{BoundPort, ReservedPorts, reserve_ports};

/// Accept backlog; the kernel caps it at `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// The container behind published ports, on the network that they are published through.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PublishTarget {
    pub v4: Option<TargetSubnet<Ipv4Net, Ipv4Addr>>,
    pub v6: Option<TargetSubnet<Ipv6Net, Ipv6Addr>>,
}

/// A container's addresses in one subnet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TargetSubnet<N, A> {
    pub container: A,
    pub gateway: A,
    pub subnet: N,
}

/// Published TCP ports. Dropping this closes them and resets their connections.
#[derive(Debug)]
pub(crate) struct TcpPublication {
    pool: Arc<WorkerPool>,
    owner: u64,
    dialer: Arc<dyn ContainerDialer>,
    /// UDP ports that were not taken out; they only stay bound.
    _udp: Vec<BoundPort>,
}

#[derive(Debug)]
struct TcpPortListener {
    pool: Arc<WorkerPool>,
    owner: u64,
    dialer: Arc<dyn ContainerDialer>,
    target: PublishTarget,
    port: u16,
}

impl ReservedPorts {
    /// Listens on the TCP ports and connects their clients to `target` through `dialer`. UDP ports that were
    /// not taken out stay reserved.
    pub(crate) fn publish(
        self,
        relay: &TcpRelay,
        dialer: Arc<dyn ContainerDialer>,
        target: PublishTarget,
    ) -> io::Result<TcpPublication> {
        let pool = relay.pool();
        let (tcp, udp) = self
            .into_bindings()
            .into_iter()
            .partition::<Vec<_>, _>(|binding| binding.published.protocol == PortProtocol::Tcp);
        for binding in &tcp {
            listen(&binding.socket)?;
        }
        let publication = TcpPublication {
            pool: Arc::clone(pool),
            owner: pool.next_owner(),
            dialer: Arc::clone(&dialer),
            _udp: udp,
        };
        for BoundPort { published, socket } in tcp {
            let port = TcpPortListener {
                pool: Arc::clone(pool),
                owner: publication.owner,
                dialer: Arc::clone(&dialer),
                target: target.clone(),
                port: published.container,
            };
            pool.listen(socket, publication.owner, Arc::new(port));
        }
        Ok(publication)
    }
}

impl Drop for TcpPublication {
    fn drop(&mut self) {
        self.pool.close_owner(self.owner);
        self.dialer.reset_owner(self.owner);
    }
}

/// Starts to accept clients on a bound socket.
fn listen(socket: &OwnedFd) -> io::Result<()> {
    rustix::io::ioctl_fionbio(socket, true)?;
    // Accepted sockets inherit both options. Without SO_REUSEADDR, connections in TIME_WAIT would keep the
    // port from being published again.
    sockopt::set_socket_reuseaddr(socket, true)?;
    sockopt::set_tcp_nodelay(socket, true)?;
    Ok(rustix::net::listen(socket, BACKLOG)?)
}

impl PublishTarget {
    /// The source address to use for a client at `peer`, and the container's address; `None` if the container
    /// has neither family.
    fn client_route(&self, peer: SocketAddr) -> Option<(SocketAddr, IpAddr)> {
        let port = peer.port();
        match (peer.ip(), &self.v4, &self.v6) {
            (IpAddr::V4(ip), Some(target), _) => {
                // Answers to these would not come back through the gateway, so it stands in for the client.
                let hidden = ip.is_loopback()
                    || ip.is_unspecified()
                    || ip.is_link_local()
                    || target.subnet.contains(&ip);
                let from = if hidden { (target.gateway, 0) } else { (ip, port) };
                Some((from.into(), target.container.into()))
            }
            (IpAddr::V6(ip), _, Some(target)) => {
                let hidden = ip.is_loopback()
                    || ip.is_unspecified()
                    || ip.is_unicast_link_local()
                    || ip.to_ipv4_mapped().is_some()
                    || target.subnet.contains(&ip);
                let from = if hidden { (target.gateway, 0) } else { (ip, port) };
                Some((from.into(), target.container.into()))
            }
            // The container lacks the client's family, so it sees the gateway.
            (_, Some(target), _) => Some(((target.gateway, 0).into(), target.container.into())),
            (_, _, Some(target)) => Some(((target.gateway, 0).into(), target.container.into())),
            (_, None, None) => None,
        }
    }
}

impl AcceptHandler for TcpPortListener {
    fn accepted(&self, outside: OwnedFd, peer: SocketAddr) -> Option<RelayPair> {
        let permit = QuotaPermit::acquire(&[&self.pool.all]);
        let (permit, (from, container)) = permit.zip(self.target.client_route(peer))?;
        let to = SocketAddr::new(container, self.port);
        self.dialer.connect_client(PublishedClient { socket: outside, from, to, owner: self.owner, permit })
    }
}

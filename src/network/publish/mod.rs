//! Ports of containers on the host's addresses.
//!
//! ```text
//!  reserve()  binds in the host's netns, before anything starts: all of the ports or an error that says which and why
//!  start()    listens; for every client a socket is made in the gateway, with the client's own address, and connected
//!             to the container, so that its server sees who called; or the gateway's stack makes the connection
//! ```
//!
//! A client is accepted by the host's kernel before anybody can ask the container, as with any forwarder that is not the
//! kernel: where nobody listens inside, the client's connection is made and then reset.

mod entry;
mod holder;
mod reserve;
mod sockets;
#[cfg(test)]
mod tests;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use ipnet::{Ipv4Net, Ipv6Net};
use rustix::net::sockopt;

use crate::model::network::Protocol;
use crate::network::relay::{Accept, Crew, Pair, Permit, Relay};

pub(crate) use entry::{Client, Entry};
pub use holder::holder;
pub use reserve::{Binding, Reserved, Unavailable, reserve};
pub use sockets::Sockets;

/// Connections that may wait at a port to be accepted; the kernel cuts it to `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// The container that ports lead to, on the network that they are published through.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Target {
    /// Its place among the IPv4 addresses.
    pub v4: Option<Place<Ipv4Net, Ipv4Addr>>,
    /// Its place among the IPv6 addresses.
    pub v6: Option<Place<Ipv6Net, Ipv6Addr>>,
}

/// A place in a subnet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<N, A> {
    /// The container's address.
    pub container: A,
    /// The gateway's address.
    pub gateway: A,
    /// The subnet of both.
    pub subnet: N,
}

/// Published ports. Dropping this closes them and resets their connections.
#[derive(Debug)]
pub struct Running {
    crew: Arc<Crew>,
    owner: u64,
    entry: Arc<dyn Entry>,
    /// Ports that are held for somebody else.
    _held: Vec<Binding>,
}

/// One port.
#[derive(Debug)]
struct Port {
    crew: Arc<Crew>,
    owner: u64,
    entry: Arc<dyn Entry>,
    target: Target,
    port: u16,
}

impl Reserved {
    /// Listens at the TCP ports, and leads those who come to `target`, by `entry`.
    /// Ports of UDP that have not been taken out stay reserved.
    pub(crate) fn start(self, relay: &Relay, entry: Arc<dyn Entry>, target: Target) -> io::Result<Running> {
        let crew = relay.crew();
        let (tcp, held) = self
            .into_bindings()
            .into_iter()
            .partition::<Vec<_>, _>(|binding| binding.published.protocol == Protocol::Tcp);
        for binding in &tcp {
            listen(&binding.socket)?;
        }
        let running =
            Running { crew: Arc::clone(crew), owner: crew.owner(), entry: Arc::clone(&entry), _held: held };
        for Binding { published, socket } in tcp {
            let port = Port {
                crew: Arc::clone(crew),
                owner: running.owner,
                entry: Arc::clone(&entry),
                target: target.clone(),
                port: published.container,
            };
            crew.listen(socket, running.owner, Arc::new(port));
        }
        Ok(running)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.crew.dismiss(self.owner);
        self.entry.dismiss(self.owner);
    }
}

/// Lets clients come to a bound socket.
fn listen(socket: &OwnedFd) -> io::Result<()> {
    rustix::io::ioctl_fionbio(socket, true)?;
    // Accepted sockets take both over. Without the first, connections that are not quite over yet would keep the port
    // from being published again.
    sockopt::set_socket_reuseaddr(socket, true)?;
    sockopt::set_tcp_nodelay(socket, true)?;
    Ok(rustix::net::listen(socket, BACKLOG)?)
}

impl Target {
    /// From which address to which a client at `peer` is led; `None` where the container has no address at all.
    fn route(&self, peer: SocketAddr) -> Option<(SocketAddr, IpAddr)> {
        let port = peer.port();
        match (peer.ip(), &self.v4, &self.v6) {
            (IpAddr::V4(ip), Some(place), _) => {
                let hidden = ip.is_loopback()
                    || ip.is_unspecified()
                    || ip.is_link_local()
                    || place.subnet.contains(&ip);
                let from = if hidden { (place.gateway, 0) } else { (ip, port) };
                Some((from.into(), place.container.into()))
            }
            (IpAddr::V6(ip), _, Some(place)) => {
                let hidden = ip.is_loopback()
                    || ip.is_unspecified()
                    || ip.is_unicast_link_local()
                    || ip.to_ipv4_mapped().is_some()
                    || place.subnet.contains(&ip);
                let from = if hidden { (place.gateway, 0) } else { (ip, port) };
                Some((from.into(), place.container.into()))
            }
            // The container knows nothing of the client's family: it sees the gateway.
            (_, Some(place), _) => Some(((place.gateway, 0).into(), place.container.into())),
            (_, _, Some(place)) => Some(((place.gateway, 0).into(), place.container.into())),
            (_, None, None) => None,
        }
    }
}

impl Accept for Port {
    fn accepted(&self, outside: OwnedFd, peer: SocketAddr) -> Option<Pair> {
        let permit = Permit::of(&[&self.crew.all]);
        let (permit, (from, container)) = permit.zip(self.target.route(peer))?;
        let to = SocketAddr::new(container, self.port);
        self.entry.admit(Client { socket: outside, from, to, owner: self.owner, permit })
    }
}

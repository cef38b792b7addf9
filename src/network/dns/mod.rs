//! The name service of containers: they ask 127.0.0.11, and are answered from here.
//!
//! For each container on a network there are sockets that were made in its own network namespace, so the asker is known
//! by the socket that its question came to. One thread in the host's namespace serves them all ([`server`]):
//!
//! - names of containers on networks that the asker is on too are answered at once ([`names`], [`answer`]);
//! - everything else goes, byte for byte but for its number, to the host's resolvers ([`host`], [`flight`]) from the
//!   host's namespace, so that one on the host's loopback works; or, with `--dns`, to those servers from the container's
//!   namespace, unless a network of its restricts where it may go, when it is asked from the host's: an answer that
//!   allows a connection must not be one that the container can forge;
//! - a container that has only internal networks is told SERVFAIL, as by docker: its questions would be a way out.
//!
//! Each question that is forwarded has a socket, thus a port, and a number of its own, both random, until it is
//! answered. What one container may have under way is capped, as is the sum.

pub mod answer;
mod client;
mod flight;
pub mod host;
pub mod message;
pub mod names;
mod server;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

use rustix::event::{EventfdFlags, eventfd};
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};

use self::host::Resolvers;
use self::server::{Order, Server};
use super::egress::Egress;
use super::egress::log::Log;
use crate::model::network::{Endpoint, NetworkSpec};

/// Where containers find their name server, as docker's do.
pub const ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 11);
/// The port of name servers.
pub const PORT: u16 = 53;
/// The thread's stack in bytes.
const STACK: usize = 256 << 10;
/// Connections that may wait to be accepted.
const BACKLOG: i32 = 64;

/// The server's settings.
#[derive(Clone, Debug)]
pub struct Config {
    /// Names the host's resolvers: `/etc/resolv.conf`.
    pub resolv_conf: PathBuf,
    /// Their port: [`PORT`].
    pub port: u16,
}

/// The server. Dropping it ends its thread.
#[derive(Debug)]
pub struct Dns {
    orders: Orders,
    keys: AtomicU64,
    thread: Option<JoinHandle<()>>,
}

/// How the server's thread is told.
#[derive(Clone, Debug)]
struct Orders {
    queue: Sender<Order>,
    wake: Arc<OwnedFd>,
}

/// A container that may ask.
#[derive(Clone, Debug, Default)]
pub struct Asker {
    /// 64 hexadecimal digits.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its host name, if one was asked for.
    pub hostname: Option<String>,
    /// The networks that it is on, in the order in which names are looked up.
    pub memberships: Vec<Membership>,
    /// Servers of its own (`--dns`); the host's where `None`.
    pub upstream: Option<Upstream>,
    /// Whether it has `--dns-opt ndots:N` with N above 0: a name of one label is then meant to be tried with the search
    /// list first, and is not forwarded, as by docker.
    pub ndots_set: bool,
    /// Where to write what it asks for.
    pub log: Option<Arc<Log>>,
}

/// A container's place on one network.
#[derive(Clone, Debug)]
pub struct Membership {
    /// Its addresses and names there.
    pub endpoint: Endpoint,
    /// The network.
    pub network: Arc<NetworkSpec>,
    /// What is to be told which addresses its containers were given for which name.
    pub egress: Option<Arc<Egress>>,
}

/// Servers that a container asked for.
#[derive(Clone)]
pub struct Upstream {
    /// Their addresses, in order.
    pub servers: Vec<IpAddr>,
    /// Makes sockets in the container's network namespace. It is called on the server's thread and must not wait for long.
    pub sockets: MakeSocket,
}

/// Makes a socket that does not block and that exec closes.
pub type MakeSocket = Arc<dyn Fn(AddressFamily, SocketType) -> io::Result<OwnedFd> + Send + Sync>;

impl fmt::Debug for Upstream {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Upstream").field("servers", &self.servers).finish_non_exhaustive()
    }
}

/// Where a container's questions arrive.
#[derive(Debug)]
pub struct Sockets {
    /// Takes datagrams.
    pub udp: OwnedFd,
    /// Takes connections.
    pub tcp: OwnedFd,
}

/// A socket for [`MakeSocket`], in the network namespace of the calling thread.
pub fn socket(family: AddressFamily, kind: SocketType) -> io::Result<OwnedFd> {
    Ok(rustix::net::socket_with(family, kind, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?)
}

impl Sockets {
    /// Sockets at [`ADDRESS`] in the network namespace of the calling thread, whether or not its loopback interface is
    /// up; on `port`, or with 0 on one that is free with both protocols.
    pub fn here(port: u16) -> io::Result<Self> {
        Self::at((ADDRESS, port).into())
    }

    fn at(address: SocketAddr) -> io::Result<Self> {
        // A port that is free with one protocol may be taken with the other.
        let mut attempts = if address.port() == 0 { 16 } else { 1 };
        loop {
            attempts -= 1;
            match Self::try_at(address) {
                Err(error) if attempts > 0 && error.kind() == io::ErrorKind::AddrInUse => {}
                result => return result,
            }
        }
    }

    fn try_at(address: SocketAddr) -> io::Result<Self> {
        let tcp = socket(AddressFamily::INET, SocketType::STREAM)?;
        sockopt::set_socket_reuseaddr(&tcp, true)?;
        sockopt::set_ip_freebind(&tcp, true)?;
        rustix::net::bind(&tcp, &address)?;
        let udp = socket(AddressFamily::INET, SocketType::DGRAM)?;
        sockopt::set_ip_freebind(&udp, true)?;
        let port = local(&tcp)?.port();
        rustix::net::bind(&udp, &SocketAddr::new(address.ip(), port))?;
        rustix::net::listen(&tcp, BACKLOG)?;
        Ok(Self { udp, tcp })
    }

    /// The port of both.
    pub fn port(&self) -> io::Result<u16> {
        Ok(local(&self.udp)?.port())
    }
}

fn local(socket: &OwnedFd) -> io::Result<SocketAddr> {
    Ok(rustix::net::getsockname(socket)?.try_into()?)
}

impl Dns {
    /// Starts the server in the calling thread's network namespace, the host's.
    pub fn start(config: Config) -> io::Result<Self> {
        let wake = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        let (queue, orders) = channel();
        let server = Server::new(
            Resolvers::new(config.resolv_conf, config.port),
            Arc::clone(&wake),
            orders,
            config.port,
        )?;
        let thread =
            std::thread::Builder::new().name("dns".into()).stack_size(STACK).spawn(move || server.run())?;
        Ok(Self { orders: Orders { queue, wake }, keys: AtomicU64::new(0), thread: Some(thread) })
    }

    /// Serves a container at `sockets` from now on.
    pub fn add(&self, asker: Asker, sockets: Sockets) -> io::Result<Handle> {
        let key = self.keys.fetch_add(1, Ordering::Relaxed);
        let gone = || io::Error::other("the name server has ended");
        self.orders.send(Order::Add(key, Arc::new(asker), sockets)).ok_or_else(gone)?;
        Ok(Handle { key, orders: self.orders.clone() })
    }
}

impl Drop for Dns {
    fn drop(&mut self) {
        let _ = self.orders.send(Order::End);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Orders {
    /// An order is carried out before any question that comes after it. `None` where the thread is gone.
    fn send(&self, order: Order) -> Option<()> {
        self.queue.send(order).ok()?;
        // It fails only where the counter is full, and then the thread will wake.
        let _ = rustix::io::write(self.wake.as_fd(), &1_u64.to_ne_bytes());
        Some(())
    }
}

/// A container that is served. Dropping it closes its sockets, and its names are gone.
#[derive(Debug)]
pub struct Handle {
    key: u64,
    orders: Orders,
}

impl Handle {
    /// Another name, other networks: in force with the next question.
    pub fn update(&self, asker: Asker) {
        let _ = self.orders.send(Order::Update(self.key, Arc::new(asker)));
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let _ = self.orders.send(Order::Remove(self.key));
    }
}

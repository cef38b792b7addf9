//! The containers' name service at 127.0.0.11.
//!
//! Each container on a network has sockets that were created in its own network namespace, so the socket on
//! which a query arrives identifies the client. One thread in the host's namespace serves all of them
//! (`server`).
//!
//! # Who answers
//!
//! - Names of containers on networks that the client is on, too, are answered at once (`names`,
//!   `answer`).
//! - Everything else is forwarded unchanged, except for its ID, to the host's resolvers (`resolv_conf`,
//!   `forward`). They are asked from the host's namespace, so a resolver on the host's loopback works.
//! - With `--dns`, those servers are asked from the container's namespace. If one of its networks has egress
//!   rules, they are asked from the host's instead: an answer that allows a connection must not be one that
//!   the container can forge.
//! - A container with only internal networks gets SERVFAIL, as with docker: queries would be a way out.
//!
//! # Invariants
//!
//! Each forwarded query has a socket (hence a port) and an ID of its own until it is answered, both random,
//! against forged answers. The number of pending queries is capped per container and in total.

pub(crate) mod answer;
mod forward;
pub(crate) mod names;
pub(crate) mod resolv_conf;
mod server;
mod state;
mod tcp;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use rustix::net::{SocketType, sockopt};

use self::resolv_conf::HostResolvers;
use self::state::{DnsCommand, DnsServer};
use super::egress::EgressPolicy;
use super::egress::log::EgressLog;
use super::socket::open_socket;
use super::wake::{CommandSender, command_channel};
use dhow_model::network::{NetworkEndpoint, NetworkSpec};

/// The name server's address for containers, as with docker.
pub const ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 11);
/// The DNS port.
pub const PORT: u16 = 53;
/// Stack size of the thread, in bytes.
const STACK: usize = 256 << 10;
/// Accept backlog.
const BACKLOG: i32 = 64;

/// The settings of the name service.
#[derive(Clone, Debug)]
pub(crate) struct DnsConfig {
    /// The file that lists the host's resolvers: `/etc/resolv.conf`.
    pub resolv_conf: PathBuf,
    /// The port of all resolvers: [`PORT`].
    pub port: u16,
}

/// The name service. Dropping it ends its thread.
#[derive(Debug)]
pub(crate) struct DnsService {
    commands: CommandSender<DnsCommand>,
    keys: AtomicU64,
    thread: Option<JoinHandle<()>>,
}

/// A container that may send queries.
#[derive(Clone, Debug, Default)]
pub(crate) struct DnsClient {
    /// 64 hexadecimal digits.
    pub id: String,
    pub name: String,
    /// Its host name, if one was requested.
    pub hostname: Option<String>,
    /// Its networks, in look-up order.
    pub memberships: Vec<DnsMembership>,
    /// Its `--dns` servers; the host's resolvers if `None`.
    pub upstream: Option<CustomUpstream>,
    /// Whether `--dns-opt ndots:N` with N > 0 is set. Its resolver then tries a single label with the search
    /// list first, so it is not forwarded, as with docker.
    pub ndots_set: bool,
    /// Its egress log, if it has one.
    pub log: Option<Arc<EgressLog>>,
}

/// A container's membership in one network.
#[derive(Clone, Debug)]
pub(crate) struct DnsMembership {
    /// Its addresses and names there.
    pub endpoint: NetworkEndpoint,
    pub network: Arc<NetworkSpec>,
    /// Learns the addresses that were answered for a name.
    pub egress: Option<Arc<EgressPolicy>>,
}

/// The `--dns` servers of a container.
#[derive(Clone)]
pub(crate) struct CustomUpstream {
    /// In the order of use.
    pub servers: Vec<IpAddr>,
    /// Creates sockets in the container's network namespace. Called on the server's thread, so it must be
    /// quick.
    pub sockets: SocketFactory,
}

/// Creates a socket like [`open_socket`]; the first argument is whether it is for IPv6.
pub(crate) type SocketFactory = Arc<dyn Fn(bool, SocketType) -> io::Result<OwnedFd> + Send + Sync>;

impl fmt::Debug for CustomUpstream {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("CustomUpstream").field("servers", &self.servers).finish_non_exhaustive()
    }
}

/// The sockets on which a container's queries arrive.
#[derive(Debug)]
pub(crate) struct DnsSockets {
    pub udp: OwnedFd,
    pub tcp: OwnedFd,
}

impl DnsSockets {
    /// Sockets at [`ADDRESS`] in the network namespace of the calling thread, even if its loopback interface
    /// is down (IP_FREEBIND). With `port` 0, on a port that is free for both protocols.
    pub(crate) fn here(port: u16) -> io::Result<Self> {
        Self::at((ADDRESS, port).into())
    }

    fn at(address: SocketAddr) -> io::Result<Self> {
        // A port that is free for TCP may be taken for UDP.
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
        let tcp = open_socket(false, SocketType::STREAM, None)?;
        // Old connections in TIME_WAIT must not keep the port.
        sockopt::set_socket_reuseaddr(&tcp, true)?;
        sockopt::set_ip_freebind(&tcp, true)?;
        rustix::net::bind(&tcp, &address)?;
        // Without SO_REUSEADDR, by which another socket could get the port's datagrams.
        let udp = open_socket(false, SocketType::DGRAM, None)?;
        sockopt::set_ip_freebind(&udp, true)?;
        let port = local(&tcp)?.port();
        rustix::net::bind(&udp, &SocketAddr::new(address.ip(), port))?;
        rustix::net::listen(&tcp, BACKLOG)?;
        Ok(Self { udp, tcp })
    }

    /// The common port.
    pub(crate) fn port(&self) -> io::Result<u16> {
        Ok(local(&self.udp)?.port())
    }
}

fn local(socket: &OwnedFd) -> io::Result<SocketAddr> {
    Ok(rustix::net::getsockname(socket)?.try_into()?)
}

impl DnsService {
    /// Starts the server in the calling thread's network namespace, which must be the host's.
    pub(crate) fn start(config: DnsConfig) -> io::Result<Self> {
        let (commands, receiver) = command_channel()?;
        let resolvers = HostResolvers::new(config.resolv_conf, config.port);
        let server = DnsServer::new(resolvers, receiver, config.port)?;
        let thread =
            std::thread::Builder::new().name("dns".into()).stack_size(STACK).spawn(move || server.run())?;
        Ok(Self { commands, keys: AtomicU64::new(0), thread: Some(thread) })
    }

    /// Serves a container at `sockets` from now on.
    pub(crate) fn add(&self, client: DnsClient, sockets: DnsSockets) -> io::Result<DnsClientHandle> {
        let key = self.keys.fetch_add(1, Ordering::Relaxed);
        let gone = || io::Error::other("the name server has ended");
        self.commands.send(DnsCommand::Add(key, Arc::new(client), sockets)).ok_or_else(gone)?;
        Ok(DnsClientHandle { key, commands: self.commands.clone() })
    }
}

impl Drop for DnsService {
    fn drop(&mut self) {
        let _ = self.commands.send(DnsCommand::End);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A container that is served. Dropping this closes its sockets and removes its names.
#[derive(Debug)]
pub(crate) struct DnsClientHandle {
    key: u64,
    commands: CommandSender<DnsCommand>,
}

impl DnsClientHandle {
    /// Changes its name or networks, from the next query on.
    pub(crate) fn update(&self, client: DnsClient) {
        let _ = self.commands.send(DnsCommand::Update(self.key, Arc::new(client)));
    }
}

impl Drop for DnsClientHandle {
    fn drop(&mut self) {
        let _ = self.commands.send(DnsCommand::Remove(self.key));
    }
}

//! Connects clients to containers with the kernel's TCP: transparent sockets of a gateway, which may be bound
//! to any address. Its thread creates some in advance.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use rustix::io::Errno;
use rustix::net::{SocketType, sockopt};

use super::{ContainerDialer, PublishedClient};
use crate::netns::NetnsThread;
use crate::relay::RelayPair;
use crate::socket::{open_socket, reset_on_close};
use crate::sync::lock;

/// Sockets of a family kept ready once there has been a client, and the number below which more are created.
const POOL_SIZE: usize = 32;
const REFILL_BELOW: usize = 16;

/// The sockets of one gateway, for both families.
#[derive(Debug)]
pub(crate) struct GatewaySockets {
    netns_thread: Arc<NetnsThread>,
    pools: [Arc<SocketPool>; 2],
}

#[derive(Debug, Default)]
struct SocketPool {
    v6: bool,
    idle: Mutex<Vec<OwnedFd>>,
    /// A refill is under way.
    refill_pending: AtomicBool,
}

impl GatewaySockets {
    /// Sockets of the gateway that `netns_thread` runs in, with CAP_NET_ADMIN over it. The first one is
    /// created on demand.
    pub(crate) fn new(netns_thread: Arc<NetnsThread>) -> Arc<Self> {
        let pool = |v6| Arc::new(SocketPool { v6, ..SocketPool::default() });
        Arc::new(Self { netns_thread, pools: [pool(false), pool(true)] })
    }

    /// A non-blocking unbound socket.
    pub(super) fn take_socket(&self, v6: bool) -> io::Result<OwnedFd> {
        let [v4, pool6] = &self.pools;
        let pool = if v6 { pool6 } else { v4 };
        let (socket, left) = {
            let mut idle = lock(&pool.idle);
            (idle.pop(), idle.len())
        };
        if left < REFILL_BELOW && !pool.refill_pending.swap(true, Ordering::AcqRel) {
            let pool = Arc::clone(pool);
            self.netns_thread.post(move || pool.fill());
        }
        match socket {
            Some(socket) => Ok(socket),
            None => self.netns_thread.call(move || create_transparent(v6))?,
        }
    }
}

impl GatewaySockets {
    fn connect(&self, from: SocketAddr, to: SocketAddr) -> io::Result<OwnedFd> {
        let attempt = |from: SocketAddr| -> io::Result<OwnedFd> {
            let socket = self.take_socket(from.is_ipv6())?;
            rustix::net::bind(&socket, &from)?;
            match rustix::net::connect(&socket, &to) {
                Ok(()) | Err(Errno::INPROGRESS) => Ok(socket),
                Err(error) => Err(error.into()),
            }
        };
        match attempt(from) {
            // The gateway still remembers the client's last connection from this port.
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && from.port() != 0 => {
                attempt(SocketAddr::new(from.ip(), 0))
            }
            Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable && from.port() != 0 => {
                attempt(SocketAddr::new(from.ip(), 0))
            }
            other => other,
        }
    }
}

impl ContainerDialer for GatewaySockets {
    fn connect_client(&self, client: PublishedClient) -> Option<RelayPair> {
        let PublishedClient { socket: outside, from, to, owner, permit } = client;
        let inside = self.connect(from, to).ok()?;
        Some(RelayPair { inside, outside, connecting: true, container: to.ip(), owner, permit })
    }
}

impl SocketPool {
    fn fill(&self) {
        // Cleared first: sockets taken from here on need a refill of their own.
        self.refill_pending.store(false, Ordering::Release);
        let missing = POOL_SIZE.saturating_sub(lock(&self.idle).len());
        // If descriptors are short, whoever needs a socket gets the error when it asks for one.
        let created: Vec<_> = (0..missing).map_while(|_| create_transparent(self.v6).ok()).collect();
        lock(&self.idle).extend(created);
    }
}

fn create_transparent(v6: bool) -> io::Result<OwnedFd> {
    let socket = open_socket(v6, SocketType::STREAM, None)?;
    dhow_sys::transparent_socket::allow_any_address(socket.as_fd(), v6)?;
    // A client may connect to several published ports from the same source port.
    sockopt::set_socket_reuseaddr(&socket, true)?;
    sockopt::set_tcp_nodelay(&socket, true)?;
    reset_on_close(&socket);
    dhow_sys::transparent_socket::choose_port_late(socket.as_fd())?;
    Ok(socket)
}

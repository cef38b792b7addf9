//! Connects clients to containers with the kernel's TCP: transparent sockets of a gateway, which may be bound
//! to any address. Its thread creates some in advance.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};

use super::{Client, Entry};
use crate::network::inside::Inside;
use crate::network::relay::{Pair, lock, reset_on_close};

/// Sockets of a family kept ready once there has been a client, and the number below which more are created.
const KEPT: usize = 32;
const FEW: usize = 16;

/// The sockets of one gateway, for both families.
#[derive(Debug)]
pub struct Sockets {
    inside: Arc<Inside>,
    pools: [Arc<Pool>; 2],
}

#[derive(Debug, Default)]
struct Pool {
    v6: bool,
    idle: Mutex<Vec<OwnedFd>>,
    /// A refill is under way.
    ordered: AtomicBool,
}

impl Sockets {
    /// Sockets of the gateway that `inside` runs in, with CAP_NET_ADMIN over it. The first one is created on
    /// demand.
    pub fn new(inside: Arc<Inside>) -> Arc<Self> {
        let pool = |v6| Arc::new(Pool { v6, ..Pool::default() });
        Arc::new(Self { inside, pools: [pool(false), pool(true)] })
    }

    /// A non-blocking unbound socket.
    pub(super) fn take(&self, v6: bool) -> io::Result<OwnedFd> {
        let [v4, pool6] = &self.pools;
        let pool = if v6 { pool6 } else { v4 };
        let (socket, left) = {
            let mut idle = lock(&pool.idle);
            (idle.pop(), idle.len())
        };
        if left < FEW && !pool.ordered.swap(true, Ordering::AcqRel) {
            let pool = Arc::clone(pool);
            self.inside.tell(move || pool.fill());
        }
        match socket {
            Some(socket) => Ok(socket),
            None => self.inside.call(move || make(v6))?,
        }
    }
}

impl Sockets {
    fn connect(&self, from: SocketAddr, to: SocketAddr) -> io::Result<OwnedFd> {
        let attempt = |from: SocketAddr| -> io::Result<OwnedFd> {
            let socket = self.take(from.is_ipv6())?;
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

impl Entry for Sockets {
    fn admit(&self, client: Client) -> Option<Pair> {
        let Client { socket: outside, from, to, owner, permit } = client;
        let inside = self.connect(from, to).ok()?;
        Some(Pair { inside, outside, connecting: true, container: to.ip(), owner, permit })
    }
}

impl Pool {
    fn fill(&self) {
        // Cleared first: sockets taken from here on need a refill of their own.
        self.ordered.store(false, Ordering::Release);
        let missing = KEPT.saturating_sub(lock(&self.idle).len());
        // If descriptors are short, whoever needs a socket gets the error when it asks for one.
        let made: Vec<_> = (0..missing).map_while(|_| make(self.v6).ok()).collect();
        lock(&self.idle).extend(made);
    }
}

fn make(v6: bool) -> io::Result<OwnedFd> {
    let family = if v6 { AddressFamily::INET6 } else { AddressFamily::INET };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
    crate::sys::transparent::set(socket.as_fd(), v6)?;
    // A client may connect to several published ports from the same source port.
    sockopt::set_socket_reuseaddr(&socket, true)?;
    sockopt::set_tcp_nodelay(&socket, true)?;
    reset_on_close(&socket);
    crate::sys::transparent::choose_port_late(socket.as_fd())?;
    Ok(socket)
}

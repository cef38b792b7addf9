//! The SYN gate: a connection of a container is made on the host's side first, so that it succeeds, is refused or gets
//! nowhere exactly as and when the host's own would.
//!
//! ```text
//!  container          gateway                         helper, in the host's netns
//!  connect() ─ SYN ─▶ tun ───────────────────────────▶ syn(): policy, then connect() to the destination
//!                                                        refused: RST ◀─┤   unreachable: ICMP ◀─┤   silence: silence
//!            ◀ SYN,ACK ─ transparent listener ◀─ the same SYN ◀─────────┘ connected: parked
//!                         └──── accept ──────────────▶ take the parked one, relay
//! ```
//!
//! When the same SYN comes back out of the device, the gateway's rules hand it to the transparent listener, whose
//! accepted socket has the container's destination for its own address.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::{Arc, Weak};
use std::time::Instant;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};

use super::waiting::{Addresses, Dialed, Known, Waiting};
use super::{PacketOut, Part};
use crate::network::packet::{Packet, icmp, tcp};
use crate::network::policy::{Flow, Kind, Policy, Verdict};
use crate::network::relay::{Accept, Chore, Crew, Dial, Pair, Permit, Relay, reset_on_close};

/// The longest first packet in bytes: headers with all their options. One that carries data (TCP Fast Open) is sent
/// again without.
const MAX_SYN: usize = 160;
/// Connections that may wait at the listener to be accepted; the kernel cuts it to `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// Where an accepted socket says which destination the container meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Original {
    /// It is its own address: the gateway's rules used `tproxy`.
    Name,
    /// The gateway's connection tracking knows it: the rules used `redirect`.
    Redirected,
}

/// The gate of one gateway. When the last copy is dropped, its listeners are closed and its connections reset.
#[derive(Clone, Debug)]
pub struct TcpGate(Arc<Guard>);

#[derive(Debug)]
struct Guard(Arc<Shared>);

struct Shared {
    crew: Arc<Crew>,
    policy: Arc<dyn Policy>,
    out: Arc<dyn PacketOut>,
    waiting: Waiting,
    owner: u64,
    /// Itself, for those who are to call back.
    this: Weak<Shared>,
}

/// A listener and how to ask its connections for their destination.
#[derive(Debug)]
struct Door {
    gate: Arc<Shared>,
    original: Original,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("owner", &self.owner).finish_non_exhaustive()
    }
}

/// A transparent listener for [`TcpGate::listen`], to be made in the gateway's namespace with CAP_NET_ADMIN over it:
/// connections to any address are its own where the rules send them here (ip(7), `IP_TRANSPARENT`).
pub fn listener(at: SocketAddr) -> io::Result<OwnedFd> {
    let family = if at.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    crate::sys::transparent::set(socket.as_fd(), at.is_ipv6())?;
    if at.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    rustix::net::bind(&socket, &at)?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(socket)
}

impl TcpGate {
    /// A gate whose packets go back through `out`, and which `policy` decides for.
    pub fn new(relay: &Relay, policy: Arc<dyn Policy>, out: Arc<dyn PacketOut>) -> Self {
        let crew = Arc::clone(relay.crew());
        let shared = Arc::new_cyclic(|this| Shared {
            policy,
            out,
            waiting: Waiting::new(crew.limits, Arc::clone(&crew.all)),
            owner: crew.owner(),
            this: Weak::clone(this),
            crew,
        });
        let chore: Weak<Shared> = Arc::downgrade(&shared);
        shared.crew.add_chore(chore);
        Self(Arc::new(Guard(shared)))
    }

    /// Takes the connections that the gateway's rules send to `socket`, which listens in the gateway; one for each family.
    pub fn listen(&self, socket: OwnedFd, original: Original) -> io::Result<()> {
        rustix::io::ioctl_fionbio(&socket, true)?;
        // The accepted ones have it from here.
        sockopt::set_tcp_nodelay(&socket, true)?;
        let gate = Arc::clone(&self.0.0);
        gate.crew.listen(socket, gate.owner, Arc::new(Door { gate: Arc::clone(&gate), original }));
        Ok(())
    }

    /// Deals with the first packet of a connection; anything else is left alone.
    pub fn syn(&self, packet: &Packet<'_>) {
        self.0.0.syn(packet);
    }

    /// The socket of the host that is connected for `source` to `target`, once, after the SYN has been sent back; for
    /// those who answer it without a listener.
    pub fn take(&self, source: SocketAddr, target: SocketAddr) -> Option<(OwnedFd, Permit)> {
        self.0.0.waiting.take((plain(source), plain(target)))
    }

    /// Lets go of all that a container has under way, and resets its connections through this gateway.
    pub fn forget(&self, container: IpAddr) {
        self.0.0.waiting.forget(container);
        self.0.0.crew.forget(self.0.0.owner, container);
    }
}

impl Part for TcpGate {
    fn packet(&mut self, packet: &Packet<'_>, _out: &dyn PacketOut) {
        self.syn(packet);
    }

    fn forget(&mut self, container: IpAddr) {
        TcpGate::forget(self, container);
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.crew.dismiss(self.0.owner);
        self.0.waiting.clear();
    }
}

impl Shared {
    fn syn(&self, packet: &Packet<'_>) {
        let Some(segment) = packet.tcp().filter(tcp::Segment::is_first) else { return };
        let target = SocketAddr::new(packet.target, segment.target);
        let addresses = (SocketAddr::new(packet.source, segment.source), target);
        if packet.bytes.len() > MAX_SYN || is_nowhere(packet.target) || is_nowhere(packet.source) {
            return;
        }
        match self.waiting.look_up(addresses, packet.bytes) {
            Known::No => {}
            Known::Dialing => return,
            Known::Parked => return self.out.packet(packet.bytes),
        }
        let flow = flow(addresses);
        let to = match self.policy.judge(&flow) {
            // A name for an address of the other family is one that checks may not know.
            Verdict::Pass(to) if !to.ip().is_unspecified() && !is_mapped(to.ip()) => to,
            _ => return self.failed(&flow, packet, Errno::CONNREFUSED),
        };
        if !self.waiting.begin(addresses, packet.bytes, Instant::now()) {
            return;
        }
        self.crew.expect();
        if let Err(error) = self.dial(addresses, to, packet.bytes) {
            self.waiting.remove(addresses);
            self.failed(&flow, packet, error);
        }
    }

    fn dial(&self, addresses: Addresses, to: SocketAddr, syn: &[u8]) -> Result<(), Errno> {
        let family = if to.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
        reset_on_close(&socket);
        match rustix::net::connect(&socket, &to) {
            Ok(()) => self.at_once(addresses, socket, syn),
            // A neighbour in the same machine has answered before the call returned, which says otherwise all the same.
            Err(Errno::INPROGRESS) if rustix::net::getpeername(&socket).is_ok() => {
                self.at_once(addresses, socket, syn)
            }
            Err(Errno::INPROGRESS) => {
                // What came back while the call had the socket locked, as from a neighbour in the same machine, is only
                // noted there (`sk_err_soft`), and would be acted upon when the first packet is sent again, a second later.
                sockopt::socket_error(&socket)??;
                let watch = |socket: &OwnedFd| {
                    let this = self.this.upgrade().ok_or(io::ErrorKind::NotConnected)?;
                    self.crew.await_dial(socket.as_fd(), this, addresses)
                };
                // Without memory for that it is as with any other resource: silence, and the container tries again.
                self.waiting.dialing(addresses, socket, watch).map_err(|_| Errno::NOMEM)
            }
            Err(error) => Err(error),
        }
    }

    fn at_once(&self, addresses: Addresses, socket: OwnedFd, syn: &[u8]) -> Result<(), Errno> {
        self.waiting.park(addresses, socket);
        self.connected(addresses, syn);
        Ok(())
    }

    fn connected(&self, addresses: Addresses, syn: &[u8]) {
        self.policy.note(&flow(addresses), Ok(()));
        self.out.packet(syn);
    }

    /// Tells the container what the host's kernel said.
    fn failed(&self, flow: &Flow, packet: &Packet<'_>, error: Errno) {
        let said = io::Error::from(error);
        self.policy.note(flow, Err(&said));
        let answer = match error {
            Errno::CONNREFUSED | Errno::CONNRESET => tcp::reset(packet),
            // What the host's own connect() would still wait for, and what is short for now: the container tries again.
            Errno::TIMEDOUT | Errno::AGAIN | Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM => {
                None
            }
            _ => {
                let why = icmp::Error::of(&said).unwrap_or(icmp::Error::Net);
                icmp::error(packet, why, packet.target)
            }
        };
        if let Some(answer) = answer {
            self.out.packet(&answer);
        }
    }
}

impl Dial for Shared {
    fn dialed(&self, addresses: Addresses) {
        match self.waiting.dialed(addresses, Instant::now()) {
            Some(Dialed::Connected(syn)) => self.connected(addresses, &syn),
            Some(Dialed::Failed(syn, error)) => {
                if let Ok(packet) = Packet::parse(&syn) {
                    self.failed(&flow(addresses), &packet, error);
                }
            }
            // It was forgotten meanwhile.
            None => {}
        }
    }
}

impl Chore for Shared {
    fn expire(&self, now: Instant) -> bool {
        self.waiting.expire(now)
    }
}

impl Accept for Door {
    fn accepted(&self, inside: OwnedFd, peer: SocketAddr) -> Option<Pair> {
        let target = self.original.of(&inside, peer).ok()?;
        let (outside, permit) = self.taken(plain(peer), plain(target))?;
        let (container, owner) = (peer.ip(), self.gate.owner);
        Some(Pair { inside, outside, connecting: false, container, owner, permit })
    }
}

impl Door {
    /// The host's side of a connection that has come.
    fn taken(&self, peer: SocketAddr, target: SocketAddr) -> Option<(OwnedFd, Permit)> {
        let taken = self.gate.waiting.take((peer, target));
        // The kernel gives a connection another source port where the same one leads to several destinations, for all of
        // them are translated to the same.
        let renamed = self.original == Original::Redirected;
        taken.or_else(|| renamed.then(|| self.gate.waiting.take_any(peer.ip(), target)).flatten())
    }
}

impl Original {
    /// The destination of an accepted connection.
    fn of(self, socket: &OwnedFd, peer: SocketAddr) -> io::Result<SocketAddr> {
        Ok(match self {
            Self::Name => rustix::net::getsockname(socket)?.try_into()?,
            Self::Redirected if peer.is_ipv4() => sockopt::ip_original_dst(socket)?.into(),
            Self::Redirected => sockopt::ipv6_original_dst(socket)?.into(),
        })
    }
}

fn flow((source, target): Addresses) -> Flow {
    Flow { kind: Kind::Tcp, source, target }
}

/// An address without the scope and flow label that the kernel may add.
fn plain(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip(), address.port())
}

/// Whether no connection goes there, whatever any policy says. The host's loopback has other names.
fn is_nowhere(ip: IpAddr) -> bool {
    let broadcast = matches!(ip, IpAddr::V4(ip) if ip.is_broadcast());
    ip.is_unspecified() || ip.is_loopback() || ip.is_multicast() || broadcast || is_mapped(ip)
}

/// Whether it is an IPv4 address in the clothes of IPv6.
fn is_mapped(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(ip) if ip.to_ipv4_mapped().is_some())
}

#[cfg(test)]
#[path = "tcp_tests.rs"]
mod tests;

//! The SYN interceptor: a container's connection is made on the host's side first, so that it succeeds, is refused or
//! times out exactly as the host's own would.
//!
//! ```text
//!  container          gateway                         helper, in the host's netns
//!  connect() ─ SYN ─▶ tun ───────────────────────────▶ handle_syn(): policy, then connect() to the destination
//!                                                        refused: RST ◀─┤   unreachable: ICMP ◀─┤   silence: silence
//!            ◀ SYN,ACK ─ transparent listener ◀─ the same SYN ◀─────────┘ connected: parked
//!                         └──── accept ──────────────▶ take the parked socket, relay
//! ```
//!
//! When the same SYN comes back out of the device, the gateway's rules hand it to the transparent listener, whose
//! accepted socket has the container's destination as its own address.

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

/// Maximum length of a SYN in bytes: headers with all options. A SYN with data (TCP Fast Open) is dropped;
/// the sender retransmits without data.
const MAX_SYN: usize = 160;
/// Accept backlog; the kernel caps it at `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// How to learn the original destination of an accepted connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Original {
    /// It is the socket's own address: the rules use `tproxy`.
    Name,
    /// From the gateway's connection tracking (SO_ORIGINAL_DST): the rules use `redirect`.
    Redirected,
}

/// The interceptor of one gateway. Dropping the last clone closes its listeners and resets its connections.
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
    /// Weak reference to itself, for callbacks.
    this: Weak<Shared>,
}

/// A listener, and how to learn the destination of its connections.
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

/// A listener for [`SynInterceptor::listen`], which accepts connections to any address (ip(7),
/// `IP_TRANSPARENT`). To be created in the gateway's namespace with CAP_NET_ADMIN over it.
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
    /// Sends packets back through `out`; `policy` decides which connections are allowed.
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

    /// Accepts the connections that the gateway's rules send to `socket`, a listener in the gateway; one per
    /// family.
    pub fn listen(&self, socket: OwnedFd, original: Original) -> io::Result<()> {
        rustix::io::ioctl_fionbio(&socket, true)?;
        // Accepted sockets inherit the option.
        sockopt::set_tcp_nodelay(&socket, true)?;
        let gate = Arc::clone(&self.0.0);
        gate.crew.listen(socket, gate.owner, Arc::new(Door { gate: Arc::clone(&gate), original }));
        Ok(())
    }

    /// Handles a SYN; ignores any other packet.
    pub fn syn(&self, packet: &Packet<'_>) {
        self.0.0.syn(packet);
    }

    /// The connected host socket for `source` to `target`, once, after the SYN was sent back. For a stack
    /// that answers the SYN itself, without a listener.
    pub fn take(&self, source: SocketAddr, target: SocketAddr) -> Option<(OwnedFd, Permit)> {
        self.0.0.waiting.take((plain(source), plain(target)))
    }

    /// Drops a container's pending connections and resets its established ones through this gateway.
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
            // An IPv4-mapped address names an IPv4 host in IPv6 form, which address checks may miss.
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
            // A local peer can complete the handshake before connect(2) returns, which says EINPROGRESS all
            // the same.
            Err(Errno::INPROGRESS) if rustix::net::getpeername(&socket).is_ok() => {
                self.at_once(addresses, socket, syn)
            }
            Err(Errno::INPROGRESS) => {
                // An error that arrived while connect(2) held the socket lock, as from a local peer, is only
                // recorded (`sk_err_soft`) and would take effect with the first retransmission, a second
                // later. SO_ERROR returns it now.
                sockopt::socket_error(&socket)??;
                let watch = |socket: &OwnedFd| {
                    let this = self.this.upgrade().ok_or(io::ErrorKind::NotConnected)?;
                    self.crew.await_dial(socket.as_fd(), this, addresses)
                };
                // Out of memory is handled like any other shortage: no answer, and the container retransmits.
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

    /// Passes the error of the host's kernel on to the container.
    fn failed(&self, flow: &Flow, packet: &Packet<'_>, error: Errno) {
        let said = io::Error::from(error);
        self.policy.note(flow, Err(&said));
        let answer = match error {
            Errno::CONNREFUSED | Errno::CONNRESET => tcp::reset(packet),
            // The host's connect() would go on waiting, or the shortage is temporary: the container
            // retransmits.
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
            // The entry was dropped meanwhile.
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
    /// The host's side of an accepted connection.
    fn taken(&self, peer: SocketAddr, target: SocketAddr) -> Option<(OwnedFd, Permit)> {
        let taken = self.gate.waiting.take((peer, target));
        // NAT maps all destinations to one, so the kernel may change the source port to keep connections
        // distinct.
        let renamed = self.original == Original::Redirected;
        taken.or_else(|| renamed.then(|| self.gate.waiting.take_any(peer.ip(), target)).flatten())
    }
}

impl Original {
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

/// Strips the scope id and flow label that the kernel may add.
fn plain(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip(), address.port())
}

/// Whether connections to `ip` never get anywhere, whatever the policy. The host's loopback is reached by
/// other names.
fn is_nowhere(ip: IpAddr) -> bool {
    let broadcast = matches!(ip, IpAddr::V4(ip) if ip.is_broadcast());
    ip.is_unspecified() || ip.is_loopback() || ip.is_multicast() || broadcast || is_mapped(ip)
}

/// Whether it is an IPv4-mapped IPv6 address.
fn is_mapped(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(ip) if ip.to_ipv4_mapped().is_some())
}

#[cfg(test)]
#[path = "tcp_tests.rs"]
mod tests;

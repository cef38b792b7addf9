//! The SYN interceptor: a container's connection is made on the host's side first, so that it succeeds, is
//! refused or times out exactly as the host's own would.
//!
//! ```text
//!  container          gateway                         helper, in the host's netns
//!  connect() ─ SYN ─▶ tun ───────────────────────────▶ handle_syn(): policy, then connect() to the destination
//!                                                        refused: RST ◀─┤   unreachable: ICMP ◀─┤   silence: silence
//!            ◀ SYN,ACK ─ transparent listener ◀─ the same SYN ◀─────────┘ connected: parked
//!                         └──── accept ──────────────▶ take the parked socket, relay
//! ```
//!
//! When the same SYN comes back out of the device, the gateway's rules hand it to the transparent listener,
//! whose accepted socket has the container's destination as its own address.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::{Arc, Weak};
use std::time::Instant;

use rustix::io::Errno;
use rustix::net::{SocketType, sockopt};

use super::pending::{AddressPair, DialOutcome, PendingStatus, PendingTable};
use super::{PacketSink, ProtocolHandler};
use crate::packet::{IpPacket, icmp, tcp};
use crate::policy::{EgressFlow, FlowPolicy, FlowProtocol, FlowVerdict};
use crate::relay::{
    AcceptHandler, ConnectHandler, ExpiryHandler, QuotaPermit, RelayPair, TcpRelay, WorkerPool,
};
use crate::socket::{open_socket, reset_on_close};

/// Maximum length of a SYN in bytes: headers with all options. A SYN with data (TCP Fast Open) is dropped;
/// the sender retransmits without data.
const MAX_SYN: usize = 160;
/// Accept backlog; the kernel caps it at `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// How to learn the original destination of an accepted connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OriginalDst {
    /// It is the socket's own address: the rules use `tproxy`.
    LocalAddress,
    /// From the gateway's connection tracking (SO_ORIGINAL_DST): the rules use `redirect`.
    Redirected,
}

/// The interceptor of one gateway. Dropping the last clone closes its listeners and resets its connections.
#[derive(Clone, Debug)]
pub(crate) struct SynInterceptor(Arc<InterceptorGuard>);

#[derive(Debug)]
struct InterceptorGuard(Arc<InterceptorShared>);

struct InterceptorShared {
    pool: Arc<WorkerPool>,
    policy: Arc<dyn FlowPolicy>,
    out: Arc<dyn PacketSink>,
    pending: PendingTable,
    owner: u64,
    /// Weak reference to itself, for callbacks.
    this: Weak<InterceptorShared>,
}

/// A listener, and how to learn the destination of its connections.
#[derive(Debug)]
struct TransparentListener {
    interceptor: Arc<InterceptorShared>,
    original_dst: OriginalDst,
}

impl fmt::Debug for InterceptorShared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InterceptorShared").field("owner", &self.owner).finish_non_exhaustive()
    }
}

/// A listener for [`SynInterceptor::listen`], which accepts connections to any address (ip(7),
/// `IP_TRANSPARENT`). To be created in the gateway's namespace with CAP_NET_ADMIN over it.
pub(crate) fn bind_listener(address: SocketAddr) -> io::Result<OwnedFd> {
    let socket = open_socket(address.is_ipv6(), SocketType::STREAM, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    dhow_sys::transparent_socket::allow_any_address(socket.as_fd(), address.is_ipv6())?;
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    rustix::net::bind(&socket, &address)?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(socket)
}

impl SynInterceptor {
    /// Sends packets back through `out`; `policy` decides which connections are allowed.
    pub(crate) fn new(relay: &TcpRelay, policy: Arc<dyn FlowPolicy>, out: Arc<dyn PacketSink>) -> Self {
        let pool = Arc::clone(relay.pool());
        let shared = Arc::new_cyclic(|this| InterceptorShared {
            policy,
            out,
            pending: PendingTable::new(pool.limits, Arc::clone(&pool.all)),
            owner: pool.next_owner(),
            this: Weak::clone(this),
            pool,
        });
        let handler: Weak<InterceptorShared> = Arc::downgrade(&shared);
        shared.pool.add_expiry_handler(handler);
        Self(Arc::new(InterceptorGuard(shared)))
    }

    /// Accepts the connections that the gateway's rules send to `socket`, a listener in the gateway; one per
    /// family.
    pub(crate) fn listen(&self, socket: OwnedFd, original: OriginalDst) -> io::Result<()> {
        rustix::io::ioctl_fionbio(&socket, true)?;
        // Accepted sockets inherit the option.
        sockopt::set_tcp_nodelay(&socket, true)?;
        let interceptor = Arc::clone(&self.0.0);
        interceptor.pool.listen(
            socket,
            interceptor.owner,
            Arc::new(TransparentListener { interceptor: Arc::clone(&interceptor), original_dst: original }),
        );
        Ok(())
    }

    /// Handles a SYN; ignores any other packet.
    pub(crate) fn handle_syn(&self, packet: &IpPacket<'_>) {
        self.0.0.handle_syn(packet);
    }

    /// The connected host socket for `source` to `target`, once, after the SYN was sent back. For a stack
    /// that answers the SYN itself, without a listener.
    pub(crate) fn take_connected(
        &self,
        source: SocketAddr,
        target: SocketAddr,
    ) -> Option<(OwnedFd, QuotaPermit)> {
        self.0.0.pending.take_parked((strip_scope(source), strip_scope(target)))
    }

    /// Drops a container's pending connections and resets its established ones through this gateway.
    pub(crate) fn forget(&self, container: IpAddr) {
        self.0.0.pending.forget(container);
        self.0.0.pool.reset_container(self.0.0.owner, container);
    }
}

impl ProtocolHandler for SynInterceptor {
    fn packet(&mut self, packet: &IpPacket<'_>, _out: &dyn PacketSink) {
        self.handle_syn(packet);
    }

    fn forget(&mut self, container: IpAddr) {
        SynInterceptor::forget(self, container);
    }
}

impl Drop for InterceptorGuard {
    fn drop(&mut self) {
        self.0.pool.close_owner(self.0.owner);
        self.0.pending.clear();
    }
}

impl InterceptorShared {
    fn handle_syn(&self, packet: &IpPacket<'_>) {
        let Some(segment) = packet.tcp().filter(tcp::TcpSegment::is_first) else { return };
        let target = SocketAddr::new(packet.target, segment.target);
        let addresses = (SocketAddr::new(packet.source, segment.source), target);
        if packet.bytes.len() > MAX_SYN || is_never_routed(packet.target) || is_never_routed(packet.source) {
            return;
        }
        match self.pending.look_up(addresses, packet.bytes) {
            PendingStatus::Absent => {}
            PendingStatus::Dialing => return,
            PendingStatus::Parked => return self.out.packet(packet.bytes),
        }
        let flow = flow(addresses);
        let to = match self.policy.judge(&flow) {
            // An IPv4-mapped address names an IPv4 host in IPv6 form, which address checks may miss.
            FlowVerdict::Pass(to) if !to.ip().is_unspecified() && !is_v4_mapped(to.ip()) => to,
            _ => return self.refuse(&flow, packet, Errno::CONNREFUSED),
        };
        if !self.pending.insert(addresses, packet.bytes, Instant::now()) {
            return;
        }
        self.pool.schedule_expiry();
        if let Err(error) = self.connect(addresses, to, packet.bytes) {
            self.pending.remove(addresses);
            self.refuse(&flow, packet, error);
        }
    }

    fn connect(&self, addresses: AddressPair, to: SocketAddr, syn: &[u8]) -> Result<(), Errno> {
        let socket = open_socket(to.is_ipv6(), SocketType::STREAM, None)?;
        reset_on_close(&socket);
        match rustix::net::connect(&socket, &to) {
            Ok(()) => self.connected_immediately(addresses, socket, syn),
            // A local peer can complete the handshake before connect(2) returns, which says EINPROGRESS all
            // the same.
            Err(Errno::INPROGRESS) if rustix::net::getpeername(&socket).is_ok() => {
                self.connected_immediately(addresses, socket, syn)
            }
            Err(Errno::INPROGRESS) => {
                // An error that arrived while connect(2) held the socket lock, as from a local peer, is only
                // recorded (`sk_err_soft`) and would take effect with the first retransmission, a second
                // later. SO_ERROR returns it now.
                sockopt::socket_error(&socket)??;
                let watch = |socket: &OwnedFd| {
                    let this = self.this.upgrade().ok_or(io::ErrorKind::NotConnected)?;
                    self.pool.watch_connect(socket.as_fd(), this, addresses)
                };
                // Out of memory is handled like any other shortage: no answer, and the container retransmits.
                self.pending.set_dialing(addresses, socket, watch).map_err(|_| Errno::NOMEM)
            }
            Err(error) => Err(error),
        }
    }

    fn connected_immediately(
        &self,
        addresses: AddressPair,
        socket: OwnedFd,
        syn: &[u8],
    ) -> Result<(), Errno> {
        self.pending.set_parked(addresses, socket);
        self.connected(addresses, syn);
        Ok(())
    }

    fn connected(&self, addresses: AddressPair, syn: &[u8]) {
        self.policy.note(&flow(addresses), Ok(()));
        self.out.packet(syn);
    }

    /// Passes the error of the host's kernel on to the container.
    fn refuse(&self, flow: &EgressFlow, packet: &IpPacket<'_>, error: Errno) {
        let io_error = io::Error::from(error);
        self.policy.note(flow, Err(&io_error));
        let answer = match error {
            Errno::CONNREFUSED | Errno::CONNRESET => tcp::build_reset(packet),
            // The host's connect() would go on waiting, or the shortage is temporary: the container
            // retransmits.
            Errno::TIMEDOUT | Errno::AGAIN | Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM => {
                None
            }
            _ => {
                let icmp_error = icmp::IcmpError::from_io(&io_error).unwrap_or(icmp::IcmpError::Net);
                icmp::build_error(packet, icmp_error, packet.target)
            }
        };
        if let Some(answer) = answer {
            self.out.packet(&answer);
        }
    }
}

impl ConnectHandler for InterceptorShared {
    fn connect_finished(&self, addresses: AddressPair) {
        match self.pending.connect_finished(addresses, Instant::now()) {
            Some(DialOutcome::Connected(syn)) => self.connected(addresses, &syn),
            Some(DialOutcome::Failed(syn, error)) => {
                if let Ok(packet) = IpPacket::parse(&syn) {
                    self.refuse(&flow(addresses), &packet, error);
                }
            }
            // The entry was dropped meanwhile.
            None => {}
        }
    }
}

impl ExpiryHandler for InterceptorShared {
    fn expire(&self, now: Instant) -> bool {
        self.pending.expire(now)
    }
}

impl AcceptHandler for TransparentListener {
    fn accepted(&self, inside: OwnedFd, peer: SocketAddr) -> Option<RelayPair> {
        let target = self.original_dst.lookup(&inside, peer).ok()?;
        let (outside, permit) = self.take_pending(strip_scope(peer), strip_scope(target))?;
        let (container, owner) = (peer.ip(), self.interceptor.owner);
        Some(RelayPair { inside, outside, connecting: false, container, owner, permit })
    }
}

impl TransparentListener {
    /// The host's side of an accepted connection.
    fn take_pending(&self, peer: SocketAddr, target: SocketAddr) -> Option<(OwnedFd, QuotaPermit)> {
        let parked = self.interceptor.pending.take_parked((peer, target));
        // NAT maps all destinations to one, so the kernel may change the source port to keep connections
        // distinct.
        let renamed = self.original_dst == OriginalDst::Redirected;
        parked
            .or_else(|| renamed.then(|| self.interceptor.pending.take_parked_to(peer.ip(), target)).flatten())
    }
}

impl OriginalDst {
    fn lookup(self, socket: &OwnedFd, peer: SocketAddr) -> io::Result<SocketAddr> {
        Ok(match self {
            Self::LocalAddress => rustix::net::getsockname(socket)?.try_into()?,
            Self::Redirected if peer.is_ipv4() => sockopt::ip_original_dst(socket)?.into(),
            Self::Redirected => sockopt::ipv6_original_dst(socket)?.into(),
        })
    }
}

fn flow((source, target): AddressPair) -> EgressFlow {
    EgressFlow { protocol: FlowProtocol::Tcp, source, target }
}

/// Strips the scope id and flow label that the kernel may add.
fn strip_scope(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip(), address.port())
}

/// Whether connections to `ip` never get anywhere, whatever the policy. The host's loopback is reached by
/// other names.
fn is_never_routed(ip: IpAddr) -> bool {
    let broadcast = matches!(ip, IpAddr::V4(ip) if ip.is_broadcast());
    ip.is_unspecified() || ip.is_loopback() || ip.is_multicast() || broadcast || is_v4_mapped(ip)
}

/// Whether it is an IPv4-mapped IPv6 address.
fn is_v4_mapped(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(ip) if ip.to_ipv4_mapped().is_some())
}

#[cfg(test)]
mod tests;

//! Published UDP ports: what clients send to a port of the host reaches the container with the client's own
//! address.
//!
//! That needs no sockets towards the container: packets from the client's address are written to the
//! gateway's device, and the container's answers leave the gateway through the same device.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::time::Instant;

use super::ForwarderSettings;
use super::gso::for_each_gso_run;
use super::host_socket::enlarge_buffers;
use super::writer::PacketWriter;
use dhow_sys::datagram::{self, ReceiveBatch, ReportOptions};

/// Ports tried for a client whose own port is taken.
const PORT_ATTEMPTS: u16 = 64;

/// First of the dynamic ports (RFC 6335 §6), which stand in for clients that cannot keep their own.
const DYNAMIC: u16 = 49_152;

/// All published UDP ports of a gateway.
pub(crate) struct UdpPublications {
    settings: Arc<ForwarderSettings>,
    ports: HashMap<RawFd, PublishedUdpPort>,
    /// By the container's address and the client's address as the container sees it.
    seen: HashMap<(SocketAddr, SocketAddr), (RawFd, UdpClientKey)>,
}

/// A client, and the address of the host that it talks to.
type UdpClientKey = (SocketAddr, IpAddr);

struct PublishedUdpPort {
    id: u64,
    socket: OwnedFd,
    container: SocketAddr,
    clients: HashMap<UdpClientKey, UdpSession>,
    /// Where to continue the search for a free port.
    next: u16,
}

struct UdpSession {
    /// The client's address as the container sees it.
    visible_as: SocketAddr,
    used: Instant,
    replied: bool,
}

impl UdpPublications {
    pub(super) fn new(settings: Arc<ForwarderSettings>) -> Self {
        Self { settings, ports: HashMap::new(), seen: HashMap::new() }
    }

    /// Publishes a port of the host for `container`.
    pub(super) fn add(&mut self, id: u64, socket: OwnedFd, container: SocketAddr) -> io::Result<()> {
        let v6 = rustix::net::getsockname(&socket)?.address_family() == rustix::net::AddressFamily::INET6;
        // `local`, since an answer must come from the address that the client has used.
        let reports = ReportOptions { errors: false, gro: true, tos: true, local: true };
        datagram::enable_reports(socket.as_fd(), v6, reports)?;
        enlarge_buffers(&socket);
        let port = PublishedUdpPort { id, container, clients: HashMap::new(), next: 0, socket };
        self.ports.insert(port.socket.as_raw_fd(), port);
        Ok(())
    }

    pub(super) fn remove(&mut self, id: u64) {
        self.drop_ports(|port| port.id == id);
    }

    pub(super) fn forget(&mut self, container: IpAddr) {
        self.drop_ports(|port| port.container.ip() == container);
    }

    fn drop_ports(&mut self, filter: impl Fn(&PublishedUdpPort) -> bool) {
        self.ports.retain(|_, port| !filter(port));
        let ports = &self.ports;
        self.seen.retain(|_, (fd, _)| ports.contains_key(fd));
    }

    pub(super) fn contains(&self, fd: RawFd) -> bool {
        self.ports.contains_key(&fd)
    }

    /// The route of a container's packet that answers a client: the socket, the client, and the host address
    /// that it knows.
    pub(crate) fn reply_route(
        &mut self,
        container: SocketAddr,
        seen: SocketAddr,
        now: Instant,
    ) -> Option<(BorrowedFd<'_>, SocketAddr, IpAddr)> {
        // Spares the other datagrams a look-up where no client has sent anything.
        if self.seen.is_empty() {
            return None;
        }
        let (fd, client) = *self.seen.get(&(container, seen))?;
        let port = self.ports.get_mut(&fd)?;
        let session = port.clients.get_mut(&client)?;
        (session.used, session.replied) = (now, true);
        Some((port.socket.as_fd(), client.0, client.1))
    }

    /// Forwards what clients have sent.
    pub(super) fn ready(&mut self, fd: RawFd, inbox: &mut ReceiveBatch, writer: &PacketWriter, now: Instant) {
        let Some(port) = self.ports.get(&fd) else { return };
        let container = port.container;
        // The error belongs to an answer sent earlier; there is nobody to tell.
        if inbox.receive(port.socket.as_fd()).is_err() {
            return;
        }
        for_each_gso_run(inbox, |first, parts| {
            let Some(local) = first.local else { return };
            if let Some(seen) = self.session(fd, (first.from, local), now) {
                writer.datagrams(seen, container, first.tos, parts, first.segment);
            }
        });
    }

    /// The address under which the container sees a client, allocated at its first datagram.
    fn session(&mut self, fd: RawFd, client: UdpClientKey, now: Instant) -> Option<SocketAddr> {
        let port = self.ports.get_mut(&fd)?;
        if let Some(session) = port.clients.get_mut(&client) {
            session.used = now;
            return Some(session.visible_as);
        }
        if port.clients.len() >= self.settings.limits.clients {
            self.evict(fd);
        }
        let port = self.ports.get_mut(&fd)?;
        let container = port.container;
        let ip = self.settings.visible_client(client.0.ip(), container.ip())?;
        // Clients that appear as the gateway share its address, so another may have this port.
        let free = |at: &SocketAddr| !self.seen.contains_key(&(container, *at));
        let mut seen =
            Some(SocketAddr::new(ip, client.0.port())).filter(|seen| seen.port() != 0 && free(seen));
        for _ in 0..PORT_ATTEMPTS {
            if seen.is_some() {
                break;
            }
            port.next = port.next.wrapping_add(1) % (u16::MAX - DYNAMIC);
            seen = Some(SocketAddr::new(ip, DYNAMIC + port.next)).filter(free);
        }
        let seen = seen?;
        port.clients.insert(client, UdpSession { visible_as: seen, used: now, replied: false });
        self.seen.insert((container, seen), (fd, client));
        Some(seen)
    }

    /// Drops the clients of a port that were silent longest.
    fn evict(&mut self, fd: RawFd) {
        let Some(port) = self.ports.get_mut(&fd) else { return };
        let mut used: Vec<Instant> = port.clients.values().map(|session| session.used).collect();
        if used.is_empty() {
            return;
        }
        let index = used.len() / 8;
        let oldest = *used.select_nth_unstable(index).1;
        Self::retain(port, &mut self.seen, |session| session.used > oldest);
    }

    fn retain(
        port: &mut PublishedUdpPort,
        seen: &mut HashMap<(SocketAddr, SocketAddr), (RawFd, UdpClientKey)>,
        keep: impl Fn(&UdpSession) -> bool,
    ) {
        let container = port.container;
        port.clients.retain(|_, session| {
            let stays = keep(session);
            if !stays {
                seen.remove(&(container, session.visible_as));
            }
            stays
        });
    }

    /// Drops clients that timed out. Returns when the next one will.
    pub(crate) fn expire(&mut self, now: Instant) -> Option<Instant> {
        let limits = self.settings.limits;
        let until = |session: &UdpSession| {
            session.used + if session.replied { limits.replied } else { limits.unreplied }
        };
        for port in self.ports.values_mut() {
            Self::retain(port, &mut self.seen, |session| until(session) > now);
        }
        let sessions = self.ports.values().flat_map(|port| port.clients.values());
        Some(sessions.map(until).min()?.max(now + limits.unreplied / 8))
    }
}

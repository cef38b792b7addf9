//! The flow table: host sockets by the container's address and port, and for each of them the peers that may
//! answer. Bounded in every direction; the oldest entries go first.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::FlowLimits;
use crate::relay::SourceRegistration;

/// How long both sides must have been talking to count as a stream with a longer time-out, as in Linux'
/// connection tracking (`nf_conntrack_udp_timeout_stream`).
const STREAM_AGE: Duration = Duration::from_secs(2);

/// A full table evicts this fraction (one in 8) at once, so that the search for the oldest is rare.
const EVICT_FRACTION: usize = 8;

/// Sockets that a forwarder may have, however many forwarders share the limit.
const MIN_SOCKETS: usize = 16;

/// Registers sockets with the forwarder's epoll set.
pub(crate) struct SocketWatcher {
    registration: Arc<SourceRegistration>,
    tag: u64,
}

impl SocketWatcher {
    /// Events carry the socket's number with the bits of `tag`.
    pub(crate) fn new(registration: &Arc<SourceRegistration>, tag: u64) -> Self {
        Self { registration: Arc::clone(registration), tag }
    }

    /// Watches a socket until it is closed.
    pub(crate) fn add(&self, fd: BorrowedFd<'_>) -> io::Result<()> {
        self.registration.add(fd, self.tag | u64::from(fd.as_raw_fd().cast_unsigned()))
    }
}

/// The flows of one protocol through a gateway.
pub(crate) struct FlowTable {
    pub watcher: SocketWatcher,
    limits: FlowLimits,
    /// The current maximum of sockets: this forwarder's share of the limit.
    max_sockets: usize,
    containers: HashMap<IpAddr, ContainerFlows>,
    sources: HashMap<RawFd, SocketAddr>,
}

#[derive(Default)]
struct ContainerFlows {
    sockets: HashMap<u16, FlowSocket>,
    /// The sum over all sockets.
    peers: usize,
}

/// The host socket of a container's port.
pub(crate) struct FlowSocket {
    pub fd: OwnedFd,
    /// By the address that the container used.
    peers: HashMap<SocketAddr, FlowPeer>,
    /// The addresses that containers used, for peers whose address in the host's network is another.
    aliases: HashMap<SocketAddr, SocketAddr>,
    /// Whether IP_MTU_DISCOVER forbids fragmentation; `None` until it was set.
    pub(crate) dont_fragment: Option<bool>,
    /// Whether several datagrams may be sent as one (GSO).
    pub(crate) gso: bool,
}

#[derive(Clone, Copy)]
struct FlowPeer {
    host: SocketAddr,
    since: Instant,
    used: Instant,
    replied: bool,
}

impl FlowPeer {
    fn until(&self, limits: &FlowLimits) -> Instant {
        let is_stream = self.replied && self.used.duration_since(self.since) > STREAM_AGE;
        self.used + if is_stream { limits.replied } else { limits.unreplied }
    }
}

impl FlowSocket {
    /// The address under which the container knows `from`; `None` if it has sent nothing there. Counts as a
    /// reply.
    pub(crate) fn note_reply(&mut self, from: SocketAddr, now: Instant) -> Option<SocketAddr> {
        let visible = self.visible_peer(from)?;
        let peer = self.peers.get_mut(&visible)?;
        (peer.used, peer.replied) = (now, true);
        Some(visible)
    }

    /// Like [`Self::note_reply`], without counting as a reply.
    pub(crate) fn visible_peer(&self, from: SocketAddr) -> Option<SocketAddr> {
        match self.peers.get(&from) {
            Some(peer) if peer.host == from => Some(from),
            _ => self.aliases.get(&from).copied(),
        }
    }

    fn used(&self) -> Option<Instant> {
        self.peers.values().map(|peer| peer.used).max()
    }

    fn retain(&mut self, keep: impl Fn(&FlowPeer) -> bool) {
        self.peers.retain(|_, peer| keep(peer));
        let peers = &self.peers;
        self.aliases.retain(|host, named| peers.get(named).is_some_and(|peer| peer.host == *host));
    }
}

impl ContainerFlows {
    fn retain(&mut self, keep: impl Fn(&FlowPeer) -> bool, sources: &mut HashMap<RawFd, SocketAddr>) {
        self.sockets.retain(|_, socket| {
            socket.retain(&keep);
            let stays = !socket.peers.is_empty();
            if !stays {
                sources.remove(&socket.fd.as_raw_fd());
            }
            stays
        });
        self.peers = self.sockets.values().map(|socket| socket.peers.len()).sum();
    }

    /// Drops the peers that were silent longest.
    fn evict_peers(&mut self, sources: &mut HashMap<RawFd, SocketAddr>) {
        let peers = self.sockets.values().flat_map(|socket| socket.peers.values());
        let Some(oldest) = eviction_cutoff(peers.map(|peer| peer.used).collect()) else { return };
        self.retain(|peer| peer.used > oldest, sources);
    }

    /// Drops the sockets that were unused longest.
    fn evict_sockets(&mut self, sources: &mut HashMap<RawFd, SocketAddr>) {
        let Some(oldest) = eviction_cutoff(self.sockets.values().filter_map(FlowSocket::used).collect())
        else {
            return;
        };
        self.sockets.retain(|_, socket| {
            let stays = socket.used().is_some_and(|used| used > oldest);
            if !stays {
                sources.remove(&socket.fd.as_raw_fd());
            }
            stays
        });
        self.peers = self.sockets.values().map(|socket| socket.peers.len()).sum();
    }
}

/// The time up to which entries are evicted.
fn eviction_cutoff(mut used: Vec<Instant>) -> Option<Instant> {
    let index = used.len() / EVICT_FRACTION;
    (!used.is_empty()).then(|| *used.select_nth_unstable(index).1)
}

impl FlowTable {
    pub(super) fn new(watcher: SocketWatcher, limits: FlowLimits) -> Self {
        let (containers, sources) = (HashMap::new(), HashMap::new());
        Self { watcher, limits, max_sockets: limits.sockets, containers, sources }
    }

    /// Where packets from `source` to `target` go.
    pub(super) fn find(
        &mut self,
        source: SocketAddr,
        target: SocketAddr,
        now: Instant,
    ) -> Option<(&mut FlowSocket, SocketAddr)> {
        let socket = self.socket(source)?;
        let peer = socket.peers.get_mut(&target)?;
        peer.used = now;
        let host = peer.host;
        Some((socket, host))
    }

    pub(super) fn socket(&mut self, source: SocketAddr) -> Option<&mut FlowSocket> {
        self.containers.get_mut(&source.ip())?.sockets.get_mut(&source.port())
    }

    /// The container's address and port that a socket belongs to.
    pub(super) fn source(&self, fd: RawFd) -> Option<SocketAddr> {
        self.sources.get(&fd).copied()
    }

    /// Opens a flow from `source` to `target` by way of `host`, through a socket from `make` if `source` has
    /// none.
    pub(super) fn open(
        &mut self,
        source: SocketAddr,
        target: SocketAddr,
        host: SocketAddr,
        now: Instant,
        make: impl Fn() -> io::Result<OwnedFd>,
    ) -> io::Result<()> {
        self.make_room(source);
        let container = self.containers.entry(source.ip()).or_default();
        if !container.sockets.contains_key(&source.port()) {
            let fd = match make() {
                // Out of descriptors: free some of this container's own and try again.
                Err(error) if matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE)) => {
                    container.evict_sockets(&mut self.sources);
                    make()
                }
                other => other,
            };
            let fd = match fd {
                Ok(fd) => fd,
                Err(error) => {
                    if container.sockets.is_empty() {
                        self.containers.remove(&source.ip());
                    }
                    return Err(error);
                }
            };
            self.watcher.add(fd.as_fd())?;
            self.sources.insert(fd.as_raw_fd(), source);
            let (peers, aliases) = (HashMap::new(), HashMap::new());
            container
                .sockets
                .insert(source.port(), FlowSocket { fd, peers, aliases, dont_fragment: None, gso: true });
        }
        if let Some(socket) = container.sockets.get_mut(&source.port()) {
            let peer = FlowPeer { host, since: now, used: now, replied: false };
            if socket.peers.insert(target, peer).is_none() {
                container.peers += 1;
            }
            if host != target {
                socket.aliases.insert(host, target);
            }
        }
        Ok(())
    }

    /// Sets the limit to an equal share for each of `forwarders`. Excess sockets are evicted when a new one
    /// is needed.
    pub(crate) fn set_share(&mut self, forwarders: usize) {
        self.max_sockets = (self.limits.sockets / forwarders.max(1)).max(MIN_SOCKETS);
    }

    /// Evicts old flows from full tables: the container's own, or those of the container that has most.
    fn make_room(&mut self, source: SocketAddr) {
        let (limits, max_sockets) = (self.limits, self.max_sockets);
        // Half of the share at most, so that no container can take all of it.
        let max_per_container = limits.sockets_per_container.min(max_sockets.div_ceil(2));
        let Self { containers, sources, .. } = self;
        if let Some(container) = containers.get_mut(&source.ip()) {
            if container.peers >= limits.flows_per_container {
                container.evict_peers(sources);
            }
            let new = !container.sockets.contains_key(&source.port());
            if new && container.sockets.len() >= max_per_container {
                container.evict_sockets(sources);
            }
        }
        if containers.values().map(|container| container.peers).sum::<usize>() >= limits.flows
            && let Some(largest) = containers.values_mut().max_by_key(|container| container.peers)
        {
            largest.evict_peers(sources);
        }
        while sources.len() >= max_sockets
            && let Some(largest) = containers.values_mut().max_by_key(|container| container.sockets.len())
        {
            let before = sources.len();
            largest.evict_sockets(sources);
            if sources.len() == before {
                break;
            }
        }
        if containers.len() > max_sockets {
            containers.retain(|_, container| !container.sockets.is_empty());
        }
    }

    /// Drops flows that timed out. Returns when the next one will.
    pub(crate) fn expire(&mut self, now: Instant) -> Option<Instant> {
        let (limits, sources) = (self.limits, &mut self.sources);
        self.containers.retain(|_, container| {
            container.retain(|peer| peer.until(&limits) > now, sources);
            !container.sockets.is_empty()
        });
        let sockets = self.containers.values().flat_map(|container| container.sockets.values());
        let until = sockets.flat_map(|socket| socket.peers.values()).map(|peer| peer.until(&limits)).min()?;
        // Not for every single one: expiring scans the whole table.
        Some(until.max(now + self.limits.unreplied / 8))
    }

    /// Drops everything of a container.
    pub(super) fn forget(&mut self, container: IpAddr) {
        if let Some(mut removed) = self.containers.remove(&container) {
            removed.retain(|_| false, &mut self.sources);
        }
    }

    /// Numbers of sockets and peers.
    #[cfg(test)]
    pub(super) fn count(&self) -> (usize, usize) {
        let peers = self.containers.values().map(|container| container.peers).sum();
        (self.sources.len(), peers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> FlowLimits {
        FlowLimits {
            sockets: 64,
            sockets_per_container: 32,
            flows: 512,
            flows_per_container: 256,
            ..FlowLimits::default()
        }
    }

    fn flows() -> FlowTable {
        FlowTable::new(SocketWatcher::new(&Arc::new(SourceRegistration::standalone().unwrap()), 0), limits())
    }

    fn make() -> io::Result<OwnedFd> {
        Ok(std::net::UdpSocket::bind("127.0.0.1:0")?.into())
    }

    fn address(ip: u8, port: u16) -> SocketAddr {
        ([192, 0, 2, ip], port).into()
    }

    #[test]
    fn a_spray_is_bounded_and_spares_others_and_what_is_in_use() {
        let mut flows = flows();
        let start = Instant::now();
        let remote = address(200, 53);
        flows.open(address(1, 1), remote, remote, start, make).unwrap();
        for n in 0..40_000_u32 {
            let now = start + Duration::from_micros(n.into());
            let target = SocketAddr::from(([198, 51, 100, (n >> 8) as u8], n as u16 | 1));
            flows.open(address(2, (n % 1000) as u16), target, target, now, make).unwrap();
            flows.open(address(3, 7), target, target, now, make).unwrap();
            if n % 16 == 0 {
                flows.open(address(3, 8), remote, remote, now, make).unwrap();
            }
        }
        let (sockets, peers) = flows.count();
        assert!(sockets <= 64 && peers <= 512, "{sockets} {peers}");
        let sum: usize = flows.containers.values().map(|all| all.sockets.len()).sum();
        assert_eq!(flows.sources.len(), sum);
        assert!(flows.find(address(1, 1), remote, start).is_some());
        assert!(flows.find(address(3, 8), remote, start).is_some());
        flows.forget(address(2, 0).ip());
        assert!(flows.containers.len() == 2 && flows.count().0 == 3);
    }

    #[test]
    fn what_is_beyond_a_share_goes_when_there_is_something_new() {
        let mut flows = flows();
        let (start, remote) = (Instant::now(), address(200, 53));
        for (gates, most) in [(1, 64), (2, 32), (1000, MIN_SOCKETS)] {
            flows.set_share(gates);
            for n in 0..80 {
                let now = start + Duration::from_micros(n.into());
                flows.open(address((n % 4) as u8, n), remote, remote, now, make).unwrap();
                assert!(n == 0 || flows.count().0 <= most, "{gates} {:?}", flows.count());
                assert!(flows.find(address((n % 4) as u8, n), remote, now).is_some());
            }
        }
    }

    #[test]
    fn flows_end_in_time_and_last_while_both_sides_talk() {
        let mut flows = flows();
        let start = Instant::now();
        let (a, b, remote) = (address(1, 1), address(1, 2), address(200, 53));
        let host = SocketAddr::from(([127, 0, 0, 1], 53));
        for source in [a, b] {
            flows.open(source, remote, host, start, make).unwrap();
        }
        let later = start + Duration::from_secs(3);
        let socket = flows.socket(a).unwrap();
        assert_eq!(socket.note_reply(remote, later), None, "nobody was asked by that address");
        assert_eq!(socket.note_reply(host, later), Some(remote));
        let next = flows.expire(later).unwrap();
        assert!(next >= start + limits().unreplied && flows.count() == (2, 2));
        flows.expire(start + limits().unreplied);
        assert_eq!(flows.count(), (1, 1));
        let next = flows.expire(later + limits().replied - Duration::from_secs(1)).unwrap();
        assert!(next >= later + limits().replied);
        assert_eq!(flows.expire(next), None);
        assert_eq!(flows.count(), (0, 0));
    }
}

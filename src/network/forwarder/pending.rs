//! The table of pending connections: the host's side is connecting, or is connected and waits for the
//! container's side.
//!
//! # States of an entry
//!
//! ```text
//!  insert() ─ Dialing ── connect(2) succeeded ──▶ Parked ── the container's side was accepted ──▶ taken by the relay
//!                └─ failed, or 300 s: removed        └─ 10 s: removed
//! ```
//!
//! Entries are kept by source address, so that a container can neither use up the others' places nor be
//! remembered after it is gone. The forwarder's thread adds entries, the relay's workers change and take
//! them. Each lock covers some of the sources and is held only for a look-up.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::relay::{ConnectionLimits, ConnectionQuota, PendingConnect, QuotaPermit};
use crate::sync::lock;

/// How long a connected host socket waits for the container's side. The container's kernel answers within
/// microseconds; a lost SYN is retransmitted after 1, 3 and 7 seconds.
const PARKED_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the host may take to connect. The kernel's own time-out comes first: 127 seconds, unless changed
/// by `tcp_syn_retries` (tcp(7)).
const DIALING_TIMEOUT: Duration = Duration::from_secs(300);
/// Number of locks.
const SHARDS: usize = 8;

/// Source and destination, as the container sees them.
pub(crate) type AddressPair = (SocketAddr, SocketAddr);

/// The pending connections of one gateway.
#[derive(Debug)]
pub(crate) struct PendingTable {
    shards: [Mutex<HashMap<IpAddr, PendingSource>>; SHARDS],
    hasher: RandomState,
    count: AtomicUsize,
    limits: ConnectionLimits,
    /// All connections of the relay.
    relay_quota: Arc<ConnectionQuota>,
}

#[derive(Debug)]
struct PendingSource {
    entries: HashMap<AddressPair, PendingEntry>,
    /// All connections of this source, established ones included.
    quota: Arc<ConnectionQuota>,
}

#[derive(Debug)]
struct PendingEntry {
    state: DialState,
    /// The SYN, until it is sent back to the container's side.
    syn: Box<[u8]>,
    since: Instant,
    permit: QuotaPermit,
}

#[derive(Debug)]
enum DialState {
    Dialing(Option<(OwnedFd, PendingConnect)>),
    Parked(OwnedFd),
}

/// What is known about the connection of a SYN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PendingStatus {
    /// Nothing: start to connect the host's side.
    Absent,
    /// The host's side is connecting.
    Dialing,
    /// The host's side is connected: send the SYN back, because the last one got lost.
    Parked,
}

/// The outcome of connecting the host's side.
#[derive(Debug)]
pub(crate) enum DialOutcome {
    /// The SYN to be sent back.
    Connected(Box<[u8]>),
    /// The SYN to be answered with an error.
    Failed(Box<[u8]>, rustix::io::Errno),
}

impl PendingTable {
    pub(super) fn new(limits: ConnectionLimits, relay_quota: Arc<ConnectionQuota>) -> Self {
        Self {
            shards: Default::default(),
            hasher: RandomState::new(),
            count: AtomicUsize::new(0),
            limits,
            relay_quota,
        }
    }

    fn shard(&self, source: IpAddr) -> &Mutex<HashMap<IpAddr, PendingSource>> {
        let [first, ..] = &self.shards;
        let number = self.hasher.hash_one(source) % SHARDS as u64;
        usize::try_from(number).ok().and_then(|number| self.shards.get(number)).unwrap_or(first)
    }

    /// The state of the connection that `syn` wants to open. Keeps the latest SYN.
    pub(super) fn look_up(&self, addresses: AddressPair, syn: &[u8]) -> PendingStatus {
        let mut shard = lock(self.shard(addresses.0.ip()));
        let entry = shard.get_mut(&addresses.0.ip()).and_then(|source| source.entries.get_mut(&addresses));
        match entry {
            None => PendingStatus::Absent,
            Some(PendingEntry { state: DialState::Parked(_), .. }) => PendingStatus::Parked,
            Some(entry) => {
                // The container may have given up and started again from the same port.
                if *entry.syn != *syn {
                    entry.syn = syn.into();
                }
                PendingStatus::Dialing
            }
        }
    }

    /// Adds an entry for a connection that is about to be made. Returns whether there is room.
    pub(super) fn insert(&self, addresses: AddressPair, syn: &[u8], now: Instant) -> bool {
        let mut shard = lock(self.shard(addresses.0.ip()));
        let new_source = || PendingSource {
            entries: HashMap::new(),
            quota: ConnectionQuota::new(self.limits.per_container),
        };
        // Only what is pending is counted by `count`; established connections hold a permit.
        let source = shard.entry(addresses.0.ip()).or_insert_with(new_source);
        if source.entries.len() >= self.limits.waiting_per_container
            || self.count.load(Ordering::Relaxed) >= self.limits.waiting
        {
            return false;
        }
        let Some(permit) = QuotaPermit::acquire(&[&self.relay_quota, &source.quota]) else { return false };
        let entry = PendingEntry { state: DialState::Dialing(None), syn: syn.into(), since: now, permit };
        if source.entries.insert(addresses, entry).is_none() {
            self.count.fetch_add(1, Ordering::Relaxed);
        }
        true
    }

    /// The host's side, `socket`, is connecting. `watch` is called under the lock, so that its event cannot
    /// come first.
    pub(crate) fn set_dialing(
        &self,
        addresses: AddressPair,
        socket: OwnedFd,
        watch: impl FnOnce(&OwnedFd) -> std::io::Result<PendingConnect>,
    ) -> std::io::Result<()> {
        let mut shard = lock(self.shard(addresses.0.ip()));
        let entry = shard.get_mut(&addresses.0.ip()).and_then(|source| source.entries.get_mut(&addresses));
        if let Some(entry) = entry {
            let connect = watch(&socket)?;
            entry.state = DialState::Dialing(Some((socket, connect)));
        }
        Ok(())
    }

    /// The host's side was connected at once.
    pub(crate) fn set_parked(&self, addresses: AddressPair, socket: OwnedFd) {
        let mut shard = lock(self.shard(addresses.0.ip()));
        let entry = shard.get_mut(&addresses.0.ip()).and_then(|source| source.entries.get_mut(&addresses));
        if let Some(entry) = entry {
            entry.syn = Box::default();
            entry.state = DialState::Parked(socket);
        }
    }

    /// The host's side has been connected, or has failed.
    pub(crate) fn connect_finished(&self, addresses: AddressPair, now: Instant) -> Option<DialOutcome> {
        let mut shard = lock(self.shard(addresses.0.ip()));
        let entry = shard.get_mut(&addresses.0.ip())?.entries.get_mut(&addresses)?;
        let DialState::Dialing(dialing) = &mut entry.state else { return None };
        let (socket, connect) = dialing.take()?;
        connect.finish(socket.as_fd());
        let syn = std::mem::take(&mut entry.syn);
        match rustix::net::sockopt::socket_error(&socket).and_then(|outcome| outcome) {
            Ok(()) => {
                entry.state = DialState::Parked(socket);
                entry.since = now;
                Some(DialOutcome::Connected(syn))
            }
            Err(error) => {
                // `remove` takes the same lock.
                drop(shard);
                self.remove(addresses);
                Some(DialOutcome::Failed(syn, error))
            }
        }
    }

    pub(super) fn remove(&self, addresses: AddressPair) {
        drop(self.take_entry(addresses, |_| true));
    }

    /// The host's side of a connection whose container side was accepted, and its permit.
    pub(crate) fn take_parked(&self, addresses: AddressPair) -> Option<(OwnedFd, QuotaPermit)> {
        let entry = self.take_entry(addresses, |entry| matches!(entry.state, DialState::Parked(_)))?;
        match entry.state {
            DialState::Parked(socket) => Some((socket, entry.permit)),
            DialState::Dialing(_) => None,
        }
    }

    /// Like [`Self::take_parked`] for any source port: whoever is connected there cannot tell the connections
    /// apart yet.
    pub(crate) fn take_parked_to(
        &self,
        source: IpAddr,
        target: SocketAddr,
    ) -> Option<(OwnedFd, QuotaPermit)> {
        let matching = |(addresses, entry): (&AddressPair, &PendingEntry)| {
            let parked = matches!(entry.state, DialState::Parked(_));
            (parked && addresses.1 == target).then_some(*addresses)
        };
        // Another worker may take the entry before the next look-up; then there is none.
        let addresses = lock(self.shard(source)).get(&source)?.entries.iter().find_map(matching)?;
        self.take_parked(addresses)
    }

    fn take_entry(
        &self,
        addresses: AddressPair,
        filter: impl Fn(&PendingEntry) -> bool,
    ) -> Option<PendingEntry> {
        let mut shard = lock(self.shard(addresses.0.ip()));
        let source = shard.get_mut(&addresses.0.ip())?;
        source.entries.get(&addresses).filter(|entry| filter(entry))?;
        let entry = source.entries.remove(&addresses)?;
        self.count.fetch_sub(1, Ordering::Relaxed);
        Some(entry)
    }

    /// Drops entries that timed out. Returns whether any are left.
    pub(crate) fn expire(&self, now: Instant) -> bool {
        let age = |entry: &PendingEntry| now.saturating_duration_since(entry.since);
        self.drop_all(|_, entry| match entry.state {
            DialState::Dialing(_) => age(entry) >= DIALING_TIMEOUT,
            DialState::Parked(_) => age(entry) >= PARKED_TIMEOUT,
        });
        self.count.load(Ordering::Relaxed) > 0
    }

    pub(super) fn forget(&self, container: IpAddr) {
        self.drop_all(|source, _| source == container);
    }

    pub(super) fn clear(&self) {
        self.drop_all(|_, _| true);
    }

    fn drop_all(&self, filter: impl Fn(IpAddr, &PendingEntry) -> bool) {
        for shard in &self.shards {
            let mut dropped = Vec::new();
            // Their sockets are closed after the lock is released.
            lock(shard).retain(|ip, source| {
                dropped.extend(source.entries.extract_if(|_, entry| filter(*ip, entry)));
                // Sources without entries stay while connections hold permits of their quota.
                !source.entries.is_empty() || source.quota.used() > 0
            });
            self.count.fetch_sub(dropped.len(), Ordering::Relaxed);
        }
    }
}

//! Fragments into packets (RFC 791 §3.2, RFC 8200 §4.5), within bounds.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::build::Ip;
use super::{Fragment, Packet};

/// Packets that may be incomplete at once: each takes 64 KiB at most, so 8 MiB are bound.
const MAX_PACKETS: usize = 128;

/// Those of one sender.
const MAX_PER_SOURCE: usize = 32;

/// Holes that a packet may have: a sender whose fragments arrive out of order by more is not helped.
const MAX_RANGES: usize = 16;

/// How long the parts may take. Linux waits for 30 s; here all of them come over a bridge from the same machine.
const PATIENCE: Duration = Duration::from_secs(5);

/// What all parts of a packet have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    source: IpAddr,
    target: IpAddr,
    /// Counts with IPv4 only (RFC 791 against RFC 8200 §4.5).
    protocol: u8,
    id: u32,
}

#[derive(Debug)]
struct Partial {
    until: Instant,
    hops: u8,
    tos: u8,
    /// The protocol that the first part names; in the others it has no meaning with IPv6 (RFC 8200 §4.5).
    protocol: Option<u8>,
    payload: Vec<u8>,
    /// The length of the whole, known from the last part.
    total: Option<usize>,
    /// What has come, as ranges in order that do not touch.
    have: Vec<(usize, usize)>,
}

/// The packets that are not complete yet.
#[derive(Debug, Default)]
pub struct Reassembler {
    partial: HashMap<Key, Partial>,
}

impl Reassembler {
    /// Takes a fragment; the whole packet where it was the last that was missing. Parts that overlap spoil their packet
    /// (RFC 8200 §4.5; for IPv4 Linux does the same), and where there are too many packets the oldest of who has most goes: a
    /// sender's fragments come in a row, so what is still missing of that one got lost.
    pub fn add(&mut self, packet: &Packet<'_>, now: Instant) -> Option<Vec<u8>> {
        let fragment = packet.fragment?;
        let protocol = if packet.source.is_ipv4() { packet.protocol } else { 0 };
        let key = Key { source: packet.source, target: packet.target, protocol, id: fragment.id };
        if !self.partial.contains_key(&key) {
            self.make_room(key.source);
            self.partial.insert(key, Partial::new(packet, now));
        }
        let partial = self.partial.get_mut(&key)?;
        match partial.add(packet, fragment) {
            None => {
                self.partial.remove(&key);
                None
            }
            Some(false) => None,
            Some(true) => self.partial.remove(&key)?.finish(&key),
        }
    }

    /// Drops the oldest packet of `source` where it has too many, or of who has most where all have.
    fn make_room(&mut self, source: IpAddr) {
        let mut counts: HashMap<IpAddr, usize> = HashMap::new();
        for key in self.partial.keys() {
            *counts.entry(key.source).or_default() += 1;
        }
        let loser = if counts.get(&source).is_some_and(|own| *own >= MAX_PER_SOURCE) {
            Some(source)
        } else if self.partial.len() >= MAX_PACKETS {
            counts.into_iter().max_by_key(|(_, count)| *count).map(|(most, _)| most)
        } else {
            None
        };
        let of_loser = self.partial.iter().filter(|(key, _)| Some(key.source) == loser);
        if let Some(oldest) = of_loser.min_by_key(|(_, partial)| partial.until).map(|(key, _)| *key) {
            self.partial.remove(&oldest);
        }
    }

    /// Drops what was not completed in time; when to come again.
    pub fn expire(&mut self, now: Instant) -> Option<Instant> {
        self.partial.retain(|_, partial| partial.until > now);
        self.partial.values().map(|partial| partial.until).min()
    }

    /// How many are not complete.
    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.partial.len()
    }

    /// Drops what `source` has sent.
    pub fn forget(&mut self, source: IpAddr) {
        self.partial.retain(|key, _| key.source != source);
    }
}

impl Partial {
    fn new(packet: &Packet<'_>, now: Instant) -> Self {
        Self {
            until: now + PATIENCE,
            hops: packet.hops,
            tos: packet.tos,
            protocol: None,
            payload: Vec::new(),
            total: None,
            have: Vec::new(),
        }
    }

    /// Whether it is complete now; `None` where it is spoilt.
    fn add(&mut self, packet: &Packet<'_>, fragment: Fragment) -> Option<bool> {
        let (start, end) = (fragment.offset, fragment.offset.checked_add(packet.payload.len())?);
        let uneven = fragment.more && !packet.payload.len().is_multiple_of(8);
        if uneven || packet.payload.is_empty() || end > 65_535 {
            return None;
        }
        if !fragment.more && (self.total.is_some() || self.payload.len() > end) {
            return None;
        }
        if !fragment.more {
            self.total = Some(end);
        }
        if self.total.is_some_and(|total| end > total) {
            return None;
        }
        self.note(start, end)?;
        if start == 0 {
            (self.protocol, self.hops, self.tos) = (Some(packet.protocol), packet.hops, packet.tos);
        }
        if self.payload.len() == start {
            self.payload.extend_from_slice(packet.payload);
        } else {
            self.payload.resize(self.payload.len().max(end), 0);
            self.payload.get_mut(start..end)?.copy_from_slice(packet.payload);
        }
        Some(matches!((&self.have[..], self.total), ([(0, end)], Some(total)) if *end == total))
    }

    /// Adds a range to those that have come; `None` where it overlaps with one, or they are too many.
    fn note(&mut self, start: usize, end: usize) -> Option<()> {
        let at = self.have.partition_point(|range| range.1 < start);
        match self.have.get_mut(at) {
            // Where parts come in order there is one range, which grows.
            Some(range) if range.1 == start => {
                range.1 = end;
                if let Some(&(next, next_end)) = self.have.get(at + 1) {
                    if next < end {
                        return None;
                    }
                    if next == end {
                        self.have.get_mut(at)?.1 = next_end;
                        self.have.remove(at + 1);
                    }
                }
            }
            Some(range) if range.0 < end => return None,
            Some(range) if range.0 == end => range.0 = start,
            _ => self.have.insert(at, (start, end)),
        }
        (self.have.len() <= MAX_RANGES).then_some(())
    }

    /// The whole packet. Options and extension headers that were in front of the parts are left out.
    fn finish(self, key: &Key) -> Option<Vec<u8>> {
        let ip = Ip {
            source: key.source,
            target: key.target,
            protocol: self.protocol?,
            hops: self.hops,
            tos: self.tos,
            id: Some(0),
        };
        let mut bytes = ip.header(self.payload.len())?.to_vec();
        bytes.extend_from_slice(&self.payload);
        Some(bytes)
    }
}

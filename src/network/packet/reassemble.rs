//! Reassembles fragments into packets (RFC 791 §3.2, RFC 8200 §4.5), within limits.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::build::IpFields;
use super::{FragmentInfo, IpPacket};

/// Maximum number of incomplete packets: each takes up to 64 KiB, so 8 MiB in total.
const MAX_PACKETS: usize = 128;

/// Incomplete packets per sender.
const MAX_PER_SOURCE: usize = 32;

/// Ranges of an incomplete packet: fragments that are reordered more than this are not supported.
const MAX_RANGES: usize = 16;

/// How long the fragments may take. Linux waits for 30 s; here they all come over a bridge of the same
/// machine.
const TIMEOUT: Duration = Duration::from_secs(5);

/// What all fragments of a packet have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct FragmentKey {
    source: IpAddr,
    target: IpAddr,
    /// Part of the key with IPv4 only (RFC 791 versus RFC 8200 §4.5).
    protocol: u8,
    id: u32,
}

#[derive(Debug)]
struct PartialPacket {
    until: Instant,
    hops: u8,
    tos: u8,
    /// As named by the first fragment; the field of the others is meaningless with IPv6 (RFC 8200 §4.5).
    protocol: Option<u8>,
    payload: Vec<u8>,
    /// The length of the packet, known from the last fragment.
    total: Option<usize>,
    /// What has arrived: sorted ranges that do not touch.
    ranges: Vec<(usize, usize)>,
}

/// The packets that are not complete yet.
#[derive(Debug, Default)]
pub(crate) struct Reassembler {
    partial: HashMap<FragmentKey, PartialPacket>,
}

impl Reassembler {
    /// Adds a fragment. Returns the packet if that completes it. Overlapping fragments invalidate their
    /// packet (RFC 8200 §4.5; Linux does the same for IPv4). With too many incomplete packets, the oldest one
    /// of the sender with most of them is dropped: fragments come in a row, so the missing ones of an old
    /// packet were lost.
    pub(crate) fn add(&mut self, packet: &IpPacket<'_>, now: Instant) -> Option<Vec<u8>> {
        let fragment = packet.fragment?;
        let protocol = if packet.source.is_ipv4() { packet.protocol } else { 0 };
        let key = FragmentKey { source: packet.source, target: packet.target, protocol, id: fragment.id };
        if !self.partial.contains_key(&key) {
            self.make_room(key.source);
            self.partial.insert(key, PartialPacket::new(packet, now));
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

    /// Drops the oldest packet of `source` if it has too many, or of the sender with most if the table is
    /// full.
    fn make_room(&mut self, source: IpAddr) {
        let mut counts: HashMap<IpAddr, usize> = HashMap::new();
        for key in self.partial.keys() {
            *counts.entry(key.source).or_default() += 1;
        }
        let victim = if counts.get(&source).is_some_and(|own| *own >= MAX_PER_SOURCE) {
            Some(source)
        } else if self.partial.len() >= MAX_PACKETS {
            counts.into_iter().max_by_key(|(_, count)| *count).map(|(most, _)| most)
        } else {
            None
        };
        let candidates = self.partial.iter().filter(|(key, _)| Some(key.source) == victim);
        if let Some(oldest) = candidates.min_by_key(|(_, partial)| partial.until).map(|(key, _)| *key) {
            self.partial.remove(&oldest);
        }
    }

    /// Drops packets that timed out. Returns when the next one will.
    pub(crate) fn expire(&mut self, now: Instant) -> Option<Instant> {
        self.partial.retain(|_, partial| partial.until > now);
        self.partial.values().map(|partial| partial.until).min()
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.partial.len()
    }

    pub(crate) fn forget(&mut self, source: IpAddr) {
        self.partial.retain(|key, _| key.source != source);
    }
}

impl PartialPacket {
    fn new(packet: &IpPacket<'_>, now: Instant) -> Self {
        Self {
            until: now + TIMEOUT,
            hops: packet.hops,
            tos: packet.tos,
            protocol: None,
            payload: Vec::new(),
            total: None,
            ranges: Vec::new(),
        }
    }

    /// Returns whether it is complete; `None` if it is invalid.
    fn add(&mut self, packet: &IpPacket<'_>, fragment: FragmentInfo) -> Option<bool> {
        let (start, end) = (fragment.offset, fragment.offset.checked_add(packet.payload.len())?);
        // Only the last fragment may end within a unit of eight bytes.
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
        self.add_range(start, end)?;
        if start == 0 {
            (self.protocol, self.hops, self.tos) = (Some(packet.protocol), packet.hops, packet.tos);
        }
        if self.payload.len() == start {
            self.payload.extend_from_slice(packet.payload);
        } else {
            self.payload.resize(self.payload.len().max(end), 0);
            self.payload.get_mut(start..end)?.copy_from_slice(packet.payload);
        }
        Some(matches!((&self.ranges[..], self.total), ([(0, end)], Some(total)) if *end == total))
    }

    /// Adds a range; `None` if it overlaps with another, or there are too many.
    fn add_range(&mut self, start: usize, end: usize) -> Option<()> {
        let index = self.ranges.partition_point(|range| range.1 < start);
        match self.ranges.get_mut(index) {
            // Fragments that arrive in order make one range, which grows.
            Some(range) if range.1 == start => {
                range.1 = end;
                if let Some(&(next, next_end)) = self.ranges.get(index + 1) {
                    if next < end {
                        return None;
                    }
                    if next == end {
                        self.ranges.get_mut(index)?.1 = next_end;
                        self.ranges.remove(index + 1);
                    }
                }
            }
            Some(range) if range.0 < end => return None,
            Some(range) if range.0 == end => range.0 = start,
            _ => self.ranges.insert(index, (start, end)),
        }
        (self.ranges.len() <= MAX_RANGES).then_some(())
    }

    /// The complete packet, without the options and extension headers of its fragments.
    fn finish(self, key: &FragmentKey) -> Option<Vec<u8>> {
        let ip = IpFields {
            source: key.source,
            target: key.target,
            protocol: self.protocol?,
            hops: self.hops,
            tos: self.tos,
            // With an identification there is no DF: it came in fragments, so it may leave in fragments.
            id: Some(0),
        };
        let mut bytes = ip.header(self.payload.len())?.to_vec();
        bytes.extend_from_slice(&self.payload);
        Some(bytes)
    }
}

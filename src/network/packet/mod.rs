//! Parses IP packets without copying, and builds them. Pure functions; nothing here panics on any input.
//!
//! Received packets come from a kernel that has verified the IP header, so its checksum is not verified
//! again. Everything else is what a container chose to send.

pub(crate) mod build;
pub(crate) mod checksum;
pub(crate) mod icmp;
pub(crate) mod reassemble;
pub(crate) mod tcp;
pub(crate) mod udp;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use checksum::InternetChecksum;

/// Maximum packet length in bytes (RFC 791; RFC 8200 without jumbograms, where the length excludes the
/// header).
pub(crate) const MAX: usize = 65_535 + 40;

/// Protocol numbers (IANA, "Assigned Internet Protocol Numbers").
pub(crate) mod protocol {
    pub(crate) const ICMP: u8 = 1;
    pub(crate) const TCP: u8 = 6;
    pub(crate) const UDP: u8 = 17;
    pub(crate) const ICMPV6: u8 = 58;
}

/// IPv6 extension headers (RFC 8200 §4).
const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const DESTINATION: u8 = 60;

/// Maximum number of extension headers; a packet with more is dropped.
const MAX_EXTENSIONS: usize = 8;

/// An IP packet, or a fragment of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IpPacket<'a> {
    pub source: IpAddr,
    /// Of the same family as `source`.
    pub target: IpAddr,
    /// The payload's protocol, after IPv6 extension headers ([`protocol`]).
    pub protocol: u8,
    /// TTL, or hop limit.
    pub hops: u8,
    /// TOS, or traffic class: DSCP and ECN.
    pub tos: u8,
    /// Whether it may not be fragmented; always true with IPv6.
    pub(crate) dont_fragment: bool,
    /// Set if this is a fragment.
    pub fragment: Option<FragmentInfo>,
    /// From the IP header to the end of the payload.
    pub bytes: &'a [u8],
    /// From the transport header on.
    pub payload: &'a [u8],
}

/// A fragment's place in its packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FragmentInfo {
    /// The packet's identification.
    pub id: u32,
    /// In bytes, a multiple of 8.
    pub offset: usize,
    /// Whether more fragments follow.
    pub more: bool,
}

/// A packet that cannot be parsed; it is dropped silently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MalformedPacket;

impl<'a> IpPacket<'a> {
    /// Parses the IP headers. Bytes after the packet are ignored.
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, MalformedPacket> {
        match bytes.first().map(|first| first >> 4) {
            Some(4) => Self::parse_v4(bytes),
            Some(6) => Self::parse_v6(bytes),
            _ => None,
        }
        .ok_or(MalformedPacket)
    }

    /// RFC 791 §3.1. Options are skipped: we never forward any.
    fn parse_v4(bytes: &'a [u8]) -> Option<Self> {
        let header = bytes.first_chunk::<20>()?;
        let [first, tos, l0, l1, i0, i1, f0, f1, hops, protocol, _, _, s0, s1, s2, s3, t0, t1, t2, t3] =
            *header;
        let options = usize::from(first & 15).checked_mul(4)?.checked_sub(20)?;
        let bytes = bytes.get(..usize::from(u16::from_be_bytes([l0, l1])))?;
        let payload = bytes.get(20 + options..)?;
        let flags = u16::from_be_bytes([f0, f1]);
        let (offset, more) = (usize::from(flags & 0x1fff) * 8, flags & 0x2000 != 0);
        let id = u16::from_be_bytes([i0, i1]).into();
        Some(Self {
            source: Ipv4Addr::new(s0, s1, s2, s3).into(),
            target: Ipv4Addr::new(t0, t1, t2, t3).into(),
            protocol,
            hops,
            tos,
            dont_fragment: flags & 0x4000 != 0,
            fragment: (offset != 0 || more).then_some(FragmentInfo { id, offset, more }),
            bytes,
            payload,
        })
    }

    /// RFC 8200 §3 and §4.
    fn parse_v6(bytes: &'a [u8]) -> Option<Self> {
        let (header, rest) = bytes.split_first_chunk::<40>()?;
        let [v0, v1, _, _, l0, l1, mut next, hops, addresses @ ..] = *header;
        let mut payload = rest.get(..usize::from(u16::from_be_bytes([l0, l1])))?;
        let bytes = bytes.get(..40 + payload.len())?;
        let (source, target) = addresses.split_first_chunk::<16>()?;
        let target: [u8; 16] = *target.first_chunk()?;
        let mut fragment = None;
        for _ in 0..MAX_EXTENSIONS {
            match next {
                HOP_BY_HOP | ROUTING | DESTINATION => {
                    let [following, length, _, left, ..] = *payload.first_chunk::<8>()?;
                    // A routing header with segments left would send the packet elsewhere (RFC 5095).
                    if next == ROUTING && left != 0 {
                        return None;
                    }
                    payload = payload.get((usize::from(length) + 1) * 8..)?;
                    next = following;
                }
                FRAGMENT => {
                    let ([following, _, o0, o1, id @ ..], rest) = payload.split_first_chunk::<8>()?;
                    let field = u16::from_be_bytes([*o0, *o1]);
                    let (offset, more) = (usize::from(field & !7), field & 1 != 0);
                    (payload, next) = (rest, *following);
                    // A packet in a single fragment is complete (RFC 6946). In a real fragment, the next
                    // headers belong to the reassembled packet.
                    if offset != 0 || more {
                        fragment = Some(FragmentInfo { id: u32::from_be_bytes(*id), offset, more });
                        break;
                    }
                }
                _ => break,
            }
        }
        if fragment.is_none() && matches!(next, HOP_BY_HOP | ROUTING | FRAGMENT | DESTINATION) {
            return None;
        }
        Some(Self {
            source: Ipv6Addr::from(*source).into(),
            target: Ipv6Addr::from(target).into(),
            protocol: next,
            hops,
            tos: v0 << 4 | v1 >> 4,
            dont_fragment: true,
            fragment,
            bytes,
            payload,
        })
    }

    /// Whether the TCP, UDP or ICMP checksum is correct; true for other protocols.
    pub(crate) fn is_intact(&self) -> bool {
        let pseudo = || InternetChecksum::pseudo(self.source, self.target, self.protocol, self.payload.len());
        let sum = match self.protocol {
            protocol::ICMP => InternetChecksum::default(),
            // The UDP checksum is optional in IPv4 (RFC 768), mandatory in IPv6 (RFC 8200 §8.1).
            protocol::UDP if self.payload.get(6..8) == Some(&[0, 0]) => return self.source.is_ipv4(),
            protocol::TCP | protocol::UDP | protocol::ICMPV6 => pseudo(),
            _ => return true,
        };
        sum.with(self.payload).finish() == [0, 0]
    }

    pub(crate) fn tcp(&self) -> Option<tcp::TcpSegment<'a>> {
        self.carries(protocol::TCP).then(|| tcp::TcpSegment::parse(self.payload)).flatten()
    }

    pub(crate) fn udp(&self) -> Option<udp::UdpDatagram<'a>> {
        self.carries(protocol::UDP).then(|| udp::UdpDatagram::parse(self.payload)).flatten()
    }

    /// The echo request in this packet, if it is one.
    pub(crate) fn echo(&self) -> Option<icmp::EchoRequest<'a>> {
        let protocol = if self.source.is_ipv4() { protocol::ICMP } else { protocol::ICMPV6 };
        self.carries(protocol)
            .then(|| icmp::EchoRequest::parse(self.payload, self.source.is_ipv4()))
            .flatten()
    }

    fn carries(&self, protocol: u8) -> bool {
        self.protocol == protocol && self.fragment.is_none()
    }
}

/// Completes the checksum of a packet received with `VIRTIO_NET_HDR_F_NEEDS_CSUM`: the 16 bits at `start +
/// offset`, which hold the pseudo header's sum, become the checksum of everything from `start` on. Returns
/// false if that lies outside of the packet.
pub(crate) fn complete_checksum(bytes: &mut [u8], start: usize, offset: usize) -> bool {
    let Some(covered) = bytes.get_mut(start..) else { return false };
    let sum = InternetChecksum::default().with(covered).finish_udp();
    match offset.checked_add(2).and_then(|end| covered.get_mut(offset..end)) {
        Some(field) => {
            field.copy_from_slice(&sum);
            true
        }
        None => false,
    }
}

#[cfg(test)]
mod tests;

//! Headers of IP for packets of our own, and fragments.

use std::net::IpAddr;
use std::ops::Deref;

use super::checksum::Sum;

/// What goes into the header of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ip {
    /// Who sends it.
    pub source: IpAddr,
    /// Whom to, of the same family.
    pub target: IpAddr,
    /// The protocol of the payload ([`super::protocol`]).
    pub protocol: u8,
    /// Time to live, or hop limit.
    pub hops: u8,
    /// Type of service, or traffic class.
    pub tos: u8,
    /// Tells the fragments of packets from each other, so it changes from packet to packet; where it is `None` the
    /// packet may not be fragmented (RFC 6864 §4.1). Without meaning with IPv6.
    pub id: Option<u16>,
}

impl Ip {
    /// A packet of no special service that may not be fragmented.
    pub fn answer(source: IpAddr, target: IpAddr, protocol: u8) -> Self {
        Self { source, target, protocol, hops: 64, tos: 0, id: None }
    }

    /// The header in front of `length` bytes; `None` where that is too long for a packet, or the families differ.
    pub fn header(&self, length: usize) -> Option<Header> {
        let mut header = Header { bytes: [0; SPACE], length: 0 };
        match (self.source, self.target) {
            (IpAddr::V4(source), IpAddr::V4(target)) => {
                let length = u16::try_from(length.checked_add(20)?).ok()?;
                let (id, flags) = self.id.map_or((0, 0x4000_u16), |id| (id, 0));
                header.push(&[0x45, self.tos]);
                header.push(&length.to_be_bytes());
                header.push(&id.to_be_bytes());
                header.push(&flags.to_be_bytes());
                header.push(&[self.hops, self.protocol, 0, 0]);
                header.push(&source.octets());
                header.push(&target.octets());
                let sum = Sum::default().with(&header).finish();
                header.put(10, sum);
            }
            (IpAddr::V6(source), IpAddr::V6(target)) => {
                header.push(&[6 << 4 | self.tos >> 4, self.tos << 4, 0, 0]);
                header.push(&u16::try_from(length).ok()?.to_be_bytes());
                header.push(&[self.protocol, self.hops]);
                header.push(&source.octets());
                header.push(&target.octets());
            }
            _ => return None,
        }
        Some(header)
    }

    /// The fragments of an IPv6 packet with `payload` (from the transport's header on) for links of `mtu` bytes
    /// (RFC 8200 §4.5); `id` tells them from those of other packets.
    pub fn fragments_v6<'a>(
        &'a self,
        payload: &'a [u8],
        mtu: usize,
        id: u32,
    ) -> impl Iterator<Item = (Header, &'a [u8])> + 'a {
        // The minimum of IPv6 is 1280 (RFC 8200 §5), so there is always room for some.
        let room = (mtu.max(1280) - 40 - 8) & !7;
        let count = payload.len().div_ceil(room);
        payload.chunks(room).enumerate().filter_map(move |(index, part)| {
            let ip = Self { protocol: super::FRAGMENT, ..*self };
            let mut header = ip.header(part.len().checked_add(8)?)?;
            let offset = u16::try_from(index.checked_mul(room)?).ok()?;
            header.push(&[self.protocol, 0]);
            header.push(&(offset | u16::from(index + 1 < count)).to_be_bytes());
            header.push(&id.to_be_bytes());
            Some((header, part))
        })
    }
}

/// Enough for IPv6 with a fragment header and UDP.
const SPACE: usize = 40 + 8 + 8;

/// The first bytes of a packet.
#[derive(Clone, Copy, Debug)]
pub struct Header {
    bytes: [u8; SPACE],
    length: usize,
}

impl Header {
    /// Appends what there is room for, which is all that this module and its neighbours ever append.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        for (to, from) in self.bytes.iter_mut().skip(self.length).zip(bytes) {
            *to = *from;
            self.length += 1;
        }
    }

    /// Writes 16 bits at `offset`.
    pub(crate) fn put(&mut self, offset: usize, value: [u8; 2]) {
        for (to, from) in self.bytes.iter_mut().skip(offset).zip(value) {
            *to = from;
        }
    }
}

impl Deref for Header {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

//! Builds IP headers and fragments.

use std::net::IpAddr;
use std::ops::Deref;

use super::checksum::InternetChecksum;

/// The fields of an IP header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IpFields {
    pub source: IpAddr,
    /// Of the same family as `source`.
    pub target: IpAddr,
    /// The payload's protocol ([`super::protocol`]).
    pub protocol: u8,
    /// TTL, or hop limit.
    pub hops: u8,
    /// TOS, or traffic class.
    pub tos: u8,
    /// The identification of a packet that may be fragmented, different for each; `None` sets DF (RFC 6864
    /// §4.1). Ignored with IPv6.
    pub id: Option<u16>,
}

impl IpFields {
    /// An unfragmentable packet with default hops and TOS.
    pub(crate) fn reply(source: IpAddr, target: IpAddr, protocol: u8) -> Self {
        Self { source, target, protocol, hops: 64, tos: 0, id: None }
    }

    /// The header in front of `length` bytes; `None` if that is too long, or the families differ.
    pub(crate) fn header(&self, length: usize) -> Option<PacketHeader> {
        let mut header = PacketHeader { bytes: [0; SPACE], length: 0 };
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
                let sum = InternetChecksum::default().with(&header).finish();
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

    /// Fragments an IPv6 packet with `payload` (from the transport header on) for an MTU of `mtu` bytes (RFC
    /// 8200 §4.5), with the identification `id`.
    pub(crate) fn fragments_v6<'a>(
        &'a self,
        payload: &'a [u8],
        mtu: usize,
        id: u32,
    ) -> impl Iterator<Item = (PacketHeader, &'a [u8])> + 'a {
        // IPv6's minimum MTU is 1280 (RFC 8200 §5), so there is always room.
        // Offsets count in units of eight bytes.
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

/// Room for IPv6 with a fragment header and UDP.
const SPACE: usize = 40 + 8 + 8;

/// The headers of a packet, on the stack.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PacketHeader {
    bytes: [u8; SPACE],
    length: usize,
}

impl PacketHeader {
    /// Appends what fits, which is everything that this module and its siblings append.
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

impl Deref for PacketHeader {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

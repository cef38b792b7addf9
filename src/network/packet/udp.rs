//! Headers of UDP (RFC 768).

use super::build::{Header, Ip};
use super::checksum::Sum;
use super::protocol;

/// The length of the header.
pub const HEADER: usize = 8;

/// The longest payload of a datagram over IPv4, whose header counts in the 65,535 bytes.
pub const MAX_PAYLOAD_V4: usize = 65_535 - 20 - HEADER;

/// A datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagram<'a> {
    /// The sender's port; 0 where no answer is expected.
    pub source: u16,
    /// The receiver's port.
    pub target: u16,
    /// What it carries.
    pub payload: &'a [u8],
}

impl<'a> Datagram<'a> {
    /// Reads a datagram; `None` where it is malformed. Bytes behind it are left out.
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let [s0, s1, t0, t1, l0, l1, ..] = *bytes.first_chunk::<HEADER>()?;
        Some(Self {
            source: u16::from_be_bytes([s0, s1]),
            target: u16::from_be_bytes([t0, t1]),
            payload: bytes.get(HEADER..usize::from(u16::from_be_bytes([l0, l1])))?,
        })
    }

    /// The same of several datagrams in one (`VIRTIO_NET_HDR_GSO_UDP_L4`), whose header has the length of all of them.
    pub fn parse_train(bytes: &'a [u8]) -> Option<Self> {
        let (header, payload) = bytes.split_first_chunk::<HEADER>()?;
        let [s0, s1, t0, t1, ..] = *header;
        Some(Self { source: u16::from_be_bytes([s0, s1]), target: u16::from_be_bytes([t0, t1]), payload })
    }
}

/// The headers of IP and UDP in front of `length` bytes of payload; the field of the checksum holds the sum of the
/// pseudo header ([`Sum::folded`]). `None` where that is too long for a packet.
pub fn headers(ip: &Ip, ports: (u16, u16), length: usize) -> Option<Header> {
    let length = length.checked_add(HEADER)?;
    let mut header = ip.header(length)?;
    header.push(&ports.0.to_be_bytes());
    header.push(&ports.1.to_be_bytes());
    header.push(&u16::try_from(length).ok()?.to_be_bytes());
    header.push(&Sum::pseudo(ip.source, ip.target, protocol::UDP, length).folded());
    Some(header)
}

//! UDP datagrams (RFC 768).

use super::build::{IpFields, PacketHeader};
use super::checksum::InternetChecksum;
use super::protocol;

/// Length of the header in bytes.
pub(crate) const HEADER: usize = 8;

/// Maximum payload over IPv4, where the IP header counts towards the 65,535 bytes.
pub(crate) const MAX_PAYLOAD_V4: usize = 65_535 - 20 - HEADER;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UdpDatagram<'a> {
    /// 0 if no answer is expected.
    pub source: u16,
    pub target: u16,
    pub payload: &'a [u8],
}

impl<'a> UdpDatagram<'a> {
    /// Parses a datagram; `None` if it is malformed. Bytes after it are ignored.
    pub(crate) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let [s0, s1, t0, t1, l0, l1, ..] = *bytes.first_chunk::<HEADER>()?;
        Some(Self {
            source: u16::from_be_bytes([s0, s1]),
            target: u16::from_be_bytes([t0, t1]),
            payload: bytes.get(HEADER..usize::from(u16::from_be_bytes([l0, l1])))?,
        })
    }

    /// Parses several datagrams that the kernel left as one (`VIRTIO_NET_HDR_GSO_UDP_L4`); the header has
    /// their total length.
    pub(crate) fn parse_gso(bytes: &'a [u8]) -> Option<Self> {
        let (header, payload) = bytes.split_first_chunk::<HEADER>()?;
        let [s0, s1, t0, t1, ..] = *header;
        Some(Self { source: u16::from_be_bytes([s0, s1]), target: u16::from_be_bytes([t0, t1]), payload })
    }
}

/// Builds the IP and UDP headers for `length` bytes of payload. The checksum field holds the pseudo header's
/// sum ([`InternetChecksum::folded`]). `None` if that is too long for a packet.
pub(crate) fn build_headers(ip: &IpFields, ports: (u16, u16), length: usize) -> Option<PacketHeader> {
    let length = length.checked_add(HEADER)?;
    let mut header = ip.header(length)?;
    header.push(&ports.0.to_be_bytes());
    header.push(&ports.1.to_be_bytes());
    header.push(&u16::try_from(length).ok()?.to_be_bytes());
    header.push(&InternetChecksum::pseudo(ip.source, ip.target, protocol::UDP, length).folded());
    Some(header)
}

//! TCP segments (RFC 9293 §3.1).

use super::build::IpFields;
use super::checksum::InternetChecksum;
use super::{IpPacket, protocol};

pub(crate) const FIN: u8 = 1;
pub(crate) const SYN: u8 = 2;
pub(crate) const RST: u8 = 4;
pub(crate) const ACK: u8 = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TcpSegment<'a> {
    pub source: u16,
    pub target: u16,
    pub sequence: u32,
    pub(crate) acknowledgement: u32,
    /// The control bits, such as [`SYN`].
    pub flags: u8,
    /// As sent, not scaled.
    pub window: u16,
    /// As sent, with padding.
    pub options: &'a [u8],
    pub payload: &'a [u8],
}

impl<'a> TcpSegment<'a> {
    /// Parses a segment; `None` if it is malformed.
    pub(crate) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (header, rest) = bytes.split_first_chunk::<20>()?;
        let [s0, s1, t0, t1, q0, q1, q2, q3, a0, a1, a2, a3, length, flags, w0, w1, ..] = *header;
        let options = usize::from(length >> 4).checked_mul(4)?.checked_sub(20)?;
        let (options, payload) = rest.split_at_checked(options)?;
        Some(Self {
            source: u16::from_be_bytes([s0, s1]),
            target: u16::from_be_bytes([t0, t1]),
            sequence: u32::from_be_bytes([q0, q1, q2, q3]),
            acknowledgement: u32::from_be_bytes([a0, a1, a2, a3]),
            flags,
            window: u16::from_be_bytes([w0, w1]),
            options,
            payload,
        })
    }

    /// Whether it opens a connection (a SYN without ACK).
    pub(crate) fn is_first(&self) -> bool {
        self.flags & (SYN | ACK | RST | FIN) == SYN
    }
}

/// Builds the reset that a closed port would answer `packet` with (RFC 9293 §3.10.7.1). A reset is not
/// answered.
pub(crate) fn build_reset(packet: &IpPacket<'_>) -> Option<Vec<u8>> {
    let segment = packet.tcp()?;
    if segment.flags & RST != 0 {
        return None;
    }
    let (sequence, acknowledgement, flags) = if segment.flags & ACK != 0 {
        (segment.acknowledgement, 0, RST)
    } else {
        // SYN and FIN count as a byte each.
        let flag = |flag| u32::from(segment.flags & flag != 0);
        let length = (segment.payload.len() as u32).wrapping_add(flag(SYN) + flag(FIN));
        (0, segment.sequence.wrapping_add(length), RST | ACK)
    };
    let ip = IpFields::reply(packet.target, packet.source, protocol::TCP);
    let mut bytes = ip.header(20)?.to_vec();
    let start = bytes.len();
    bytes.extend_from_slice(&segment.target.to_be_bytes());
    bytes.extend_from_slice(&segment.source.to_be_bytes());
    bytes.extend_from_slice(&sequence.to_be_bytes());
    bytes.extend_from_slice(&acknowledgement.to_be_bytes());
    bytes.extend_from_slice(&[5 << 4, flags, 0, 0]);
    let sum =
        InternetChecksum::pseudo(packet.target, packet.source, protocol::TCP, 20).with(bytes.get(start..)?);
    bytes.extend_from_slice(&sum.finish());
    bytes.extend_from_slice(&[0, 0]);
    Some(bytes)
}

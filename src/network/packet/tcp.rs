//! Headers of TCP (RFC 9293 §3.1).

use super::build::Ip;
use super::checksum::Sum;
use super::{Packet, protocol};

/// The sender has no more to send.
pub const FIN: u8 = 1;
/// Opens a connection.
pub const SYN: u8 = 2;
/// Ends a connection at once.
pub const RST: u8 = 4;
/// To be handed to the reader now.
pub const PSH: u8 = 8;
/// The acknowledgement counts.
pub const ACK: u8 = 16;

/// A segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment<'a> {
    /// The sender's port.
    pub source: u16,
    /// The receiver's port.
    pub target: u16,
    /// The number of the first byte.
    pub sequence: u32,
    /// The number of the byte that is expected next.
    pub acknowledgement: u32,
    /// [`SYN`] and the like.
    pub flags: u8,
    /// As sent, not scaled.
    pub window: u16,
    /// As sent, padding included.
    pub options: &'a [u8],
    /// What the connection carries.
    pub payload: &'a [u8],
}

impl<'a> Segment<'a> {
    /// Reads a segment; `None` where it is malformed.
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
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

    /// Whether it is the first of a connection.
    pub fn is_first(&self) -> bool {
        self.flags & (SYN | ACK | RST | FIN) == SYN
    }
}

/// The packet that refuses `packet` as a closed port does (RFC 9293 §3.10.7.1). A reset is not answered.
pub fn reset(packet: &Packet<'_>) -> Option<Vec<u8>> {
    let segment = packet.tcp()?;
    if segment.flags & RST != 0 {
        return None;
    }
    let (sequence, acknowledgement, flags) = if segment.flags & ACK != 0 {
        (segment.acknowledgement, 0, RST)
    } else {
        let flag = |flag| u32::from(segment.flags & flag != 0);
        let length = (segment.payload.len() as u32).wrapping_add(flag(SYN) + flag(FIN));
        (0, segment.sequence.wrapping_add(length), RST | ACK)
    };
    let ip = Ip::answer(packet.target, packet.source, protocol::TCP);
    let mut bytes = ip.header(20)?.to_vec();
    let start = bytes.len();
    bytes.extend_from_slice(&segment.target.to_be_bytes());
    bytes.extend_from_slice(&segment.source.to_be_bytes());
    bytes.extend_from_slice(&sequence.to_be_bytes());
    bytes.extend_from_slice(&acknowledgement.to_be_bytes());
    bytes.extend_from_slice(&[5 << 4, flags, 0, 0]);
    let sum = Sum::pseudo(packet.target, packet.source, protocol::TCP, 20).with(bytes.get(start..)?);
    bytes.extend_from_slice(&sum.finish());
    bytes.extend_from_slice(&[0, 0]);
    Some(bytes)
}

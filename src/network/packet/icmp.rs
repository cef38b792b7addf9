//! ICMP (RFC 792, RFC 1122 §3.2.2) and ICMPv6 (RFC 4443) messages.

use std::io;
use std::net::IpAddr;

use super::build::IpFields;
use super::checksum::InternetChecksum;
use super::{IpPacket, protocol};

const ECHO_V4: u8 = 8;
const ECHO_REPLY_V4: u8 = 0;
const ECHO_V6: u8 = 128;
const ECHO_REPLY_V6: u8 = 129;

/// An echo request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EchoRequest<'a> {
    /// Tells the pings of one sender apart.
    pub ident: u16,
    pub sequence: u16,
    pub data: &'a [u8],
    /// The whole ICMP message.
    pub message: &'a [u8],
}

impl<'a> EchoRequest<'a> {
    /// Parses an ICMP or ICMPv6 echo request; `None` for any other message.
    pub(crate) fn parse(message: &'a [u8], v4: bool) -> Option<Self> {
        let ([kind, code, _, _, i0, i1, s0, s1], data) = message.split_first_chunk::<8>()?;
        let request = if v4 { ECHO_V4 } else { ECHO_V6 };
        (*kind == request && *code == 0).then(|| Self {
            ident: u16::from_be_bytes([*i0, *i1]),
            sequence: u16::from_be_bytes([*s0, *s1]),
            data,
            message,
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EchoKind {
    Request,
    Reply,
}

/// Builds an echo message as a whole packet; `None` if it is too long or the families differ.
pub(crate) fn build_echo(
    ip: &IpFields,
    echo_kind: EchoKind,
    ident: u16,
    sequence: u16,
    data: &[u8],
) -> Option<Vec<u8>> {
    let v4 = ip.source.is_ipv4();
    let kind = match (echo_kind, v4) {
        (EchoKind::Request, true) => ECHO_V4,
        (EchoKind::Reply, true) => ECHO_REPLY_V4,
        (EchoKind::Request, false) => ECHO_V6,
        (EchoKind::Reply, false) => ECHO_REPLY_V6,
    };
    let [i0, i1] = ident.to_be_bytes();
    let [s0, s1] = sequence.to_be_bytes();
    message(ip, kind, 0, [i0, i1, s0, s1], data)
}

/// Why a packet was not delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IcmpError {
    /// No route to the network.
    Net,
    /// Host unreachable.
    Host,
    /// Port unreachable.
    Port,
    /// Protocol not supported.
    Protocol,
    /// Forbidden by an administrator.
    Prohibited,
    /// The path MTU in bytes is too small, and the packet may not be fragmented.
    TooBig(u32),
    /// As received from elsewhere, in the family that it is passed on in.
    Other {
        /// The ICMP type.
        kind: u8,
        code: u8,
        /// The four bytes after the checksum.
        info: u32,
    },
}

impl IcmpError {
    /// What a router would report when our kernel returns `error`; `None` if it would stay silent.
    pub(crate) fn from_io(error: &io::Error) -> Option<Self> {
        match error.raw_os_error()? {
            libc::ECONNREFUSED => Some(Self::Port),
            libc::EHOSTUNREACH | libc::EHOSTDOWN => Some(Self::Host),
            libc::ENETUNREACH | libc::ENETDOWN | libc::EADDRNOTAVAIL => Some(Self::Net),
            libc::EACCES | libc::EPERM => Some(Self::Prohibited),
            libc::ENOPROTOOPT => Some(Self::Protocol),
            _ => None,
        }
    }

    /// Type, code, and the four bytes after the checksum.
    fn fields(self, v4: bool) -> (u8, u8, u32) {
        match (self, v4) {
            (Self::Net, true) => (3, 0, 0),
            (Self::Host, true) => (3, 1, 0),
            (Self::Protocol, true) => (3, 2, 0),
            (Self::Port, true) => (3, 3, 0),
            // The field has 16 bits in IPv4 (RFC 1191).
            (Self::TooBig(mtu), true) => (3, 4, mtu.min(0xffff)),
            (Self::Prohibited, true) => (3, 13, 0),
            (Self::Net, false) => (1, 0, 0),
            (Self::Prohibited, false) => (1, 1, 0),
            (Self::Host, false) => (1, 3, 0),
            (Self::Port, false) => (1, 4, 0),
            (Self::TooBig(mtu), false) => (2, 0, mtu),
            // The pointer to the next-header field, assuming no extension headers.
            (Self::Protocol, false) => (4, 1, 6),
            (Self::Other { kind, code, info }, _) => (kind, code, info),
        }
    }
}

/// Builds the error message about `packet`, sent from `from`; `None` where there must not be one (RFC 1122
/// §3.2.2, RFC 4443 §2.4 (e)).
pub(crate) fn build_error(packet: &IpPacket<'_>, error: IcmpError, from: IpAddr) -> Option<Vec<u8>> {
    let is_first = packet.fragment.is_none_or(|fragment| fragment.offset == 0);
    let kind = packet.payload.first().copied();
    let is_error = match packet.protocol {
        protocol::ICMP => kind != Some(ECHO_V4),
        protocol::ICMPV6 => kind.is_none_or(|kind| kind < 128),
        _ => false,
    };
    let nobody = |address: IpAddr| match address {
        IpAddr::V4(address) => address.is_unspecified() || address.is_multicast() || address.is_broadcast(),
        IpAddr::V6(address) => address.is_unspecified() || address.is_multicast(),
    };
    if !is_first || is_error || nobody(packet.source) || nobody(packet.target) {
        return None;
    }
    build_error_quoting(packet.source, packet.bytes, error, from)
}

/// Like [`build_error`], for a packet that is no longer at hand or looked different on its way: `quote` is
/// its beginning.
pub(crate) fn build_error_quoting(
    to: IpAddr,
    quote: &[u8],
    error: IcmpError,
    from: IpAddr,
) -> Option<Vec<u8>> {
    // As much as fits into a packet that every link carries (RFC 1812 §4.3.2.3, RFC 4443 §2.4 (c)).
    let (room, protocol) = match to {
        IpAddr::V4(_) => (576 - 20 - 8, protocol::ICMP),
        IpAddr::V6(_) => (1280 - 40 - 8, protocol::ICMPV6),
    };
    let quote = quote.get(..room).unwrap_or(quote);
    let (kind, code, info) = error.fields(to.is_ipv4());
    message(&IpFields::reply(from, to, protocol), kind, code, info.to_be_bytes(), quote)
}

fn message(ip: &IpFields, kind: u8, code: u8, info: [u8; 4], data: &[u8]) -> Option<Vec<u8>> {
    let length = data.len().checked_add(8)?;
    let header = ip.header(length)?;
    let mut packet = Vec::with_capacity(header.len() + length);
    packet.extend_from_slice(&header);
    let pseudo = if ip.source.is_ipv4() {
        InternetChecksum::default()
    } else {
        InternetChecksum::pseudo(ip.source, ip.target, protocol::ICMPV6, length)
    };
    let sum = pseudo.with(&[kind, code]).with(&info).with(data).finish();
    packet.extend_from_slice(&[kind, code]);
    packet.extend_from_slice(&sum);
    packet.extend_from_slice(&info);
    packet.extend_from_slice(data);
    Some(packet)
}

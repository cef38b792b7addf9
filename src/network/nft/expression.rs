//! nf_tables expressions, which rules consist of: they load registers, compare them and decide.

use std::net::IpAddr;

use super::attribute::{be, nest, plain, text};
use super::{IPV4, IPV6};

pub(crate) type SocketPort = u16;

/// The first register, used by expressions with a single value. From here on registers have four bytes each,
/// so that values loaded into consecutive ones form the key of a set.
pub(super) const FIRST: u32 = 8;

/// Where an offset into a packet starts, `NFT_PAYLOAD_*`.
#[derive(Clone, Copy)]
pub(super) enum PayloadBase {
    Link = 0,
    Network = 1,
    Transport = 2,
}

/// Metadata of a packet, `NFT_META_*`.
#[derive(Clone, Copy)]
pub(super) enum MetaKey {
    /// The EtherType, in network byte order.
    Protocol = 1,
    Mark = 3,
    InIndex = 4,
    OutIndex = 5,
    /// `NFPROTO_*`, one byte.
    Family = 15,
    /// The transport protocol number, one byte.
    Transport = 16,
}

/// `NFT_CMP_*`.
#[derive(Clone, Copy)]
pub(super) enum CmpOp {
    Equal = 0,
    Not = 1,
    AtMost = 3,
    AtLeast = 5,
}

fn expression(name: &str, attributes: &[Vec<u8>]) -> Vec<u8> {
    nest(1, &[text(1, name), nest(2, attributes)])
}

pub(super) fn load(meta: MetaKey, register: u32) -> Vec<u8> {
    expression("meta", &[be(1, register), be(2, meta as u32)])
}

pub(super) fn load_bytes(base: PayloadBase, offset: u32, length: u32, register: u32) -> Vec<u8> {
    expression("payload", &[be(1, register), be(2, base as u32), be(3, offset), be(4, length)])
}

pub(super) fn compare(op: CmpOp, value: &[u8]) -> Vec<u8> {
    expression("cmp", &[be(1, FIRST), be(2, op as u32), nest(3, &[plain(1, value)])])
}

pub(super) fn mask(bits: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bits.len()).unwrap_or_default();
    let zero = vec![0; bits.len()];
    let attributes =
        [be(1, FIRST), be(2, FIRST), be(3, length), nest(4, &[plain(1, bits)]), nest(5, &[plain(1, &zero)])];
    expression("bitwise", &attributes)
}

pub(super) fn value(bytes: &[u8]) -> Vec<u8> {
    value_in(FIRST, bytes)
}

fn value_in(register: u32, bytes: &[u8]) -> Vec<u8> {
    expression("immediate", &[be(1, register), nest(2, &[plain(1, bytes)])])
}

pub(super) fn set_mark(mark: u32) -> Vec<u8> {
    [value(&mark.to_ne_bytes()), expression("meta", &[be(2, MetaKey::Mark as u32), be(3, FIRST)])].concat()
}

/// Overwrites `length` bytes of the transport header with the loaded value, and updates the checksum at
/// offset `checksum` of that header.
pub(super) fn store_bytes(offset: u32, length: u32, checksum: u32) -> Vec<u8> {
    // Checksum type 1: the Internet checksum (`NFT_PAYLOAD_CSUM_INET`).
    let base = be(2, PayloadBase::Transport as u32);
    expression("payload", &[be(5, FIRST), base, be(3, offset), be(4, length), be(6, 1), be(7, checksum)])
}

/// Continues if the loaded key is in the set, or with `negated` if it is not.
pub(super) fn in_set(name: &str, negated: bool) -> Vec<u8> {
    expression("lookup", &[text(1, name), be(2, FIRST), be(5, u32::from(negated))])
}

/// Hands the packet to the transparent socket at this port; continues if there is one. `family` 0 means both.
pub(super) fn tproxy(family: u8, port: SocketPort) -> Vec<u8> {
    let to = expression("tproxy", &[be(1, u32::from(family)), be(3, FIRST)]);
    [value(&port.to_be_bytes()), to].concat()
}

/// Exempts the packet from connection tracking.
pub(super) fn notrack() -> Vec<u8> {
    expression("notrack", &[])
}

/// Loads the packet's direction within its connection, `IP_CT_DIR_*`, one byte. Ends the rule if there is no
/// connection.
pub(super) fn load_direction() -> Vec<u8> {
    expression("ct", &[be(1, FIRST), be(2, 1)])
}

/// Redirects the connection that the packet opens to this address and port (`NFT_NAT_DNAT`).
pub(super) fn dnat(address: IpAddr, port: SocketPort) -> Vec<u8> {
    // An address takes up to four registers.
    let port_register = FIRST + 4;
    let (family, address) = match address {
        IpAddr::V4(address) => (IPV4, value(&address.octets())),
        IpAddr::V6(address) => (IPV6, value(&address.octets())),
    };
    let to = [be(1, 1), be(2, family.into()), be(3, FIRST), be(5, port_register)];
    [address, value_in(port_register, &port.to_be_bytes()), expression("nat", &to)].concat()
}

fn verdict(code: u32) -> Vec<u8> {
    // Register 0 is the verdict (`NFT_REG_VERDICT`).
    expression("immediate", &[be(1, 0), nest(2, &[nest(2, &[be(1, code)])])])
}

pub(super) fn accept() -> Vec<u8> {
    verdict(1)
}

pub(super) fn drop() -> Vec<u8> {
    verdict(0)
}

/// Continues if the packet came in through this interface.
pub(super) fn input_is(index: u32) -> Vec<u8> {
    [load(MetaKey::InIndex, FIRST), compare(CmpOp::Equal, &index.to_ne_bytes())].concat()
}

/// Continues if the packet came in through another interface.
pub(super) fn input_is_not(index: u32) -> Vec<u8> {
    [load(MetaKey::InIndex, FIRST), compare(CmpOp::Not, &index.to_ne_bytes())].concat()
}

/// Continues for this transport protocol.
pub(super) fn l4_protocol_is(number: i32) -> Vec<u8> {
    let number = u8::try_from(number).unwrap_or_default();
    [load(MetaKey::Transport, FIRST), compare(CmpOp::Equal, &[number])].concat()
}

/// Continues for TCP segments that open a connection, or for all others.
pub(super) fn tcp_syn(op: CmpOp) -> Vec<u8> {
    // Of FIN, SYN, RST and ACK only SYN is set.
    [load_bytes(PayloadBase::Transport, 13, 1, FIRST), mask(&[0x17]), compare(op, &[0x02])].concat()
}

//! The 64 bits of an epoll event: a kind in the lowest bits, then a number; for an event source, the number
//! holds the source and the source's own token.

const KIND_BITS: u32 = 3;
/// Number of bits of a source's own token.
const SOURCE_TOKEN_BITS: u32 = 34;

pub(super) const WAKE: u64 = 0;
pub(super) const LISTENER: u64 = 1;
pub(super) const CONNECT: u64 = 2;
/// The inner socket of a connection; the outer one is the next kind.
pub(super) const CONN: u64 = 3;
pub(super) const OUTER: u64 = 4;
pub(super) const SOURCE: u64 = 5;

pub(super) fn encode(kind: u64, number: u64) -> u64 {
    number << KIND_BITS | kind
}

/// Splits a token into its kind and number.
pub(super) fn decode(token: u64) -> (u64, u64) {
    (token & ((1 << KIND_BITS) - 1), token >> KIND_BITS)
}

/// The number of an event source, with room for the source's own token.
pub(super) fn source_base(source: u64) -> u64 {
    source << SOURCE_TOKEN_BITS
}

/// Splits the number of a [`SOURCE`] event into the source and its own token.
pub(super) fn decode_source(number: u64) -> (u64, u64) {
    (number >> SOURCE_TOKEN_BITS, number & ((1 << SOURCE_TOKEN_BITS) - 1))
}

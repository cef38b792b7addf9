//! nf_tables rules, encoded as in `linux/netfilter/nf_tables.h` without any program or library.

pub(crate) mod anti_spoof;
pub(crate) mod dns_redirect;
mod expression;
pub(crate) mod redirect;
pub(crate) mod tproxy;

use super::netlink::{HEADER, NetlinkError, NetlinkSocket};

pub(crate) use expression::SocketPort;

/// Mark of packets for a local socket.
pub(crate) const MARK_SOCKET: u32 = 1;
/// Mark of packets for the forwarder.
pub(crate) const MARK_FORWARDER: u32 = 2;

/// Request flags, from `linux/netlink.h`.
const REQUEST: u16 = 1;
const ACK: u16 = 4;
const EXCLUSIVE: u16 = 0x200;
const CREATE: u16 = 0x400;
const APPEND: u16 = 0x800;

/// Message types, `NFT_MSG_*` in `linux/netfilter/nf_tables.h`.
#[derive(Clone, Copy)]
enum NftRequest {
    NewTable = 0,
    DeleteTable = 2,
    NewChain = 3,
    NewRule = 6,
    NewSet = 9,
    NewElements = 12,
    DeleteElements = 14,
}

/// Table families, from `linux/netfilter.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TableFamily {
    Inet = 1,
    Ip = 2,
    Bridge = 7,
}

/// Where a chain is attached; the numbers are those of `NF_INET_*` and `NF_BR_*`.
#[derive(Clone, Copy)]
enum ChainHook {
    Prerouting = 0,
    Output = 3,
}

/// `NFPROTO_IPV4` and `NFPROTO_IPV6`.
const IPV4: u8 = 2;
const IPV6: u8 = 10;

/// Changes that the kernel makes all or none of.
pub(crate) struct NftTransaction {
    family: TableFamily,
    table: &'static str,
    bytes: Vec<u8>,
    requests: Vec<String>,
    last: usize,
}

impl NftTransaction {
    fn new(family: TableFamily, table: &'static str) -> Self {
        let mut transaction = Self { family, table, bytes: Vec::new(), requests: Vec::new(), last: 0 };
        // NFNL_MSG_BATCH_BEGIN.
        transaction.frame(0x10);
        transaction
    }

    /// The begin or end message of a batch for nf_tables (subsystem 10).
    fn frame(&mut self, kind: u16) {
        self.message(kind, 0, 0, 10, &[]);
    }

    fn message(&mut self, kind: u16, flags: u16, family: u8, resource: u16, body: &[u8]) {
        let length = u32::try_from(HEADER + 4 + body.len()).unwrap_or(u32::MAX);
        // Requests count from 1, so that an error names the one it is about.
        let sequence = u32::try_from(self.requests.len()).unwrap_or(u32::MAX);
        self.bytes.extend(length.to_ne_bytes());
        self.bytes.extend(kind.to_ne_bytes());
        self.bytes.extend((REQUEST | flags).to_ne_bytes());
        self.bytes.extend(sequence.to_ne_bytes());
        self.bytes.extend([0; 4]);
        self.bytes.extend([family, 0]);
        self.bytes.extend(resource.to_be_bytes());
        self.bytes.extend(body);
    }

    fn push(&mut self, name: &str, request: NftRequest, flags: u16, attributes: &[Vec<u8>]) {
        self.requests.push(format!("{name} of table {}", self.table));
        self.last = self.bytes.len();
        let body = [attribute::text(1, self.table), attributes.concat()].concat();
        self.message(10 << 8 | request as u16, flags, self.family as u8, 0, &body);
    }

    fn add_table(&mut self) {
        self.push("the definition", NftRequest::NewTable, CREATE, &[]);
    }

    /// Adds the table; fails if it exists.
    fn add_new_table(&mut self) {
        self.push("the definition", NftRequest::NewTable, CREATE | EXCLUSIVE, &[]);
    }

    /// Replaces the table with an empty one. The next socket to be closed then waits until the kernel has
    /// destroyed the old one, which takes several milliseconds.
    fn replace_table(&mut self) {
        // Deleting a table that does not exist is an error, so make sure that it does.
        self.add_table();
        self.push("the definition", NftRequest::DeleteTable, 0, &[]);
        self.add_table();
    }

    /// Adds a base chain of the type `kind`. Its policy accepts packets that no rule decides on, or drops
    /// them.
    fn add_chain(&mut self, kind: &str, name: &str, hook: ChainHook, priority: i32, passes: bool) {
        let hook =
            attribute::nest(4, &[attribute::be(1, hook as u32), attribute::be(2, priority.cast_unsigned())]);
        let attributes =
            [attribute::text(3, name), hook, attribute::be(5, u32::from(passes)), attribute::text(7, kind)];
        self.push("a chain", NftRequest::NewChain, CREATE, &attributes);
    }

    fn add_rule(&mut self, chain: &str, expressions: &[Vec<u8>]) {
        let attributes = [attribute::text(2, chain), attribute::nest(4, expressions)];
        self.push("a rule", NftRequest::NewRule, CREATE | APPEND, &attributes);
    }

    /// Adds a set with keys of `length` bytes.
    fn add_set(&mut self, name: &str, length: u32) {
        // The kernel refuses a set without an id (NFTA_SET_ID), even if nothing refers to it.
        let id = u32::try_from(self.requests.len()).unwrap_or_default();
        let attributes = [
            attribute::text(2, name),
            attribute::be(3, 0),
            attribute::be(4, 0),
            attribute::be(5, length),
            attribute::be(10, id),
        ];
        self.push("a set", NftRequest::NewSet, CREATE, &attributes);
    }

    /// Adds keys to a set, or removes them.
    fn change_set(&mut self, name: &str, add: bool, keys: &[Vec<u8>]) {
        if keys.is_empty() {
            return;
        }
        let element = |key: &Vec<u8>| attribute::nest(1, &[attribute::nest(1, &[attribute::plain(1, key)])]);
        let elements: Vec<_> = keys.iter().map(element).collect();
        let attributes = [attribute::text(2, name), attribute::nest(3, &elements)];
        let (request, flags) =
            if add { (NftRequest::NewElements, CREATE) } else { (NftRequest::DeleteElements, 0) };
        self.push("the elements", request, flags, &attributes);
    }

    /// Applies the changes in the network namespace of `socket`.
    pub(crate) fn commit(mut self, socket: &NetlinkSocket) -> Result<(), NetlinkError> {
        let last = u32::try_from(self.requests.len()).unwrap_or(u32::MAX);
        if last == 0 {
            return Ok(());
        }
        // Only the last request asks for an acknowledgement; errors of the others are reported anyway.
        if let Some(flags) = self.bytes.get_mut(self.last + 6..).and_then(<[u8]>::first_chunk_mut) {
            *flags = (u16::from_ne_bytes(*flags) | ACK).to_ne_bytes();
        }
        // NFNL_MSG_BATCH_END.
        self.frame(0x11);
        let whole_table = || format!("write the rules of table {}", self.table);
        let errors = socket.exchange(&self.bytes, last);
        let errors = errors.map_err(|error| NetlinkError::new(whole_table(), error))?;
        errors.into_iter().next().map_or(Ok(()), |answer| {
            let request = self.requests.get((answer.sequence as usize).wrapping_sub(1));
            let request = request.map_or_else(whole_table, |request| format!("write {request}"));
            Err(answer.for_request(request))
        })
    }
}

/// Netlink attributes: two bytes of length, two of type, the value, and padding to a multiple of four.
mod attribute {
    const NESTED: u16 = 0x8000;

    pub(super) fn plain(kind: u16, value: &[u8]) -> Vec<u8> {
        let length = u16::try_from(4 + value.len()).unwrap_or(u16::MAX);
        let mut bytes = Vec::with_capacity(value.len() + 8);
        bytes.extend(length.to_ne_bytes());
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    pub(super) fn nest(kind: u16, inner: &[Vec<u8>]) -> Vec<u8> {
        plain(kind | NESTED, &inner.concat())
    }

    pub(super) fn be(kind: u16, value: u32) -> Vec<u8> {
        plain(kind, &value.to_be_bytes())
    }

    pub(super) fn text(kind: u16, value: &str) -> Vec<u8> {
        let mut bytes = value.as_bytes().to_vec();
        bytes.push(0);
        plain(kind, &bytes)
    }
}

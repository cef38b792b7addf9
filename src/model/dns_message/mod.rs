//! DNS messages, as far as a forwarder and a stub resolver must understand them (RFC 1035, section 4.1): header,
//! question, addresses, and what EDNS says about sizes.

pub mod kind;
#[cfg(test)]
mod tests;

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Maximum length of a message in bytes.
pub const MAX_MESSAGE: usize = 65535;
/// Length of a header in bytes.
pub const HEADER: usize = 12;
/// Maximum encoded length of a name in bytes (RFC 1035, section 2.3.4).
const NAME: usize = 255;
/// Maximum length of a query in bytes. Pending queries are kept in memory, and real ones are far shorter,
/// even with all options.
const LONGEST_QUERY: usize = 4096;
/// Addresses taken from one reply.
const ADDRESSES: usize = 256;

/// Response codes (RFC 1035, section 4.1.1).
pub mod code {
    /// FORMERR: the query is malformed.
    pub const FORMAT: u8 = 1;
    /// SERVFAIL: the server cannot answer now.
    pub const FAILURE: u8 = 2;
    /// NXDOMAIN: the name has no records at all.
    pub const NO_SUCH_NAME: u8 = 3;
    /// NOTIMP: an unknown kind of query.
    pub const NOT_IMPLEMENTED: u8 = 4;
    /// REFUSED: the server does not want to answer.
    pub const REFUSED: u8 = 5;

    /// What one of them is called.
    pub fn name(code: u8) -> Option<&'static str> {
        Some(match code {
            FORMAT => "FORMERR",
            FAILURE => "SERVFAIL",
            NO_SUCH_NAME => "NXDOMAIN",
            NOT_IMPLEMENTED => "NOTIMP",
            REFUSED => "REFUSED",
            _ => return None,
        })
    }
}

/// Flags in the third byte of a header (RFC 1035, section 4.1.1).
pub mod flag {
    /// RD: the server shall ask others.
    pub const RECURSION_DESIRED: u8 = 0x01;
    /// TC: records are missing, and can be had over TCP.
    pub const TRUNCATED: u8 = 0x02;
    /// AA: the server owns the name.
    pub const AUTHORITATIVE: u8 = 0x04;
}

/// The class of the internet.
pub const IN: u16 = 1;

/// Offsets of the numbers of records in a header.
pub mod count {
    pub const ANSWERS: usize = 6;
    pub const AUTHORITIES: usize = 8;
    pub const ADDITIONAL: usize = 10;
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsQuestion {
    /// In lower case, without the trailing dot. Bytes other than letters, digits, `-` and `_` appear as
    /// `\DDD`.
    pub name: String,
    /// The record type.
    pub kind: u16,
    /// Offset of its end in the message.
    pub end: usize,
}

/// How to handle a message that is no valid query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueryFault {
    /// Drop it: a reply to a reply could start a loop.
    Ignore,
    /// Reply with this [`code`].
    Reply(u8),
}

/// Parses a query.
pub fn parse_query(message: &[u8]) -> Result<DnsQuestion, QueryFault> {
    let [_, _, flags, ..] = message else { return Err(QueryFault::Ignore) };
    if message.len() < HEADER || flags & 0x80 != 0 {
        return Err(QueryFault::Ignore);
    }
    if flags & 0x78 != 0 {
        return Err(QueryFault::Reply(code::NOT_IMPLEMENTED));
    }
    if message.len() > LONGEST_QUERY {
        return Err(QueryFault::Reply(code::FORMAT));
    }
    parse_question(message).ok_or(QueryFault::Reply(code::FORMAT))
}

/// Parses the question of a message that has exactly one.
fn parse_question(message: &[u8]) -> Option<DnsQuestion> {
    if read_u16(message, 4)? != 1 {
        return None;
    }
    let mut name = String::new();
    let mut at = HEADER;
    loop {
        let length = usize::from(*message.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        // Longer labels, and compression pointers: the first name of a message has nothing to point to.
        if length > 63 || at + length - HEADER >= NAME {
            return None;
        }
        if !name.is_empty() {
            name.push('.');
        }
        for byte in message.get(at..at + length)? {
            match byte.to_ascii_lowercase() {
                byte @ (b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_') => name.push(char::from(byte)),
                byte => drop(write!(name, "\\{byte:03}")),
            }
        }
        at += length;
    }
    let kind = read_u16(message, at)?;
    read_u16(message, at + 2)?;
    Some(DnsQuestion { name, kind, end: at + 4 })
}

/// Encodes a query with the ID 0 that asks the server to ask others; `None` if `name` cannot be encoded.
pub fn encode_query(name: &str, kind: u16) -> Option<Vec<u8>> {
    let mut query = vec![0, 0, flag::RECURSION_DESIRED, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    query.extend(encode_name(name)?);
    query.extend([kind, IN].map(u16::to_be_bytes).concat());
    Some(query)
}

/// Checks that `reply` answers `query`, which was sent with the ID `id`, and returns its [`code`]. A failing
/// server may omit the question.
pub fn reply_code(reply: &[u8], id: u16, query: &[u8], asked: &DnsQuestion) -> Option<u8> {
    let (flags, code) = (*reply.get(2)?, *reply.get(3)? & 0x0f);
    if reply.len() < HEADER || read_u16(reply, 0)? != id || flags & 0xf8 != 0x80 {
        return None;
    }
    if read_u16(reply, 4)? == 0 {
        return (code != 0 && code != code::NO_SUCH_NAME).then_some(code);
    }
    let same = reply.get(HEADER..asked.end)?.eq_ignore_ascii_case(query.get(HEADER..asked.end)?);
    (same && read_u16(reply, 4)? == 1).then_some(code)
}

/// Whether records are missing in `reply`.
pub fn is_truncated(reply: &[u8]) -> bool {
    reply.get(2).is_some_and(|flags| flags & flag::TRUNCATED != 0)
}

/// Whether the server has nothing to say about the name: it neither owns it nor asks others.
pub fn is_lame(reply: &[u8]) -> bool {
    // RA is the first bit of the fourth byte.
    matches!(reply, [_, _, flags, rest, ..] if flags & flag::AUTHORITATIVE == 0 && rest & 0x80 == 0)
        && read_u16(reply, count::ANSWERS) == Some(0)
}

/// The addresses in the answer section, each with its TTL in seconds; the question ends at `end`.
pub fn answer_addresses(reply: &[u8], end: usize) -> Vec<(IpAddr, u32)> {
    let mut found = Vec::new();
    let mut at = end;
    for _ in 0..read_u16(reply, count::ANSWERS).unwrap_or(0) {
        let Some(record) = parse_record(reply, at) else { break };
        at = record.end;
        found.extend(record.address().map(|address| (address, record.ttl)));
        if found.len() >= ADDRESSES {
            break;
        }
    }
    found
}

/// The longest reply over UDP in bytes that the sender of `query` accepts, if it says so with EDNS (RFC 6891,
/// section 6.2.3); the question ends at `end`.
pub fn edns_payload(query: &[u8], end: usize) -> Result<Option<u16>, QueryFault> {
    let malformed = QueryFault::Reply(code::FORMAT);
    let mut payload = None;
    let mut at = end;
    for section in [count::ANSWERS, count::AUTHORITIES, count::ADDITIONAL] {
        for _ in 0..read_u16(query, section).unwrap_or(0) {
            let record = parse_record(query, at).ok_or(malformed)?;
            at = record.end;
            // More than one is an error (section 6.1.1).
            if record.kind == kind::OPT && payload.replace(record.class).is_some() {
                return Err(malformed);
            }
        }
    }
    Ok(payload)
}

/// A record of a message.
struct DnsRecord<'a> {
    kind: u16,
    class: u16,
    /// In seconds.
    ttl: u32,
    data: &'a [u8],
    /// Offset of its end in the message.
    end: usize,
}

impl DnsRecord<'_> {
    fn address(&self) -> Option<IpAddr> {
        match (self.kind, self.class) {
            (kind::A, IN) => <[u8; 4]>::try_from(self.data).ok().map(|data| Ipv4Addr::from(data).into()),
            (kind::AAAA, IN) => <[u8; 16]>::try_from(self.data).ok().map(|data| Ipv6Addr::from(data).into()),
            _ => None,
        }
    }
}

/// Parses the record at offset `at`, except for its name.
fn parse_record(message: &[u8], mut at: usize) -> Option<DnsRecord<'_>> {
    loop {
        let length = *message.get(at)?;
        at += 1;
        match length {
            0 => break,
            // A compression pointer ends the name.
            0xc0.. => {
                at += 1;
                break;
            }
            1..=63 => at += usize::from(length),
            _ => return None,
        }
    }
    let (kind, class) = (read_u16(message, at)?, read_u16(message, at + 2)?);
    let ttl = u32::from(read_u16(message, at + 4)?) << 16 | u32::from(read_u16(message, at + 6)?);
    let end = at + 10 + usize::from(read_u16(message, at + 8)?);
    Some(DnsRecord { kind, class, ttl, data: message.get(at + 10..end)?, end })
}

/// Encodes a name; a final dot is optional. `None` if a label is empty, or anything too long.
pub fn encode_name(name: &str) -> Option<Vec<u8>> {
    let mut encoded = Vec::with_capacity(name.len() + 2);
    for label in name.strip_suffix('.').unwrap_or(name).split('.') {
        let length = u8::try_from(label.len()).ok().filter(|length| (1..=63).contains(length))?;
        encoded.push(length);
        encoded.extend(label.bytes());
    }
    encoded.push(0);
    (encoded.len() <= NAME).then_some(encoded)
}

/// A reply to `query` with nothing but `code`, and the question if it was understood.
pub fn reply_with(query: &[u8], question: Option<&DnsQuestion>, code: u8) -> Vec<u8> {
    let mut reply = vec![0; HEADER];
    for (to, from) in reply.iter_mut().zip(query.iter().take(3)) {
        *to = *from;
    }
    if let [_, _, flags, second, _, questions, ..] = reply.as_mut_slice() {
        // QR, with the query's opcode and RD; then RA.
        *flags = *flags & 0x79 | 0x80;
        *second = 0x80 | code & 0x0f;
        *questions = u8::from(question.is_some());
    }
    reply.extend(question.and_then(|question| query.get(HEADER..question.end)).unwrap_or_default());
    reply
}

pub fn id(message: &[u8]) -> u16 {
    read_u16(message, 0).unwrap_or(0)
}

pub fn set_id(message: &mut [u8], id: u16) {
    set_u16(message, 0, id);
}

/// Sets the 16-bit number at offset `at`, which must be within the message.
pub fn set_u16(message: &mut [u8], at: usize, value: u16) {
    for (to, from) in message.iter_mut().skip(at).zip(value.to_be_bytes()) {
        *to = from;
    }
}

/// Parses the address in a name below `in-addr.arpa` or `ip6.arpa` (RFC 1035, section 3.5; RFC 3596, section
/// 2.5).
pub fn parse_reverse_name(name: &str) -> Option<IpAddr> {
    if let Some(labels) = name.strip_suffix(".in-addr.arpa") {
        let mut bytes = [0; 4];
        let mut labels = labels.rsplit('.');
        for byte in &mut bytes {
            *byte = labels.next()?.parse().ok()?;
        }
        return labels.next().is_none().then(|| Ipv4Addr::from(bytes).into());
    }
    let mut address: u128 = 0;
    let mut labels = name.strip_suffix(".ip6.arpa")?.rsplit('.');
    for _ in 0..32 {
        let label = labels.next().filter(|label| label.len() == 1)?;
        address = address << 4 | u128::from_str_radix(label, 16).ok()?;
    }
    labels.next().is_none().then(|| Ipv6Addr::from(address).into())
}

/// The first message of a TCP stream, if it is complete.
pub fn split_frame(stream: &[u8]) -> Option<Vec<u8>> {
    let [high, low, rest @ ..] = stream else { return None };
    let length = usize::from(u16::from_be_bytes([*high, *low]));
    debug_assert!(length <= MAX_MESSAGE);
    rest.get(..length).map(<[u8]>::to_vec)
}

/// Reads a big-endian 16-bit number at offset `at`.
fn read_u16(message: &[u8], at: usize) -> Option<u16> {
    match message.get(at..at + 2)? {
        [high, low] => Some(u16::from_be_bytes([*high, *low])),
        _ => None,
    }
}

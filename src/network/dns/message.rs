//! DNS messages, as far as a forwarder must understand them (RFC 1035, section 4.1): header, question,
//! addresses, and what EDNS says about sizes.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Maximum length of a message in bytes.
pub(super) const MAX_MESSAGE: usize = 65535;
/// Length of a header in bytes.
pub(crate) const HEADER: usize = 12;
/// Maximum encoded length of a name in bytes (RFC 1035, section 2.3.4).
const NAME: usize = 255;
/// Maximum length of a query in bytes. Pending queries are kept in memory, and real ones are far shorter,
/// even with all options.
const LONGEST_QUERY: usize = 4096;
/// Addresses taken from one reply.
const ADDRESSES: usize = 256;

/// Response codes (RFC 1035, section 4.1.1).
pub(crate) mod code {
    /// FORMERR: the query is malformed.
    pub(crate) const FORMAT: u8 = 1;
    /// SERVFAIL: the server cannot answer now.
    pub(crate) const FAILURE: u8 = 2;
    /// NOTIMP: an unknown kind of query.
    pub(crate) const NOT_IMPLEMENTED: u8 = 4;
    /// REFUSED: the server does not want to answer.
    pub(crate) const REFUSED: u8 = 5;
}

/// Record types.
pub(crate) mod kind {
    pub(crate) const A: u16 = 1;
    pub(crate) const PTR: u16 = 12;
    /// RFC 3596.
    pub(crate) const AAAA: u16 = 28;
    /// The pseudo-record of EDNS (RFC 6891, section 6.1).
    pub(crate) const OPT: u16 = 41;
}

/// The class of the internet.
pub(crate) const IN: u16 = 1;

/// Offsets of the numbers of records in a header.
pub(crate) mod count {
    pub(crate) const ANSWERS: usize = 6;
    pub(crate) const AUTHORITIES: usize = 8;
    pub(crate) const ADDITIONAL: usize = 10;
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DnsQuestion {
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
pub(crate) enum QueryFault {
    /// Drop it: a reply to a reply could start a loop.
    Ignore,
    /// Reply with this [`code`].
    Reply(u8),
}

/// Parses a query.
pub(crate) fn parse_query(message: &[u8]) -> Result<DnsQuestion, QueryFault> {
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

/// Checks that `reply` answers `query`, which was sent with the ID `id`, and returns its [`code`]. A failing
/// server may omit the question.
pub(crate) fn reply_code(reply: &[u8], id: u16, query: &[u8], asked: &DnsQuestion) -> Option<u8> {
    let (flags, code) = (*reply.get(2)?, *reply.get(3)? & 0x0f);
    if reply.len() < HEADER || read_u16(reply, 0)? != id || flags & 0xf8 != 0x80 {
        return None;
    }
    if read_u16(reply, 4)? == 0 {
        return (code != 0 && code != 3).then_some(code);
    }
    let same = reply.get(HEADER..asked.end)?.eq_ignore_ascii_case(query.get(HEADER..asked.end)?);
    (same && read_u16(reply, 4)? == 1).then_some(code)
}

/// The addresses in the answer section, each with its TTL in seconds; the question ends at `end`.
pub(crate) fn answer_addresses(reply: &[u8], end: usize) -> Vec<(IpAddr, u32)> {
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
pub(crate) fn edns_payload(query: &[u8], end: usize) -> Result<Option<u16>, QueryFault> {
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
pub(crate) fn encode_name(name: &str) -> Option<Vec<u8>> {
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
pub(crate) fn reply_with(query: &[u8], question: Option<&DnsQuestion>, code: u8) -> Vec<u8> {
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

pub(crate) fn id(message: &[u8]) -> u16 {
    read_u16(message, 0).unwrap_or(0)
}

pub(crate) fn set_id(message: &mut [u8], id: u16) {
    set_u16(message, 0, id);
}

/// Sets the 16-bit number at offset `at`, which must be within the message.
pub(crate) fn set_u16(message: &mut [u8], at: usize, value: u16) {
    for (to, from) in message.iter_mut().skip(at).zip(value.to_be_bytes()) {
        *to = from;
    }
}

/// The name of a record type, such as `AAAA`; `TYPE4711` if it is not a common one (RFC 3597, section 5).
pub(crate) fn type_name(kind: u16) -> String {
    let known = TYPE_NAMES.iter().find(|(number, _)| *number == kind);
    known.map_or_else(|| format!("TYPE{kind}"), |(_, name)| (*name).to_owned())
}

/// Types from IANA's registry of DNS parameters that programs ask for.
const TYPE_NAMES: &[(u16, &str)] = &[
    (kind::A, "A"),
    (2, "NS"),
    (5, "CNAME"),
    (6, "SOA"),
    (10, "NULL"),
    (kind::PTR, "PTR"),
    (13, "HINFO"),
    (15, "MX"),
    (16, "TXT"),
    (24, "SIG"),
    (25, "KEY"),
    (kind::AAAA, "AAAA"),
    (29, "LOC"),
    (33, "SRV"),
    (35, "NAPTR"),
    (37, "CERT"),
    (39, "DNAME"),
    (kind::OPT, "OPT"),
    (43, "DS"),
    (44, "SSHFP"),
    (46, "RRSIG"),
    (47, "NSEC"),
    (48, "DNSKEY"),
    (50, "NSEC3"),
    (51, "NSEC3PARAM"),
    (52, "TLSA"),
    (53, "SMIMEA"),
    (59, "CDS"),
    (60, "CDNSKEY"),
    (61, "OPENPGPKEY"),
    (62, "CSYNC"),
    (64, "SVCB"),
    (65, "HTTPS"),
    (250, "TSIG"),
    (251, "IXFR"),
    (252, "AXFR"),
    (255, "ANY"),
    (256, "URI"),
    (257, "CAA"),
];

/// Parses the address in a name below `in-addr.arpa` or `ip6.arpa` (RFC 1035, section 3.5; RFC 3596, section
/// 2.5).
pub(crate) fn parse_reverse_name(name: &str) -> Option<IpAddr> {
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
pub(super) fn split_frame(stream: &[u8]) -> Option<Vec<u8>> {
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

#[cfg(test)]
mod tests {
    use hickory_proto::op::{Message, Query};
    use hickory_proto::rr::{Name, RData, Record, RecordType};

    use super::*;

    fn asked(name: &str, kind: RecordType) -> Vec<u8> {
        let mut message = Message::query();
        message.metadata.id = 7;
        message.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
        message.to_vec().unwrap()
    }

    #[test]
    fn questions_are_read() {
        let message = asked("Web.Example.ORG.", RecordType::AAAA);
        let question = parse_query(&message).unwrap();
        assert_eq!((question.name.as_str(), question.kind), ("web.example.org", kind::AAAA));
        assert_eq!(question.end, message.len());
        assert_eq!(parse_query(&asked(".", RecordType::NS)).unwrap().name, "");
        // A dot within a label does not separate labels.
        let mut odd = asked("a-b.org.", RecordType::A);
        odd[14] = b'.';
        assert_eq!(parse_query(&odd).unwrap().name, "a\\046b.org");
    }

    #[test]
    fn what_is_no_question_is_refused_or_ignored() {
        let good = asked("a.b.", RecordType::A);
        for end in 0..good.len() {
            let expected = if end < HEADER { QueryFault::Ignore } else { QueryFault::Reply(code::FORMAT) };
            assert_eq!(parse_query(&good[..end]).unwrap_err(), expected);
        }
        let with = |at: usize, byte: u8| {
            let mut message = good.clone();
            message[at] = byte;
            parse_query(&message).unwrap_err()
        };
        assert_eq!(with(2, 0x80), QueryFault::Ignore);
        assert_eq!(with(2, 0x10), QueryFault::Reply(code::NOT_IMPLEMENTED));
        assert_eq!(with(5, 2), QueryFault::Reply(code::FORMAT));
        assert_eq!(with(12, 0xc0), QueryFault::Reply(code::FORMAT));
        let mut long = good[..HEADER].to_vec();
        for _ in 0..5 {
            long.push(63);
            long.extend([b'a'; 63]);
        }
        long.extend([0, 0, 1, 0, 1]);
        assert_eq!(parse_query(&long).unwrap_err(), QueryFault::Reply(code::FORMAT));
    }

    #[test]
    fn replies_are_matched_and_their_addresses_found() {
        let sent = asked("www.example.org.", RecordType::A);
        let question = parse_query(&sent).unwrap();
        let mut reply = Message::from_vec(&sent).unwrap().into_response();
        let name = |text: &str| Name::from_ascii(text).unwrap();
        let canonical = hickory_proto::rr::rdata::CNAME(name("real.example.net."));
        reply.add_answer(Record::from_rdata(name("WWW.example.org."), 60, RData::CNAME(canonical)));
        for (address, ttl) in [("192.0.2.1", 60), ("192.0.2.2", 90)] {
            let data = RData::A(address.parse().unwrap());
            reply.add_answer(Record::from_rdata(name("real.example.net."), ttl, data));
        }
        let bytes = reply.to_vec().unwrap();
        assert_eq!(reply_code(&bytes, 7, &sent, &question), Some(0));
        assert_eq!(reply_code(&bytes, 8, &sent, &question), None);
        assert_eq!(reply_code(&sent, 7, &sent, &question), None);
        let other = asked("www.example.com.", RecordType::A);
        assert_eq!(reply_code(&bytes, 7, &other, &parse_query(&other).unwrap()), None);
        let found = answer_addresses(&bytes, question.end);
        assert_eq!(found, [("192.0.2.1".parse().unwrap(), 60), ("192.0.2.2".parse().unwrap(), 90)]);
        for end in 0..bytes.len() {
            assert!(answer_addresses(&bytes[..end], question.end).len() < 2);
        }
    }

    #[test]
    fn an_error_carries_number_and_question() {
        let sent = asked("a.b.", RecordType::A);
        let question = parse_query(&sent).unwrap();
        let reply = Message::from_vec(&reply_with(&sent, Some(&question), code::FAILURE)).unwrap();
        assert_eq!((reply.metadata.id, reply.queries.len()), (7, 1));
        assert_eq!(u16::from(reply.metadata.response_code), u16::from(code::FAILURE));
        assert!(Message::from_vec(&reply_with(&sent, None, code::FORMAT)).unwrap().queries.is_empty());
    }

    #[test]
    fn names_of_addresses() {
        assert_eq!(parse_reverse_name("1.2.0.192.in-addr.arpa"), Some("192.0.2.1".parse().unwrap()));
        let name = format!("1.{}8.b.d.0.1.0.0.2.ip6.arpa", "0.".repeat(23));
        assert_eq!(parse_reverse_name(&name), Some("2001:db8::1".parse().unwrap()));
        for bad in
            ["", "2.0.192.in-addr.arpa", "0.1.2.0.192.in-addr.arpa", "x.2.0.192.in-addr.arpa", "1.ip6.arpa"]
        {
            assert_eq!(parse_reverse_name(bad), None, "{bad}");
        }
    }
    #[test]
    fn names_of_types() {
        for kind in 1..=300 {
            let named = RecordType::from(kind);
            let expected = match kind {
                29 => "LOC".into(),
                256 => "URI".into(),
                _ if matches!(named, RecordType::Unknown(_)) => format!("TYPE{kind}"),
                _ => named.to_string(),
            };
            assert_eq!(type_name(kind), expected);
        }
        assert_eq!(type_name(u16::MAX), "TYPE65535");
    }

    #[test]
    fn what_a_query_says_about_sizes() {
        let plain = asked("a.b.", RecordType::A);
        let end = plain.len();
        let option = [0, 0, 41, 4, 0xd0, 0, 0, 0x80, 0, 0, 4, 0, 10, 0, 0];
        let with = |sections: [u8; 3], records: &[&[u8]]| {
            let mut query = plain.clone();
            (query[7], query[9], query[11]) = (sections[0], sections[1], sections[2]);
            query.extend(records.concat());
            query
        };
        let other = [&[0xc0, 12, 0xff, 0x10, 0, 1, 0, 0, 0, 9, 0, 3][..], b"abc"].concat();
        assert_eq!(edns_payload(&plain, end), Ok(None));
        assert_eq!(edns_payload(&with([0, 0, 1], &[&option]), end), Ok(Some(1232)));
        assert_eq!(edns_payload(&with([1, 1, 2], &[&other, &other, &other, &option]), end), Ok(Some(1232)));
        let malformed = Err(QueryFault::Reply(code::FORMAT));
        assert_eq!(edns_payload(&with([0, 0, 2], &[&option, &option]), end), malformed);
        for length in 0..option.len() {
            assert_eq!(edns_payload(&with([0, 0, 1], &[&option[..length]]), end), malformed);
        }
    }

    #[test]
    fn names_are_encoded_as_others_do() {
        let encode = |text: &str| {
            let message = asked(text, RecordType::A);
            message[HEADER..message.len() - 4].to_vec()
        };
        let longest = format!("{}{}.", "a.".repeat(126), "b");
        for name in ["Web.example-1.org.", "_sip._tcp.a_b.", &"l".repeat(63), &longest] {
            assert_eq!(encode_name(name).unwrap(), encode(&format!("{}.", name.trim_end_matches('.'))));
        }
        assert_eq!(encode_name("a.b"), encode_name("a.b."));
        for bad in ["", ".", "a..b", ".a", "a..", &"l".repeat(64), &format!("cc.{longest}")] {
            assert_eq!(encode_name(bad), None, "{bad}");
        }
    }
}

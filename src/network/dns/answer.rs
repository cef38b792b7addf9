//! Encodes our own answers: the question as it came, records that point to its name, and EDNS if the query had
//! it.

use std::net::IpAddr;

use super::names::NameAnswer;
use dhow_model::dns_message::{self, DnsQuestion, HEADER, IN, MAX_MESSAGE, count, flag, kind};

/// TTL of our answers in seconds, as docker's.
const TTL: u32 = 600;
/// Maximum UDP payload of a query without EDNS, in bytes (RFC 1035, section 4.2.1).
const DEFAULT_UDP_PAYLOAD: u16 = 512;
/// The most that we send over UDP, in bytes.
const MAX_UDP_PAYLOAD: u16 = 4096;
/// A compression pointer to the question's name, which follows the header (RFC 1035, section 4.1.4).
const QUESTION_NAME: u16 = 0xc000 | HEADER as u16;

/// Encodes the answer to `query`. Over UDP it is truncated (TC) to what the client accepts; over TCP, addresses
/// that exceed the longest message are left out. `None` if the query is malformed behind its question, or a
/// name cannot be encoded.
pub(crate) fn build_answer(
    query: &[u8],
    question: &DnsQuestion,
    found: &NameAnswer,
    udp: bool,
) -> Option<Vec<u8>> {
    let payload = dns_message::edns_payload(query, question.end).ok()?;
    let options = payload.map(|_| edns_record()).unwrap_or_default();
    let accepted = payload.unwrap_or_default().clamp(DEFAULT_UDP_PAYLOAD, MAX_UDP_PAYLOAD);
    let limit = if udp { usize::from(accepted) } else { MAX_MESSAGE };
    let mut reply = dns_message::reply_with(query, Some(question), 0);
    let mut answers = 0;
    for record in answer_records(found)? {
        if reply.len() + record.len() + options.len() > limit {
            if let Some(flags) = reply.get_mut(2).filter(|_| udp) {
                *flags |= flag::TRUNCATED;
            }
            break;
        }
        reply.extend(record);
        answers += 1;
    }
    dns_message::set_u16(&mut reply, count::ANSWERS, answers);
    dns_message::set_u16(&mut reply, count::ADDITIONAL, payload.is_some().into());
    reply.extend(options);
    Some(reply)
}

/// The records of an answer; all have the name of the question.
fn answer_records(found: &NameAnswer) -> Option<Vec<Vec<u8>>> {
    Some(match found {
        NameAnswer::NoRecords => vec![],
        NameAnswer::Name(target) => vec![answer_record(kind::PTR, &dns_message::encode_name(target)?)],
        NameAnswer::Addresses(addresses) => addresses
            .iter()
            .map(|address| match address {
                IpAddr::V4(address) => answer_record(kind::A, &address.octets()),
                IpAddr::V6(address) => answer_record(kind::AAAA, &address.octets()),
            })
            .collect(),
    })
}

/// A record of the internet (RFC 1035, section 4.1.3). `data` is far shorter than 64 KiB.
fn answer_record(kind: u16, data: &[u8]) -> Vec<u8> {
    let mut record = [QUESTION_NAME, kind, IN].map(u16::to_be_bytes).concat();
    record.extend(TTL.to_be_bytes());
    record.extend((data.len() as u16).to_be_bytes());
    record.extend(data);
    record
}

/// What we accept over UDP: version 0 of EDNS, without flags and options (RFC 6891, section 6.1.2).
fn edns_record() -> Vec<u8> {
    let mut record = vec![0];
    record.extend([kind::OPT, MAX_UDP_PAYLOAD, 0, 0, 0].map(u16::to_be_bytes).concat());
    record
}

#[cfg(test)]
mod tests {
    use hickory_proto::op::{Edns, Message, Query};
    use hickory_proto::rr::{Name, RData, RecordType};

    use super::*;

    fn build(query: &[u8], found: &NameAnswer, udp: bool) -> Option<Vec<u8>> {
        build_answer(query, &dns_message::parse_query(query).unwrap(), found, udp)
    }

    fn query(edns: Option<u16>) -> Vec<u8> {
        let mut message = Message::query();
        message.metadata.id = 77;
        message.metadata.recursion_desired = true;
        message.add_query(Query::query(Name::from_ascii("Web.").unwrap(), RecordType::A));
        if let Some(size) = edns {
            let mut edns = Edns::new();
            edns.set_max_payload(size);
            message.set_edns(edns);
        }
        message.to_vec().unwrap()
    }

    fn addresses(count: u8) -> NameAnswer {
        NameAnswer::Addresses((1..=count).map(|last| IpAddr::from([192, 0, 2, last])).collect())
    }

    #[test]
    fn an_answer_is_cut_to_what_the_asker_can_take() {
        for (edns, udp, all) in
            [(None, true, false), (Some(1232), true, false), (Some(4096), true, true), (None, false, true)]
        {
            let bytes = build(&query(edns), &addresses(200), udp).unwrap();
            let reply = Message::from_vec(&bytes).unwrap();
            assert_eq!(reply.metadata.truncation, !all, "{edns:?}");
            assert_eq!(reply.answers.len() == 200, all, "{edns:?}");
            if !all {
                let limit = usize::from(edns.unwrap_or(512));
                assert!(bytes.len() <= limit && bytes.len() + 128 > limit, "{edns:?}: {}", bytes.len());
            }
            assert_eq!(reply.edns.map(|edns| edns.max_payload()), edns.map(|_| 4096));
        }
    }

    #[test]
    fn an_answer_is_to_the_question() {
        let bytes = build(&query(None), &addresses(2), true).unwrap();
        let reply = Message::from_vec(&bytes).unwrap();
        assert_eq!(
            (reply.metadata.id, reply.metadata.recursion_available, reply.metadata.recursion_desired),
            (77, true, true)
        );
        assert!(reply.answers.iter().all(|record| record.ttl == 600 && record.name.to_ascii() == "Web."));
        assert_eq!(build(&query(None), &NameAnswer::NoRecords, true).map(|bytes| bytes.len()), Some(21));
        let bytes = build(&query(None), &NameAnswer::Name("a_b.my-net".into()), true).unwrap();
        assert!(
            matches!(&Message::from_vec(&bytes).unwrap().answers[0].data, RData::PTR(name) if name.0.to_ascii() == "a_b.my-net.")
        );
        for unknown in ["", "a..b", &"l".repeat(64)] {
            assert!(build(&query(None), &NameAnswer::Name(unknown.into()), true).is_none());
        }
        let cut = query(Some(1232));
        assert!(build(&cut[..cut.len() - 1], &NameAnswer::NoRecords, true).is_none());
    }
}

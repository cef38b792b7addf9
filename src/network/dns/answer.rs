//! Encodes our own answers.

use std::net::IpAddr;

use hickory_proto::op::{Edns, Message, MessageType};
use hickory_proto::rr::{Name, RData, Record, rdata};

use super::names::NameAnswer;

/// TTL of our answers in seconds, as docker's.
const TTL: u32 = 600;
/// Maximum UDP payload of a query without EDNS, in bytes (RFC 1035, section 4.2.1).
const DEFAULT_UDP_PAYLOAD: u16 = 512;
/// The most that we send over UDP, in bytes.
const MAX_UDP_PAYLOAD: u16 = 4096;
/// Number of addresses that fit into a TCP message with certainty.
const MAX_ADDRESSES: usize = 2000;

/// Encodes the answer to `query`. Over UDP it is truncated (TC) to what the client accepts. `None` if the
/// query is malformed.
pub(crate) fn build_answer(query: &[u8], found: &NameAnswer, udp: bool) -> Option<Vec<u8>> {
    let query = Message::from_vec(query).ok()?;
    let mut reply = Message::response(query.metadata.id, query.metadata.op_code);
    reply.metadata.message_type = MessageType::Response;
    reply.metadata.recursion_desired = query.metadata.recursion_desired;
    reply.metadata.recursion_available = true;
    let name = query.queries.first()?.name().clone();
    reply.add_queries(query.queries.iter().cloned());
    if query.edns.is_some() {
        let mut edns = Edns::new();
        edns.set_max_payload(MAX_UDP_PAYLOAD);
        reply.set_edns(edns);
    }
    let record = |data| Record::from_rdata(name.clone(), TTL, data);
    match found {
        NameAnswer::NoRecords => {}
        NameAnswer::Name(target) => {
            let labels = target.split('.').map(str::as_bytes);
            reply.add_answer(record(RData::PTR(rdata::PTR(Name::from_labels(labels).ok()?))));
        }
        NameAnswer::Addresses(addresses) => {
            reply.add_answers(addresses.iter().take(MAX_ADDRESSES).map(|address| match address {
                IpAddr::V4(address) => record(RData::A((*address).into())),
                IpAddr::V6(address) => record(RData::AAAA((*address).into())),
            }));
        }
    }
    let limit = usize::from(
        query
            .edns
            .map_or(DEFAULT_UDP_PAYLOAD, |edns| edns.max_payload())
            .clamp(DEFAULT_UDP_PAYLOAD, MAX_UDP_PAYLOAD),
    );
    let mut bytes = reply.to_vec().ok()?;
    while udp && bytes.len() > limit && !reply.answers.is_empty() {
        reply.metadata.truncation = true;
        // Runs at most twice: all records have the same length.
        let fitting = reply.answers.len() * limit / bytes.len();
        reply.answers.truncate(fitting.min(reply.answers.len() - 1));
        bytes = reply.to_vec().ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use hickory_proto::op::Query;
    use hickory_proto::rr::RecordType;

    use super::*;

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
            let bytes = build_answer(&query(edns), &addresses(200), udp).unwrap();
            let reply = Message::from_vec(&bytes).unwrap();
            assert_eq!(reply.metadata.truncation, !all, "{edns:?}");
            assert_eq!(reply.answers.len() == 200, all, "{edns:?}");
            if !all {
                let limit = usize::from(edns.unwrap_or(512));
                assert!(bytes.len() <= limit && bytes.len() + 128 > limit, "{edns:?}: {}", bytes.len());
            }
            assert_eq!(reply.edns.is_some(), edns.is_some());
        }
    }

    #[test]
    fn an_answer_is_to_the_question() {
        let bytes = build_answer(&query(None), &addresses(2), true).unwrap();
        let reply = Message::from_vec(&bytes).unwrap();
        assert_eq!(
            (reply.metadata.id, reply.metadata.recursion_available, reply.metadata.recursion_desired),
            (77, true, true)
        );
        assert!(reply.answers.iter().all(|record| record.ttl == 600 && record.name.to_ascii() == "Web."));
        assert_eq!(
            build_answer(&query(None), &NameAnswer::NoRecords, true).map(|bytes| bytes.len()),
            Some(21)
        );
        let bytes = build_answer(&query(None), &NameAnswer::Name("a_b.my-net".into()), true).unwrap();
        assert!(
            matches!(&Message::from_vec(&bytes).unwrap().answers[0].data, RData::PTR(name) if name.0.to_ascii() == "a_b.my-net.")
        );
        assert!(build_answer(&query(None)[..20], &NameAnswer::NoRecords, true).is_none());
    }
}

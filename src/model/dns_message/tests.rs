//! Messages that another implementation has encoded, and ours as it reads them.

use hickory_proto::op::{Message, MessageType, Query};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};

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
fn questions_are_asked() {
    let query = Message::from_vec(&encode_query("Registry.example.org", kind::AAAA).unwrap()).unwrap();
    assert!(query.metadata.recursion_desired && query.metadata.message_type == MessageType::Query);
    let [asked] = query.queries.as_slice() else { panic!("{query:?}") };
    assert_eq!(
        (asked.name().to_ascii(), asked.query_type()),
        ("Registry.example.org.".into(), RecordType::AAAA)
    );
    assert_eq!(asked.query_class(), DNSClass::IN);
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

//! What must hold for whatever comes from a network, and seeds: shared by the coverage-guided fuzz targets and the
//! seeded tests.

use std::time::Instant;

use crate::dns::answer::build_answer;
use crate::dns::names::NameAnswer;
use crate::packet::IpPacket;
use crate::packet::build::IpFields;
use crate::packet::checksum::InternetChecksum;
use crate::packet::icmp;
use crate::packet::protocol;
use crate::packet::reassemble::Reassembler;
use crate::packet::tcp;
use crate::packet::udp;
use dhow_model::dns_message::{self, QueryFault};
use hickory_proto::op::Message;

/// Reads packets that lie one after the other, each with its length before it: what is answered is a whole packet with
/// right checksums. How many were put together from fragments.
pub fn packets(input: &[u8]) -> usize {
    let mut reassembler = Reassembler::default();
    let mut rest = input;
    let mut whole = 0;
    while let Some(([high, low], after)) = rest.split_first_chunk::<2>() {
        let length = usize::from(u16::from_be_bytes([*high, *low])).min(after.len());
        let (bytes, after) = after.split_at(length);
        rest = after;
        let Ok(packet) = IpPacket::parse(bytes) else { continue };
        let _ = (packet.tcp(), packet.udp(), packet.echo(), packet.is_intact());
        let answers =
            [tcp::build_reset(&packet), icmp::build_error(&packet, icmp::IcmpError::Port, packet.target)];
        for answer in answers.into_iter().flatten() {
            let answer = IpPacket::parse(&answer).unwrap();
            assert!(answer.is_intact() && answer.target == packet.source && answer.fragment.is_none());
        }
        if let Some(bytes) = reassembler.add(&packet, Instant::now()) {
            assert!(IpPacket::parse(&bytes).unwrap().fragment.is_none());
            whole += 1;
        }
    }
    whole
}

/// Reads a question: it is refused, or answered with what can be read.
pub fn question(input: &[u8]) {
    let found = NameAnswer::Addresses((0..64).map(|last| [192, 0, 2, last].into()).collect());
    match dns_message::parse_query(input) {
        Ok(question) => {
            assert!(question.end <= input.len() && question.name.is_ascii());
            let refused = dns_message::reply_with(input, Some(&question), dns_message::code::REFUSED);
            assert_eq!(dns_message::reply_code(&refused, dns_message::id(input), input, &question), Some(5));
            assert!(dns_message::answer_addresses(input, question.end).len() <= 256);
            let _ = dns_message::parse_reverse_name(&question.name);
            for udp in [true, false] {
                let Some(bytes) = build_answer(input, &question, &found, udp) else { continue };
                let reply = Message::from_vec(&bytes).unwrap();
                assert_eq!(reply.metadata.id, dns_message::id(input));
                assert!(!udp || bytes.len() <= 4096);
                assert_eq!(reply.metadata.truncation, reply.answers.len() < 64);
            }
        }
        Err(QueryFault::Reply(code)) => {
            let reply = dns_message::reply_with(input, None, code);
            assert_eq!(reply.len(), dns_message::HEADER);
        }
        Err(QueryFault::Ignore) => {}
    }
}

/// Reads `input` as what a server replied to `query`, then as a question.
pub fn reply_and_question(input: &[u8], query: &[u8]) {
    let asked = dns_message::parse_query(&{
        let mut query = query.to_vec();
        query[2] &= 0x7f;
        query
    })
    .unwrap();
    let _ = dns_message::reply_code(input, dns_message::id(input), query, &asked);
    assert!(dns_message::answer_addresses(input, asked.end).len() <= 256);
    question(input);
}

/// The packets, each preceded by its length.
fn framed(packets: &[Vec<u8>]) -> Vec<u8> {
    packets.iter().flat_map(|packet| [&(packet.len() as u16).to_be_bytes()[..], packet].concat()).collect()
}

/// Seeds: a SYN, a datagram, a ping and a fragmented packet of one address family.
pub fn packet_seeds(source: &str, target: &str) -> Vec<Vec<u8>> {
    let (source, target) = (source.parse().unwrap(), target.parse().unwrap());
    let ip = |protocol| IpFields::reply(source, target, protocol);
    let mut syn = ip(protocol::TCP).header(24).unwrap().to_vec();
    let start = syn.len();
    syn.extend([0x9c, 0x40, 0, 80, 0, 0, 0, 1, 0, 0, 0, 0, 6 << 4, tcp::SYN, 0xff, 0xff, 0, 0, 0, 0]);
    syn.extend([2, 4, 5, 0xb4]);
    let sum = InternetChecksum::pseudo(source, target, protocol::TCP, 24).with(&syn[start..]).finish();
    syn[start + 16..start + 18].copy_from_slice(&sum);
    let mut datagram = udp::build_headers(&ip(protocol::UDP), (4000, 53), 5).unwrap().to_vec();
    datagram.extend(b"hello");
    let v4 = source.is_ipv4();
    let echo = if v4 { protocol::ICMP } else { protocol::ICMPV6 };
    let ping = icmp::build_echo(&ip(echo), icmp::EchoKind::Request, 7, 1, b"ping").unwrap();
    let mut all = vec![framed(&[syn]), framed(&[datagram]), framed(&[ping])];
    let payload = [7; 3000];
    if v4 {
        let parts = [(0_u16, 1480), (1480, 2960), (2960, 3000)].map(|(from, to)| {
            let part = &payload[usize::from(from)..to];
            let mut packet =
                IpFields { id: Some(9), ..ip(protocol::UDP) }.header(part.len()).unwrap().to_vec();
            packet.extend(part);
            let more = if to < 3000 { 0x2000 } else { 0 };
            packet[6..8].copy_from_slice(&((from / 8) | more).to_be_bytes());
            packet
        });
        all.push(framed(&parts));
    } else {
        let ip = ip(protocol::UDP);
        let parts = ip.fragments_v6(&payload, 1500, 9);
        all.push(framed(&parts.map(|(header, part)| [&header[..], part].concat()).collect::<Vec<_>>()));
    }
    all
}

/// Seeds: questions of several kinds, and a reply.
pub fn message_seeds() -> Vec<Vec<u8>> {
    use hickory_proto::op::{Edns, Message, Query};
    use hickory_proto::rr::{Name, RData, Record, RecordType, rdata};
    let ask = |name: &str, kind| {
        let mut message = Message::query();
        message.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
        message
    };
    let mut extended = ask("web.example.org.", RecordType::AAAA);
    let mut edns = Edns::new();
    edns.set_max_payload(1232);
    extended.set_edns(edns);
    let mut reply = ask("www.example.org.", RecordType::A).into_response();
    let name = |text: &str| Name::from_ascii(text).unwrap();
    let target = RData::CNAME(rdata::CNAME(name("real.example.net.")));
    reply.add_answer(Record::from_rdata(name("www.example.org."), 60, target));
    let address = RData::A(rdata::A::new(192, 0, 2, 1));
    reply.add_answer(Record::from_rdata(name("real.example.net."), 60, address));
    let pointer = ask("1.2.0.192.in-addr.arpa.", RecordType::PTR);
    let all = [ask("web.", RecordType::A), extended, pointer, ask(".", RecordType::ANY), reply];
    all.iter().map(|message| message.to_vec().unwrap()).collect()
}

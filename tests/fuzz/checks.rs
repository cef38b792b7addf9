//! What must hold for whatever comes from a network: shared by the coverage-guided targets and the seeded tests.

use std::time::Instant;

use dhow::network::dns::answer::build_answer;
use dhow::network::dns::message::{self, QueryFault};
use dhow::network::dns::names::NameAnswer;
use dhow::network::packet::reassemble::Reassembler;
use dhow::network::packet::{IpPacket, icmp, tcp};
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
    match message::parse_query(input) {
        Ok(question) => {
            assert!(question.end <= input.len() && question.name.is_ascii());
            let refused = message::reply_with(input, Some(&question), message::code::REFUSED);
            assert_eq!(message::reply_code(&refused, message::id(input), input, &question), Some(5));
            assert!(message::answer_addresses(input, question.end).len() <= 256);
            let _ = message::parse_reverse_name(&question.name);
            for udp in [true, false] {
                let Some(bytes) = build_answer(input, &found, udp) else { continue };
                let reply = Message::from_vec(&bytes).unwrap();
                assert_eq!(reply.metadata.id, message::id(input));
                assert!(!udp || bytes.len() <= 4096);
            }
        }
        Err(QueryFault::Reply(code)) => {
            let reply = message::reply_with(input, None, code);
            assert_eq!(reply.len(), message::HEADER);
        }
        Err(QueryFault::Ignore) => {}
    }
}

//! What containers send is read or passed over, and what is answered is a whole packet with right checksums.
#![no_main]

use std::time::Instant;

use dhow::network::packet::reassemble::Reassembler;
use dhow::network::packet::{Packet, icmp, tcp};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let mut reassembler = Reassembler::default();
    let mut rest = input;
    // Packets one after the other, each with its length before it.
    while let Some(([high, low], after)) = rest.split_first_chunk::<2>() {
        let length = usize::from(u16::from_be_bytes([*high, *low])).min(after.len());
        let (bytes, after) = after.split_at(length);
        rest = after;
        let Ok(packet) = Packet::parse(bytes) else { continue };
        let _ = (packet.tcp(), packet.udp(), packet.echo(), packet.is_intact());
        let answers = [tcp::reset(&packet), icmp::error(&packet, icmp::Error::Port, packet.target)];
        for answer in answers.into_iter().flatten() {
            let answer = Packet::parse(&answer).unwrap();
            assert!(answer.is_intact() && answer.target == packet.source && answer.fragment.is_none());
        }
        if let Some(whole) = reassembler.add(&packet, Instant::now()) {
            assert!(Packet::parse(&whole).unwrap().fragment.is_none());
        }
    }
});

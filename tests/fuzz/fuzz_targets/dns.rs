//! Questions of containers and what strange servers reply are read or refused, and our answers can be read.
#![no_main]

use dhow::network::dns::answer::answer;
use dhow::network::dns::message::{self, Fault};
use dhow::network::dns::names::Found;
use hickory_proto::op::Message;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let found = Found::Addresses((0..64).map(|last| [192, 0, 2, last].into()).collect());
    match message::query(input) {
        Ok(question) => {
            assert!(question.end <= input.len() && question.name.is_ascii());
            let refused = message::reply_with(input, Some(&question), message::code::REFUSED);
            assert_eq!(message::reply_code(&refused, message::id(input), input, &question), Some(5));
            assert!(message::addresses(input, question.end).len() <= 256);
            let _ = message::reversed(&question.name);
            for udp in [true, false] {
                let Some(bytes) = answer(input, &found, udp) else { continue };
                let reply = Message::from_vec(&bytes).unwrap();
                assert_eq!(reply.metadata.id, message::id(input));
                assert!(!udp || bytes.len() <= 4096);
            }
        }
        Err(Fault::Say(code)) => {
            let reply = message::reply_with(input, None, code);
            assert_eq!(reply.len(), message::HEADER);
        }
        Err(Fault::Ignore) => {}
    }
});

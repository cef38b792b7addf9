//! Packets of containers are read or ignored; each answer is a whole packet with correct checksums.
#![no_main]

use dhow_network::fuzz_checks::packets;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    packets(input);
});

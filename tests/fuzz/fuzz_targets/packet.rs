//! What containers send is read or passed over, and what is answered is a whole packet with right checksums.
#![no_main]

#[path = "../checks.rs"]
#[allow(dead_code, reason = "shared with the other target and the seeded tests")]
mod checks;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    checks::packets(input);
});

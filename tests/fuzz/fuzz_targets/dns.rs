//! Questions of containers and what strange servers reply are read or refused, and our answers can be read.
#![no_main]

#[path = "../checks.rs"]
#[allow(dead_code, reason = "shared with the other target and the seeded tests")]
mod checks;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| checks::question(input));

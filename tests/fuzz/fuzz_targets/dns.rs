//! Questions of containers and unexpected replies of servers are read or refused, and our answers can be read.
#![no_main]

use dhow_network::fuzz_checks::question;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| question(input));

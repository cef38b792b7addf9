//! A Dockerfile is read or refused, with lines that it has; what was read can be read again instruction by instruction.
#![no_main]

#[path = "../build_checks.rs"]
mod build_checks;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| build_checks::dockerfile(input));

//! An ignore file is read or refused; what it says of a path does not depend on how it is asked.
#![no_main]

#[path = "../build_checks.rs"]
mod build_checks;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| build_checks::ignore(input));

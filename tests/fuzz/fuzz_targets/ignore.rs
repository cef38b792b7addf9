//! An ignore file is read or refused; what it says of a path does not depend on how it is asked.
#![no_main]

use dhow_build::fuzz_checks::ignore;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| ignore(input));

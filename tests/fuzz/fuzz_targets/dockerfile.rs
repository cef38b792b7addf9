//! A Dockerfile is read or refused, with lines that it has; what was read can be read again instruction by instruction.
#![no_main]

use dhow_build::fuzz_checks::dockerfile;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    dockerfile(input);
});

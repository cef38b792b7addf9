//! The reader of tar archives ends on any input, without a panic and without more members than the input has blocks.
#![no_main]

use dhow_image::fuzz_checks::tar_archive;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| tar_archive(input));

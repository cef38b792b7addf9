//! The reader of tar archives ends on any input, without a panic and without more members than the input has blocks.
#![no_main]

use dhow::image::tar::TarReader;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let mut reader = TarReader::new(input);
    let mut members = 0;
    while let Ok(Some(member)) = reader.next_member() {
        members += 1;
        assert!(member.mode <= 0o7777 && member.mtime.nanos < 1_000_000_000);
    }
    assert!(members <= input.len() / 512);
});

//! A word is expanded or refused, in bounded time and space.
#![no_main]

use dhow_build::fuzz_checks::expansion;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| expansion(text));

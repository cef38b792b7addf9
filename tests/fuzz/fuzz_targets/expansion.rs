//! A word is expanded or refused, in bounded time and space.
#![no_main]

#[path = "../build_checks.rs"]
mod build_checks;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| build_checks::expansion(text));

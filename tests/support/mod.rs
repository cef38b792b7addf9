//! What the tests of behaviour share: accounts, a hermetic runner, terminals, images, registries, leak checks.
//!
//! Tests drive the built binary as an unprivileged account. As root there are two: `dhow-a` with subordinate ids and
//! `dhow-b` without (`tests/run` makes them). As an ordinary user that user is the only account, in the mode it has.
//! What the machine cannot offer goes through [`leave_out`], which fails where `DHOW_MUST_WORK=1`.
#![allow(dead_code, reason = "each test file uses a part")]
#![allow(unused_imports, reason = "each test file uses a part")]
#![allow(unused_macros, reason = "each test file uses a part")]

pub(crate) mod account;
pub(crate) mod debian;
pub(crate) mod docker_profile;
pub(crate) mod fixtures;
pub(crate) mod front;
pub(crate) mod image;
pub(crate) mod leaks;
pub(crate) mod place;
pub(crate) mod probe;
pub(crate) mod process;
pub(crate) mod pty;
pub(crate) mod registry;
pub(crate) mod resolver;
pub(crate) mod runner;
pub(crate) mod scripted;
pub(crate) mod world;

pub(crate) use account::{Account, Mode};
pub(crate) use image::{Compression, Entry, Image, Layer};
pub(crate) use place::Place;
pub(crate) use process::Output;
pub(crate) use pty::Pty;
pub(crate) use registry::Registry;
pub(crate) use runner::{Cmd, Dhow};
pub(crate) use world::{World, each_mode_in_world};

use std::io::Write as _;
use std::path::PathBuf;

#[allow(clippy::print_stdout, reason = "shown by the test runner")]
/// Says that something is not tested here and why; fails where everything must work.
pub(crate) fn leave_out(reason: &str) {
    println!("LEFT OUT: {reason}");
    if let Some(path) = std::env::var_os("DHOW_TEST_LEFT_OUT") {
        let mut file =
            std::fs::OpenOptions::new().append(true).open(path).expect("the list of what is left out");
        file.write_all(format!("{reason}\n").as_bytes()).expect("the list of what is left out");
    }
    assert!(std::env::var("DHOW_MUST_WORK").as_deref() != Ok("1"), "must work here, and cannot: {reason}");
}

/// Where a program lies, if it is installed.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    runner::PATH.split(':').map(|dir| PathBuf::from(dir).join(name)).find(|path| path.is_file())
}

/// Whether all `programs` are installed; leaves the test out where one is not.
pub(crate) fn have_programs(programs: &[&str]) -> bool {
    for program in programs {
        if find_program(program).is_none() {
            leave_out(&format!("needs the program {program}"));
            return false;
        }
    }
    true
}

/// Defines a test that runs once in each identity mode, as `NAME::mapped` and `NAME::single`.
macro_rules! each_mode {
    ($($(#[$meta:meta])* fn $name:ident($dhow:ident) $body:block)+) => {$(
        $(#[$meta])*
        mod $name {
            #[allow(unused_imports, reason = "not each test needs more than dhow")]
            use super::*;

            fn body($dhow: &crate::support::Dhow) $body

            #[test]
            fn mapped() {
                if let Some(dhow) = crate::support::Dhow::new(crate::support::Mode::Mapped) {
                    body(&dhow);
                }
            }

            #[test]
            fn single() {
                if let Some(dhow) = crate::support::Dhow::new(crate::support::Mode::Single) {
                    body(&dhow);
                }
            }
        }
    )+};
}
pub(crate) use each_mode;

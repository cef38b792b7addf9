//! What the tests share: accounts, a hermetic runner, terminals, images, registries, leak checks.
//!
//! Tests run the binary as an unprivileged account. Root has two: `dhow-a` with subordinate ids and `dhow-b` without
//! (`tests/run` makes them). An ordinary user is the only account, in the mode that it has. A test that needs what the
//! machine does not have calls [`leave_out`], which fails with `DHOW_MUST_WORK=1`.
//!
//! All tests run in one process, in as many threads as there are cores. So a test must not change what belongs to the
//! process (environment, working directory, umask, limits, signals): commands get theirs from [`Cmd`], in a directory of
//! the test's own. What is expensive is made once and kept for all tests: images in a `LazyLock`, their archives and the
//! programs in files ([`fixtures`]). Servers are dropped, and so end, with their last user.

pub(crate) mod account;
pub(crate) mod containers;
pub(crate) mod debian;
pub(crate) mod disk;
pub(crate) mod docker_profile;
pub(crate) mod faulty_proxy;
pub(crate) mod fixtures;
pub(crate) mod image;
pub(crate) mod leaks;
pub(crate) mod memory_registry;
pub(crate) mod name_server;
pub(crate) mod netns;
pub(crate) mod podman;
pub(crate) mod probe;
pub(crate) mod process;
pub(crate) mod pty;
pub(crate) mod registry;
pub(crate) mod runner;
pub(crate) mod scripted_server;
pub(crate) mod server_life;
pub(crate) mod skopeo;
pub(crate) mod world;

pub(crate) use account::{Account, Mode};
pub(crate) use image::{Compression, Entry, Image, Layer};
pub(crate) use process::Output;
pub(crate) use registry::Registry;
pub(crate) use runner::{Cmd, Dhow};
pub(crate) use world::World;

use std::path::PathBuf;

pub(crate) use dhow_testing::leave_out;

/// The path of an installed program.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    runner::PATH.split(':').map(|dir| PathBuf::from(dir).join(name)).find(|path| path.is_file())
}

/// Whether all `programs` are installed; leaves the test out if not.
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

//! The behaviour of dhow, through its binary.
//!
//! One program holds all tests, in the order of dhow's own commands: `container::cp` is what `dhow container cp` does,
//! `tests/it/container/cp/`. What is not about one command is at the top: images made to do harm (`hostile`), accidents
//! (`robust`), load (`stress`), real software (`services`), damaged input (`fuzz`), the repository itself (`meta`).
//! `fast` has one use of each command, for a machine on which nothing is installed. `support` has what tests share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::disallowed_methods, reason = "tests make files of their own and read the environment")]

mod build;
mod container;
mod fast;
mod fuzz;
mod hostile;
mod image;
mod library;
mod meta;
mod network;
mod registry;
mod robust;
mod seccomp;
mod services;
mod stress;
mod support;
mod system;
mod volume;

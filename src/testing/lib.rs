//! What the unit tests of several crates and the integration tests share; a dev-dependency only.
//!
//! Uses nothing of dhow, so that every layer can use it.

#![allow(clippy::disallowed_methods, reason = "tests read the environment and make files of their own")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::fs::OpenOptions;
use std::io::Write as _;
use std::process::{Command, Stdio};

pub mod hostile_layers;

/// docker's default seccomp profile (moby 27, `profiles/seccomp/default.json`), in docker's notation.
pub const DOCKER_SECCOMP_PROFILE: &str = include_str!("seccomp-default.json");

/// Reports that something is not tested on this machine, and why.
///
/// The reason goes into the file named by `DHOW_TEST_LEFT_OUT`, which `tests/run` prints at the end. With
/// `DHOW_MUST_WORK=1` the test fails instead.
///
/// # Panics
///
/// With `DHOW_MUST_WORK=1`, and if the list cannot be written.
#[allow(clippy::print_stdout, reason = "captured and shown by libtest")]
pub fn leave_out(reason: &str) {
    println!("LEFT OUT: {reason}");
    if let Some(path) = std::env::var_os("DHOW_TEST_LEFT_OUT") {
        // Appended, since tests of several processes report at once. Not created: `tests/run` has made it, so
        // a missing list means a wrong path.
        let list = OpenOptions::new().append(true).open(&path);
        let written = list.and_then(|mut file| file.write_all(format!("{reason}\n").as_bytes()));
        assert!(written.is_ok(), "cannot write to the list of what is left out, {}", path.display());
    }
    assert!(std::env::var("DHOW_MUST_WORK").as_deref() != Ok("1"), "must work here, and cannot: {reason}");
}

/// Whether unshare(1) can make namespaces with `options` here; leaves the test out if not.
///
/// Containers, and some Linux distributions, forbid user namespaces to ordinary users.
pub fn can_unshare(options: &[&str]) -> bool {
    let mut unshare = Command::new("unshare");
    unshare.args(options).arg("true").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let can = unshare.status().is_ok_and(|status| status.success());
    if !can {
        leave_out(&format!("needs namespaces: `unshare {}` fails", options.join(" ")));
    }
    can
}

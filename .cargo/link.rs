//! Build script: how a release build of the program is linked.
//!
//! Tests and debug builds keep their unwind tables, since a failed assertion unwinds.

#![expect(clippy::print_stdout, clippy::disallowed_methods, reason = "how a build script talks to cargo")]

/// Drops the unwind tables.
const RELEASE_ARGUMENTS: [&str; 2] = ["--no-eh-frame-hdr", "-T,.cargo/discard.ld"];

fn main() {
    println!("cargo::rerun-if-changed=.cargo/link.rs");
    println!("cargo::rerun-if-changed=.cargo/discard.ld");
    if std::env::var_os("PROFILE").is_some_and(|profile| profile == "release") {
        for argument in RELEASE_ARGUMENTS {
            println!("cargo::rustc-link-arg-bins=-Wl,{argument}");
        }
    }
}

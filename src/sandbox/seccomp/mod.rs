//! System call filters: docker's default profile, profiles in docker's JSON, and root emulation.
//!
//! ```text
//! profile ─┐
//! json ────┼─► rule::Filter ─► compile ─► bpf ─► Program ─► sys::seccomp::load
//! emulation┘
//! ```
//!
//! `syscalls` has the numbers. The default profile for docker's default capabilities, and root emulation, are compiled
//! by `build.rs`; everything else when the container's plan is made, before the fork. [`Program::load`] needs no
//! memory and may be called in the child.
//!
//! Filters stack: the kernel runs all and takes the most restrictive answer, and of equal ones the newest. Root
//! emulation is therefore loaded after the profile: it turns what the profile allows or denies with an error into
//! pretended success, but not what kills.

use std::borrow::Cow;
use std::io;
use std::os::fd::OwnedFd;

use anyhow::Result;

use super::caps::CapSet;
use crate::error::invalid;
use crate::sys::seccomp::{self, Instruction};
use syscalls::Arch;

mod bpf;
mod compile;
// Only the build script compiles root emulation; here it serves the tests.
#[cfg(test)]
mod emulation;
mod json;
mod profile;
mod rule;
mod syscalls;
#[cfg(test)]
mod tests;

include!(concat!(env!("OUT_DIR"), "/seccomp.rs"));

const _: () = assert!(
    profile::DEFAULT_CAPABILITIES == CapSet::DOCKER.bits(),
    "the profile compiled at build time is that of docker's default capabilities"
);

/// The architecture that dhow was built for.
#[cfg(target_arch = "x86_64")]
const NATIVE: Arch = Arch::X86_64;
/// The architecture that dhow was built for.
#[cfg(target_arch = "aarch64")]
const NATIVE: Arch = Arch::Aarch64;

/// A filter ready to be loaded.
#[derive(Clone)]
pub struct Program {
    code: Cow<'static, [Instruction]>,
    flags: u32,
}

impl Program {
    fn fixed(code: &'static [Instruction]) -> Self {
        Self { code: Cow::Borrowed(code), flags: seccomp::SPEC_ALLOW }
    }

    fn of(filter: &rule::Filter, flags: u32) -> Self {
        let native = |one: bpf::Instruction| Instruction { code: one.code, jt: one.jt, jf: one.jf, k: one.k };
        let code: Vec<_> = compile::compile(filter).into_iter().map(native).collect();
        Self { code: Cow::Owned(code), flags }
    }

    /// Installs the filter for the calling thread and everything it starts. See [`seccomp::load`] for the conditions
    /// and errors. Neither allocates nor locks.
    pub fn load(&self) -> io::Result<()> {
        seccomp::load(&self.code, self.flags)
    }

    /// The same; returns where the calls are told that the filter leaves to whoever listens.
    pub fn load_with_listener(&self) -> io::Result<OwnedFd> {
        seccomp::load_with_listener(&self.code, self.flags)
    }
}

/// Docker's default profile for a container with this bounding set.
pub fn default_filter(capabilities: CapSet) -> Program {
    if capabilities == CapSet::DOCKER {
        return Program::fixed(&DEFAULT);
    }
    Program::of(&profile::default_profile(NATIVE, capabilities.bits()), seccomp::SPEC_ALLOW)
}

/// A profile in docker's JSON format for a container with this bounding set; `None` when it asks for no filter.
///
/// # Errors
/// Text that is no such profile, naming the field; actions that dhow cannot carry out; more than the kernel takes.
pub fn from_json(text: &str, capabilities: CapSet) -> Result<Option<Program>> {
    let release = rustix::system::uname();
    let kernel = json::version(&release.release().to_string_lossy()).unwrap_or_default();
    let Some((filter, flags)) =
        json::read(text, &json::Surroundings { native: NATIVE, capabilities, kernel })?
    else {
        return Ok(None);
    };
    let program = Program::of(&filter, flags);
    if program.code.len() > compile::LONGEST {
        let (has, takes) = (program.code.len(), compile::LONGEST);
        return Err(invalid(format!(
            "the seccomp profile is too long: it makes {has} instructions, and the kernel takes {takes}"
        ))
        .into());
    }
    Ok(Some(program))
}

/// The filter for a container that has a single user and group and starts as its root; to be loaded after the profile
/// and after everything that it would pretend. `emulation` says what it does.
pub fn root_emulation() -> Program {
    Program::fixed(&EMULATION)
}

/// The same, but whoever listens is asked about changes of owner.
pub fn remembering_emulation() -> Program {
    Program::fixed(&REMEMBERING)
}

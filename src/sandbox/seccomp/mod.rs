//! System call filters: docker's default profile, profiles in docker's JSON, and root emulation.
//!
//! ```text
//! profile ─┐
//! json ────┼─► rule::SyscallFilter ─► compile ─► bpf ─► SeccompProgram ─► dhow_sys::seccomp::load
//! emulation┘
//! ```
//!
//! `syscalls` has the numbers. The default profile for docker's default capabilities, and root emulation, are
//! compiled by the build script; everything else by the process that loads it. [`SeccompProgram::load`]
//! allocates nothing.
//!
//! # Stacking
//!
//! The kernel runs all installed filters and takes the most restrictive result; among equal ones, the newest. Root
//! emulation is therefore loaded after the profile: it turns what the profile allows, or denies with an error, into
//! pretended success, but not what the profile kills.

use std::borrow::Cow;
use std::io;
use std::os::fd::OwnedFd;

use anyhow::Result;

use super::caps::CapSet;
use dhow_error::invalid;
use dhow_sys::seccomp::{self, Instruction};
use syscalls::Arch;

mod bpf;
mod compile;
// Root emulation is compiled by the build script only; here, the tests use it.
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

/// The architecture dhow was built for.
#[cfg(target_arch = "x86_64")]
const NATIVE: Arch = Arch::X86_64;
/// The architecture dhow was built for.
#[cfg(target_arch = "aarch64")]
const NATIVE: Arch = Arch::Aarch64;

/// A compiled filter with the flags to load it with.
#[derive(Clone)]
pub struct SeccompProgram {
    code: Cow<'static, [Instruction]>,
    flags: u32,
}

impl SeccompProgram {
    fn fixed(code: &'static [Instruction]) -> Self {
        Self { code: Cow::Borrowed(code), flags: seccomp::SPEC_ALLOW }
    }

    fn of(filter: &rule::SyscallFilter, flags: u32) -> Self {
        let native =
            |one: bpf::BpfInstruction| Instruction { code: one.code, jt: one.jt, jf: one.jf, k: one.k };
        let code: Vec<_> = compile::compile(filter).into_iter().map(native).collect();
        Self { code: Cow::Owned(code), flags }
    }

    /// Installs the filter for the calling thread and all its descendants. See [`seccomp::load`] for
    /// conditions and errors. Neither allocates nor locks.
    pub fn load(&self) -> io::Result<()> {
        seccomp::load(&self.code, self.flags)
    }

    /// Like [`Self::load`]; returns the listener for calls that the filter answers with
    /// `SECCOMP_RET_USER_NOTIF`.
    pub fn load_with_listener(&self) -> io::Result<OwnedFd> {
        seccomp::load_with_listener(&self.code, self.flags)
    }
}

/// Docker's default profile for a container with this bounding set.
pub fn default_filter(capabilities: CapSet) -> SeccompProgram {
    if capabilities == CapSet::DOCKER {
        return SeccompProgram::fixed(&DEFAULT);
    }
    SeccompProgram::of(&profile::default_profile(NATIVE, capabilities.bits()), seccomp::SPEC_ALLOW)
}

/// Compiles a profile in docker's JSON format for a container with this bounding set; `None` if it asks for no
/// filter.
///
/// # Errors
/// Invalid profiles, by field; actions that dhow does not support; programs longer than the kernel accepts.
pub fn from_json(text: &str, capabilities: CapSet) -> Result<Option<SeccompProgram>> {
    let release = rustix::system::uname();
    // An unreadable release counts as 0.0, which meets no minimum.
    let kernel = json::version(&release.release().to_string_lossy()).unwrap_or_default();
    let Some((filter, flags)) =
        json::parse_profile(text, &json::ProfileTarget { native: NATIVE, capabilities, kernel })?
    else {
        return Ok(None);
    };
    let program = SeccompProgram::of(&filter, flags);
    if program.code.len() > compile::MAX_INSTRUCTIONS {
        let (has, takes) = (program.code.len(), compile::MAX_INSTRUCTIONS);
        return Err(invalid(format!(
            "the seccomp profile is too long: it makes {has} instructions, and the kernel takes {takes}"
        ))
        .into());
    }
    Ok(Some(program))
}

/// The filter for a container with a single id that starts as root; to be loaded after the profile and after
/// every change of identity that must be real. See `emulation`.
pub fn root_emulation() -> SeccompProgram {
    SeccompProgram::fixed(&EMULATION)
}

/// Root emulation that leaves changes of owner to a listener, which remembers them.
pub(crate) fn owner_emulation() -> SeccompProgram {
    SeccompProgram::fixed(&REMEMBERING)
}

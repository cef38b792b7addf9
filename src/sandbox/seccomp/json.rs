//! Profiles in docker's JSON format (`--security-opt seccomp=FILE`), interpreted as docker and runc do.
//!
//! Docker selects entries by capability, architecture and kernel, and runc converts them to rules: all conditions of
//! an entry must hold, unless two of them test the same argument, in which case any one suffices; names that no
//! architecture has are skipped. Unknown fields are ignored, as docker and runc do.

use anyhow::{Context, Result};
use serde::Deserialize;

use super::rule::{ArgCondition, CompareOp, FilterAction, SyscallFilter, SyscallRule};
use super::syscalls::{Arch, Syscall};
use crate::caps::CapSet;
use dhow_error::{Failure, invalid, unsupported};
use dhow_sys::seccomp::{LOG, SPEC_ALLOW};

/// What the meaning of a profile depends on, besides its text.
pub(super) struct ProfileTarget {
    pub(super) native: Arch,
    pub(super) capabilities: CapSet,
    /// Major and minor version.
    pub(super) kernel: (u32, u32),
}

/// Parses a profile: the filter and the flags to load it with, or `None` for an empty one, which is docker's
/// notation for "unconfined".
pub(super) fn parse_profile(text: &str, target: &ProfileTarget) -> Result<Option<(SyscallFilter, u32)>> {
    let profile: JsonProfile = serde_json::from_str(text)
        .map_err(|error| invalid(format!("decoding seccomp profile failed: {error}")))?;
    let entries = profile.syscalls.as_deref().unwrap_or_default();
    if profile.default_action.is_empty() && entries.is_empty() {
        return Ok(None);
    }
    let default = action(&profile.default_action, profile.default_errno_ret)
        .map_err(|failure| with_field("defaultAction", &failure))?;
    let arches = profile.arches(target.native)?;
    let mut rules = Vec::new();
    for (index, entry) in entries.iter().enumerate() {
        entry.add(target, &mut rules).with_context(|| format!("seccomp profile: syscalls[{index}]"))?;
    }
    Ok(Some((SyscallFilter { default, arches, rules }, profile.load_flags()?)))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct JsonProfile {
    #[serde(default)]
    default_action: String,
    default_errno_ret: Option<u32>,
    architectures: Option<Vec<String>>,
    arch_map: Option<Vec<ArchFamily>>,
    flags: Option<Vec<String>>,
    syscalls: Option<Vec<SyscallEntry>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ArchFamily {
    architecture: String,
    sub_architectures: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SyscallEntry {
    #[serde(default)]
    name: String,
    names: Option<Vec<String>>,
    #[serde(default)]
    action: String,
    errno_ret: Option<u32>,
    args: Option<Vec<ArgEntry>>,
    includes: Option<EntryCondition>,
    excludes: Option<EntryCondition>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ArgEntry {
    #[serde(default)]
    index: u32,
    #[serde(default)]
    value: u64,
    #[serde(default)]
    value_two: u64,
    #[serde(default)]
    op: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct EntryCondition {
    caps: Option<Vec<String>>,
    arches: Option<Vec<String>>,
    min_kernel: Option<String>,
}

impl JsonProfile {
    /// The listed architectures that this machine can run; the native one is always included.
    fn arches(&self, native: Arch) -> Result<Vec<Arch>, Failure> {
        let listed = self.architectures.as_deref().unwrap_or_default();
        let families = self.arch_map.as_deref().unwrap_or_default();
        if !listed.is_empty() && !families.is_empty() {
            return Err(invalid(
                "seccomp profile: both `architectures` and `archMap` are given; one has to go",
            ));
        }
        let family = families.iter().find(|family| Arch::from_scmp(&family.architecture) == Some(native));
        let subordinate = family.and_then(|family| family.sub_architectures.as_deref()).unwrap_or_default();
        let mut arches = vec![native];
        for name in listed.iter().chain(subordinate) {
            if !known_arch(name) {
                return Err(invalid(format!("seccomp profile: architectures: `{name}` is no architecture")));
            }
            let arch =
                Arch::from_scmp(name).filter(|arch| native.family().contains(arch) && !arches.contains(arch));
            arches.extend(arch);
        }
        Ok(arches)
    }

    fn load_flags(&self) -> Result<u32, Failure> {
        // Without the field, runc sets this flag.
        let Some(names) = &self.flags else { return Ok(SPEC_ALLOW) };
        let mut flags = 0;
        for name in names {
            flags |= match name.as_str() {
                // Synchronizes all threads; there is only one when a container's filter is loaded.
                "SECCOMP_FILTER_FLAG_TSYNC" => 0,
                "SECCOMP_FILTER_FLAG_LOG" => LOG,
                "SECCOMP_FILTER_FLAG_SPEC_ALLOW" => SPEC_ALLOW,
                _ => return Err(invalid(format!("seccomp profile: flags: unknown flag `{name}`"))),
            };
        }
        Ok(flags)
    }
}

/// Whether the OCI runtime specification has this architecture; those of other machines are ignored.
fn known_arch(name: &str) -> bool {
    const OTHERS: &str = "NATIVE MIPS MIPS64 MIPS64N32 MIPSEL MIPSEL64 MIPSEL64N32 PPC PPC64 PPC64LE S390 S390X PARISC \
                          PARISC64 RISCV64 LOONGARCH64 M68K SH SHEB";
    let Some(short) = name.strip_prefix("SCMP_ARCH_") else { return false };
    Arch::from_scmp(name).is_some() || OTHERS.split_ascii_whitespace().any(|other| other == short)
}

impl SyscallEntry {
    /// Appends the rules that the entry contributes on this machine.
    fn add(&self, target: &ProfileTarget, rules: &mut Vec<SyscallRule>) -> Result<()> {
        let names = self.names.as_deref().unwrap_or_default();
        if !self.name.is_empty() && !names.is_empty() {
            return Err(invalid("both `name` and `names` are given; one has to go").into());
        }
        let action =
            action(&self.action, self.errno_ret).map_err(|failure| with_field("action", &failure))?;
        let args = self.args.as_deref().unwrap_or_default();
        let tests = args.iter().enumerate().map(|(index, argument)| {
            argument.test().map_err(|failure| with_field(&format!("args[{index}]"), &failure))
        });
        let tests = tests.collect::<Result<Vec<_>, Failure>>()?;
        // Not earlier: mistakes in an entry are reported on every machine.
        if !self.applies(target)? {
            return Ok(());
        }
        for name in names.iter().chain(Some(&self.name).filter(|name| !name.is_empty())) {
            if let Some(call) = Syscall::find(name) {
                rules.extend(alternatives(&tests).into_iter().map(|tests| SyscallRule {
                    call,
                    action,
                    tests,
                }));
            }
        }
        Ok(())
    }

    fn applies(&self, target: &ProfileTarget) -> Result<bool> {
        if let Some(condition) = &self.excludes
            && condition.any(target).context("excludes")?
        {
            return Ok(false);
        }
        match &self.includes {
            Some(condition) => condition.all(target).context("includes"),
            None => Ok(true),
        }
    }
}

/// Expands the conditions to alternatives, one of which has to hold.
fn alternatives(tests: &[ArgCondition]) -> Vec<Vec<ArgCondition>> {
    // libseccomp takes one condition per argument in a rule, so runc makes each a rule of its own.
    let repeated = (0..6).any(|argument| tests.iter().filter(|test| test.argument == argument).count() > 1);
    if repeated { tests.iter().map(|test| vec![*test]).collect() } else { vec![tests.to_vec()] }
}

impl EntryCondition {
    /// Whether any of its parts holds, as `excludes` requires.
    fn any(&self, target: &ProfileTarget) -> Result<bool, Failure> {
        let caps = self.caps.iter().flatten().any(|name| has_capability(target, name));
        let arches = self.arches.iter().flatten().any(|name| name == go_name(target.native));
        let kernel = self.kernel_reached(target)?.unwrap_or(false);
        Ok(caps || arches || kernel)
    }

    /// Whether all of its parts hold, and all capabilities are present, as `includes` requires.
    fn all(&self, target: &ProfileTarget) -> Result<bool, Failure> {
        let caps = self.caps.iter().flatten().all(|name| has_capability(target, name));
        let arches = self.arches.as_deref().unwrap_or_default();
        let arches = arches.is_empty() || arches.iter().any(|name| name == go_name(target.native));
        let kernel = self.kernel_reached(target)?.unwrap_or(true);
        Ok(caps && arches && kernel)
    }

    fn kernel_reached(&self, target: &ProfileTarget) -> Result<Option<bool>, Failure> {
        let Some(text) = self.min_kernel.as_deref().filter(|text| !text.is_empty()) else { return Ok(None) };
        let minimum = version(text)
            .ok_or_else(|| invalid(format!("minKernel: `{text}` is no kernel version (such as `5.10`)")))?;
        Ok(Some(target.kernel >= minimum))
    }
}

/// Whether the container has a capability; one that dhow does not know, no container has.
fn has_capability(target: &ProfileTarget, name: &str) -> bool {
    name.starts_with("CAP_") && name.parse().is_ok_and(|capability| target.capabilities.contains(capability))
}

/// What docker calls the architecture in conditions (`GOARCH`).
fn go_name(arch: Arch) -> &'static str {
    match arch {
        Arch::X86_64 => "amd64",
        Arch::X86 => "x86",
        Arch::X32 => "x32",
        Arch::Aarch64 => "arm64",
        Arch::Arm => "arm",
    }
}

/// The first two numbers of a kernel release such as `6.1.0-18-amd64`.
pub(super) fn version(text: &str) -> Option<(u32, u32)> {
    let (major, rest) = text.split_once('.')?;
    let digits = rest.find(|c: char| !c.is_ascii_digit()).map_or(rest, |end| rest.split_at(end).0);
    Some((major.parse().ok()?, digits.parse().ok()?))
}

fn action(name: &str, errno_ret: Option<u32>) -> Result<FilterAction, Failure> {
    // runc's default is EPERM.
    let number = |maximum: u16| match u16::try_from(errno_ret.unwrap_or(1)) {
        Ok(number) if number <= maximum => Ok(number),
        _ => Err(invalid(format!(
            "an errno of {} is more than the kernel's {maximum}",
            errno_ret.unwrap_or(1)
        ))),
    };
    Ok(match name {
        "SCMP_ACT_KILL" | "SCMP_ACT_KILL_THREAD" => FilterAction::KILL_THREAD,
        "SCMP_ACT_KILL_PROCESS" => FilterAction::KILL_PROCESS,
        "SCMP_ACT_TRAP" => FilterAction::TRAP,
        "SCMP_ACT_ERRNO" => FilterAction::errno(number(4095)?),
        "SCMP_ACT_TRACE" => FilterAction::trace(number(u16::MAX)?),
        "SCMP_ACT_ALLOW" => FilterAction::ALLOW,
        "SCMP_ACT_LOG" => FilterAction::LOG,
        "SCMP_ACT_NOTIFY" => {
            return Err(unsupported(
                "SCMP_ACT_NOTIFY needs a process that answers, and dhow has no daemon to be one",
            )
            .hint("use SCMP_ACT_ERRNO or SCMP_ACT_LOG, or leave the rule out"));
        }
        _ => {
            return Err(invalid(format!("`{name}` is no action"))
                .hint("SCMP_ACT_ALLOW, _ERRNO, _LOG, _TRACE, _TRAP, _KILL, _KILL_THREAD or _KILL_PROCESS"));
        }
    })
}

impl ArgEntry {
    fn test(&self) -> Result<ArgCondition, Failure> {
        let argument = u8::try_from(self.index).ok().filter(|index| *index < 6);
        let argument = argument.ok_or_else(|| invalid(format!("index {} is not from 0 to 5", self.index)))?;
        let (compare, value) = match self.op.as_str() {
            "SCMP_CMP_EQ" => (CompareOp::Eq, self.value),
            "SCMP_CMP_NE" => (CompareOp::Ne, self.value),
            "SCMP_CMP_GT" => (CompareOp::Gt, self.value),
            "SCMP_CMP_GE" => (CompareOp::Ge, self.value),
            "SCMP_CMP_LT" => (CompareOp::Lt, self.value),
            "SCMP_CMP_LE" => (CompareOp::Le, self.value),
            // Here `value` is the mask, and `valueTwo` is what is compared.
            "SCMP_CMP_MASKED_EQ" => (CompareOp::Masked(self.value), self.value_two),
            other => {
                return Err(invalid(format!("op: `{other}` is no comparison"))
                    .hint("SCMP_CMP_NE, _LT, _LE, _EQ, _GE, _GT or _MASKED_EQ"));
            }
        };
        Ok(ArgCondition { argument, compare, value })
    }
}

/// Prefixes a failure with the field it is about.
fn with_field(field: &str, failure: &Failure) -> Failure {
    let located = Failure::new(failure.kind(), format!("{field}: {failure}"));
    match failure.hint_text() {
        Some(hint) => located.hint(hint),
        None => located,
    }
}

//! Root emulation: the filter of containers that have a single user and group.
use super::rule::{Action, Compare, Filter, Rule, Test};
use super::syscalls::{Arch, Syscall};

/// The program that makes privileged identity calls succeed without effect, for all architectures of `native`.
pub(super) fn filter(native: Arch) -> Filter {
    let mut rules = Vec::new();
    for call in IDENTITY.split_ascii_whitespace().filter_map(Syscall::find) {
        rules.push(Rule { call, action: PRETEND, tests: Vec::new() });
    }
    for (name, argument) in [("mknod", 1), ("mknodat", 2)] {
        let Some(call) = Syscall::find(name) else { continue };
        for kind in [CHARACTER_DEVICE, BLOCK_DEVICE] {
            let test = Test { argument, compare: Compare::Masked(KIND), value: kind };
            rules.push(Rule { call, action: PRETEND, tests: vec![test] });
        }
    }
    Filter { default: Action::ALLOW, arches: native.family().to_vec(), rules }
}

/// The call is not made and returns 0.
const PRETEND: Action = Action::errno(0);

const IDENTITY: &str = "
    chown chown32 lchown lchown32 fchown fchown32 fchownat
    setuid setuid32 setgid setgid32 setreuid setreuid32 setregid setregid32
    setresuid setresuid32 setresgid setresgid32 setfsuid setfsuid32 setfsgid setfsgid32
    setgroups setgroups32 capset
";

/// `S_IFMT`
const KIND: u64 = 0o170_000;
/// `S_IFCHR`
const CHARACTER_DEVICE: u64 = 0o020_000;
/// `S_IFBLK`
const BLOCK_DEVICE: u64 = 0o060_000;

//! The content of a filter, before compilation: actions, conditions on arguments, rules.

use super::syscalls::{Arch, Syscall};

/// What happens to a call, as encoded by the kernel (`SECCOMP_RET_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FilterAction(pub(super) u32);

impl FilterAction {
    /// The call is executed.
    pub(super) const ALLOW: Self = Self(0x7fff_0000);
    /// The call is executed, and logged.
    pub(super) const LOG: Self = Self(0x7ffc_0000);
    /// The thread receives SIGSYS.
    pub(super) const TRAP: Self = Self(0x0003_0000);
    /// The thread is killed.
    pub(super) const KILL_THREAD: Self = Self(0);
    /// The process is killed.
    pub(super) const KILL_PROCESS: Self = Self(0x8000_0000);

    /// The call is skipped and fails with this errno; 0 pretends success. The kernel caps it at 4095.
    pub(super) const fn errno(number: u16) -> Self {
        Self(0x0005_0000 | number as u32)
    }

    /// A tracer decides, and receives `message`; without one, the call fails with `ENOSYS`.
    pub(super) const fn trace(message: u16) -> Self {
        Self(0x7ff0_0000 | message as u32)
    }

    pub(super) const fn value(self) -> u32 {
        self.0
    }

    /// Whether this action may be applied to calls newer than the profile. Otherwise those fail with
    /// `ENOSYS`, so that a C library newer than the profile falls back to an older call.
    const fn suits_unknown(self) -> bool {
        matches!(self.0 & 0xffff_0000, 0x7fff_0000 | 0x7ffc_0000 | 0x7ff0_0000) || self.0 == ENOSYS.0
    }
}

pub(super) const ENOSYS: FilterAction = FilterAction::errno(38);
pub(super) const EPERM: FilterAction = FilterAction::errno(1);

/// Comparison operators; all unsigned, as in libseccomp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CompareOp {
    Eq,
    Ne,
    Gt,
    Ge,
    Lt,
    Le,
    /// Equal under the mask.
    Masked(u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ArgCondition {
    /// Index, 0 to 5.
    pub(super) argument: u8,
    pub(super) compare: CompareOp,
    pub(super) value: u64,
}

impl ArgCondition {
    pub(super) fn holds(&self, argument: u64) -> bool {
        match self.compare {
            CompareOp::Eq => argument == self.value,
            CompareOp::Ne => argument != self.value,
            CompareOp::Gt => argument > self.value,
            CompareOp::Ge => argument >= self.value,
            CompareOp::Lt => argument < self.value,
            CompareOp::Le => argument <= self.value,
            CompareOp::Masked(mask) => argument & mask == self.value & mask,
        }
    }

    /// The same condition for an architecture with 32-bit arguments.
    #[must_use]
    pub(super) fn narrowed(mut self) -> Self {
        let half = u64::from(u32::MAX);
        self.value &= half;
        if let CompareOp::Masked(mask) = &mut self.compare {
            *mask &= half;
        }
        self
    }
}

/// What happens to one call when all conditions hold.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct SyscallRule {
    pub(super) call: Syscall,
    pub(super) action: FilterAction,
    /// Empty: always.
    pub(super) tests: Vec<ArgCondition>,
}

impl PartialEq for Syscall {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

/// A complete filter.
///
/// A call without a matching rule gets the default action. Among several rules for one call, one without conditions
/// takes precedence, then the first that matches. As in runc, a call numbered higher than any with a rule on its
/// architecture fails with `ENOSYS`, unless the default action lets calls through.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct SyscallFilter {
    pub(super) default: FilterAction,
    /// The architectures covered. A call of any other kills the thread, as in libseccomp.
    pub(super) arches: Vec<Arch>,
    pub(super) rules: Vec<SyscallRule>,
}

impl SyscallFilter {
    /// The action for calls newer than the profile.
    pub(super) fn beyond(&self) -> FilterAction {
        if self.default.suits_unknown() { self.default } else { ENOSYS }
    }
}

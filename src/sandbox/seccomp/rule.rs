//! What a filter says, before it is a program: actions, conditions on arguments, rules.

use super::syscalls::{Arch, Syscall};

/// What happens to a call, as the kernel encodes it (`SECCOMP_RET_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Action(u32);

impl Action {
    /// The call is made.
    pub(super) const ALLOW: Self = Self(0x7fff_0000);
    /// The call is made, and logged.
    pub(super) const LOG: Self = Self(0x7ffc_0000);
    /// The thread gets SIGSYS.
    pub(super) const TRAP: Self = Self(0x0003_0000);
    /// The thread ends.
    pub(super) const KILL_THREAD: Self = Self(0);
    /// The process ends.
    pub(super) const KILL_PROCESS: Self = Self(0x8000_0000);

    /// The call is not made and returns this error; 0 pretends success. The kernel caps it at 4095.
    pub(super) const fn errno(number: u16) -> Self {
        Self(0x0005_0000 | number as u32)
    }

    /// Whoever listens decides; without a listener the call fails with `ENOSYS`.
    #[cfg_attr(not(test), allow(dead_code, reason = "the build script's filters use it"))]
    pub(super) const NOTIFY: Self = Self(0x7fc0_0000);

    /// A tracer decides, and learns `message`; without one the call fails with `ENOSYS`.
    pub(super) const fn trace(message: u16) -> Self {
        Self(0x7ff0_0000 | message as u32)
    }

    /// The return value of the program.
    pub(super) const fn value(self) -> u32 {
        self.0
    }

    /// Whether calls that nobody has heard of may be left to this action. Otherwise they fail with `ENOSYS`, so that a
    /// C library newer than the profile falls back to an older call.
    const fn suits_unknown(self) -> bool {
        matches!(self.0 & 0xffff_0000, 0x7fff_0000 | 0x7ffc_0000 | 0x7ff0_0000) || self.0 == ENOSYS.0
    }
}

/// "Function not implemented".
pub(super) const ENOSYS: Action = Action::errno(38);
/// "Operation not permitted".
pub(super) const EPERM: Action = Action::errno(1);

/// How an argument is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compare {
    /// Equal.
    Eq,
    /// Not equal.
    Ne,
    /// Greater, unsigned.
    Gt,
    /// Greater or equal.
    Ge,
    /// Less.
    Lt,
    /// Less or equal.
    Le,
    /// Equal in the bits of the mask.
    Masked(u64),
}

/// A condition on one argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Test {
    /// Which argument, 0 to 5.
    pub(super) argument: u8,
    /// How it is compared with the value.
    pub(super) compare: Compare,
    /// The value.
    pub(super) value: u64,
}

impl Test {
    /// Whether it holds for `argument`.
    pub(super) fn holds(&self, argument: u64) -> bool {
        match self.compare {
            Compare::Eq => argument == self.value,
            Compare::Ne => argument != self.value,
            Compare::Gt => argument > self.value,
            Compare::Ge => argument >= self.value,
            Compare::Lt => argument < self.value,
            Compare::Le => argument <= self.value,
            Compare::Masked(mask) => argument & mask == self.value & mask,
        }
    }

    /// The same for an architecture whose arguments have 32 bits.
    #[must_use]
    pub(super) fn narrowed(mut self) -> Self {
        let half = u64::from(u32::MAX);
        self.value &= half;
        if let Compare::Masked(mask) = &mut self.compare {
            *mask &= half;
        }
        self
    }
}

/// What happens to one call when all conditions hold.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Rule {
    /// The call.
    pub(super) call: Syscall,
    /// What happens.
    pub(super) action: Action,
    /// The conditions, none for always.
    pub(super) tests: Vec<Test>,
}

impl PartialEq for Syscall {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

/// A whole filter.
///
/// A call that no rule matches gets the default action. Of several rules for one call, one without conditions wins
/// over all with, and otherwise the first that matches. As in runc, calls numbered higher than any that has a rule
/// on an architecture fail there with `ENOSYS`, unless the default action is one that lets calls through.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Filter {
    /// What happens where no rule says otherwise.
    pub(super) default: Action,
    /// The architectures it covers. A call of any other ends the thread, as in libseccomp.
    pub(super) arches: Vec<Arch>,
    /// The rules.
    pub(super) rules: Vec<Rule>,
}

impl Filter {
    /// What happens to calls newer than the profile.
    pub(super) fn beyond(&self) -> Action {
        if self.default.suits_unknown() { self.default } else { ENOSYS }
    }
}

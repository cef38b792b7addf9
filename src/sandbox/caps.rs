//! Capabilities: names, sets, docker's default set, and the rules of `--cap-add`, `--cap-drop` and `--privileged`.
//!
//! # Sets
//!
//! What a process may have inside is determined by the **bounding set** alone. A new user namespace starts with full
//! bounding, permitted and effective sets, and empty inheritable and ambient ones. execve(2) then gives a root
//! process exactly the bounding set and any other user nothing, which is docker's rule for both. So
//! `limit_bounding_set` before the exec is all that a container needs; `set_process_caps` matters only to code
//! that runs in between.
//!
//! # Order
//!
//! This order works for every combination of user, filter and `no-new-privileges`:
//!
//! 1. `limit_bounding_set` (needs CAP_SETPCAP, so before the identity changes)
//! 2. without `no-new-privileges`: load the seccomp filters (needs CAP_SYS_ADMIN, so before that is dropped)
//! 3. groups and user
//! 4. `set_process_caps` (skipped under root emulation, which answers capset(2) itself; the exec has the same
//!    effect)
//! 5. with `no-new-privileges`: `set_no_new_privs`, then the filters
//! 6. exec

use std::fmt;
use std::io;
use std::str::FromStr;

use anyhow::{Context, Result};

use dhow_error::{Failure, invalid};

/// Names by number, without `CAP_`, from `linux/capability.h` of Linux 6.18.
const NAMES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Capability(u8);

impl FromStr for Capability {
    type Err = Failure;

    /// Accepts every spelling that docker does: upper or lower case, with or without `CAP_`.
    fn from_str(text: &str) -> Result<Self, Failure> {
        let upper = text.trim().to_ascii_uppercase();
        let bare = upper.strip_prefix("CAP_").unwrap_or(&upper);
        match (0..).zip(NAMES).find(|(_, name)| *name == bare) {
            Some((number, _)) => Ok(Self(number)),
            None => Err(invalid(format!("unknown capability: \"CAP_{bare}\""))
                .hint("capabilities(7) lists the names; `ALL` stands for all of them")),
        }
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CAP_{}", NAMES.get(usize::from(self.0)).copied().unwrap_or("?"))
    }
}

impl fmt::Debug for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A set of capabilities; bit *n* is capability number *n*.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct CapSet(u64);

impl CapSet {
    pub const EMPTY: Self = Self(0);
    /// All capabilities in `NAMES`.
    pub const ALL: Self = Self((1 << NAMES.len()) - 1);
    /// Docker's default: CHOWN, DAC_OVERRIDE, FOWNER, FSETID, KILL, SETGID, SETUID, SETPCAP, NET_BIND_SERVICE,
    /// NET_RAW, SYS_CHROOT, MKNOD, AUDIT_WRITE and SETFCAP.
    pub const DOCKER: Self = Self(0xa804_25fb);

    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    pub const fn bits(self) -> u64 {
        self.0
    }

    pub const fn contains(self, capability: Capability) -> bool {
        self.0 & (1 << capability.0) != 0
    }

    pub fn insert(&mut self, capability: Capability) {
        self.0 |= 1 << capability.0;
    }

    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    #[must_use]
    pub(crate) const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// The members that are not in `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The members that have a name, by number.
    pub fn iter(self) -> impl Iterator<Item = Capability> {
        (0..).take(NAMES.len()).map(Capability).filter(move |capability| self.contains(*capability))
    }
}

impl FromIterator<Capability> for CapSet {
    fn from_iter<I: IntoIterator<Item = Capability>>(members: I) -> Self {
        let mut set = Self::EMPTY;
        members.into_iter().for_each(|member| set.insert(member));
        set
    }
}

impl fmt::Debug for CapSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// The value of `--cap-add` or `--cap-drop`.
struct CapOption {
    all: bool,
    named: CapSet,
}

impl CapOption {
    fn parse(option: &str, names: &[String]) -> Result<Self> {
        let mut parsed = Self { all: false, named: CapSet::EMPTY };
        for name in names {
            if name.trim().eq_ignore_ascii_case("all") {
                parsed.all = true;
            } else {
                parsed.named.insert(name.parse().with_context(|| format!("invalid {option}"))?);
            }
        }
        Ok(parsed)
    }
}

/// Applies docker's rules to [`CapSet::DOCKER`]: `privileged` means all; `ALL` added means all but those dropped;
/// `ALL` dropped means only those added; otherwise the default minus those dropped plus those added.
///
/// # Errors
/// An unknown name, even if `privileged` makes it irrelevant.
pub fn tweak_capabilities(add: &[String], drop: &[String], privileged: bool) -> Result<CapSet> {
    let add = CapOption::parse("CapAdd", add)?;
    let drop = CapOption::parse("CapDrop", drop)?;
    Ok(match (privileged, add.all, drop.all) {
        (true, ..) => CapSet::ALL,
        (_, true, _) => CapSet::ALL.without(drop.named),
        (_, _, true) => add.named,
        _ => CapSet::DOCKER.without(drop.named).union(add.named),
    })
}

/// Splits `set` into capabilities that the running kernel knows and those it does not. Costs one prctl(2) per
/// capability, so it is for `--cap-add` only; `limit_bounding_set` and `set_process_caps` ignore unknown
/// ones.
pub fn known_to_kernel(set: CapSet) -> (CapSet, CapSet) {
    // Docker's default set is known to every kernel that can run dhow.
    if set.without(CapSet::DOCKER).is_empty() {
        return (set, CapSet::EMPTY);
    }
    let supported = CapSet(dhow_sys::caps::supported());
    (set.intersection(supported), set.without(supported))
}

/// Limits the bounding set to `keep`. Allocates nothing, so it may be called between fork and exec.
pub(crate) fn limit_bounding_set(keep: CapSet) -> io::Result<()> {
    dhow_sys::caps::limit_bounding(keep.bits())
}

/// Sets permitted and effective set to what docker gives: `set` for root, nothing for other users; clears the
/// inheritable and ambient sets. May be called between fork and exec.
pub fn set_process_caps(set: CapSet, root: bool) -> io::Result<()> {
    dhow_sys::caps::set_process(if root { set.bits() } else { 0 })
}

/// Sets `no_new_privs`, irrevocably. May be called between fork and exec.
pub fn set_no_new_privs() -> io::Result<()> {
    dhow_sys::caps::no_new_privs()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn names(list: &[&str]) -> Vec<String> {
        list.iter().map(|name| (*name).to_owned()).collect()
    }

    fn set(list: &[&str]) -> CapSet {
        list.iter().map(|name| name.parse::<Capability>().unwrap()).collect()
    }

    #[test]
    fn spellings_mean_the_same() {
        for text in ["CAP_NET_RAW", "cap_net_raw", "NET_RAW", "net_raw", " Net_Raw "] {
            let capability: Capability = text.parse().unwrap();
            assert_eq!((capability.0, capability.to_string().as_str()), (13, "CAP_NET_RAW"));
        }
        for text in ["", "CAP_", "NET-RAW", "CAP_CAP_NET_RAW", "all"] {
            let error = text.parse::<Capability>().unwrap_err();
            assert!(error.to_string().starts_with("unknown capability: \"CAP_"), "{error}");
        }
    }

    #[test]
    fn the_default_set_is_dockers() {
        let expected = set(&[
            "CHOWN",
            "DAC_OVERRIDE",
            "FSETID",
            "FOWNER",
            "MKNOD",
            "NET_RAW",
            "SETGID",
            "SETUID",
            "SETFCAP",
            "SETPCAP",
            "NET_BIND_SERVICE",
            "SYS_CHROOT",
            "KILL",
            "AUDIT_WRITE",
        ]);
        assert_eq!(CapSet::DOCKER, expected);
        assert_eq!(CapSet::DOCKER.iter().count(), 14);
    }

    #[test]
    fn tweaks_follow_docker() {
        let cases: &[(&[&str], &[&str], CapSet)] = &[
            (&[], &[], CapSet::DOCKER),
            (&["SYS_ADMIN"], &[], CapSet::DOCKER.union(set(&["SYS_ADMIN"]))),
            (&[], &["chown", "KILL"], CapSet::DOCKER.without(set(&["CHOWN", "KILL"]))),
            // Dropping comes first, so what is in both stays.
            (&["CHOWN"], &["CHOWN"], CapSet::DOCKER),
            (&["ALL"], &[], CapSet::ALL),
            (&["all"], &["SYS_ADMIN"], CapSet::ALL.without(set(&["SYS_ADMIN"]))),
            (&[], &["ALL"], CapSet::EMPTY),
            (&["NET_RAW"], &["All"], set(&["NET_RAW"])),
            // With ALL on both sides adding wins, and `ALL` itself names nothing to leave out.
            (&["ALL"], &["ALL"], CapSet::ALL),
        ];
        for (add, drop, expected) in cases {
            let got = tweak_capabilities(&names(add), &names(drop), false).unwrap();
            assert_eq!(got, *expected, "add {add:?} drop {drop:?}");
            assert_eq!(tweak_capabilities(&names(add), &names(drop), true).unwrap(), CapSet::ALL);
        }
    }

    #[test]
    fn an_unknown_name_says_which_option() {
        let error = tweak_capabilities(&names(&["NOPE"]), &[], false).unwrap_err();
        assert_eq!(format!("{error:#}"), "invalid CapAdd: unknown capability: \"CAP_NOPE\"");
        let error = tweak_capabilities(&[], &names(&["nope"]), true).unwrap_err();
        assert_eq!(format!("{error:#}"), "invalid CapDrop: unknown capability: \"CAP_NOPE\"");
    }

    #[test]
    fn what_the_kernel_lacks_is_told_apart() {
        let future = CapSet::from_bits(1 << 63);
        let (known, unknown) = known_to_kernel(CapSet::DOCKER.union(future));
        assert_eq!((known, unknown), (CapSet::DOCKER, future));
        assert_eq!(known_to_kernel(CapSet::DOCKER), (CapSet::DOCKER, CapSet::EMPTY));
    }

    /// That of the calling thread (proc_pid_status(5)).
    fn bounding_set() -> u64 {
        let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
        let set = status.lines().find_map(|line| line.strip_prefix("CapBnd:")).unwrap();
        u64::from_str_radix(set.trim(), 16).unwrap()
    }

    #[test]
    fn limiting_takes_all_but_the_kept() {
        // Capabilities belong to the thread, so a thread of its own keeps the other tests unharmed.
        let before = bounding_set();
        let outcome = std::thread::spawn(|| limit_bounding_set(CapSet::DOCKER).map(|()| bounding_set()))
            .join()
            .unwrap();
        match outcome {
            Ok(after) => assert_eq!(after, before & CapSet::DOCKER.bits()),
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::PermissionDenied),
        }
    }

    #[test]
    fn settling_leaves_what_was_asked() {
        let permitted = std::thread::spawn(|| {
            let had = dhow_sys::caps::permitted().unwrap();
            let target = CapSet::from_bits(had).intersection(CapSet::DOCKER);
            set_process_caps(target, true).unwrap();
            assert_eq!(dhow_sys::caps::permitted().unwrap(), target.bits());
            set_process_caps(target, false).unwrap();
            dhow_sys::caps::permitted().unwrap()
        });
        assert_eq!(permitted.join().unwrap(), 0);
    }

    proptest! {
        #[test]
        fn parsing_never_panics(text in ".{0,40}") {
            let _ = text.parse::<Capability>();
        }
    }
}

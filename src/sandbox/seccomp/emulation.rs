//! Root emulation: the filter of containers that have a single user, for accounts without subordinate ids.
//!
//! Such a container's root is the user, and no other id exists: the kernel refuses to give a file to another user or
//! to become one (`EINVAL`), and without a mapping helper setgroups(2) is closed. Package managers and entry points do
//! all of that. The filter answers "done" without doing it to
//!
//! - chown(2) and its kin: everything stays the user's;
//! - setuid(2), setgid(2), their kin and setgroups(2): the process stays root, which in here is the user;
//! - capset(2): what is given up stays;
//! - mknod(2) of character and block devices: no node appears. Fifos, sockets and files are made for real.
//!
//! It is loaded after the container's profile, for processes that start as root only: to other users docker refuses
//! these calls too. Extended attributes need nothing: `security.capability` may be set by a namespace's root.
//!
//! # What works with it, tried with Debian 12 in a namespace of one id
//!
//! Works: `dpkg` and maintainer scripts (dbus, openssh, nginx, redis, exim, cron, man-db), `apt-get install` with
//! `APT::Sandbox::User=root`, `useradd -m`, `usermod`, `groupadd`, `chpasswd`, `su`, `sudo -u`, `runuser`, `setpriv`,
//! `chroot --userspec`, `install -o`, `cp -a`, `tar --same-owner`, `setcap`.
//!
//! Does not: what looks whether it happened. `apt` asks getresuid(2) whether it became `_apt` ("Could not switch
//! group"); that is its `APT::Sandbox::Verify::IDs`, and setting `APT::Sandbox::User` to `root` (in the file that
//! `APT_CONFIG` names, for one) makes it not try. `userdel -r` leaves a home that is not the user's. Servers that
//! refuse to be root (postgres) still are. A node that was "made" cannot be opened or changed.
//!
//! # Remembering ownership
//!
//! Steps of a build remember it ([`remembering`]), for what they leave becomes a layer:
//!
//! - **Store**: nothing new. A layer's file carries `user.dhow.owner` = `uid:gid` from its unpacking, and packing
//!   reads it. A chown in the container is the same attribute set through the overlay mount, which puts it on the
//!   upper directory's copy. What cannot carry user attributes (links, fifos, sockets) stays root's.
//! - **Sandbox**: the chown family moves from [`PRETEND`] to `SECCOMP_RET_USER_NOTIF`, in a filter loaded with
//!   `SECCOMP_FILTER_FLAG_NEW_LISTENER`. (The kernel prefers an errno to a notification, so a call must not be in
//!   both.) The container's first process hands the listener to its supervisor before it execs; what that makes in the
//!   container's user namespace finds the file with openat2(2) below the caller's root, sets the attribute, and
//!   answers. If it is gone that means `ENOSYS`.
//! - Showing remembered owners (stat), and becoming another user for those who look, are the same mechanism for more
//!   calls, at the price of a round trip for each. A container that never calls them pays nothing.

use super::rule::{Action, Compare, Filter, Rule, Test};
use super::syscalls::{Arch, Syscall};

/// The program that makes privileged identity calls succeed without effect, for all architectures of `native`.
pub(super) fn filter(native: Arch) -> Filter {
    emulating(native, PRETEND)
}

/// The same, but whoever listens is asked about changes of owner.
#[allow(dead_code, reason = "for the build script, which shares this file")]
pub(super) fn remembering(native: Arch) -> Filter {
    emulating(native, Action::NOTIFY)
}

fn emulating(native: Arch, owner: Action) -> Filter {
    let mut rules = Vec::new();
    for call in IDENTITY.split_ascii_whitespace().filter_map(Syscall::find) {
        rules.push(Rule { call, action: PRETEND, tests: Vec::new() });
    }
    for call in OWNER.split_ascii_whitespace().filter_map(Syscall::find) {
        rules.push(Rule { call, action: owner, tests: Vec::new() });
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

/// With the variants of 32-bit architectures, whose ids once had 16 bits.
const OWNER: &str = "chown chown32 lchown lchown32 fchown fchown32 fchownat";

/// The same.
const IDENTITY: &str = "
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

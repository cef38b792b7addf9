//! Root emulation: the filter for containers with a single id, on accounts without subordinate ids.
//!
//! The root of such a container is the user, and no other id exists: the kernel refuses to give a file to another
//! user or to become one (`EINVAL`), and without a mapping helper setgroups(2) is closed. Package managers and entry
//! points do all of that. The filter reports success, without effect, for
//!
//! - chown(2) and its variants: every file stays the user's;
//! - setuid(2), setgid(2), their variants, and setgroups(2): the process stays root, which in here is the user;
//! - capset(2): dropped capabilities are kept;
//! - mknod(2) of character and block devices: no node appears. FIFOs, sockets and regular files are created for real.
//!
//! It is loaded after the container's profile, for processes that start as root only: docker denies these calls to
//! other users as well. Extended attributes need no emulation: a namespace's root may set `security.capability`.
//!
//! # Compatibility, tested with Debian 12 in a namespace with one id
//!
//! These work: `dpkg` and maintainer scripts (dbus, openssh, nginx, redis, exim, cron, man-db), `apt-get install`
//! with `APT::Sandbox::User=root`, `useradd -m`, `usermod`, `groupadd`, `chpasswd`, `su`, `sudo -u`, `runuser`,
//! `setpriv`, `chroot --userspec`, `install -o`, `cp -a`, `tar --same-owner`, `setcap`.
//!
//! Programs that verify the effect do not. `apt` checks with getresuid(2) whether it became `_apt` ("Could not switch
//! group"); that is its `APT::Sandbox::Verify::IDs`, and setting `APT::Sandbox::User` to `root` (for example in the
//! file that `APT_CONFIG` names) avoids it. `userdel -r` leaves a home directory that is not the user's. Servers that
//! refuse to run as root (postgres) still do. A device node that was "created" cannot be opened or changed.
//!
//! # Remembering ownership
//!
//! Build steps remember ownership ([`remembering`]), since what they leave behind becomes a layer:
//!
//! - **Store**: nothing new. A layer's file carries `user.dhow.owner` = `uid:gid` from its unpacking, and packing
//!   reads it. A chown in the container sets the same attribute through the overlay mount, which puts it on the copy
//!   in the upper directory. Files that cannot carry user attributes (links, FIFOs, sockets) stay root's.
//! - **Sandbox**: the chown family moves from [`PRETEND`] to `SECCOMP_RET_USER_NOTIF`, in a filter loaded with
//!   `SECCOMP_FILTER_FLAG_NEW_LISTENER`. (The kernel prefers an errno to a notification, so no call may be in both.)
//!   The container's first process sends the listener to its supervisor before it execs. A process of the
//!   supervisor's in the container's user namespace finds the file with openat2(2) below the caller's root, sets the
//!   attribute, and responds. Once it is gone, the calls fail with `ENOSYS`.
//! - Showing remembered owners (stat), and pretending another user id to programs that ask, would be the same
//!   mechanism for more calls, at the price of a round trip each. A container that never makes them pays nothing.

use super::rule::{ArgCondition, CompareOp, FilterAction, SyscallFilter, SyscallRule};
use super::syscalls::{Arch, Syscall};

/// The filter that makes privileged identity calls succeed without effect, for all architectures of `native`.
pub(super) fn filter(native: Arch) -> SyscallFilter {
    emulating(native, PRETEND)
}

/// Like [`filter`], but a listener is asked about changes of owner.
pub(super) fn remembering(native: Arch) -> SyscallFilter {
    emulating(native, NOTIFY)
}

fn emulating(native: Arch, owner: FilterAction) -> SyscallFilter {
    let mut rules = Vec::new();
    for call in IDENTITY.split_ascii_whitespace().filter_map(Syscall::find) {
        rules.push(SyscallRule { call, action: PRETEND, tests: Vec::new() });
    }
    for call in OWNER.split_ascii_whitespace().filter_map(Syscall::find) {
        rules.push(SyscallRule { call, action: owner, tests: Vec::new() });
    }
    // Devices only: every user may create FIFOs and sockets.
    for (name, argument) in [("mknod", 1), ("mknodat", 2)] {
        let Some(call) = Syscall::find(name) else { continue };
        for kind in [CHARACTER_DEVICE, BLOCK_DEVICE] {
            let test = ArgCondition { argument, compare: CompareOp::Masked(KIND), value: kind };
            rules.push(SyscallRule { call, action: PRETEND, tests: vec![test] });
        }
    }
    SyscallFilter { default: FilterAction::ALLOW, arches: native.family().to_vec(), rules }
}

/// The call is skipped and returns 0.
const PRETEND: FilterAction = FilterAction::errno(0);

/// A listener decides; without one, the call fails with `ENOSYS` (`SECCOMP_RET_USER_NOTIF`).
const NOTIFY: FilterAction = FilterAction(0x7fc0_0000);

/// The chown family, with the `32` variants of 32-bit architectures, whose ids once had 16 bits.
const OWNER: &str = "chown chown32 lchown lchown32 fchown fchown32 fchownat";

/// Calls that change user, groups or capabilities, with their `32` variants.
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

//! Entering a user namespace, and why the kernel may refuse one.

use std::fs;

use anyhow::{Context as _, Result};
use dhow_error::{Failure, FailureKind};
use dhow_sys::process;
use rustix::io::Errno;

use super::idmap::{IdMap, IdMapExtent};
use super::subordinate::pipe;
use super::{HostIdentity, IdentityMode};

/// Moves this process to a user namespace in which it is root over all of the account's ids, so that it can
/// create and delete files of any owner. Does nothing in single mode or as root. The process must have one
/// thread, and gains no privilege on the host.
pub fn enter_userns(identity: &HostIdentity) -> Result<()> {
    match identity.mode {
        IdentityMode::Mapped(_) => enter_new_userns(identity),
        IdentityMode::Root(_) | IdentityMode::Single => Ok(()),
    }
}

/// Like [`enter_userns`], but always enters a new user namespace, even if the account has one id only.
pub fn enter_new_userns(identity: &HostIdentity) -> Result<()> {
    let (ready_read, ready_write) = pipe()?;
    // The maps must be written from outside the new namespace, by a process that still has the account's
    // privileges.
    match process::fork().context("starting a helper process")? {
        process::ForkSide::Child => {
            drop(ready_write);
            process::exit_now(map_parent(identity, ready_read))
        }
        process::ForkSide::Parent(helper) => {
            drop(ready_read);
            unshare_user().map_err(|error| explain_userns_refusal(&error))?;
            rustix::io::write(&ready_write, b"1")?;
            match helper.wait()? {
                process::ChildExit::Exited(0) => Ok(()),
                process::ChildExit::Exited(errno) if errno != NOT_MAPPED => {
                    Err(std::io::Error::from_raw_os_error(errno))
                        .context("mapping the account's subordinate ids")
                }
                _ => Err(Failure::new(
                    FailureKind::Denied,
                    "the account's subordinate ids could not be mapped",
                )
                .hint("see `dhow info`; `newuidmap` and `newgidmap` must work for this account")
                .into()),
            }
        }
    }
}

/// Moves this process, which has one thread, to a user namespace in which it is root over its single id.
/// There, CAP_DAC_OVERRIDE lets it read its own files even if their mode denies it.
pub fn enter_single_id_userns() -> Result<()> {
    let one = |outside| vec![IdMapExtent { inside: 0, outside, count: 1 }];
    let map = IdMap {
        uids: one(rustix::process::geteuid().as_raw()),
        gids: one(rustix::process::getegid().as_raw()),
    };
    unshare_user().map_err(|error| explain_userns_refusal(&error))?;
    map.write_for(rustix::process::getpid().as_raw_nonzero().get(), true)
}

/// The exit status of a helper that could not map the ids; others are the number of the error that kept it from trying.
const NOT_MAPPED: i32 = 1;

/// In the helper: maps the ids of its parent once that has created its namespace. Returns the exit status.
fn map_parent(identity: &HostIdentity, mut ready: fs::File) -> i32 {
    let mut byte = [0_u8; 1];
    if std::io::Read::read_exact(&mut ready, &mut byte).is_err() {
        return NOT_MAPPED;
    }
    let parent = rustix::process::getppid().map_or(0, |pid| pid.as_raw_nonzero().get());
    match identity.apply(&identity.map((0, 0)), parent) {
        Ok(()) => 0,
        Err(error) => dhow_error::exhausted(&error).map_or(NOT_MAPPED, Errno::raw_os_error),
    }
}

pub(crate) fn unshare_user() -> std::io::Result<()> {
    use nix::sched::{CloneFlags, unshare};
    Ok(unshare(CloneFlags::CLONE_NEWUSER)?)
}

/// Explains a refused user namespace, with the command that permits it.
pub(crate) fn explain_userns_refusal(error: &std::io::Error) -> Failure {
    let setting = |path: &str, bad: &str| fs::read_to_string(path).is_ok_and(|text| text.trim() == bad);
    let message = format!("the kernel refused a user namespace: {error}");
    if let Some(errno @ (Errno::MFILE | Errno::NFILE)) = Errno::from_io_error(error) {
        return Failure::new(FailureKind::Full, message).hint(dhow_error::exhaustion_hint(errno));
    }
    let failure = Failure::new(FailureKind::Denied, message);
    // The settings are read because the errno alone does not tell the cause.
    if setting("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1") {
        return failure.hint("AppArmor restricts them here; root can allow them with `sysctl kernel.apparmor_restrict_unprivileged_userns=0`, or give dhow a profile with `userns,`");
    }
    if setting("/proc/sys/kernel/unprivileged_userns_clone", "0") {
        return failure.hint("root can allow them with `sysctl kernel.unprivileged_userns_clone=1`");
    }
    if setting("/proc/sys/user/max_user_namespaces", "0") {
        return failure.hint("root can allow them with `sysctl user.max_user_namespaces=15000`");
    }
    if error.raw_os_error() == Some(libc::ENOSPC) {
        return failure.hint("the limit on namespaces is reached: see /proc/sys/user/max_*_namespaces");
    }
    failure.hint("inside another container its seccomp profile or missing nesting support may be the reason")
}

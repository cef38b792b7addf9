//! Owner, xattrs, mode and time of the objects in a layer's tree.
//!
//! What an object has already is not set again: looking costs a tenth of a change, which is a transaction of the file
//! system. Most objects belong to root, which is who creates them, and are created with their mode.
//!
//! What the identity mode cannot set is recorded in xattrs (`user.dhow.owner`, `user.dhow.xattr.NAME`) if the object
//! supports them; the tar-split data has it in any case.

use std::os::fd::AsFd;

use anyhow::Context as _;
use rustix::fs::{AtFlags, Gid, Mode, Stat, Uid, XattrFlags};
use rustix::io::Errno;

use crate::files::is_reserved;
use crate::tar::TarMember;
use dhow_model::layer::LayerOwnership;
use dhow_model::layer::{ENCODED_XATTR_PREFIX, OWNER_XATTR, owner_value};
use dhow_sys::xattr::set_xattr_best_effort;

const PERMISSIONS: u32 = 0o7777;

/// The mode to create a file with, so that it is usually right afterwards. Its owner may write until the xattrs are set.
pub(super) fn creation_mode(member: &TarMember) -> Mode {
    Mode::from_raw_mode(member.mode & 0o777) | Mode::RUSR | Mode::WUSR
}

/// Sets everything of an open file. `created` is what it had when it was created.
pub(super) fn finish_file(
    file: impl AsFd,
    created: &Stat,
    member: &TarMember,
    identity: LayerOwnership,
) -> anyhow::Result<()> {
    set_owner(&file, created, member, identity)?;
    set_xattrs(&file, member, identity);
    // After chown(2), which clears the setuid bit, and after an ACL, which may change the mode.
    if created.st_mode & PERMISSIONS != member.mode || !member.xattrs.is_empty() {
        rustix::fs::fchmod(&file, Mode::from_raw_mode(member.mode)).context("cannot set the mode")?;
    }
    rustix::fs::futimens(&file, &member.mtime.timestamps()).context("cannot set the time")
}

/// Whether a directory with this state needs neither [`set_owner`] nor [`set_xattrs`].
pub(super) fn is_owned_plainly(current: &Stat, member: &TarMember, identity: LayerOwnership) -> bool {
    (member.uid, member.gid) == (0, 0) && member.xattrs.is_empty() && has_owner(current, member, identity)
}

pub(super) fn set_owner(
    object: impl AsFd,
    current: &Stat,
    member: &TarMember,
    identity: LayerOwnership,
) -> anyhow::Result<()> {
    if !has_owner(current, member, identity) {
        let (uid, gid) = owner(member);
        match rustix::fs::fchown(&object, Some(uid), Some(gid)) {
            // The user namespace has no such owner: record it below.
            Err(Errno::INVAL | Errno::PERM) => {}
            other => return other.context("cannot set the owner"),
        }
    }
    if (member.uid, member.gid) != (0, 0) {
        let value = owner_value((member.uid, member.gid));
        set_xattr_best_effort(&object, OWNER_XATTR, value.as_bytes());
    }
    Ok(())
}

/// Sets owner and time of an object that cannot be opened, by its name in `parent`.
pub(super) fn finish_unopened(
    parent: impl AsFd,
    base: &[u8],
    member: &TarMember,
    identity: LayerOwnership,
) -> anyhow::Result<()> {
    let flags = AtFlags::SYMLINK_NOFOLLOW;
    if !has_owner(&rustix::fs::statat(&parent, base, flags)?, member, identity) {
        let (uid, gid) = owner(member);
        match rustix::fs::chownat(&parent, base, Some(uid), Some(gid), flags) {
            // The user namespace has no such owner, and these objects cannot have `user.*` xattrs; the tar-split
            // data has it.
            Err(Errno::INVAL | Errno::PERM) => {}
            other => other.context("cannot set the owner")?,
        }
    }
    rustix::fs::utimensat(&parent, base, &member.mtime.timestamps(), flags).context("cannot set the time")
}

pub(super) fn set_xattrs(object: impl AsFd, member: &TarMember, identity: LayerOwnership) {
    for (name, value) in &member.xattrs {
        if is_reserved(name) {
            continue;
        }
        // With one id only `user.*` xattrs can be set without privileges.
        let settable = identity == LayerOwnership::Mapped || name.starts_with(b"user.");
        let set = |name: &[u8]| rustix::fs::fsetxattr(&object, name, value, XattrFlags::empty());
        if !settable || set(name).is_err() {
            // Best effort: the tar-split data has it in any case.
            let _ = set(&[ENCODED_XATTR_PREFIX.as_bytes(), name].concat());
        }
    }
}

/// Sets the mode of a directory.
pub(super) fn set_dir_mode(dir: impl AsFd, mode: u32) -> Result<(), Errno> {
    if rustix::fs::fstat(&dir)?.st_mode & PERMISSIONS == mode {
        return Ok(());
    }
    rustix::fs::fchmod(&dir, Mode::from_raw_mode(mode))
}

/// Whether the owner is right, or owners cannot be set.
fn has_owner(current: &Stat, member: &TarMember, identity: LayerOwnership) -> bool {
    identity == LayerOwnership::Single || (current.st_uid, current.st_gid) == (member.uid, member.gid)
}

fn owner(member: &TarMember) -> (Uid, Gid) {
    (Uid::from_raw(member.uid), Gid::from_raw(member.gid))
}

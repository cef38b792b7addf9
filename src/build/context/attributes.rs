//! Owners, modes and extended attributes of files in layers: reading them, and recording them for new files.
//!
//! What the file system cannot hold for an unprivileged user is stored in `user.dhow.owner`,
//! `user.dhow.device` and `user.dhow.xattr.NAME`, as in all layers of the store.

use std::os::fd::{AsFd, BorrowedFd};

use anyhow::{Context as _, Result};
use rustix::fs::{FileType, Gid, Stat, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;

use dhow_model::layer::{
    DEVICE_XATTR, ENCODED_XATTR_PREFIX, LayerOwnership, OWNER_XATTR, device_value, owner_value, parse_device,
    parse_owner,
};
use dhow_sys::xattr::{read_xattr, set_xattr_best_effort, xattr_names};

/// Seconds since 1970, and nanoseconds.
pub(super) type FileTime = (i64, u32);

/// Metadata of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileAttributes {
    /// uid and gid as seen in the container.
    pub owner: (u32, u32),
    /// Permission bits including setuid, setgid and sticky.
    pub mode: u32,
    /// Modification time: seconds since 1970, and nanoseconds.
    pub mtime: (i64, u32),
    /// Without those of overlayfs and dhow.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

impl FileAttributes {
    /// Of a directory that is created on the way to another file.
    pub fn implied(owner: (u32, u32)) -> Self {
        Self { owner, mode: 0o755, ..Self::default() }
    }

    /// The metadata in `stat`; no xattrs.
    pub(super) fn of(stat: &Stat) -> Self {
        Self {
            owner: (stat.st_uid, stat.st_gid),
            mode: stat.st_mode & 0o7777,
            mtime: mtime(stat),
            xattrs: Vec::new(),
        }
    }
}

pub(super) fn mtime(stat: &Stat) -> FileTime {
    (stat.st_mtime, u32::try_from(stat.st_mtime_nsec).unwrap_or_default().min(999_999_999))
}

/// The extended attributes of a file, dhow's own decoded.
#[derive(Default)]
pub(super) struct StoredXattrs {
    pub(super) owner: Option<(u32, u32)>,
    /// The device node that an empty file represents: whether it is a block device, major, minor.
    pub(super) device: Option<(bool, u32, u32)>,
    pub(super) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Reads the xattrs of an open file; dhow's own are decoded only if it is in a layer (`of_layer`).
pub(super) fn read_xattrs(fd: BorrowedFd<'_>, of_layer: bool) -> StoredXattrs {
    let mut stored = StoredXattrs::default();
    for name in xattr_names(fd) {
        let dhow_name = name.strip_prefix(b"user.dhow.").filter(|_| of_layer);
        if dhow_name.is_none() && is_reserved(&name) {
            continue;
        }
        let Some(value) = read_xattr(fd, &name[..]) else { continue };
        match dhow_name {
            None => stored.xattrs.push((name, value)),
            Some(b"owner") => stored.owner = parse_owner(&value),
            Some(b"device") => {
                stored.device = parse_device(&value).map(|(block, (major, minor))| (block, major, minor));
            }
            Some(rest) => {
                if let Some(real) = rest.strip_prefix(b"xattr.")
                    && !is_reserved(real)
                {
                    stored.xattrs.push((real.to_vec(), value));
                }
            }
        }
    }
    // Sorted for digests; of a real and an encoded attribute with the same name one is kept.
    stored.xattrs.sort_unstable();
    stored.xattrs.dedup_by(|later, earlier| later.0 == earlier.0);
    stored
}

/// The owner of a file in a layer. A recorded owner counts only while the file belongs to our own id: after a
/// chown inside the container the real owner is right.
pub(super) fn effective_owner(stat: &Stat, stored: &StoredXattrs) -> (u32, u32) {
    let process_ids = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let real = (stat.st_uid, stat.st_gid);
    match stored.owner {
        Some(owner) if real == process_ids => owner,
        // With a single id everything on disk belongs to the user, who is root inside.
        _ if real == process_ids => (0, 0),
        _ => real,
    }
}

/// Attributes of overlayfs, dhow, or the kernel's integrity checks; never copied.
fn is_reserved(name: &[u8]) -> bool {
    let starts = |prefix: &[u8]| name.starts_with(prefix);
    name.is_empty()
        || name.contains(&0)
        || starts(b"user.overlay.")
        || starts(b"user.dhow.")
        || starts(b"trusted.")
        || starts(b"system.")
        || (starts(b"security.") && name != b"security.capability")
}

/// Sets owner and xattrs of an open file or directory, as far as `identity` permits.
pub(super) fn apply(object: impl AsFd, identity: LayerOwnership, attributes: &FileAttributes) -> Result<()> {
    set_owner(&object, identity, attributes.owner)?;
    for (name, value) in attributes.xattrs.iter().filter(|(name, _)| !is_reserved(name)) {
        let permitted = identity == LayerOwnership::Mapped || name.starts_with(b"user.");
        let set = |name: &[u8]| rustix::fs::fsetxattr(&object, name, value, XattrFlags::empty());
        if !permitted || set(name).is_err() {
            // Best effort: file systems without user xattrs lose it.
            let _ = set(&[ENCODED_XATTR_PREFIX.as_bytes(), name].concat());
        }
    }
    Ok(())
}

fn set_owner(object: impl AsFd, identity: LayerOwnership, owner: (u32, u32)) -> Result<()> {
    if owner == (0, 0) {
        // New files already belong to the user, who is root in the container.
        return Ok(());
    }
    if identity == LayerOwnership::Mapped {
        match rustix::fs::fchown(&object, Some(Uid::from_raw(owner.0)), Some(Gid::from_raw(owner.1))) {
            // The id is not mapped in our user namespace.
            Err(Errno::INVAL | Errno::PERM) => {}
            other => return other.context("cannot set the owner"),
        }
    }
    set_xattr_best_effort(&object, OWNER_XATTR, owner_value(owner).as_bytes());
    Ok(())
}

/// Records that an empty file represents a device node.
pub(super) fn mark_as_device(object: impl AsFd, (block, major, minor): (bool, u32, u32)) {
    set_xattr_best_effort(object, DEVICE_XATTR, device_value(block, (major, minor)).as_bytes());
}

pub(super) fn to_timestamps((seconds, nanos): FileTime) -> Timestamps {
    let time = Timespec { tv_sec: seconds, tv_nsec: nanos.into() };
    Timestamps { last_access: time, last_modification: time }
}

pub(super) fn is_regular(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
}

//! Owners, modes and extended attributes of files in layers: reading them, and recording them for new files.
//!
//! What the file system cannot hold for an unprivileged user is stored in `user.dhow.owner`, `user.dhow.device` and
//! `user.dhow.xattr.NAME`, as in all layers of the store.

use std::os::fd::{AsFd, BorrowedFd};

use anyhow::{Context as _, Result};
use rustix::fs::{FileType, Gid, Stat, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;

use dhow_model::layer::LayerOwnership;

/// The kernel's limits for a list of names (`XATTR_LIST_MAX`) and a value (`XATTR_SIZE_MAX`).
const MAX_XATTR: usize = 64 << 10;

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
    let mut kept = StoredXattrs::default();
    for name in names(fd) {
        let own = name.strip_prefix(b"user.dhow.").filter(|_| of_layer);
        if own.is_none() && is_reserved(&name) {
            continue;
        }
        let Some(value) = value(fd, &name) else { continue };
        match own {
            None => kept.xattrs.push((name, value)),
            Some(b"owner") => kept.owner = parse_owner(&value),
            Some(b"device") => kept.device = parse_device(&value),
            Some(rest) => {
                if let Some(real) = rest.strip_prefix(b"xattr.")
                    && !is_reserved(real)
                {
                    kept.xattrs.push((real.to_vec(), value));
                }
            }
        }
    }
    // Sorted for digests; of a real and an encoded attribute with the same name one is kept.
    kept.xattrs.sort_unstable();
    kept.xattrs.dedup_by(|later, earlier| later.0 == earlier.0);
    kept
}

/// The owner of a file in a layer. A recorded owner counts only while the file belongs to our own id: after a
/// chown inside the container the real owner is right.
pub(super) fn effective_owner(stat: &Stat, kept: &StoredXattrs) -> (u32, u32) {
    let own = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let real = (stat.st_uid, stat.st_gid);
    match kept.owner {
        Some(owner) if real == own => owner,
        // With a single id everything on disk belongs to the user, who is root inside.
        _ if real == own => (0, 0),
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

fn names(fd: BorrowedFd<'_>) -> Vec<Vec<u8>> {
    // Most files have none or few: one call with a small buffer, and a second one only on ERANGE.
    let mut small = [0_u8; 512];
    let list = match rustix::fs::flistxattr(fd, &mut small[..]) {
        Ok(length) => small.get(..length).unwrap_or_default().to_vec(),
        Err(Errno::RANGE) => {
            let mut large = vec![0_u8; MAX_XATTR];
            let length = rustix::fs::flistxattr(fd, &mut large[..]).unwrap_or(0);
            large.truncate(length);
            large
        }
        Err(_) => Vec::new(),
    };
    list.split(|byte| *byte == 0).filter(|name| !name.is_empty()).map(<[u8]>::to_vec).collect()
}

fn value(fd: BorrowedFd<'_>, name: &[u8]) -> Option<Vec<u8>> {
    let mut small = [0_u8; 256];
    match rustix::fs::fgetxattr(fd, name, &mut small[..]) {
        Ok(length) => small.get(..length).map(<[u8]>::to_vec),
        Err(Errno::RANGE) => {
            let mut large = vec![0_u8; MAX_XATTR];
            let length = rustix::fs::fgetxattr(fd, name, &mut large[..]).ok()?;
            large.truncate(length);
            Some(large)
        }
        Err(_) => None,
    }
}

/// `1000:50`
fn parse_owner(value: &[u8]) -> Option<(u32, u32)> {
    let (first, second) = std::str::from_utf8(value).ok()?.split_once(':')?;
    Some((first.parse().ok()?, second.parse().ok()?))
}

/// `c 1:3`
fn parse_device(value: &[u8]) -> Option<(bool, u32, u32)> {
    let block = value.starts_with(b"b ");
    let (major, minor) = parse_owner(value.strip_prefix(b"c ").or_else(|| value.strip_prefix(b"b "))?)?;
    Some((block, major, minor))
}

/// Sets owner and xattrs of an open file or directory, as far as `identity` permits.
pub(super) fn apply(object: impl AsFd, identity: LayerOwnership, attributes: &FileAttributes) -> Result<()> {
    set_owner(&object, identity, attributes.owner)?;
    for (name, value) in attributes.xattrs.iter().filter(|(name, _)| !is_reserved(name)) {
        let given = identity == LayerOwnership::Mapped || name.starts_with(b"user.");
        let set = |name: &[u8]| rustix::fs::fsetxattr(&object, name, value, XattrFlags::empty());
        if !given || set(name).is_err() {
            // Best effort: file systems without user xattrs lose it.
            let _ = set(&[b"user.dhow.xattr.", &name[..]].concat());
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
    set_dhow_xattr(&object, "user.dhow.owner", format!("{}:{}", owner.0, owner.1).as_bytes());
    Ok(())
}

/// Records that an empty file represents a device node.
pub(super) fn mark_as_device(object: impl AsFd, (block, major, minor): (bool, u32, u32)) {
    let kind = if block { 'b' } else { 'c' };
    set_dhow_xattr(object, "user.dhow.device", format!("{kind} {major}:{minor}").as_bytes());
}

/// Sets an attribute of dhow's own. Failure is ignored: a file system without user xattrs only loses this
/// information.
fn set_dhow_xattr(object: impl AsFd, name: &str, value: &[u8]) {
    let _ = rustix::fs::fsetxattr(object, name, value, XattrFlags::empty());
}

pub(super) fn to_timestamps((seconds, nanos): FileTime) -> Timestamps {
    let time = Timespec { tv_sec: seconds, tv_nsec: nanos.into() };
    Timestamps { last_access: time, last_modification: time }
}

pub(super) fn is_regular(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
}

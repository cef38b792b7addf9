//! Inspects a file on disk and describes it as a member of an archive.
//!
//! In a layer and in a container's file system, dhow's own xattrs hold what the disk cannot store
//! (`user.dhow.owner`, `user.dhow.device`, `user.dhow.xattr.NAME`; see [`crate::unpack`]). A recorded
//! owner counts only while the file belongs to the account's own id; a file that was really chowned belongs
//! to its new owner.

use std::ffi::CStr;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt as _;

use anyhow::{Context as _, Result};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, SeekFrom, Stat};
use rustix::io::Errno;

use super::is_reserved;
use crate::tar::sparse::SparseSegment;
use crate::tar::{TarMember, TarMemberKind, TarTime};
use dhow_model::layer::{parse_device, parse_owner};
use dhow_sys::xattr::{read_xattr, xattr_names};

/// Minimum size of holes, in bytes, for a file to be stored as sparse.
const MIN_HOLES: u64 = 64 << 10;
/// Readers accept no more segments; a file with more is stored in full.
const MAX_SEGMENTS: usize = 1 << 18;
const BUFFER: usize = 256 << 10;

/// How to treat dhow's own xattrs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DhowXattrs {
    /// Files of the user: only the file system's metadata counts.
    Ignore,
    /// Files of a layer or a container: apply the recorded metadata.
    Apply,
}

/// A file's metadata and open descriptors.
pub struct FileInfo {
    /// Its description; `path` is left empty.
    pub member: TarMember,
    /// For a regular file.
    pub content: Option<File>,
    /// Device and inode number, if there may be several hard links.
    pub linked: Option<(u64, u64)>,
    /// For a directory, opened for reading.
    pub dir: Option<OwnedFd>,
}

/// Inspects `name` in `dir` without following links. `None` if it is gone, or a socket, which archives cannot
/// hold.
pub fn inspect(dir: BorrowedFd<'_>, name: &CStr, dhow_xattrs: DhowXattrs) -> Result<Option<FileInfo>> {
    // Another process may replace the file between stat and open; then start over.
    for _ in 0..100 {
        let stat = match rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => return Ok(None),
            other => other?,
        };
        // O_NONBLOCK and O_NOCTTY: the name may have become a FIFO or a terminal since the stat.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let opened = match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => rustix::fs::openat(dir, name, flags | OFlags::DIRECTORY, Mode::empty()),
            FileType::RegularFile => rustix::fs::openat(dir, name, flags, Mode::empty()),
            FileType::Socket => return Ok(None),
            FileType::Symlink => match rustix::fs::readlinkat(dir, name, Vec::new()) {
                Ok(link) => return Ok(Some(unopened(&stat, link.into_bytes()))),
                Err(Errno::NOENT | Errno::INVAL) => continue,
                Err(error) => return Err(error.into()),
            },
            _ => return Ok(Some(unopened(&stat, Vec::new()))),
        };
        let fd = match opened {
            Ok(fd) => fd,
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::NXIO) => continue,
            Err(error) => return Err(error).context("cannot open it"),
        };
        let current = rustix::fs::fstat(&fd)?;
        match FileType::from_raw_mode(current.st_mode) {
            FileType::Directory => return inspect_dir(fd, dhow_xattrs).map(Some),
            FileType::RegularFile => return inspect_file(fd, &current, dhow_xattrs).map(Some),
            _ => {}
        }
    }
    anyhow::bail!("it changes all the time")
}

/// Inspects an open directory.
pub(crate) fn inspect_dir(dir: OwnedFd, dhow_xattrs: DhowXattrs) -> Result<FileInfo> {
    let mut member = member_of_stat(&rustix::fs::fstat(&dir)?, TarMemberKind::Dir);
    read_xattrs(dir.as_fd(), &mut member, dhow_xattrs);
    Ok(FileInfo { member, content: None, linked: None, dir: Some(dir) })
}

fn inspect_file(fd: OwnedFd, stat: &Stat, dhow_xattrs: DhowXattrs) -> Result<FileInfo> {
    let mut member = member_of_stat(stat, TarMemberKind::File);
    let device = read_xattrs(fd.as_fd(), &mut member, dhow_xattrs);
    let linked = (stat.st_nlink > 1).then_some((stat.st_dev, stat.st_ino));
    if let Some((kind, numbers)) = device {
        (member.kind, member.device) = (kind, numbers);
        return Ok(FileInfo { member, content: None, linked, dir: None });
    }
    let size = u64::try_from(stat.st_size).unwrap_or_default();
    member.size = size;
    let stored = u64::try_from(stat.st_blocks).unwrap_or_default().saturating_mul(512);
    if size.saturating_sub(stored) >= MIN_HOLES
        && let Some(segments) = data_segments(fd.as_fd(), size)
    {
        member.size = segments.iter().map(|segment| segment.length).sum();
        member.sparse = Some((size, segments));
    }
    Ok(FileInfo { member, content: Some(File::from(fd)), linked, dir: None })
}

fn unopened(stat: &Stat, link: Vec<u8>) -> FileInfo {
    let kind = match FileType::from_raw_mode(stat.st_mode) {
        FileType::Symlink => TarMemberKind::Symlink,
        FileType::CharacterDevice => TarMemberKind::Char,
        FileType::BlockDevice => TarMemberKind::Block,
        _ => TarMemberKind::Fifo,
    };
    let device = (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev));
    let member = TarMember { link, device, ..member_of_stat(stat, kind) };
    let linked = (stat.st_nlink > 1).then_some((stat.st_dev, stat.st_ino));
    FileInfo { member, content: None, linked, dir: None }
}

fn member_of_stat(stat: &Stat, kind: TarMemberKind) -> TarMember {
    TarMember {
        kind,
        path: Vec::new(),
        link: Vec::new(),
        mode: stat.st_mode & 0o7777,
        uid: stat.st_uid,
        gid: stat.st_gid,
        mtime: TarTime {
            seconds: stat.st_mtime,
            nanos: u32::try_from(stat.st_mtime_nsec).unwrap_or_default().min(999_999_999),
        },
        device: (0, 0),
        xattrs: Vec::new(),
        size: 0,
        sparse: None,
    }
}

/// Reads the xattrs into `member`. Returns the device that an empty file stands for.
fn read_xattrs(
    fd: BorrowedFd<'_>,
    member: &mut TarMember,
    dhow_xattrs: DhowXattrs,
) -> Option<(TarMemberKind, (u32, u32))> {
    let mut device = None;
    for name in xattr_names(fd) {
        let recorded = name.strip_prefix(b"user.dhow.").filter(|_| dhow_xattrs == DhowXattrs::Apply);
        // A value that was set for real takes precedence over the recorded one.
        let Some(value) =
            (recorded.is_some() || !is_reserved(&name)).then(|| read_xattr(fd, &name)).flatten()
        else {
            continue;
        };
        match recorded {
            None => member.xattrs.push((name, value)),
            Some(b"owner") if is_own(member) => {
                if let Some((uid, gid)) = parse_owner(&value) {
                    (member.uid, member.gid) = (uid, gid);
                }
            }
            Some(b"device") => device = parse_device(&value).map(device_kind),
            Some(rest) => {
                if let Some(real_name) = rest.strip_prefix(b"xattr.")
                    && !is_reserved(real_name)
                    && read_xattr(fd, real_name).is_none()
                {
                    member.xattrs.push((real_name.to_vec(), value));
                }
            }
        }
    }
    // The kernel lists them in any order, and the header must not depend on it.
    member.xattrs.sort_unstable();
    device
}

fn device_kind((block, numbers): (bool, (u32, u32))) -> (TarMemberKind, (u32, u32)) {
    (if block { TarMemberKind::Block } else { TarMemberKind::Char }, numbers)
}

/// Whether the file belongs to our own id, which in single-id mode stands for every other owner.
fn is_own(member: &TarMember) -> bool {
    let ids = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    (member.uid, member.gid) == ids
}

/// The data segments of a file; `None` if it has no holes or they cannot be mapped.
fn data_segments(fd: BorrowedFd<'_>, size: u64) -> Option<Vec<SparseSegment>> {
    let mut segments = Vec::new();
    let mut at = 0;
    while at < size {
        let start = match rustix::fs::seek(fd, SeekFrom::Data(at)) {
            Ok(start) if start < size => start,
            // ENXIO: no data after this offset.
            Ok(_) | Err(Errno::NXIO) => break,
            Err(_) => return None,
        };
        let end = rustix::fs::seek(fd, SeekFrom::Hole(start)).ok()?.min(size);
        segments.push(SparseSegment {
            offset: start,
            length: end.checked_sub(start).filter(|length| *length > 0)?,
        });
        at = end;
        if segments.len() > MAX_SEGMENTS - 1 {
            return None;
        }
    }
    if segments.iter().map(|segment| segment.length).sum::<u64>() == size {
        return None;
    }
    // By convention a final empty segment marks the size.
    if at < size || segments.is_empty() {
        segments.push(SparseSegment { offset: size, length: 0 });
    }
    Some(segments)
}

/// Passes the content of a regular file to `each` in pieces, exactly as long as `member` says: if the file
/// has shrunk since it was inspected, zeros are added; growth is ignored.
pub(crate) fn read_content(
    file: &File,
    member: &TarMember,
    mut each: impl FnMut(u64, &[u8]) -> Result<()>,
) -> Result<()> {
    let full_range = [SparseSegment { offset: 0, length: member.size }];
    let segments = member.sparse.as_ref().map_or(&full_range[..], |(_, segments)| segments);
    let mut buffer = vec![0_u8; BUFFER.min(usize::try_from(member.size).unwrap_or(BUFFER)).max(1)];
    for segment in segments {
        let (mut at, end) = (segment.offset, segment.offset + segment.length);
        while at < end {
            let room = buffer.len().min(usize::try_from(end - at).unwrap_or(usize::MAX));
            let part = &mut buffer[..room];
            let mut read = match file.read_at(part, at) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                other => other.context("cannot read it")?,
            };
            if read == 0 {
                part.fill(0);
                read = part.len();
            }
            each(at, &part[..read])?;
            at += read as u64;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn found(dir: &std::path::Path, name: &CStr, meaning: DhowXattrs) -> Option<FileInfo> {
        let dir = dhow_sys::fs::open_dir(dir).unwrap();
        inspect(dir.as_fd(), name, meaning).unwrap()
    }

    #[test]
    fn kinds_are_told_without_following() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name| dir.path().join(name);
        std::fs::write(at("file"), "abc").unwrap();
        std::fs::set_permissions(at("file"), std::fs::Permissions::from_mode(0o4711)).unwrap();
        std::fs::hard_link(at("file"), at("again")).unwrap();
        std::os::unix::fs::symlink("/etc", at("link")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
        let file = found(dir.path(), c"file", DhowXattrs::Ignore).unwrap();
        assert_eq!((file.member.kind, file.member.mode, file.member.size), (TarMemberKind::File, 0o4711, 3));
        assert!(
            file.linked.is_some()
                && file.linked == found(dir.path(), c"again", DhowXattrs::Ignore).unwrap().linked
        );
        let link = found(dir.path(), c"link", DhowXattrs::Ignore).unwrap();
        assert_eq!((link.member.kind, link.member.link), (TarMemberKind::Symlink, b"/etc".to_vec()));
        assert!(found(dir.path(), c"socket", DhowXattrs::Ignore).is_none());
        assert!(found(dir.path(), c"absent", DhowXattrs::Ignore).is_none());
    }

    #[test]
    fn what_is_remembered_counts_in_a_container_only() {
        let dir = tempfile::tempdir().unwrap();
        let file = File::create(dir.path().join("f")).unwrap();
        let set = |name: &str, value: &[u8]| {
            rustix::fs::fsetxattr(&file, name, value, rustix::fs::XattrFlags::empty())
        };
        if set("user.dhow.owner", b"7:8").is_err() {
            return;
        }
        set("user.dhow.device", b"c 1:3").unwrap();
        set("user.dhow.xattr.security.capability", b"cap").unwrap();
        set("user.overlay.opaque", b"y").unwrap();
        set("user.mine", b"1").unwrap();
        let kept = found(dir.path(), c"f", DhowXattrs::Apply).unwrap().member;
        assert_eq!((kept.uid, kept.gid, kept.kind, kept.device), (7, 8, TarMemberKind::Char, (1, 3)));
        let names: Vec<_> = kept.xattrs.iter().map(|(name, _)| String::from_utf8_lossy(name)).collect();
        assert_eq!(names, ["security.capability", "user.mine"]);
        let plain = found(dir.path(), c"f", DhowXattrs::Ignore).unwrap().member;
        assert_eq!((plain.kind, plain.xattrs.len()), (TarMemberKind::File, 1));
    }

    #[test]
    fn holes_are_found_and_a_file_that_shrank_is_filled_up() {
        let dir = tempfile::tempdir().unwrap();
        let file = File::create(dir.path().join("f")).unwrap();
        file.set_len(1 << 30).unwrap();
        file.write_all_at(b"data", 1 << 20).unwrap();
        let sparse = found(dir.path(), c"f", DhowXattrs::Ignore).unwrap();
        let (size, segments) = sparse.member.sparse.clone().unwrap();
        assert_eq!((size, segments.last().unwrap().offset), (1 << 30, 1 << 30));
        assert!(sparse.member.size < 1 << 20);
        file.set_len(0).unwrap();
        let mut length = 0;
        read_content(sparse.content.as_ref().unwrap(), &sparse.member, |_, part| {
            assert!(part.iter().all(|byte| *byte == 0));
            length += part.len() as u64;
            Ok(())
        })
        .unwrap();
        assert_eq!(length, sparse.member.size);
    }
}

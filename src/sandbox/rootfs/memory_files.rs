//! Regular files of a container that exist in memory only (`/etc/hosts` and the like), and the empty directory that masks
//! others.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use anyhow::Result;
use dhow_error::{Failure, FailureKind};
use dhow_sys::fs;
use dhow_sys::mount::{self, Attr, FsParam};
use rustix::fs::{Mode, OFlags};

/// Name of the empty directory; files have numbers.
const EMPTY: &str = "empty";
/// Permission bits that this process's umask leaves.
const UMASKED: u32 = 0o755;

/// Regular files held in memory, in a tmpfs that is mounted outside the new root and vanishes with the old
/// one in pivot_root.
pub(super) struct MemoryFiles {
    mount_point: PathBuf,
    /// Not attached yet.
    prepared: Option<OwnedFd>,
    tmpfs: Option<OwnedFd>,
    count: u32,
    has_empty: bool,
}

/// The tmpfs to hold them, detached.
pub(super) fn new_tmpfs() -> std::io::Result<OwnedFd> {
    let attrs = Attr::MOUNT_ATTR_NOSUID | Attr::MOUNT_ATTR_NODEV | Attr::MOUNT_ATTR_NOEXEC;
    mount::new_filesystem("tmpfs", &[FsParam::Text("mode", "0755"), FsParam::Text("size", "16m")], attrs)
}

impl MemoryFiles {
    /// To be mounted on the host directory `mount_point` when the first file is made. `prepared` is its tmpfs, if that
    /// exists already.
    pub(super) fn new(mount_point: PathBuf, prepared: Option<OwnedFd>) -> Self {
        Self { mount_point, prepared, tmpfs: None, count: 0, has_empty: false }
    }

    /// Creates a file with this content, mode and owner, and returns a detached mount of it.
    pub(super) fn create(&mut self, content: &[u8], mode: u32, owner: (u32, u32)) -> Result<OwnedFd> {
        let name = self.count.to_string();
        self.count += 1;
        let dir = self.dir()?;
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR | OFlags::CLOEXEC;
        let file = rustix::fs::openat(dir, &name, flags, Mode::from_raw_mode(mode & UMASKED))?;
        let is_other_owner = owner != (0, 0);
        if is_other_owner {
            ignore_unmapped_owner(fs::chown_fd(file.as_fd(), owner.0, owner.1))?;
        }
        // After the owner: chown(2) clears setuid bits.
        if is_other_owner || mode & !UMASKED != 0 {
            rustix::fs::fchmod(&file, Mode::from_raw_mode(mode))?;
        }
        std::io::Write::write_all(&mut std::fs::File::from(file), content)?;
        Ok(mount::clone_entry(dir, &name)?)
    }

    /// A detached, read-only mount of an empty directory.
    pub(super) fn empty_directory(&mut self) -> Result<OwnedFd> {
        let is_made = std::mem::replace(&mut self.has_empty, true);
        let dir = self.dir()?;
        if !is_made {
            rustix::fs::mkdirat(dir, EMPTY, Mode::from_raw_mode(UMASKED))?;
        }
        let tree = mount::clone_entry(dir, EMPTY)?;
        mount::set_attributes(tree.as_fd(), Attr::MOUNT_ATTR_RDONLY, 0, false)?;
        Ok(tree)
    }

    fn dir(&mut self) -> Result<BorrowedFd<'_>> {
        if self.tmpfs.is_none() {
            let tmpfs = self.prepared.take().map_or_else(new_tmpfs, Ok)?;
            self.tmpfs = Some(mount::attach_at(tmpfs, &self.mount_point)?);
        }
        self.tmpfs
            .as_ref()
            .map(AsFd::as_fd)
            .ok_or_else(|| Failure::new(FailureKind::Other, "no place for prepared files").into())
    }
}

/// With a single id, there is no other owner to give it to.
pub(super) fn ignore_unmapped_owner(result: std::io::Result<()>) -> std::io::Result<()> {
    match result {
        Err(error) if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::EPERM)) => Ok(()),
        other => other,
    }
}

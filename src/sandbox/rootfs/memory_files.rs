//! Regular files of a container that exist in memory only (`/etc/hosts` and the like).

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use anyhow::Result;
use dhow_error::{Failure, FailureKind};
use dhow_sys::fs;
use dhow_sys::mount::{self, Attr, FsParam};
use rustix::fs::{Mode, OFlags};

/// Regular files held in memory, in a tmpfs that is mounted outside the new root and vanishes with the old
/// one in pivot_root.
pub(super) struct MemoryFiles {
    mount_point: PathBuf,
    tmpfs: Option<OwnedFd>,
    count: u32,
}

impl MemoryFiles {
    /// To be mounted on the host directory `mount_point` when the first file is made.
    pub(super) fn new(mount_point: PathBuf) -> Self {
        Self { mount_point, tmpfs: None, count: 0 }
    }

    /// Creates a file with this content, mode and owner, and returns a detached mount of it.
    pub(super) fn create(&mut self, content: &[u8], mode: u32, owner: (u32, u32)) -> Result<OwnedFd> {
        let name = self.count.to_string();
        self.count += 1;
        let dir = self.dir()?;
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR | OFlags::CLOEXEC;
        let file = rustix::fs::openat(dir, &name, flags, Mode::from_raw_mode(0o600))?;
        if owner != (0, 0) {
            ignore_unmapped_owner(fs::chown_fd(file.as_fd(), owner.0, owner.1))?;
        }
        // After the owner: chown(2) clears setuid bits.
        rustix::fs::fchmod(&file, Mode::from_raw_mode(mode))?;
        std::io::Write::write_all(&mut std::fs::File::from(file), content)?;
        let file = rustix::fs::openat(dir, &name, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
        Ok(mount::clone_tree(file.as_fd(), false)?)
    }

    fn dir(&mut self) -> Result<BorrowedFd<'_>> {
        if self.tmpfs.is_none() {
            let attrs = Attr::MOUNT_ATTR_NOSUID | Attr::MOUNT_ATTR_NODEV | Attr::MOUNT_ATTR_NOEXEC;
            let tmpfs = mount::new_filesystem(
                "tmpfs",
                &[FsParam::Text("mode", "0755"), FsParam::Text("size", "16m")],
                attrs,
            )?;
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

//! Inode flags: ioctl_iflags(2), chattr(1).

use std::io;
use std::os::fd::BorrowedFd;

use rustix::fs::IFlags;

/// Whether a directory has `FS_TOPDIR_FL`: its subdirectories are unrelated to each other, and ext2, ext3 and ext4 spread
/// them over the disk. `ENOTTY` or `EOPNOTSUPP` where there are no such flags.
pub fn has_top_directory_flag(dir: BorrowedFd<'_>) -> io::Result<bool> {
    Ok(rustix::fs::ioctl_getflags(dir)?.contains(IFlags::TOPDIR))
}

/// Sets `FS_TOPDIR_FL`. Needs the directory's owner; `EOPNOTSUPP` where the file system does not know the flag.
pub fn set_top_directory_flag(dir: BorrowedFd<'_>) -> io::Result<()> {
    // The other flags are kept; there is no call that sets a single one.
    let flags = rustix::fs::ioctl_getflags(dir)?;
    Ok(rustix::fs::ioctl_setflags(dir, flags | IFlags::TOPDIR)?)
}

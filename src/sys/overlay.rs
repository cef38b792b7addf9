//! overlayfs's marks in upper and lower directories mounted with `userxattr` (kernel documentation,
//! `filesystems/overlayfs.rst`).

use std::os::fd::AsFd;

use rustix::fs::{FileType, Mode, Stat, XattrFlags};
use rustix::io::Errno;

/// The xattr of a directory that hides the lower layers' entries.
pub const OPAQUE_XATTR: &str = "user.overlay.opaque";

/// Whether an entry hides the lower layers' entry with its name: a character device 0:0.
pub fn is_whiteout(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == 0
}

/// Creates a whiteout; since Linux 5.8 this needs no privileges.
pub fn make_whiteout(dir: impl AsFd, name: impl rustix::path::Arg) -> Result<(), Errno> {
    rustix::fs::mknodat(dir, name, FileType::CharacterDevice, Mode::empty(), 0)
}

/// Whether a directory hides the lower layers' entries.
pub fn is_opaque(dir: impl AsFd) -> bool {
    let mut value = [0_u8; 2];
    rustix::fs::fgetxattr(dir, OPAQUE_XATTR, &mut value[..]) == Ok(1) && value[0] == b'y'
}

/// Makes a directory hide the lower layers' entries.
pub fn set_opaque(dir: impl AsFd) -> Result<(), Errno> {
    rustix::fs::fsetxattr(dir, OPAQUE_XATTR, b"y", XattrFlags::empty())
}

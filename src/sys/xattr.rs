//! Extended attributes of open files (xattr(7)).

use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::XattrFlags;
use rustix::io::Errno;

/// The kernel's limit on the size of a list of names and of a value (`XATTR_LIST_MAX`, `XATTR_SIZE_MAX`).
const MAX_XATTR: usize = 64 << 10;

/// The names of all xattrs; empty if the file system does not support them.
pub fn xattr_names(fd: BorrowedFd<'_>) -> Vec<Vec<u8>> {
    // Most files have few: one call with a small buffer, and a second one only on ERANGE.
    let mut small = [0_u8; 1024];
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

/// The value of an xattr; `None` if it does not exist or cannot be read.
pub fn read_xattr(fd: BorrowedFd<'_>, name: impl rustix::path::Arg + Copy) -> Option<Vec<u8>> {
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

/// Sets an xattr. Failures are ignored: a file system without support for it only loses this information.
pub fn set_xattr_best_effort(object: impl AsFd, name: impl rustix::path::Arg, value: &[u8]) {
    let _ = rustix::fs::fsetxattr(object, name, value, XattrFlags::empty());
}

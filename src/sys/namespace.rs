//! Namespaces, new and of other processes: unshare(2), setns(2), ioctl_nsfs(2), /proc/PID/ns.

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};

use rustix::fs::{Mode, OFlags};

/// `NS_GET_PARENT` of `linux/nsfs.h`.
const GET_PARENT: libc::Ioctl = 0xb702;

/// Opens the namespace of type `kind` (a name in /proc/PID/ns) of process `pid`.
pub fn open_namespace(pid: i32, kind: &str) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    Ok(rustix::fs::open(format!("/proc/{pid}/ns/{kind}"), flags, Mode::empty())?)
}

/// Moves this process, which must have one thread, to the namespaces `kinds` (flags of [`super::process::ns`]) of the
/// process behind the pidfd `fd` (all or none, Linux 5.8), or to the single namespace that `fd` refers to, whatever
/// its type if `kinds` is 0. A pid namespace takes effect for children only.
pub fn setns(fd: BorrowedFd<'_>, kinds: u64) -> io::Result<()> {
    let kinds = i32::try_from(kinds).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    // SAFETY: setns takes numbers only; the descriptor is open.
    let result = unsafe { libc::setns(fd.as_raw_fd(), kinds) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Moves this process, which must have one thread, to new namespaces of `kinds` (flags of [`super::process::ns`]).
pub fn unshare(kinds: u64) -> io::Result<()> {
    let kinds = i32::try_from(kinds).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    // SAFETY: unshare takes a number.
    let result = if kinds == 0 { 0 } else { unsafe { libc::unshare(kinds) } };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The parent of a user or pid namespace; `None` if that is outside the caller's own namespace (EPERM).
pub fn parent_namespace(namespace: BorrowedFd<'_>) -> io::Result<Option<OwnedFd>> {
    // SAFETY: this ioctl takes no argument; the descriptor is open.
    let fd = unsafe { libc::ioctl(namespace.as_raw_fd(), GET_PARENT) };
    if fd >= 0 {
        // SAFETY: the kernel returned a new descriptor (closed by exec) that nobody else owns.
        return Ok(Some(unsafe { OwnedFd::from_raw_fd(fd) }));
    }
    match io::Error::last_os_error() {
        error if error.raw_os_error() == Some(libc::EPERM) => Ok(None),
        error => Err(error),
    }
}

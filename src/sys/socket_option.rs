//! Integer socket options: setsockopt(2).

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};

/// Sets an option whose value is an int.
pub(crate) fn set_int(socket: BorrowedFd<'_>, level: i32, option: i32, value: libc::c_int) -> io::Result<()> {
    let length = size_of_val(&value) as libc::socklen_t;
    // SAFETY: the kernel reads one int of the length given, which outlives the call; the descriptor is open.
    let result =
        unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, (&raw const value).cast(), length) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

//! Sockets that may have addresses of other hosts for their own: ip(7), ipv6(7).

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};

/// Allows a socket to bind any address and to take connections to any (`IP_TRANSPARENT`, Linux 2.6.24, or
/// `IPV6_TRANSPARENT`, 2.6.37); needs CAP_NET_ADMIN or CAP_NET_RAW over the network namespace that the socket was made in.
pub fn set(socket: BorrowedFd<'_>, v6: bool) -> io::Result<()> {
    match v6 {
        false => turn_on(socket, libc::SOL_IP, libc::IP_TRANSPARENT),
        true => turn_on(socket, libc::SOL_IPV6, libc::IPV6_TRANSPARENT),
    }
}

/// Has the kernel choose the port of a socket that is bound to an address only when it is known where it connects to, so
/// that one number serves for many destinations (`IP_BIND_ADDRESS_NO_PORT`, Linux 4.2; of both families).
pub fn choose_port_late(socket: BorrowedFd<'_>) -> io::Result<()> {
    turn_on(socket, libc::SOL_IP, libc::IP_BIND_ADDRESS_NO_PORT)
}

fn turn_on(socket: BorrowedFd<'_>, level: i32, option: i32) -> io::Result<()> {
    let on: libc::c_int = 1;
    let length = size_of_val(&on) as libc::socklen_t;
    // SAFETY: the kernel reads one int of the length given, which outlives the call; the descriptor is open.
    let result =
        unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, (&raw const on).cast(), length) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

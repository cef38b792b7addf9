//! Sockets that use addresses of other hosts as their own: ip(7), ipv6(7).

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};

/// Lets a socket bind any address and accept connections to any (`IP_TRANSPARENT`, Linux 2.6.24, or
/// `IPV6_TRANSPARENT`, 2.6.37). Needs CAP_NET_ADMIN or CAP_NET_RAW over the socket's network namespace.
pub fn allow_any_address(socket: BorrowedFd<'_>, v6: bool) -> io::Result<()> {
    match v6 {
        false => turn_on(socket, libc::SOL_IP, libc::IP_TRANSPARENT),
        true => turn_on(socket, libc::SOL_IPV6, libc::IPV6_TRANSPARENT),
    }
}

/// Defers the choice of a port from bind(2) to connect(2), so that one port can be shared by connections to
/// different destinations (`IP_BIND_ADDRESS_NO_PORT`, Linux 4.2; both address families).
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

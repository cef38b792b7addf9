//! Sockets that use addresses of other hosts as their own: ip(7), ipv6(7).

use std::io;
use std::os::fd::BorrowedFd;

use super::socket_option::set_int;

/// Lets a socket bind any address and accept connections to any (`IP_TRANSPARENT`, Linux 2.6.24, or
/// `IPV6_TRANSPARENT`, 2.6.37). Needs CAP_NET_ADMIN or CAP_NET_RAW over the socket's network namespace.
pub fn allow_any_address(socket: BorrowedFd<'_>, v6: bool) -> io::Result<()> {
    match v6 {
        false => set_int(socket, libc::SOL_IP, libc::IP_TRANSPARENT, 1),
        true => set_int(socket, libc::SOL_IPV6, libc::IPV6_TRANSPARENT, 1),
    }
}

/// Defers the choice of a port from bind(2) to connect(2), so that one port can be shared by connections to
/// different destinations (`IP_BIND_ADDRESS_NO_PORT`, Linux 4.2; both address families).
pub fn choose_port_late(socket: BorrowedFd<'_>) -> io::Result<()> {
    set_int(socket, libc::SOL_IP, libc::IP_BIND_ADDRESS_NO_PORT, 1)
}

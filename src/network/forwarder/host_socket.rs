//! Options of the forwarder's sockets in the host's network namespace.

use std::net::SocketAddr;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::net::sockopt::{self, Ipv4PathMtuDiscovery, Ipv6PathMtuDiscovery};

/// Socket buffer size in bytes; the kernel caps it.
const SOCKET_BUFFER: usize = 1 << 20;

/// Enlarges the socket buffers for bursts, as far as the host allows.
pub(super) fn enlarge_buffers(fd: &OwnedFd) {
    let _ = sockopt::set_socket_recv_buffer_size(fd, SOCKET_BUFFER);
    let _ = sockopt::set_socket_send_buffer_size(fd, SOCKET_BUFFER);
}

/// Sets whether packets may be fragmented, here or on their path.
pub(super) fn set_dont_fragment(
    fd: BorrowedFd<'_>,
    host: SocketAddr,
    dont_fragment: bool,
) -> rustix::io::Result<()> {
    // WANT fragments by the path MTU that the kernel has learned; DONT would ignore it (ip(7)).
    if host.is_ipv4() {
        let mode = if dont_fragment { Ipv4PathMtuDiscovery::DO } else { Ipv4PathMtuDiscovery::WANT };
        return sockopt::set_ip_mtu_discover(fd, mode);
    }
    let mode = if dont_fragment { Ipv6PathMtuDiscovery::DO } else { Ipv6PathMtuDiscovery::WANT };
    sockopt::set_ipv6_mtu_discover(fd, mode)
}

//! Sockets to kernel subsystems: netlink(7).

use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd as _, OwnedFd};

use rustix::net::{AddressFamily, SocketFlags, SocketType, netlink};

/// A kernel subsystem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetlinkFamily {
    /// Links, addresses, routes, rules, neighbours: rtnetlink(7).
    Route,
    /// nf_tables, of `linux/netfilter/nfnetlink.h`.
    Netfilter,
}

/// Opens a socket in the network namespace of the calling thread. Errors received on it carry a message
/// (`NETLINK_EXT_ACK`, Linux 4.12) and omit the request (`NETLINK_CAP_ACK`, 4.3).
pub fn open_socket(service: NetlinkFamily) -> io::Result<OwnedFd> {
    let protocol = match service {
        // NETLINK_ROUTE is 0, the default protocol.
        NetlinkFamily::Route => None,
        NetlinkFamily::Netfilter => Some(netlink::NETFILTER),
    };
    let socket =
        rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, protocol)?;
    for option in [libc::NETLINK_EXT_ACK, libc::NETLINK_CAP_ACK] {
        let on: libc::c_int = 1;
        // SAFETY: the option is an integer, which is initialised and outlives the call; its size is given with it.
        let result = unsafe {
            libc::setsockopt(
                socket.as_raw_fd(),
                libc::SOL_NETLINK,
                option,
                (&raw const on).cast(),
                size_of::<libc::c_int>() as libc::socklen_t,
            )
        };
        if result != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(socket)
}

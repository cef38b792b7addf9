//! Sockets to kernel subsystems: netlink(7).

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};

use rustix::net::{AddressFamily, SocketFlags, SocketType, netlink};

use super::socket_option::set_int;

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
        set_int(socket.as_fd(), libc::SOL_NETLINK, option, 1)?;
    }
    Ok(socket)
}

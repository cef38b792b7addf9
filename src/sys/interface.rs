//! Index, flags and link state of network interfaces: netdevice(7).

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};

use rustix::net::{AddressFamily, SocketFlags, SocketType};

/// Brings up `lo` in the network namespace of the calling process, which needs CAP_NET_ADMIN over it.
pub fn loopback_up() -> io::Result<()> {
    let socket =
        rustix::net::socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    let mut request = request_for("lo");
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: SIOCSIFFLAGS reads one ifreq, which is initialised and outlives the call.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The index of the interface `name` in the network namespace of the calling thread.
pub fn index_of(name: &str) -> io::Result<u32> {
    let socket =
        rustix::net::socket_with(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    Ok(rustix::net::netdevice::name_to_index(socket, name)?)
}

/// Whether the interface `name`, in the network namespace of `socket`, forwards packets (`IFF_RUNNING`). The
/// kernel sets the flag some time after both ends were brought up, and drops packets until then.
pub fn is_running(socket: BorrowedFd<'_>, name: &str) -> io::Result<bool> {
    let mut request = request_for(name);
    // SAFETY: SIOCGIFFLAGS reads the name in an initialised ifreq that outlives the call, and writes its flags.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFFLAGS, &raw mut request) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call has written this member of the union, and any bits are a valid value of it.
    let flags = unsafe { request.ifr_ifru.ifru_flags };
    Ok(libc::c_int::from(flags) & libc::IFF_RUNNING != 0)
}

/// `ETHTOOL_GLINK` of `linux/ethtool.h`.
const GET_LINK: u32 = 0x0a;

/// Makes the kernel update the link state at once (Linux 6.8), so that [`is_running`] becomes true without
/// delay.
pub fn refresh_link_state(socket: BorrowedFd<'_>, name: &str) -> io::Result<()> {
    // `struct ethtool_value`: command and result.
    let mut value = [GET_LINK, 0];
    let mut request = request_for(name);
    request.ifr_ifru.ifru_data = (&raw mut value).cast();
    // SAFETY: SIOCETHTOOL reads the ifreq, and the command reads and writes the two numbers that it points to; both
    // outlive the call.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCETHTOOL as _, &raw mut request) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// A request about the interface `name`, which is cut to the length of an interface name.
pub(crate) fn request_for(name: &str) -> libc::ifreq {
    // SAFETY: an all-zero ifreq is a valid value of that plain C structure.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    // The last byte stays zero.
    for (to, from) in request.ifr_name.iter_mut().take(libc::IFNAMSIZ - 1).zip(name.bytes()) {
        *to = from.cast_signed();
    }
    request
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd as _;

    use super::*;

    #[test]
    fn the_loopback_interface_runs_and_what_is_not_there_does_not() {
        let socket =
            rustix::net::socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)
                .unwrap();
        assert!(is_running(socket.as_fd(), "lo").unwrap());
        assert_eq!(index_of("lo").unwrap(), 1);
        assert_eq!(index_of("no-such").unwrap_err().raw_os_error(), Some(libc::ENODEV));
        refresh_link_state(socket.as_fd(), "lo").unwrap();
        let error = is_running(socket.as_fd(), "no-such-interface-of-this-length").unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENODEV));
    }
}

//! Sockets of the datapath: non-blocking, closed on exec, in the network namespace of the calling thread.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{AddressFamily, Protocol, SocketFlags, SocketType};

pub(crate) fn open_socket(
    v6: bool,
    kind: SocketType,
    protocol: Option<Protocol>,
) -> rustix::io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    rustix::net::socket_with(address_family(v6), kind, flags, protocol)
}

pub(crate) fn address_family(v6: bool) -> AddressFamily {
    if v6 { AddressFamily::INET6 } else { AddressFamily::INET }
}

/// Makes close(2) send a reset and drop unsent bytes (SO_LINGER 0).
pub(crate) fn reset_on_close(socket: &OwnedFd) {
    // If it fails, the peer sees an end of stream instead; nothing can be done about that.
    let _ = rustix::net::sockopt::set_socket_linger(socket, Some(Duration::ZERO));
}

/// A descriptor kept in reserve, to be closed when accept(2) fails with EMFILE: a connection that stays
/// pending would be reported by epoll(7) forever.
#[derive(Debug, Default)]
pub(crate) struct ReserveFd(Option<OwnedFd>);

impl ReserveFd {
    /// Reserves a descriptor, as a duplicate of `fd`.
    pub(crate) fn refill(&mut self, fd: impl AsFd) {
        self.0 = duplicate(fd.as_fd());
    }

    /// Calls `accept` with one descriptor free, closes what it returns so that the client does not wait in
    /// vain, and reserves a descriptor again, as a duplicate of `fd`. Returns whether a connection was
    /// closed.
    pub(crate) fn refuse_one<T>(&mut self, fd: impl AsFd, accept: impl FnOnce() -> Result<T, Errno>) -> bool {
        let had_reserve = self.0.take().is_some();
        let refused = had_reserve && accept().is_ok();
        self.refill(fd);
        refused
    }
}

fn duplicate(fd: BorrowedFd<'_>) -> Option<OwnedFd> {
    rustix::io::fcntl_dupfd_cloexec(fd, 0).ok()
}

//! Message sockets that carry descriptors: unix(7), `SOCK_SEQPACKET`.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType,
};

/// The longest message that [`SeqpacketSocket::receive`] accepts.
pub const MAX_MESSAGE: usize = 32 << 10;

/// One end of a connection.
#[derive(Debug)]
pub struct SeqpacketSocket(OwnedFd);

impl From<OwnedFd> for SeqpacketSocket {
    /// Wraps an end that was created by [`SeqpacketSocket::pair`] and then moved to another number.
    fn from(fd: OwnedFd) -> Self {
        Self(fd)
    }
}

impl From<SeqpacketSocket> for OwnedFd {
    fn from(socket: SeqpacketSocket) -> Self {
        socket.0
    }
}

/// The most descriptors per message.
pub(crate) const MAX_FDS: usize = 3;

/// A received message with its descriptors.
#[derive(Debug)]
pub struct SeqpacketMessage {
    /// Empty if the other end is closed.
    pub bytes: Vec<u8>,
    /// Close-on-exec.
    pub fds: Vec<OwnedFd>,
}

/// Accepts connections at a name in a directory.
#[derive(Debug)]
pub struct SeqpacketListener(OwnedFd);

impl SeqpacketSocket {
    /// Two connected ends, close-on-exec.
    pub fn pair() -> io::Result<(Self, Self)> {
        let (a, b) =
            rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        Ok((Self(a), Self(b)))
    }

    /// Connects to the listener at `name` in `dir`.
    pub fn connect(dir: BorrowedFd<'_>, name: &str) -> io::Result<Self> {
        let socket = seqpacket(SocketFlags::empty())?;
        rustix::io::retry_on_intr(|| rustix::net::connect(&socket, &address(dir, name)?))?;
        Ok(Self(socket))
    }

    /// Duplicates this end at descriptor `first` or above.
    pub fn at_or_above(&self, first: i32) -> io::Result<Self> {
        Ok(Self(rustix::io::fcntl_dupfd_cloexec(&self.0, first)?))
    }

    /// Sends a non-empty message with at most `MAX_FDS` descriptors. A closed other end is an error
    /// (EPIPE), not a signal.
    pub fn send(&self, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        self.send_with(bytes, fds, SendFlags::NOSIGNAL)
    }

    /// Like [`Self::send`], but fails with `WouldBlock` if the queue of the other end is full.
    pub fn send_now(&self, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        self.send_with(bytes, fds, SendFlags::NOSIGNAL | SendFlags::DONTWAIT)
    }

    fn send_with(&self, bytes: &[u8], fds: &[BorrowedFd<'_>], flags: SendFlags) -> io::Result<()> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "too many descriptors in a message"));
        }
        rustix::io::retry_on_intr(|| {
            rustix::net::sendmsg(&self.0, &[IoSlice::new(bytes)], &mut control, flags)
        })?;
        Ok(())
    }

    /// Waits for the next message; an empty one means that the other end is closed.
    pub fn receive(&self) -> io::Result<SeqpacketMessage> {
        let length = match self.next_length() {
            // The other end closed without reading everything. Reported once, before its messages, which are
            // still there.
            Err(Errno::CONNRESET) => self.next_length()?,
            other => other?,
        };
        if length == 0 {
            return Ok(SeqpacketMessage { bytes: Vec::new(), fds: Vec::new() });
        }
        let mut buffer = vec![0_u8; length.min(MAX_MESSAGE)];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let result = rustix::io::retry_on_intr(|| {
            let flags = RecvFlags::CMSG_CLOEXEC;
            rustix::net::recvmsg(&self.0, &mut [IoSliceMut::new(&mut buffer)], &mut control, flags)
        })?;
        if result.flags.contains(ReturnFlags::TRUNC) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "message too long"));
        }
        buffer.truncate(result.bytes);
        let mut fds = Vec::new();
        for item in control.drain() {
            if let RecvAncillaryMessage::ScmRights(more) = item {
                fds.extend(more);
            }
        }
        Ok(SeqpacketMessage { bytes: buffer, fds })
    }

    /// Waits for the next message, and returns its length; 0 at the end. A buffer of that size touches less memory than
    /// one for any message.
    fn next_length(&self) -> rustix::io::Result<usize> {
        let mut nothing = [0_u8; 0];
        let flags = RecvFlags::PEEK | RecvFlags::TRUNC;
        rustix::io::retry_on_intr(|| rustix::net::recv(&self.0, &mut nothing[..], flags))
            .map(|(_, length)| length)
    }

    pub fn is_connected(&self) -> io::Result<bool> {
        let mut fds = [PollFd::from_borrowed_fd(self.as_fd(), PollFlags::empty())];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        rustix::io::retry_on_intr(|| poll(&mut fds, Some(&now)))?;
        Ok(!fds[0].revents().contains(PollFlags::HUP))
    }

    /// For poll(2).
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        AsFd::as_fd(&self.0)
    }
}

impl SeqpacketListener {
    /// Listens at `name` in `dir`, which must not exist.
    pub fn bind(dir: BorrowedFd<'_>, name: &str) -> io::Result<Self> {
        let socket = seqpacket(SocketFlags::NONBLOCK)?;
        rustix::net::bind(&socket, &address(dir, name)?)?;
        rustix::net::listen(&socket, BACKLOG)?;
        Ok(Self(socket))
    }

    /// Accepts a connection from a process of this user; `None` if it is gone already, or belongs to another
    /// user.
    pub fn accept(&self) -> io::Result<Option<SeqpacketSocket>> {
        let socket = match rustix::net::accept_with(&self.0, SocketFlags::CLOEXEC) {
            Ok(socket) => socket,
            Err(Errno::AGAIN | Errno::CONNABORTED | Errno::INTR) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let peer = rustix::net::sockopt::socket_peercred(&socket)?;
        Ok((peer.uid == rustix::process::geteuid()).then_some(SeqpacketSocket(socket)))
    }

    /// For poll(2).
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        AsFd::as_fd(&self.0)
    }
}

const BACKLOG: i32 = 128;

fn seqpacket(flags: SocketFlags) -> io::Result<OwnedFd> {
    let flags = flags | SocketFlags::CLOEXEC;
    Ok(rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?)
}

/// An address for a path of any depth, within the 108 bytes of `sun_path`: via the directory's descriptor.
fn address(dir: BorrowedFd<'_>, name: &str) -> rustix::io::Result<SocketAddrUnix> {
    SocketAddrUnix::new(format!("/proc/self/fd/{}/{name}", dir.as_raw_fd()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_words_are_heard_though_the_other_end_did_not_listen() {
        let (ours, theirs) = SeqpacketSocket::pair().unwrap();
        ours.send(b"unheard", &[]).unwrap();
        theirs.send(b"farewell", &[]).unwrap();
        drop(theirs);
        assert_eq!(ours.receive().unwrap().bytes, b"farewell");
        assert_eq!(ours.receive().unwrap().bytes, b"");
    }
}

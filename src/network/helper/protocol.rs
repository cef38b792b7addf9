//! The protocol between supervisors and the network helper: one JSON message per packet, over a connection
//! that is the container's lease. When it closes, the helper drops everything of the container.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::net::IpAddr;
use std::os::fd::{AsFd as _, BorrowedFd};

use rustix::fs::MemfdFlags;
use serde::{Deserialize, Serialize};

use crate::publish::PortUnavailable;
use dhow_error::Failure;
use dhow_model::network::{NetworkEndpoint, NetworkSpec, PortSpec, PublishedPort};
use dhow_sys::socket::{MAX_MESSAGE, SeqpacketMessage, SeqpacketSocket};

/// Marks a message that is too long for the socket: its text is in a memfd, sent as the last descriptor.
const MEMFD_MARKER: &[u8] = b"@";
/// Maximum length of a message in a memfd, in bytes: some ten thousand ports.
const MAX_MEMFD: u64 = 4 << 20;

/// Sends `message` with `descriptors`. With `now`, fails instead of blocking.
pub fn send(
    socket: &SeqpacketSocket,
    message: &impl Serialize,
    descriptors: &[BorrowedFd<'_>],
    now: bool,
) -> io::Result<()> {
    let bytes = serde_json::to_vec(message)?;
    let send = |bytes: &[u8], fds: &[BorrowedFd<'_>]| match now {
        true => socket.send_now(bytes, fds),
        false => socket.send(bytes, fds),
    };
    if bytes.len() <= MAX_MESSAGE {
        return send(&bytes, descriptors);
    }
    let mut file = File::from(rustix::fs::memfd_create("dhow-message", MemfdFlags::CLOEXEC)?);
    file.write_all(&bytes)?;
    let mut fds = descriptors.to_vec();
    fds.push(file.as_fd());
    send(MEMFD_MARKER, &fds)
}

/// Waits for the next message; it is empty if the other end has closed.
pub fn receive(socket: &SeqpacketSocket) -> io::Result<SeqpacketMessage> {
    let mut message = socket.receive()?;
    if message.bytes == MEMFD_MARKER
        && let Some(file) = message.fds.pop()
    {
        let mut file = File::from(file);
        // The offset is the sender's too, and at the end.
        file.rewind()?;
        message.bytes.clear();
        file.take(MAX_MEMFD).read_to_end(&mut message.bytes)?;
    }
    Ok(message)
}

/// From a supervisor.
#[derive(Debug, Serialize, Deserialize)]
pub enum HelperRequest {
    /// The first request, before there is a process: who the container is, and which ports to bind. Comes
    /// with a file descriptor for the egress log, if there is one. Answered by [`HelperReply::Opened`].
    Open(Box<OpenRequest>),
    /// Attaches the container, whose network namespace comes along. Answered by [`HelperReply::Published`].
    Wire(Vec<NetworkEndpoint>),
    /// Attaches it to another network. Answered by [`HelperReply::Published`].
    Connect {
        network: Box<NetworkSpec>,
        endpoint: Box<NetworkEndpoint>,
        /// See [`OpenRequest::lead`].
        lead: Option<String>,
    },
    /// Detaches it from a network. Answered by [`HelperReply::Published`].
    Disconnect {
        /// The ID of the network.
        network: String,
        /// See [`OpenRequest::lead`].
        lead: Option<String>,
    },
    /// The container was renamed. Answered by [`HelperReply::Done`].
    Rename(String),
}

/// A container that is about to start.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct OpenRequest {
    pub id: String,
    pub name: String,
    pub hostname: Option<String>,
    /// The networks it will be attached to.
    pub networks: Vec<NetworkSpec>,
    /// The ID of the network that has its default route. Its ports are published there.
    pub lead: Option<String>,
    /// Ignored if there is no such network.
    pub ports: Vec<PortSpec>,
    /// Name servers to use instead of the host's.
    pub dns: Vec<IpAddr>,
    /// Whether `ndots` is set, so that its resolver tries short names with the search list first; they are
    /// then not forwarded.
    pub ndots_set: bool,
    /// Whether the gateways' addresses lead to the host's loopback.
    pub host_gateway: bool,
}

/// From the helper.
#[derive(Debug, Serialize, Deserialize)]
pub enum HelperReply {
    /// The helper is up, so nobody else needs to start one.
    Ready,
    /// The ports are bound. The helper's user namespace comes along.
    Opened(Vec<PublishedPort>),
    /// The networks are changed; these ports are published now.
    // Helpers of earlier versions, which may still run, know it by this name.
    #[serde(rename = "Wired")]
    Published(Vec<PublishedPort>),
    Done,
    /// This port cannot be bound.
    Unavailable(PortUnavailable),
    Failed(Failure),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_any_length_arrive_with_their_descriptors() {
        let (ours, theirs) = SeqpacketSocket::pair().unwrap();
        for length in [1, MAX_MESSAGE, 300_000] {
            let null = File::open("/dev/null").unwrap();
            send(&ours, &"x".repeat(length), &[null.as_fd()], true).unwrap();
            let message = receive(&theirs).unwrap();
            assert_eq!(message.bytes.len(), length + 2);
            assert_eq!(message.fds.len(), 1);
            assert_eq!(File::from(message.fds.into_iter().next().unwrap()).metadata().unwrap().len(), 0);
        }
        drop(ours);
        assert!(receive(&theirs).unwrap().bytes.is_empty());
    }
}

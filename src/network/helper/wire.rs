//! What the supervisors of containers and the network helper say to each other, a message each over a connection that is
//! the container's lease: when it closes, everything that the container had is taken away.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::net::IpAddr;
use std::os::fd::{AsFd as _, BorrowedFd};

use rustix::fs::MemfdFlags;
use serde::{Deserialize, Serialize};

use crate::error::Failure;
use crate::model::network::{Endpoint, NetworkSpec, PortSpec, Published};
use crate::network::publish::Unavailable;
use crate::sys::socket::{MAX_MESSAGE, Message, Socket};

/// Stands for a message that is too long for the connection: a file in memory that comes after the descriptors.
const IN_FILE: &[u8] = b"@";
/// The longest message in a file, in bytes: some ten thousand ports.
const MAX_FILE: u64 = 4 << 20;

/// Sends `message` with `descriptors`; with `now` it fails where it would have to wait.
pub fn send(
    socket: &Socket,
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
    let mut all = descriptors.to_vec();
    all.push(file.as_fd());
    send(IN_FILE, &all)
}

/// Waits for the next message; an empty one means that the other end is closed.
pub fn receive(socket: &Socket) -> io::Result<Message> {
    let mut message = socket.receive()?;
    if message.bytes == IN_FILE
        && let Some(file) = message.fds.pop()
    {
        let mut file = File::from(file);
        file.rewind()?;
        message.bytes.clear();
        file.take(MAX_FILE).read_to_end(&mut message.bytes)?;
    }
    Ok(message)
}

/// From a supervisor.
#[derive(Debug, Serialize, Deserialize)]
pub enum Request {
    /// The first word, before there is a process: who it is, and which ports are to be free for it. A file for the log
    /// of what it asks for comes along if there is to be one. Answered by [`Reply::Opened`].
    Open(Box<Opening>),
    /// The container's network namespace comes along: connect it. Answered by [`Reply::Wired`].
    Wire(Vec<Endpoint>),
    /// Connect it to one more network. Answered by [`Reply::Wired`].
    Connect {
        /// The network.
        network: Box<NetworkSpec>,
        /// Its place there.
        endpoint: Box<Endpoint>,
        /// See [`Opening::lead`].
        lead: Option<String>,
    },
    /// Take it off a network. Answered by [`Reply::Wired`].
    Disconnect {
        /// The ID of the network.
        network: String,
        /// See [`Opening::lead`].
        lead: Option<String>,
    },
    /// It has another name now. Answered by [`Reply::Done`].
    Rename(String),
}

/// A container that is about to start.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Opening {
    /// Its ID.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its host name.
    pub hostname: Option<String>,
    /// The networks it will be on.
    pub networks: Vec<NetworkSpec>,
    /// The ID of the network that its default route goes through: its ports are published there.
    pub lead: Option<String>,
    /// The ports to publish, where there is such a network.
    pub ports: Vec<PortSpec>,
    /// Name servers in place of the host's.
    pub dns: Vec<IpAddr>,
    /// Whether its resolver is told to try short names elsewhere first (`ndots`), so that they are not passed on.
    pub ndots_set: bool,
    /// Whether the gateways' addresses lead it to the host's loopback.
    pub host_gateway: bool,
}

/// From the helper.
#[derive(Debug, Serialize, Deserialize)]
pub enum Reply {
    /// The helper is there; nobody else needs to start it.
    Ready,
    /// The ports are taken. The helper's user namespace comes along.
    Opened(Vec<Published>),
    /// It is done, and these ports are published now.
    Wired(Vec<Published>),
    /// It is done.
    Done,
    /// This port cannot be had.
    Unavailable(Unavailable),
    /// It could not be done.
    Failed(Failure),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_any_length_arrive_with_their_descriptors() {
        let (ours, theirs) = Socket::pair().unwrap();
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

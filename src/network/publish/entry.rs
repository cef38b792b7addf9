//! Where clients of published ports enter a network.

use std::fmt::Debug;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use crate::network::relay::{Pair, Permit};

/// A client of a published port whose connection has been accepted.
#[derive(Debug)]
pub(crate) struct Client {
    /// Its connection, which is reset when it is closed.
    pub(crate) socket: OwnedFd,
    /// From where the container is to see it come; with port 0 from any.
    pub(crate) from: SocketAddr,
    /// Where it goes.
    pub(crate) to: SocketAddr,
    /// What the connection belongs to: see [`Pair::owner`].
    pub(crate) owner: u64,
    /// Its place among all connections.
    pub(crate) permit: Permit,
}

/// Makes the second half of a client's connection.
pub(crate) trait Entry: Debug + Send + Sync {
    /// Connects a client, without waiting for that: the two halves for the relay, or `None` where it is dealt with.
    fn admit(&self, client: Client) -> Option<Pair>;

    /// Resets the connections of `owner` that the relay does not have.
    fn dismiss(&self, _owner: u64) {}
}

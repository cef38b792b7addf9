//! How clients of published ports get into a network.

use std::fmt::Debug;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use crate::network::relay::{Pair, Permit};

/// A client of a published port whose connection was accepted.
#[derive(Debug)]
pub(crate) struct Client {
    /// The client's connection, which sends a reset when it is closed.
    pub(crate) socket: OwnedFd,
    /// The source address that the container sees; any port if it is 0.
    pub(crate) from: SocketAddr,
    pub(crate) to: SocketAddr,
    /// See [`RelayPair::owner`].
    pub(crate) owner: u64,
    pub(crate) permit: Permit,
}

/// Makes the second half of a client's connection.
pub(crate) trait Entry: Debug + Send + Sync {
    /// Connects to the container without waiting. Returns both halves for the relay, or `None` if the client
    /// is dealt with.
    fn admit(&self, client: Client) -> Option<Pair>;

    /// Resets the connections of `owner` that the relay does not have.
    fn dismiss(&self, _owner: u64) {}
}

//! How clients of published ports get into a network.

use std::fmt::Debug;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use crate::relay::{QuotaPermit, RelayPair};

/// A client of a published port whose connection was accepted.
#[derive(Debug)]
pub(crate) struct PublishedClient {
    /// The client's connection, which sends a reset when it is closed.
    pub socket: OwnedFd,
    /// The source address that the container sees; any port if it is 0.
    pub from: SocketAddr,
    pub to: SocketAddr,
    /// See [`RelayPair::owner`].
    pub owner: u64,
    pub(crate) permit: QuotaPermit,
}

/// Makes the second half of a client's connection.
pub(crate) trait ContainerDialer: Debug + Send + Sync {
    /// Connects to the container without waiting. Returns both halves for the relay, or `None` if the client
    /// is dealt with.
    fn connect_client(&self, client: PublishedClient) -> Option<RelayPair>;

    /// Resets the connections of `owner` that the relay does not have.
    fn reset_owner(&self, _owner: u64) {}
}

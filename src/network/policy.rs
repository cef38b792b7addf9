//! What a container's packets may reach: asked once for each connection and flow.

use std::io;
use std::net::SocketAddr;

/// The protocol of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A TCP connection.
    Tcp,
    /// UDP between two ports.
    Udp,
    /// ICMP echo; the ports are 0.
    Echo,
}

/// What a container wants to reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Flow {
    /// The protocol.
    pub kind: Kind,
    /// The container's address and port.
    pub source: SocketAddr,
    /// The destination as the container named it.
    pub target: SocketAddr,
}

/// The answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It goes to this address in the host's network; replies still come from the address that the container named.
    Pass(SocketAddr),
    /// It is refused at once, as a closed port would.
    Refuse,
}

/// Decides for the containers of one network. Called on the hot path by several threads: it must be quick and not wait.
pub trait Policy: Send + Sync {
    /// Whether and where `flow` goes.
    fn judge(&self, flow: &Flow) -> Verdict;

    /// How it went: reached, or the error that the container was told.
    fn note(&self, flow: &Flow, outcome: Result<(), &io::Error>);
}

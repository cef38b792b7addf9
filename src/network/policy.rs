//! The decision what a container may reach, made once per connection or flow.

use std::io;
use std::net::SocketAddr;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum FlowProtocol {
    Tcp,
    /// UDP between two address/port pairs.
    Udp,
    /// ICMP echo; ports are 0.
    Echo,
}

/// What a container wants to reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct EgressFlow {
    pub protocol: FlowProtocol,
    pub source: SocketAddr,
    /// The destination as the container named it.
    pub target: SocketAddr,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FlowVerdict {
    /// Forward to this address in the host's network. Replies still come from the address that the container
    /// named.
    Pass(SocketAddr),
    /// Refuse at once, as a closed port would.
    Refuse,
}

/// Decides for the containers of one network. Several threads call it on the hot path: it must be quick and
/// not block.
pub(crate) trait FlowPolicy: Send + Sync {
    /// Whether `flow` is allowed, and where it goes.
    fn judge(&self, flow: &EgressFlow) -> FlowVerdict;

    /// Reports how it went: connected, or the error that was passed to the container.
    fn note(&self, flow: &EgressFlow, outcome: Result<(), &io::Error>);
}

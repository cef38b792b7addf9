//! What the supervisors of containers and the network helper say to each other, a message each over a connection that is
//! the container's lease: when it closes, everything that the container had is taken away.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::error::Failure;
use crate::model::network::{Endpoint, NetworkSpec, PortSpec, Published};
use crate::network::publish::Unavailable;

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

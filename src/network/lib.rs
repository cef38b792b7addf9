//! Container networking: kernel objects for each network, and the datapath that carries bytes between them.
//!
//! ```text
//!  container's netns              gateway netns, one per network                 the host's netns
//!  eth0 ══ veth ════════════════ br0 ── rules ── transparent listener ═══ relay ═══ sockets of the helper
//!  127.0.0.11:53 ═ dns            └──── tun0: SYNs, UDP, ICMP ═════════ forwarder ═ sockets of the helper
//! ```
//!
//! # Terms
//!
//! - **Helper** ([`helper`]): one process per user that runs everything here. It lives in the host's network
//!   namespace and, through its user namespace, holds CAP_NET_ADMIN over gateways and containers.
//! - **Gateway** (`gateway`): a network namespace per network, with the bridge, the nf_tables rules and the
//!   device through which packets leave it.
//! - **Backend** ([`backend`]): how a network is carried: `tproxy`, `packet`, `redirect`, `stack`, `pasta` or
//!   `slirp4netns`, tried in this order. An opened backend is a [`datapath`].
//! - **Forwarder** (`forwarder`): handles the packets that arrive on the gateway's device: UDP and ICMP
//!   echo through sockets of the host, TCP SYNs through the SYN interceptor.
//! - **Relay** (`relay`): worker threads that splice TCP connections between two sockets.
//!
//! # Invariants
//!
//! - A socket belongs to the namespace it was created in but can be used from any thread. So there is one
//!   thread per foreign namespace (`netns`), which creates sockets there and does nothing else.
//! - Containers are hostile. Nothing they send may panic, block or grow without bound: everything kept on
//!   their behalf (pending connections, flows, descriptors) is capped and times out.

#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests make files of their own"))]

pub mod backend;
pub mod datapath;
pub mod dns;
pub(crate) mod egress;
pub(crate) mod external;
pub(crate) mod forwarder;
#[cfg(any(test, feature = "testing"))]
#[allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a check fails by panicking")]
pub mod fuzz_checks;
pub(crate) mod gateway;
pub mod helper;
mod netlink;
pub(crate) mod netns;
mod nft;
pub(crate) mod packet;
pub(crate) mod policy;
pub mod publish;
pub(crate) mod relay;
mod socket;
pub(crate) mod stack;
mod sync;
mod wake;

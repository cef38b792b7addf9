//! What was asked of a network into kernel objects, and the bytes between them: the datapath.
//!
//! ```text
//!  container's netns              gateway netns, one per network            the host's netns
//!  eth0 ══ veth ════════════════ br0 ── rules ── transparent listener ═══ relay ═══ sockets of the helper
//!  127.0.0.11:53 ═ dns            └──── tun0: first SYNs, UDP, ICMP ═════ gate ════ sockets of the helper
//! ```
//!
//! All of it is in one helper process per user, which lives in the host's network namespace and, by its user namespace,
//! has power over the gateways and the containers. A socket belongs to the namespace it was made in and may be used
//! from any thread, so one thread for each foreign namespace ([`inside`]) makes sockets there and does nothing else.
//!
//! Containers are hostile: nothing that they send may panic, block or grow without bounds; what is kept for each of
//! them (connections that are being made, flows, descriptors) is capped and times out.

pub mod dns;
pub mod egress;
pub mod gate;
pub mod gateway;
pub mod helper;
pub mod inside;
mod netlink;
mod nft;
pub mod packet;
pub mod policy;
pub mod program;
pub mod publish;
pub mod relay;
pub mod rung;
pub mod stack;
pub mod way;

//! Safe wrappers of kernel facilities, one per file, with [`std::io::Error`] and no types of dhow. The only `unsafe`.
//!
//! A wrapper names the man page it wraps and the errnos that callers branch on; it takes borrowed descriptors and
//! returns owned ones, always close-on-exec. Everything that `rustix` wraps safely is called through it.

#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests make files of their own"))]

pub mod caps;
pub mod datagram;
pub mod exec_stub;
pub mod fs;
pub mod inode_flags;
pub mod interface;
pub mod memory;
pub mod mount;
pub mod namespace;
pub mod netlink;
pub mod overlay;
pub mod packet_socket;
pub mod pdeathsig;
pub mod process;
pub mod pty;
pub mod random;
pub mod rlimit;
pub mod routes;
pub mod seccomp;
pub mod signal;
pub mod socket;
mod socket_option;
pub mod spawn;
pub mod stdio;
pub mod transparent_socket;
pub mod tun;
pub mod xattr;

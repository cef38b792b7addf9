//! Safe wrappers of kernel facilities, one per file, with [`std::io::Error`] and no types of dhow. The only `unsafe`.
//!
//! A wrapper names the man page it wraps and the errnos that callers branch on; it takes borrowed descriptors and
//! returns owned ones, always close-on-exec. Everything that `rustix` wraps safely is called through it.
#![allow(unsafe_code)]

pub mod caps;
pub mod datagram;
pub mod fs;
pub mod memory;
pub mod mount;
pub mod namespace;
pub mod net;
pub mod netlink;
pub mod process;
pub mod pty;
pub mod random;
pub mod rlimit;
pub mod routes;
pub mod seccomp;
pub mod signal;
pub mod socket;
pub mod stub;
pub mod tied;
pub mod transparent;
pub mod tun;
pub mod wire;

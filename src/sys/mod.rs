//! Kernel facilities, one file each: safe wrappers with I/O errors and no types of dhow. The only `unsafe`.
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

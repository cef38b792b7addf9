//! Where the packets of a gateway leave it and come back.

use std::fmt;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd as _, BorrowedFd};

pub use crate::sys::tun::{Offload, Tun};
pub use crate::sys::wire::Wire;

/// An interface whose packets, from the IP header on, are ours. Packets may be sent from any thread.
pub trait Device: Send + Sync + fmt::Debug {
    /// For epoll(7): readable where there is a packet.
    fn fd(&self) -> BorrowedFd<'_>;

    /// Reads one packet into `buffer`, which takes the longest: how long it is, and what it lacks. `WouldBlock` where
    /// there is none.
    fn receive(&self, buffer: &mut [u8]) -> io::Result<(usize, Offload)>;

    /// Sends the packet whose bytes are in `parts`, one after the other. It lacks only what [`Self::features`] allows.
    fn send(&self, offload: &Offload, parts: &[IoSlice<'_>]) -> io::Result<()>;

    /// What may be left to the kernel.
    fn features(&self) -> Features {
        Features::default()
    }
}

/// What a device does for the sender of a packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features {
    /// Completes checksums ([`Offload::checksum`]).
    pub checksum: bool,
    /// Takes several UDP datagrams as one ([`Offload::segment`]).
    pub segments: bool,
}

impl Device for Tun {
    fn fd(&self) -> BorrowedFd<'_> {
        self.as_fd()
    }

    fn receive(&self, buffer: &mut [u8]) -> io::Result<(usize, Offload)> {
        Tun::receive(self, buffer)
    }

    fn send(&self, offload: &Offload, parts: &[IoSlice<'_>]) -> io::Result<()> {
        Tun::send(self, offload, parts)
    }

    fn features(&self) -> Features {
        Features { checksum: true, segments: self.segments() }
    }
}

impl Device for Wire {
    fn fd(&self) -> BorrowedFd<'_> {
        self.as_fd()
    }

    fn receive(&self, buffer: &mut [u8]) -> io::Result<(usize, Offload)> {
        Wire::receive(self, buffer)
    }

    fn send(&self, offload: &Offload, parts: &[IoSlice<'_>]) -> io::Result<()> {
        Wire::send(self, offload, parts)
    }

    fn features(&self) -> Features {
        Features { checksum: true, segments: false }
    }
}

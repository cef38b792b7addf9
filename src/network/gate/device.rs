//! The device through which packets leave a gateway and come back.

use std::fmt;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd as _, BorrowedFd};

pub use crate::sys::tun::{Offload, Tun};
pub use crate::sys::wire::Wire;

/// An interface whose IP packets we read and write. Packets may be sent from any thread.
pub trait Device: Send + Sync + fmt::Debug {
    /// For epoll(7): readable when there is a packet.
    fn fd(&self) -> BorrowedFd<'_>;

    /// Reads one packet into `buffer`, which must have room for the longest one. Returns its length and what
    /// is still to be done to it. `WouldBlock` if there is none.
    fn receive(&self, buffer: &mut [u8]) -> io::Result<(usize, Offload)>;

    /// Sends the packet that `parts` make up. It may lack only what [`Self::features`] allows.
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
    /// Takes several UDP datagrams as one packet (GSO; [`Offload::segment`]).
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

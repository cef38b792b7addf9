//! The device through which packets leave a gateway and come back.

use std::fmt;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd as _, BorrowedFd};

pub(crate) use dhow_sys::packet_socket::PacketSocket;
pub(crate) use dhow_sys::tun::{PacketOffload, TunDevice};

/// An interface whose IP packets we read and write. Packets may be sent from any thread.
pub(crate) trait PacketDevice: Send + Sync + fmt::Debug {
    /// For epoll(7): readable when there is a packet.
    fn fd(&self) -> BorrowedFd<'_>;

    /// Reads one packet into `buffer`, which must have room for the longest one. Returns its length and what
    /// is still to be done to it. `WouldBlock` if there is none.
    fn receive(&self, buffer: &mut [u8]) -> io::Result<(usize, PacketOffload)>;

    /// Sends the packet that `parts` make up. It may lack only what [`Self::features`] allows.
    fn send(&self, offload: &PacketOffload, parts: &[IoSlice<'_>]) -> io::Result<()>;

    /// What may be left to the kernel.
    fn features(&self) -> DeviceFeatures {
        DeviceFeatures::default()
    }
}

/// What a device does for the sender of a packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct DeviceFeatures {
    /// Completes checksums ([`PacketOffload::checksum`]).
    pub checksum: bool,
    /// Takes several UDP datagrams as one packet (GSO; [`PacketOffload::segment`]).
    pub segments: bool,
}

impl PacketDevice for TunDevice {
    fn fd(&self) -> BorrowedFd<'_> {
        self.as_fd()
    }

    fn receive(&self, buffer: &mut [u8]) -> io::Result<(usize, PacketOffload)> {
        TunDevice::receive(self, buffer)
    }

    fn send(&self, offload: &PacketOffload, parts: &[IoSlice<'_>]) -> io::Result<()> {
        TunDevice::send(self, offload, parts)
    }

    fn features(&self) -> DeviceFeatures {
        DeviceFeatures { checksum: true, segments: self.segments() }
    }
}

impl PacketDevice for PacketSocket {
    fn fd(&self) -> BorrowedFd<'_> {
        self.as_fd()
    }

    fn receive(&self, buffer: &mut [u8]) -> io::Result<(usize, PacketOffload)> {
        PacketSocket::receive(self, buffer)
    }

    fn send(&self, offload: &PacketOffload, parts: &[IoSlice<'_>]) -> io::Result<()> {
        PacketSocket::send(self, offload, parts)
    }

    fn features(&self) -> DeviceFeatures {
        DeviceFeatures { checksum: true, segments: false }
    }
}

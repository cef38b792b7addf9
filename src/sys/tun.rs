//! TUN devices: tun(4), with a virtio_net header in front of each packet (`linux/if_tun.h`, `linux/virtio_net.h`).

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags};

use super::interface::request_for;

/// `TUNSETOFFLOAD` with its flags: checksums (Linux 2.6.27), and UDP segmentation (6.2), which requires the
/// former.
const SET_OFFLOAD: libc::Ioctl = 0x4004_54d0;
const F_CSUM: libc::c_ulong = 0x01;
const F_USO: libc::c_ulong = 0x20 | 0x40;

/// Length of the header in both directions.
pub(crate) const VNET_HEADER_LEN: usize = 10;

const NEEDS_CSUM: u8 = 1;
const GSO_UDP_L4: u8 = 5;

/// Work on a packet that is left to the receiver.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PacketOffload {
    /// The checksum over everything from the first offset, counted from the start of the packet, must be
    /// stored at the second one, counted from the first. Until then, the sum of the pseudo-header is stored
    /// there.
    pub checksum: Option<(u16, u16)>,
    /// Payload size of each datagram if the packet stands for several UDP datagrams (GSO); the last may be
    /// shorter. 0 for one.
    pub segment: u16,
    /// Bytes of headers before the payload, if `segment` is not 0.
    pub headers: u16,
}

impl PacketOffload {
    pub(super) fn encode(&self) -> [u8; VNET_HEADER_LEN] {
        let [h0, h1] = self.headers.to_ne_bytes();
        let [s0, s1] = self.segment.to_ne_bytes();
        let (start, offset) = self.checksum.unwrap_or_default();
        let ([c0, c1], [o0, o1]) = (start.to_ne_bytes(), offset.to_ne_bytes());
        let flags = if self.checksum.is_some() { NEEDS_CSUM } else { 0 };
        let kind = if self.segment == 0 { 0 } else { GSO_UDP_L4 };
        [flags, kind, h0, h1, s0, s1, c0, c1, o0, o1]
    }

    pub(super) fn decode([flags, kind, h0, h1, s0, s1, c0, c1, o0, o1]: [u8; VNET_HEADER_LEN]) -> Self {
        let sum = (u16::from_ne_bytes([c0, c1]), u16::from_ne_bytes([o0, o1]));
        Self {
            checksum: (flags & NEEDS_CSUM != 0).then_some(sum),
            segment: if kind == GSO_UDP_L4 { u16::from_ne_bytes([s0, s1]) } else { 0 },
            headers: u16::from_ne_bytes([h0, h1]),
        }
    }
}

/// A TUN device; the kernel removes the interface when this is dropped.
#[derive(Debug)]
pub struct TunDevice {
    fd: OwnedFd,
    segments: bool,
}

impl TunDevice {
    /// Creates the interface `name` in the network namespace of the calling thread, which needs CAP_NET_ADMIN
    /// over it.
    pub fn open(name: &str) -> io::Result<Self> {
        let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let fd = rustix::fs::open("/dev/net/tun", flags, Mode::empty())?;
        if name.is_empty() || name.len() >= libc::IFNAMSIZ {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        }
        let mut request = request_for(name);
        let flags = libc::IFF_TUN | libc::IFF_NO_PI | libc::IFF_VNET_HDR | libc::IFF_TUN_EXCL;
        // The flags fit in 16 bits, and the kernel reads them as unsigned.
        request.ifr_ifru.ifru_flags = flags as libc::c_short;
        // SAFETY: TUNSETIFF reads and writes one ifreq, which is initialised and outlives the call.
        if unsafe { libc::ioctl(fd.as_raw_fd(), libc::TUNSETIFF, &raw mut request) } != 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: TUNSETOFFLOAD takes a number.
        let offload = |set: libc::c_ulong| unsafe { libc::ioctl(fd.as_raw_fd(), SET_OFFLOAD, set) } == 0;
        let segments = offload(F_CSUM | F_USO);
        if !segments {
            // Best effort: without it, the kernel completes checksums itself.
            offload(F_CSUM);
        }
        Ok(Self { fd, segments })
    }

    /// Whether the kernel supports UDP segmentation (6.2), in both directions.
    pub fn segments(&self) -> bool {
        self.segments
    }

    /// Reads a packet without blocking and returns its length. Longer packets are truncated.
    pub fn receive(&self, buffer: &mut [u8]) -> io::Result<(usize, PacketOffload)> {
        let mut header = [0; VNET_HEADER_LEN];
        let mut parts = [IoSliceMut::new(&mut header), IoSliceMut::new(buffer)];
        let length = rustix::io::retry_on_intr(|| rustix::io::readv(&self.fd, &mut parts))?;
        let length = length.checked_sub(VNET_HEADER_LEN).ok_or(io::ErrorKind::UnexpectedEof)?;
        Ok((length, PacketOffload::decode(header)))
    }

    /// Writes the packet whose bytes are in `parts`.
    pub fn send(&self, offload: &PacketOffload, parts: &[IoSlice<'_>]) -> io::Result<()> {
        let header = offload.encode();
        let mut packet = Vec::with_capacity(parts.len() + 1);
        packet.push(IoSlice::new(&header));
        packet.extend_from_slice(parts);
        rustix::io::retry_on_intr(|| rustix::io::writev(&self.fd, &packet))?;
        Ok(())
    }
}

impl AsFd for TunDevice {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

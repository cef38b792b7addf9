//! Sends and receives packets at one end of a veth(4) pair by a packet(7) socket: a substitute for a TUN
//! device.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::size_of;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};

use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};

use super::socket_option::set_int;
use super::tun::{PacketOffload, VNET_HEADER_LEN};

/// Options of `linux/if_packet.h`: a virtio_net header before each frame (Linux 2.6.27), and no copies of
/// outgoing packets (4.20).
const VNET_HDR: libc::c_int = 15;
const IGNORE_OUTGOING: libc::c_int = 23;

/// Length of an Ethernet header.
const ETHERNET: usize = 14;
/// Offset of its EtherType.
const TYPE_AT: usize = 12;
/// Requested socket buffer sizes, in bytes.
const QUEUE: usize = 8 << 20;

/// A packet socket at one end of a veth pair. That interface must have nothing to send of its own.
#[derive(Debug)]
pub struct PacketSocket {
    fd: OwnedFd,
    /// Destination and source of each frame, both the hardware address of the other end.
    addresses: [u8; TYPE_AT],
}

impl PacketSocket {
    /// Opens a socket on the interface `index` in the network namespace of the calling thread, which needs
    /// CAP_NET_RAW over it. `far` is the hardware address of the other end.
    pub fn open(index: u32, far: [u8; 6]) -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        // Without a protocol it receives nothing until it is bound.
        let fd = rustix::net::socket_with(AddressFamily::PACKET, SocketType::RAW, flags, None)?;
        set_int(fd.as_fd(), libc::SOL_PACKET, VNET_HDR, 1)?;
        set_int(fd.as_fd(), libc::SOL_PACKET, IGNORE_OUTGOING, 1)?;
        // Limited by net.core.rmem_max and wmem_max; smaller buffers work too.
        let _ = sockopt::set_socket_recv_buffer_size(&fd, QUEUE);
        let _ = sockopt::set_socket_send_buffer_size(&fd, QUEUE);
        bind(&fd, index)?;
        let mut addresses = [0; TYPE_AT];
        addresses.iter_mut().zip(far.iter().chain(&far)).for_each(|(to, from)| *to = *from);
        Ok(Self { fd, addresses })
    }

    /// Reads a packet without blocking and returns its length. Longer packets are truncated.
    pub fn receive(&self, buffer: &mut [u8]) -> io::Result<(usize, PacketOffload)> {
        let (mut header, mut ethernet) = ([0; VNET_HEADER_LEN], [0; ETHERNET]);
        let mut parts =
            [IoSliceMut::new(&mut header), IoSliceMut::new(&mut ethernet), IoSliceMut::new(buffer)];
        let length = match rustix::io::retry_on_intr(|| rustix::io::readv(&self.fd, &mut parts)) {
            // The virtio_net header cannot describe this packet; it is dropped.
            Err(rustix::io::Errno::INVAL) => return Ok((0, PacketOffload::default())),
            length => length?,
        };
        let mut offload = PacketOffload::decode(header);
        // The checksum's offset counts from the start of the frame.
        let start = |(start, offset): (u16, u16)| Some((start.checked_sub(ETHERNET as u16)?, offset));
        offload.checksum = offload.checksum.and_then(start);
        Ok((length.saturating_sub(VNET_HEADER_LEN + ETHERNET), offload))
    }

    /// Writes the packet whose bytes are in `parts`.
    pub fn send(&self, offload: &PacketOffload, parts: &[IoSlice<'_>]) -> io::Result<()> {
        let mut offload = *offload;
        offload.checksum = offload.checksum.map(|(start, offset)| (start + ETHERNET as u16, offset));
        let header = offload.encode();
        let first = parts.iter().find_map(|part| part.first()).copied().unwrap_or_default();
        let kind = if first >> 4 == 6 { libc::ETH_P_IPV6 } else { libc::ETH_P_IP };
        let kind = (kind as u16).to_be_bytes();
        let mut frame = Vec::with_capacity(parts.len() + 3);
        frame.extend([IoSlice::new(&header), IoSlice::new(&self.addresses), IoSlice::new(&kind)]);
        frame.extend_from_slice(parts);
        rustix::io::retry_on_intr(|| rustix::io::writev(&self.fd, &frame))?;
        Ok(())
    }
}

/// Sends an ARP announcement (RFC 5227) on the interface `index`, in the network namespace of the calling
/// thread: `address` is at `mac`. Needs CAP_NET_RAW over the namespace.
pub fn announce_arp(index: u32, mac: [u8; 6], address: Ipv4Addr) -> io::Result<()> {
    let fd = rustix::net::socket_with(AddressFamily::PACKET, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
    bind(&fd, index)?;
    rustix::io::retry_on_intr(|| rustix::io::write(&fd, &announcement(mac, address)))?;
    Ok(())
}

/// A broadcast ARP request for the sender's own address (RFC 826).
fn announcement(mac: [u8; 6], address: Ipv4Addr) -> Vec<u8> {
    let mut frame = vec![0xff; 6];
    frame.extend(mac);
    frame.extend((libc::ETH_P_ARP as u16).to_be_bytes());
    // Hardware type Ethernet, protocol type IPv4, both address lengths, operation "request".
    frame.extend([0, 1, 8, 0, 6, 4, 0, 1]);
    frame.extend(mac);
    frame.extend(address.octets());
    frame.extend([0; 6]);
    frame.extend(address.octets());
    frame
}

/// Binds the socket to all protocols on one interface.
fn bind(socket: &OwnedFd, index: u32) -> io::Result<()> {
    // SAFETY: an all-zero sockaddr_ll is a valid value of that plain C structure.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
    address.sll_ifindex = i32::try_from(index).map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: the address is initialised and outlives the call; its size is given with it.
    let result = unsafe {
        libc::bind(
            socket.as_raw_fd(),
            (&raw const address).cast(),
            size_of::<libc::sockaddr_ll>() as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

impl AsFd for PacketSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

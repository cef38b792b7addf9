//! The end of a pair of interfaces, veth(4), read and written as packets by a packet(7) socket: what a TUN device is,
//! where there is none.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::size_of;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};

use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};

use super::tun::{HEADER, Offload};

/// Options of `linux/if_packet.h`: a header of virtio before each frame (2.6.27), and not to be shown what is sent (4.20).
const VNET_HDR: libc::c_int = 15;
const IGNORE_OUTGOING: libc::c_int = 23;

/// Bytes of a header of Ethernet.
const ETHERNET: usize = 14;
/// Where the type of what follows is in it.
const TYPE_AT: usize = 12;
/// Bytes that may wait to be read; the kernel gives what it may.
const QUEUE: usize = 8 << 20;

/// A packet socket at one end of a pair of interfaces, which must have no reason to send but what it passes on.
#[derive(Debug)]
pub struct Wire {
    fd: OwnedFd,
    /// The hardware address of the other end, twice: to whom and from whom.
    addresses: [u8; TYPE_AT],
}

impl Wire {
    /// A socket of the network namespace that the calling thread is in, and over which it needs CAP_NET_RAW, at the
    /// interface with the number `index`; `far` is the hardware address of the other end.
    pub fn open(index: u32, far: [u8; 6]) -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        // Without a protocol it hears nothing before it is bound.
        let fd = rustix::net::socket_with(AddressFamily::PACKET, SocketType::RAW, flags, None)?;
        turn_on(&fd, VNET_HDR)?;
        turn_on(&fd, IGNORE_OUTGOING)?;
        // What is not given is done without.
        let _ = sockopt::set_socket_recv_buffer_size(&fd, QUEUE);
        let _ = sockopt::set_socket_send_buffer_size(&fd, QUEUE);
        bind(&fd, index)?;
        let mut addresses = [0; TYPE_AT];
        addresses.iter_mut().zip(far.iter().chain(&far)).for_each(|(to, from)| *to = *from);
        Ok(Self { fd, addresses })
    }

    /// Reads a packet, without waiting for one: its length. Of a longer packet the end is missing.
    pub fn receive(&self, buffer: &mut [u8]) -> io::Result<(usize, Offload)> {
        let (mut header, mut ethernet) = ([0; HEADER], [0; ETHERNET]);
        let mut parts =
            [IoSliceMut::new(&mut header), IoSliceMut::new(&mut ethernet), IoSliceMut::new(buffer)];
        let length = match rustix::io::retry_on_intr(|| rustix::io::readv(&self.fd, &mut parts)) {
            // One that cannot be described by the header is lost.
            Err(rustix::io::Errno::INVAL) => return Ok((0, Offload::default())),
            length => length?,
        };
        let mut offload = Offload::decode(header);
        // Counted from the frame's start.
        let start = |(start, offset): (u16, u16)| Some((start.checked_sub(ETHERNET as u16)?, offset));
        offload.checksum = offload.checksum.and_then(start);
        Ok((length.saturating_sub(HEADER + ETHERNET), offload))
    }

    /// Writes a packet that is in `parts`.
    pub fn send(&self, offload: &Offload, parts: &[IoSlice<'_>]) -> io::Result<()> {
        let mut offload = *offload;
        offload.checksum = offload.checksum.map(|(start, offset)| (start + ETHERNET as u16, offset));
        let header = offload.encode();
        let first = parts.iter().find_map(|part| part.first()).copied().unwrap_or_default();
        let kind = if first >> 4 == 6 { libc::ETH_P_IPV6 } else { libc::ETH_P_IP };
        let kind = (kind as u16).to_be_bytes();
        let mut all = Vec::with_capacity(parts.len() + 3);
        all.extend([IoSlice::new(&header), IoSlice::new(&self.addresses), IoSlice::new(&kind)]);
        all.extend_from_slice(parts);
        rustix::io::retry_on_intr(|| rustix::io::writev(&self.fd, &all))?;
        Ok(())
    }
}

fn turn_on(socket: &OwnedFd, option: libc::c_int) -> io::Result<()> {
    let on: libc::c_int = 1;
    // SAFETY: the option is an integer, which is initialised and outlives the call; its size is given with it.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            option,
            (&raw const on).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Says at the interface with the number `index`, of the network namespace that the calling thread is in, that `address`
/// has the hardware address `mac`, without having been asked (RFC 5227). Needs CAP_NET_RAW over the namespace.
pub fn announce(index: u32, mac: [u8; 6], address: Ipv4Addr) -> io::Result<()> {
    let fd = rustix::net::socket_with(AddressFamily::PACKET, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
    bind(&fd, index)?;
    rustix::io::retry_on_intr(|| rustix::io::write(&fd, &announcement(mac, address)))?;
    Ok(())
}

/// A request that asks for the sender itself (RFC 826), to everybody.
fn announcement(mac: [u8; 6], address: Ipv4Addr) -> Vec<u8> {
    let mut frame = vec![0xff; 6];
    frame.extend(mac);
    frame.extend((libc::ETH_P_ARP as u16).to_be_bytes());
    // Ethernet and IPv4, the lengths of their addresses, a request.
    frame.extend([0, 1, 8, 0, 6, 4, 0, 1]);
    frame.extend(mac);
    frame.extend(address.octets());
    frame.extend([0; 6]);
    frame.extend(address.octets());
    frame
}

/// Has it hear everything at one interface.
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

impl AsFd for Wire {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

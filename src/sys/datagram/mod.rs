//! Batched datagrams with the kernel's metadata: sendmmsg(2), recvmmsg(2), ip(7), ipv6(7), udp(7).
//!
//! Addresses and control messages are encoded and decoded as bytes, so that only the system calls themselves are
//! unsafe.

use std::io::{self, IoSlice};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsRawFd as _, BorrowedFd};

use super::socket_option::set_int;

/// `UDP_GRO` (Linux 5.0) and `UDP_SEGMENT` (4.18) of `linux/udp.h`.
const UDP_GRO: i32 = libc::UDP_GRO;
const UDP_SEGMENT: i32 = libc::UDP_SEGMENT;

/// The most segments per send; the limit of kernels before 6.9.
pub const MAX_SEGMENTS: usize = 64;

/// Room for all control messages in use, in words of 8 bytes.
const CONTROL: usize = 24;

/// Length of `sockaddr_in6`, the longest address.
const ADDRESS: usize = 28;

/// What a socket reports besides payloads.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReportOptions {
    /// Errors from ICMP, for [`next_queued_error`].
    pub errors: bool,
    /// Several datagrams of one flow as a single one, where the kernel has coalesced them (UDP GRO).
    pub gro: bool,
    /// Type of service or traffic class.
    pub tos: bool,
    /// The local address a datagram was sent to.
    pub local: bool,
}

/// Enables `reports` on a socket; `v6` tells its address family.
pub fn enable_reports(fd: BorrowedFd<'_>, v6: bool, reports: ReportOptions) -> io::Result<()> {
    use libc::{
        IP_PKTINFO, IP_RECVERR, IP_RECVTOS, IPV6_RECVERR, IPV6_RECVPKTINFO, IPV6_RECVTCLASS, SOL_IP, SOL_IPV6,
    };
    let choose = |four: i32, six: i32| if v6 { (SOL_IPV6, six) } else { (SOL_IP, four) };
    for (enabled, (level, name)) in [
        (reports.errors, choose(IP_RECVERR, IPV6_RECVERR)),
        (reports.tos, choose(IP_RECVTOS, IPV6_RECVTCLASS)),
        (reports.local, choose(IP_PKTINFO, IPV6_RECVPKTINFO)),
    ] {
        if enabled {
            set_int(fd, level, name, 1)?;
        }
    }
    if reports.gro {
        // Before Linux 5.0, datagrams arrive one by one, which works as well.
        let _ = set_int(fd, libc::SOL_UDP, UDP_GRO, 1);
    }
    Ok(())
}

/// A datagram to send.
#[derive(Clone, Copy, Debug)]
pub struct OutgoingDatagram<'a> {
    pub to: SocketAddr,
    /// The local address to send from; chosen by the kernel if `None`.
    pub from: Option<IpAddr>,
    /// The payload, scattered.
    pub parts: &'a [IoSlice<'a>],
    /// Size of each segment if the payload holds several datagrams (UDP GSO); the last may be shorter. 0 for
    /// one datagram.
    pub segment: u16,
    /// Type of service or traffic class; 0 for the socket's default.
    pub tos: u8,
    /// Time to live or hop limit; `None` for the socket's default.
    pub hops: Option<u8>,
}

/// Sends `messages` until one would block; returns how many were sent. An error refers to the first one.
pub fn send(fd: BorrowedFd<'_>, messages: &[OutgoingDatagram<'_>]) -> io::Result<usize> {
    let mut names: Vec<([u8; ADDRESS], usize)> = messages.iter().map(|one| encode_address(one.to)).collect();
    let mut controls: Vec<ControlBuffer> = messages.iter().map(ControlBuffer::of).collect();
    let mut headers = Vec::with_capacity(messages.len());
    for ((message, (name, name_length)), control) in messages.iter().zip(&mut names).zip(&mut controls) {
        // SAFETY: an all-zero mmsghdr is a valid value of that plain C structure.
        let mut header: libc::mmsghdr = unsafe { std::mem::zeroed() };
        header.msg_hdr.msg_name = name.as_mut_ptr().cast();
        header.msg_hdr.msg_namelen = *name_length as libc::socklen_t;
        // `IoSlice` is ABI-compatible with iovec on Unix (std's documentation). The kernel only reads it.
        header.msg_hdr.msg_iov = message.parts.as_ptr().cast_mut().cast();
        header.msg_hdr.msg_iovlen = message.parts.len() as _;
        if control.length > 0 {
            header.msg_hdr.msg_control = control.words.as_mut_ptr().cast();
            header.msg_hdr.msg_controllen = control.length as _;
        }
        headers.push(header);
    }
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    // SAFETY: each header points to a name, parts and control messages which are borrowed or owned by this function,
    // are as long as it says and outlive the call; as many headers are given as there are.
    let sent =
        unsafe { libc::sendmmsg(fd.as_raw_fd(), headers.as_mut_ptr(), headers.len() as _, flags as _) };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

/// Encoded control messages (cmsg(3)): length of header and data, level, type, then data, padded to a word.
struct ControlBuffer {
    words: [u64; CONTROL],
    length: usize,
}

const CMSG: usize = size_of::<libc::cmsghdr>();

impl ControlBuffer {
    fn of(message: &OutgoingDatagram<'_>) -> Self {
        let mut control = Self { words: [0; CONTROL], length: 0 };
        let v6 = message.to.is_ipv6();
        if message.segment != 0 {
            control.push(libc::SOL_UDP, UDP_SEGMENT, &message.segment.to_ne_bytes());
        }
        if message.tos != 0 {
            let (level, kind) =
                if v6 { (libc::SOL_IPV6, libc::IPV6_TCLASS) } else { (libc::SOL_IP, libc::IP_TOS) };
            control.push(level, kind, &i32::from(message.tos).to_ne_bytes());
        }
        if let Some(hops) = message.hops {
            let (level, kind) =
                if v6 { (libc::SOL_IPV6, libc::IPV6_HOPLIMIT) } else { (libc::SOL_IP, libc::IP_TTL) };
            control.push(level, kind, &i32::from(hops).to_ne_bytes());
        }
        match message.from {
            // struct in_pktinfo: interface index, source address, and a field that is ignored here.
            Some(IpAddr::V4(from)) => {
                let mut info = [0; 12];
                info[4..8].copy_from_slice(&from.octets());
                control.push(libc::SOL_IP, libc::IP_PKTINFO, &info);
            }
            // struct in6_pktinfo: source address, interface index.
            Some(IpAddr::V6(from)) => {
                let mut info = [0; 20];
                info[..16].copy_from_slice(&from.octets());
                control.push(libc::SOL_IPV6, libc::IPV6_PKTINFO, &info);
            }
            None => {}
        }
        control
    }

    /// Appends a message; [`CONTROL`] words are enough for everything that [`Self::of`] appends.
    fn push(&mut self, level: i32, kind: i32, data: &[u8]) {
        let mut bytes = [0; CMSG + 32];
        let length = CMSG + data.len();
        let word = size_of::<usize>();
        bytes[..word].copy_from_slice(&length.to_ne_bytes());
        bytes[CMSG - 8..CMSG - 4].copy_from_slice(&level.to_ne_bytes());
        bytes[CMSG - 4..CMSG].copy_from_slice(&kind.to_ne_bytes());
        bytes[CMSG..length].copy_from_slice(data);
        let padded = length.next_multiple_of(8);
        for (to, from) in self.words.iter_mut().skip(self.length / 8).zip(bytes[..padded].as_chunks().0) {
            *to = u64::from_ne_bytes(*from);
        }
        self.length += padded;
    }
}

/// Decodes control messages: level, type, data.
fn controls(mut bytes: &[u8]) -> impl Iterator<Item = (i32, i32, &[u8])> {
    std::iter::from_fn(move || {
        let header = bytes.get(..CMSG)?;
        let length = usize::from_ne_bytes(*header.first_chunk()?);
        let (level, kind) = (number(header, CMSG - 8)?, number(header, CMSG - 4)?);
        let data = bytes.get(CMSG..length)?;
        bytes = bytes.get(length.next_multiple_of(size_of::<usize>())..).unwrap_or_default();
        Some((level, kind, data))
    })
}

fn number(bytes: &[u8], at: usize) -> Option<i32> {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map(|bytes| i32::from_ne_bytes(*bytes))
}

/// Encodes a `sockaddr_in` or `sockaddr_in6`; returns its length too.
fn encode_address(address: SocketAddr) -> ([u8; ADDRESS], usize) {
    let mut bytes = [0; ADDRESS];
    let family = if address.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    bytes[..2].copy_from_slice(&(family as libc::sa_family_t).to_ne_bytes());
    bytes[2..4].copy_from_slice(&address.port().to_be_bytes());
    match address {
        SocketAddr::V4(address) => {
            bytes[4..8].copy_from_slice(&address.ip().octets());
            (bytes, 16)
        }
        SocketAddr::V6(address) => {
            bytes[8..24].copy_from_slice(&address.ip().octets());
            bytes[24..].copy_from_slice(&address.scope_id().to_ne_bytes());
            (bytes, ADDRESS)
        }
    }
}

fn decode_address(bytes: &[u8]) -> Option<SocketAddr> {
    let family = i32::from(u16::from_ne_bytes(*bytes.first_chunk()?));
    let port = u16::from_be_bytes(*bytes.get(2..)?.first_chunk()?);
    if family == libc::AF_INET {
        let octets: [u8; 4] = *bytes.get(4..)?.first_chunk()?;
        return Some(SocketAddrV4::new(Ipv4Addr::from(octets), port).into());
    }
    if family != libc::AF_INET6 {
        return None;
    }
    let octets: [u8; 16] = *bytes.get(8..)?.first_chunk()?;
    let scope = u32::from_ne_bytes(*bytes.get(24..)?.first_chunk()?);
    Some(SocketAddrV6::new(Ipv6Addr::from(octets), port, 0, scope).into())
}

/// Buffers to receive several datagrams at once.
#[derive(Debug)]
pub struct ReceiveBatch {
    /// `count` times `size`. Pages that no datagram has reached stay unallocated.
    bytes: Vec<u8>,
    size: usize,
    names: Vec<[u8; ADDRESS]>,
    controls: Vec<[u64; CONTROL]>,
    /// Per received datagram: its length, and that of its control messages.
    lengths: Vec<(usize, usize)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReceivedDatagram<'a> {
    pub from: SocketAddr,
    /// The payload.
    pub bytes: &'a [u8],
    /// Size of each segment if this is several datagrams (UDP GRO); the last may be shorter. 0 for one
    /// datagram.
    pub segment: u16,
    /// Type of service or traffic class.
    pub tos: u8,
    /// The local address it was sent to, if reported.
    pub local: Option<IpAddr>,
}

impl ReceiveBatch {
    /// Buffers for `count` datagrams of up to `size` bytes; longer ones are truncated.
    pub fn new(count: usize, size: usize) -> Self {
        Self {
            bytes: vec![0; count * size],
            size,
            names: vec![[0; ADDRESS]; count],
            controls: vec![[0; CONTROL]; count],
            lengths: Vec::with_capacity(count),
        }
    }

    /// Replaces the content by what is available, without blocking; returns the count.
    pub fn receive(&mut self, fd: BorrowedFd<'_>) -> io::Result<usize> {
        self.lengths.clear();
        let mut vectors: Vec<libc::iovec> = self
            .bytes
            .chunks_exact_mut(self.size)
            .map(|slot| libc::iovec { iov_base: slot.as_mut_ptr().cast(), iov_len: slot.len() })
            .collect();
        let mut headers = Vec::with_capacity(vectors.len());
        for ((vector, name), control) in vectors.iter_mut().zip(&mut self.names).zip(&mut self.controls) {
            // SAFETY: an all-zero mmsghdr is a valid value of that plain C structure.
            let mut header: libc::mmsghdr = unsafe { std::mem::zeroed() };
            header.msg_hdr.msg_name = name.as_mut_ptr().cast();
            header.msg_hdr.msg_namelen = ADDRESS as libc::socklen_t;
            header.msg_hdr.msg_iov = vector;
            header.msg_hdr.msg_iovlen = 1;
            header.msg_hdr.msg_control = control.as_mut_ptr().cast();
            header.msg_hdr.msg_controllen = size_of_val(control) as _;
            headers.push(header);
        }
        let flags = libc::MSG_DONTWAIT as _;
        // SAFETY: each header points to room of its own that this batch or this function owns, is as long as it says
        // and outlives the call; as many headers are given as there are. No time-out is given.
        let count = unsafe {
            libc::recvmmsg(
                fd.as_raw_fd(),
                headers.as_mut_ptr(),
                headers.len() as _,
                flags,
                std::ptr::null_mut(),
            )
        };
        let count = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
        let length = |header: &libc::mmsghdr| (header.msg_len as usize, header.msg_hdr.msg_controllen);
        self.lengths.extend(headers.iter().take(count).map(length));
        Ok(count)
    }

    /// The received datagrams, in order.
    pub fn iter(&self) -> impl Iterator<Item = ReceivedDatagram<'_>> {
        let slots = self.bytes.chunks_exact(self.size);
        let metadata = self.names.iter().zip(&self.controls).zip(&self.lengths);
        slots.zip(metadata).filter_map(|(slot, ((name, control), (length, control_length)))| {
            let mut received = ReceivedDatagram {
                from: decode_address(name)?,
                bytes: slot.get(..*length)?,
                segment: 0,
                tos: 0,
                local: None,
            };
            let words = control.map(u64::to_ne_bytes);
            for (level, kind, data) in controls(words.as_flattened().get(..*control_length)?) {
                received.apply_control(level, kind, data);
            }
            Some(received)
        })
    }
}

impl ReceivedDatagram<'_> {
    fn apply_control(&mut self, level: i32, kind: i32, data: &[u8]) {
        match (level, kind) {
            (libc::SOL_UDP, UDP_GRO) => {
                self.segment = number(data, 0).and_then(|size| size.try_into().ok()).unwrap_or(0);
            }
            (libc::SOL_IP, libc::IP_TOS) => self.tos = data.first().copied().unwrap_or(0),
            (libc::SOL_IPV6, libc::IPV6_TCLASS) => {
                self.tos = number(data, 0).and_then(|class| class.try_into().ok()).unwrap_or(0);
            }
            (libc::SOL_IP, libc::IP_PKTINFO) => {
                let address: Option<&[u8; 4]> = data.get(4..).and_then(|rest| rest.first_chunk());
                self.local = address.map(|octets| Ipv4Addr::from(*octets).into());
            }
            (libc::SOL_IPV6, libc::IPV6_PKTINFO) => {
                let address: Option<&[u8; 16]> = data.first_chunk();
                self.local = address.map(|octets| Ipv6Addr::from(*octets).into());
            }
            _ => {}
        }
    }
}

/// An entry of a socket's error queue: why a datagram did not arrive.
#[derive(Debug)]
pub struct QueuedError {
    /// The errno as a system call would report it.
    pub error: io::Error,
    /// The destination of the datagram.
    pub to: Option<SocketAddr>,
    /// Type and code of the ICMP or ICMPv6 message; `None` if the kernel itself reports the error.
    pub icmp: Option<(u8, u8)>,
    /// The MTU, if the datagram exceeded it.
    pub info: u32,
    /// The sender of the ICMP message.
    pub offender: Option<IpAddr>,
    /// The part of the datagram that the ICMP message quotes.
    pub payload: Vec<u8>,
}

/// Takes the oldest error of a socket with [`ReportOptions::errors`]; `None` if there is none.
pub fn next_queued_error(fd: BorrowedFd<'_>) -> io::Result<Option<QueuedError>> {
    let mut name = [0_u8; ADDRESS];
    let mut control = [0_u64; 64];
    let mut payload = vec![0_u8; 1280];
    let mut vector = libc::iovec { iov_base: payload.as_mut_ptr().cast(), iov_len: payload.len() };
    // SAFETY: an all-zero msghdr is a valid value of that plain C structure.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_name = name.as_mut_ptr().cast();
    header.msg_namelen = ADDRESS as libc::socklen_t;
    header.msg_iov = &raw mut vector;
    header.msg_iovlen = 1;
    header.msg_control = control.as_mut_ptr().cast();
    header.msg_controllen = size_of_val(&control) as _;
    let flags = libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT;
    // SAFETY: the header points to room that this function owns, is as long as it says and outlives the call.
    let length = unsafe { libc::recvmsg(fd.as_raw_fd(), &raw mut header, flags) };
    let Ok(length) = usize::try_from(length) else {
        let error = io::Error::last_os_error();
        return if error.kind() == io::ErrorKind::WouldBlock { Ok(None) } else { Err(error) };
    };
    payload.truncate(length);
    let mut queued = QueuedError {
        error: io::Error::from_raw_os_error(libc::EIO),
        to: if header.msg_namelen > 0 { decode_address(&name) } else { None },
        icmp: None,
        info: 0,
        offender: None,
        payload,
    };
    let words = control.map(u64::to_ne_bytes);
    let end = header.msg_controllen as usize;
    for (level, kind, data) in controls(words.as_flattened().get(..end).unwrap_or_default()) {
        if matches!((level, kind), (libc::SOL_IP, libc::IP_RECVERR) | (libc::SOL_IPV6, libc::IPV6_RECVERR)) {
            queued.decode(data);
        }
    }
    Ok(Some(queued))
}

impl QueuedError {
    /// Decodes a `sock_extended_err` (`linux/errqueue.h`) and the address after it.
    fn decode(&mut self, data: &[u8]) {
        let Some(([n0, n1, n2, n3, origin, kind, code, _, i0, i1, i2, i3, ..], offender)) =
            data.split_first_chunk::<16>()
        else {
            return;
        };
        self.error = io::Error::from_raw_os_error(i32::from_ne_bytes([*n0, *n1, *n2, *n3]));
        self.info = u32::from_ne_bytes([*i0, *i1, *i2, *i3]);
        let from_icmp = matches!(*origin, libc::SO_EE_ORIGIN_ICMP | libc::SO_EE_ORIGIN_ICMP6);
        self.icmp = from_icmp.then_some((*kind, *code));
        self.offender = decode_address(offender).map(|address| address.ip());
    }
}

#[cfg(test)]
mod tests;

//! How rtnetlink messages are laid out (`linux/netlink.h`, `linux/rtnetlink.h`): a header, the fixed header
//! of the kind of object, and attributes.

use std::net::IpAddr;

/// Flags of requests, `NLM_F_*` of `linux/netlink.h`.
pub(super) const REQUEST: u16 = libc::NLM_F_REQUEST as u16;
pub(super) const ACK: u16 = libc::NLM_F_ACK as u16;
pub(super) const CREATE: u16 = libc::NLM_F_CREATE as u16;
pub(super) const EXCLUSIVE: u16 = libc::NLM_F_EXCL as u16;
pub(super) const REPLACE: u16 = libc::NLM_F_REPLACE as u16;
/// The flag in an attribute's type that its value consists of attributes. The kernel knows that of most
/// anyway.
pub(super) const NESTED: u16 = libc::NLA_F_NESTED as u16;

/// Address families, in the width that fixed headers have for them.
pub(super) const INET: u8 = libc::AF_INET as u8;
pub(super) const INET6: u8 = libc::AF_INET6 as u8;
pub(super) const BRIDGE: u8 = libc::AF_BRIDGE as u8;

/// `FR_ACT_TO_TBL` of `linux/fib_rules.h`: look the packet up in a table.
const LOOK_UP: u8 = 1;

pub(super) fn family(address: IpAddr) -> u8 {
    if address.is_ipv4() { INET } else { INET6 }
}

/// The part of a message before its attributes.
pub(super) trait FixedHeader {
    fn append_to(&self, bytes: &mut Vec<u8>);
}

/// `struct ifinfomsg` of `linux/rtnetlink.h`.
pub(super) struct LinkHeader {
    pub family: u8,
    /// 0 lets the kernel choose one.
    pub index: u32,
    /// The flags to turn on, `IFF_*`. The others stay as they are.
    pub flags: libc::c_int,
}

impl LinkHeader {
    pub(super) fn new(index: u32, flags: libc::c_int) -> Self {
        Self { family: 0, index, flags }
    }
}

impl FixedHeader for LinkHeader {
    fn append_to(&self, bytes: &mut Vec<u8>) {
        bytes.extend([self.family, 0, 0, 0]);
        bytes.extend(self.index.to_ne_bytes());
        // The flags, and which of them to change.
        bytes.extend(self.flags.to_ne_bytes());
        bytes.extend(self.flags.to_ne_bytes());
    }
}

/// `struct ifaddrmsg` of `linux/if_addr.h`. The scope is `RT_SCOPE_UNIVERSE`.
pub(super) struct AddressHeader {
    pub family: u8,
    pub prefix_length: u8,
    /// `IFA_F_*` below 0x100; the others need an attribute.
    pub flags: u8,
    pub index: u32,
}

impl FixedHeader for AddressHeader {
    fn append_to(&self, bytes: &mut Vec<u8>) {
        bytes.extend([self.family, self.prefix_length, self.flags, libc::RT_SCOPE_UNIVERSE]);
        bytes.extend(self.index.to_ne_bytes());
    }
}

/// `struct rtmsg` of `linux/rtnetlink.h`.
#[derive(Default)]
pub(super) struct RouteHeader {
    pub family: u8,
    pub destination_length: u8,
    pub table: u8,
    /// Who made the route, `RTPROT_*`.
    pub protocol: u8,
    /// `RT_SCOPE_*`.
    pub scope: u8,
    /// `RTN_*`.
    pub kind: u8,
}

impl RouteHeader {
    const LENGTH: usize = 12;

    /// The kind of the route that the message with this body describes.
    pub(super) fn kind_in(body: &[u8]) -> Option<u8> {
        let [.., kind, _, _, _, _] = body.first_chunk::<{ Self::LENGTH }>()?;
        Some(*kind)
    }
}

impl FixedHeader for RouteHeader {
    fn append_to(&self, bytes: &mut Vec<u8>) {
        bytes.extend([self.family, self.destination_length, 0, 0]);
        bytes.extend([self.table, self.protocol, self.scope, self.kind]);
        bytes.extend([0; 4]);
    }
}

/// `struct fib_rule_hdr` of `linux/fib_rules.h`. The action is to look up `table`.
pub(super) struct RuleHeader {
    pub family: u8,
    pub source_length: u8,
    pub table: u8,
}

impl FixedHeader for RuleHeader {
    fn append_to(&self, bytes: &mut Vec<u8>) {
        bytes.extend([self.family, 0, self.source_length, 0]);
        bytes.extend([self.table, 0, 0, LOOK_UP]);
        bytes.extend([0; 4]);
    }
}

/// `struct ndmsg` of `linux/neighbour.h`.
pub(super) struct NeighbourHeader {
    pub family: u8,
    pub index: u32,
    /// `NUD_*`.
    pub state: u16,
    /// `RTN_*`.
    pub kind: u8,
}

impl FixedHeader for NeighbourHeader {
    fn append_to(&self, bytes: &mut Vec<u8>) {
        bytes.extend([self.family, 0, 0, 0]);
        bytes.extend(self.index.to_ne_bytes());
        bytes.extend(self.state.to_ne_bytes());
        bytes.extend([0, self.kind]);
    }
}

/// The fields of `struct nlmsghdr` that differ between requests.
pub(super) struct RequestHeader {
    /// `RTM_*`.
    pub kind: u16,
    /// `NLM_F_*` besides `NLM_F_REQUEST`.
    pub flags: u16,
    pub sequence: u32,
}

/// Appends attributes to a message.
pub(super) struct RouteMessageWriter<'a> {
    /// All messages, and what has been written of this one. Everything in there is padded to a multiple of
    /// four bytes.
    bytes: &'a mut Vec<u8>,
}

impl<'a> RouteMessageWriter<'a> {
    /// Appends a request to `bytes`; `write` adds its attributes.
    pub(super) fn append_request(
        bytes: &'a mut Vec<u8>,
        header: &RequestHeader,
        fixed: &impl FixedHeader,
        write: impl FnOnce(&mut Self),
    ) {
        let start = bytes.len();
        // The length is filled in below.
        bytes.extend([0; 4]);
        bytes.extend(header.kind.to_ne_bytes());
        bytes.extend((header.flags | REQUEST).to_ne_bytes());
        bytes.extend(header.sequence.to_ne_bytes());
        bytes.extend([0; 4]);
        let mut writer = Self { bytes };
        writer.fixed_header(fixed);
        write(&mut writer);
        let length = u32::try_from(writer.bytes.len() - start).unwrap_or(u32::MAX);
        writer.fill_in(start, length.to_ne_bytes());
    }

    /// Appends a fixed header: some attributes consist of one and further attributes.
    pub(super) fn fixed_header(&mut self, fixed: &impl FixedHeader) {
        fixed.append_to(self.bytes);
    }

    /// Appends an attribute that consists of what `write` appends.
    pub(super) fn nest(&mut self, kind: u16, write: impl FnOnce(&mut Self)) {
        let start = self.bytes.len();
        // The length is filled in below.
        self.bytes.extend([0; 2]);
        self.bytes.extend(kind.to_ne_bytes());
        write(self);
        let length = u16::try_from(self.bytes.len() - start).unwrap_or(u16::MAX);
        self.fill_in(start, length.to_ne_bytes());
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    pub(super) fn bytes(&mut self, kind: u16, value: &[u8]) {
        self.nest(kind, |attribute| attribute.bytes.extend(value));
    }

    pub(super) fn number(&mut self, kind: u16, value: u32) {
        self.bytes(kind, &value.to_ne_bytes());
    }

    /// Appends a text, which ends with a NUL byte.
    pub(super) fn text(&mut self, kind: u16, value: &str) {
        self.nest(kind, |attribute| {
            attribute.bytes.extend(value.as_bytes());
            attribute.bytes.push(0);
        });
    }

    pub(super) fn address(&mut self, kind: u16, value: IpAddr) {
        match value {
            IpAddr::V4(address) => self.bytes(kind, &address.octets()),
            IpAddr::V6(address) => self.bytes(kind, &address.octets()),
        }
    }

    fn fill_in<const N: usize>(&mut self, at: usize, value: [u8; N]) {
        if let Some(field) = self.bytes.get_mut(at..).and_then(<[u8]>::first_chunk_mut) {
            *field = value;
        }
    }
}

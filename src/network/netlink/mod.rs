//! A small blocking netlink client: sends several requests in one message, and gets a single acknowledgement
//! if all succeeded.

pub(crate) mod requests;

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use netlink_packet_core::{NLM_F_ACK, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage;
use rustix::net::{RecvFlags, SendFlags};

pub(crate) use dhow_sys::netlink::NetlinkFamily;

/// Length of `struct nlmsghdr`, in bytes.
pub(crate) const HEADER: usize = 16;

/// The message type of acknowledgements, `NLMSG_ERROR`; its code is 0 for success.
const NLMSG_ERROR: u16 = 2;
/// The flag that attributes follow an acknowledgement, `NLM_F_ACK_TLVS`.
const ACK_TLVS: u16 = 0x200;
/// The attribute with an explanation, `NLMSGERR_ATTR_MSG`.
const ATTR_MSG: u16 = 1;

/// Why a request failed.
#[derive(Debug)]
pub(crate) struct NetlinkError {
    /// What was requested, such as `add the route to …`.
    pub request: String,
    pub error: io::Error,
    /// The kernel's explanation.
    text: Option<String>,
}

impl NetlinkError {
    /// A failure that the kernel did not report for this request itself.
    pub(crate) fn new(request: String, error: io::Error) -> Self {
        Self { request, error, text: None }
    }

    pub(crate) fn is_errno(&self, errno: i32) -> bool {
        self.error.raw_os_error() == Some(errno)
    }
}

impl fmt::Display for NetlinkError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "cannot {}", self.request)?;
        self.text.as_ref().map_or(Ok(()), |text| write!(out, " ({text})"))
    }
}

impl std::error::Error for NetlinkError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

/// An acknowledgement with an error.
pub(crate) struct NetlinkAck {
    /// The sequence number of the request.
    pub sequence: u32,
    pub error: io::Error,
    pub text: Option<String>,
}

impl NetlinkAck {
    /// The error for the request described by `request`.
    pub(crate) fn for_request(self, request: String) -> NetlinkError {
        NetlinkError { request, error: self.error, text: self.text }
    }
}

/// A socket of a netlink service. It stays in the network namespace it was opened in, whichever thread uses
/// it.
#[derive(Debug)]
pub(crate) struct NetlinkSocket(OwnedFd);

impl NetlinkSocket {
    /// A socket in the network namespace of the calling thread.
    pub(crate) fn open(service: NetlinkFamily) -> io::Result<Self> {
        Ok(Self(dhow_sys::netlink::open_socket(service)?))
    }

    /// For ioctls, which any socket of the namespace serves.
    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// Sends a query that has a single message as its answer.
    pub(crate) fn ask(&self, question: RouteNetlinkMessage) -> io::Result<RouteNetlinkMessage> {
        let question = message(0, 1, question);
        let mut buffer = vec![0; question.buffer_len()];
        question.serialize(&mut buffer);
        rustix::io::retry_on_intr(|| rustix::net::send(&self.0, &buffer, SendFlags::empty()))?;
        let mut answer = [0; 4096];
        let (length, _) =
            rustix::io::retry_on_intr(|| rustix::net::recv(&self.0, &mut answer[..], RecvFlags::DONTWAIT))?;
        let answer = answer.get(..length).unwrap_or_default();
        match NetlinkMessage::deserialize(answer).map_err(io::Error::other)?.payload {
            NetlinkPayload::InnerMessage(answer) => Ok(answer),
            NetlinkPayload::Error(refused) => Err(refused.to_io()),
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
    }

    /// Sends `requests`, of which at least number `last` asks for an acknowledgement, and returns the errors.
    /// The kernel processes them within send(2), so nothing blocks.
    pub(crate) fn exchange(&self, requests: &[u8], last: u32) -> io::Result<Vec<NetlinkAck>> {
        rustix::io::retry_on_intr(|| rustix::net::send(&self.0, requests, SendFlags::empty()))?;
        let mut errors = Vec::new();
        let mut buffer = [0; 4096];
        loop {
            let length = rustix::io::retry_on_intr(|| {
                let (length, _) = rustix::net::recv(&self.0, &mut buffer[..], RecvFlags::DONTWAIT)?;
                Ok(length)
            });
            let length = match length {
                Ok(length) => length,
                // The message was rejected as a whole, so its last request got no acknowledgement.
                Err(rustix::io::Errno::AGAIN) if !errors.is_empty() => return Ok(errors),
                Err(error) => return Err(error.into()),
            };
            let mut rest = buffer.get(..length).unwrap_or_default();
            while let Some((answer, after)) = next_answer(rest) {
                rest = after;
                let done = answer.sequence == last;
                if answer.error.raw_os_error() != Some(0) {
                    errors.push(answer);
                }
                if done {
                    return Ok(errors);
                }
            }
        }
    }
}

/// Builds an rtnetlink message.
fn message(flags: u16, number: u32, inner: RouteNetlinkMessage) -> NetlinkMessage<RouteNetlinkMessage> {
    let mut header = NetlinkHeader::default();
    header.flags = flags | NLM_F_REQUEST;
    header.sequence_number = number;
    let mut message = NetlinkMessage::new(header, NetlinkPayload::InnerMessage(inner));
    message.finalize();
    message
}

/// Splits the first acknowledgement off `bytes`; skips other messages.
fn next_answer(mut bytes: &[u8]) -> Option<(NetlinkAck, &[u8])> {
    loop {
        let length = u32_at(bytes, 0)? as usize;
        let message = bytes.get(..length).filter(|message| message.len() >= HEADER)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        let kind_and_flags = u32_at(message, 4)?.to_ne_bytes();
        let kind = u16::from_ne_bytes([kind_and_flags[0], kind_and_flags[1]]);
        let flags = u16::from_ne_bytes([kind_and_flags[2], kind_and_flags[3]]);
        if kind != NLMSG_ERROR {
            continue;
        }
        let code = u32_at(message, HEADER)?.cast_signed();
        // The request's header is repeated between the code and the attributes.
        let attributes = message.get(2 * HEADER + 4..).filter(|_| flags & ACK_TLVS != 0).unwrap_or_default();
        let answer = NetlinkAck {
            sequence: u32_at(message, 8)?,
            error: io::Error::from_raw_os_error(code.wrapping_neg()),
            text: text_in(attributes),
        };
        return Some((answer, bytes));
    }
}

fn text_in(mut attributes: &[u8]) -> Option<String> {
    loop {
        let [low, high, kind_low, kind_high] = u32_at(attributes, 0)?.to_ne_bytes();
        let length = usize::from(u16::from_ne_bytes([low, high]));
        let value = attributes.get(4..length)?;
        if u16::from_ne_bytes([kind_low, kind_high]) == ATTR_MSG {
            let text = value.split(|byte| *byte == 0).next().unwrap_or_default();
            return Some(String::from_utf8_lossy(text).into_owned());
        }
        attributes = attributes.get(length.next_multiple_of(4)..)?;
    }
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// rtnetlink requests to be sent together.
#[derive(Debug, Default)]
pub(crate) struct RouteBatch {
    bytes: Vec<u8>,
    /// Offset of the last request.
    last: usize,
    /// What each request is to do.
    names: Vec<String>,
}

impl RouteBatch {
    /// Adds `message`, described by `name`. `flags` are those of `NLM_F_*` besides `NLM_F_REQUEST`.
    pub(crate) fn push(&mut self, name: impl Into<String>, flags: u16, inner: RouteNetlinkMessage) {
        self.names.push(name.into());
        let message = message(flags, self.number(), inner);
        self.last = self.bytes.len();
        self.bytes.resize(self.last + message.buffer_len().next_multiple_of(4), 0);
        message.serialize(self.bytes.split_at_mut(self.last).1);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    fn number(&self) -> u32 {
        u32::try_from(self.names.len()).unwrap_or(u32::MAX)
    }

    /// Sends all requests. The kernel processes those after a failure, too; the first failure is returned.
    pub(crate) fn send(mut self, socket: &NetlinkSocket) -> Result<(), NetlinkError> {
        let number = self.number();
        // Only the last request asks for an acknowledgement; errors are reported anyway.
        if let Some(flags) = self.bytes.get_mut(self.last + 6..).and_then(<[u8]>::first_chunk_mut) {
            *flags = (u16::from_ne_bytes(*flags) | NLM_F_ACK).to_ne_bytes();
        }
        let whole = |error| NetlinkError::new(self.names.first().cloned().unwrap_or_default(), error);
        let first = socket.exchange(&self.bytes, number).map_err(whole)?.into_iter().next();
        first.map_or(Ok(()), |answer| {
            let at = (answer.sequence as usize).saturating_sub(1);
            Err(answer.for_request(self.names.get(at).cloned().unwrap_or_default()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_comes_with_its_number_and_what_the_kernel_says() {
        let mut bytes = Vec::new();
        for (sequence, code, text) in [(1, -17_i32, "no good\0"), (2, 0, "")] {
            let length = HEADER + 4 + HEADER + if text.is_empty() { 0 } else { 4 + text.len() };
            bytes.extend((length as u32).to_ne_bytes());
            bytes.extend(NLMSG_ERROR.to_ne_bytes());
            bytes.extend((if text.is_empty() { 0 } else { ACK_TLVS }).to_ne_bytes());
            bytes.extend(u32::to_ne_bytes(sequence));
            bytes.extend([0; 4]);
            bytes.extend(code.to_ne_bytes());
            bytes.extend([0; HEADER]);
            if !text.is_empty() {
                bytes.extend((4 + text.len() as u16).to_ne_bytes());
                bytes.extend(ATTR_MSG.to_ne_bytes());
                bytes.extend(text.as_bytes());
            }
        }
        let (first, rest) = next_answer(&bytes).unwrap();
        assert_eq!((first.sequence, first.error.raw_os_error()), (1, Some(libc::EEXIST)));
        assert_eq!(first.text.as_deref(), Some("no good"));
        let (second, rest) = next_answer(rest).unwrap();
        assert_eq!((second.sequence, second.error.raw_os_error(), second.text), (2, Some(0), None));
        assert!(next_answer(rest).is_none());
        for cut in 0..bytes.len() {
            let _ = next_answer(&bytes[..cut]);
        }
    }
}

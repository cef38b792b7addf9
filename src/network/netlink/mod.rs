//! A small blocking netlink client: sends several requests in one message, and gets a single acknowledgement
//! if all succeeded.

mod message;
pub(crate) mod requests;

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{RecvFlags, SendFlags};

use message::{FixedHeader, RequestHeader, RouteMessageWriter};

pub(crate) use dhow_sys::netlink::NetlinkFamily;

/// Length of `struct nlmsghdr`, in bytes.
pub(crate) const HEADER: usize = 16;

/// The message type of acknowledgements; its code is 0 for success.
const NLMSG_ERROR: u16 = libc::NLMSG_ERROR as u16;
/// The flag that attributes follow an acknowledgement.
const ACK_TLVS: u16 = libc::NLM_F_ACK_TLVS as u16;
/// The attribute with an explanation, `NLMSGERR_ATTR_MSG` of `linux/netlink.h`.
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

    /// Sends a query that has a single message of the type `expected` as its answer, and returns that message
    /// without its header.
    pub(crate) fn ask(&self, question: &[u8], expected: u16) -> io::Result<Vec<u8>> {
        rustix::io::retry_on_intr(|| rustix::net::send(&self.0, question, SendFlags::empty()))?;
        let mut answer = [0; 4096];
        let (length, _) =
            rustix::io::retry_on_intr(|| rustix::net::recv(&self.0, &mut answer[..], RecvFlags::DONTWAIT))?;
        Ok(expect_message(answer.get(..length).unwrap_or_default(), expected)?.to_vec())
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

/// A message from the kernel.
struct ReceivedMessage<'a> {
    kind: u16,
    flags: u16,
    sequence: u32,
    /// What follows the header.
    body: &'a [u8],
}

/// Splits the first message off `bytes`.
fn next_message(bytes: &[u8]) -> Option<(ReceivedMessage<'_>, &[u8])> {
    let length = u32_at(bytes, 0)? as usize;
    let message = bytes.get(..length)?;
    let received = ReceivedMessage {
        kind: u16_at(message, 4)?,
        flags: u16_at(message, 6)?,
        sequence: u32_at(message, 8)?,
        body: message.get(HEADER..)?,
    };
    Some((received, bytes.get(length.next_multiple_of(4)..).unwrap_or_default()))
}

/// The body of the message in `answer`, which is to have the type `expected`.
fn expect_message(answer: &[u8], expected: u16) -> io::Result<&[u8]> {
    let (message, _) = next_message(answer).ok_or(io::ErrorKind::InvalidData)?;
    match error_in(&message) {
        Some(refused) => Err(refused),
        None if message.kind == expected => Ok(message.body),
        None => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// Splits the first acknowledgement off `bytes`; skips other messages.
fn next_answer(mut bytes: &[u8]) -> Option<(NetlinkAck, &[u8])> {
    loop {
        let (message, rest) = next_message(bytes)?;
        bytes = rest;
        let Some(error) = error_in(&message) else { continue };
        // The request's header is repeated between the code and the attributes.
        let attributes = message.body.get(4 + HEADER..).filter(|_| message.flags & ACK_TLVS != 0);
        let text = text_in(attributes.unwrap_or_default());
        return Some((NetlinkAck { sequence: message.sequence, error, text }, bytes));
    }
}

/// The error, or the success as number 0, that `message` reports if it is an acknowledgement.
fn error_in(message: &ReceivedMessage<'_>) -> Option<io::Error> {
    let code = u32_at(message.body, 0).filter(|_| message.kind == NLMSG_ERROR)?;
    Some(io::Error::from_raw_os_error(code.cast_signed().wrapping_neg()))
}

fn text_in(mut attributes: &[u8]) -> Option<String> {
    loop {
        let length = usize::from(u16_at(attributes, 0)?);
        let kind = u16_at(attributes, 2)?;
        let value = attributes.get(4..length)?;
        if kind == ATTR_MSG {
            let text = value.split(|byte| *byte == 0).next().unwrap_or_default();
            return Some(String::from_utf8_lossy(text).into_owned());
        }
        attributes = attributes.get(length.next_multiple_of(4)..)?;
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
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
    /// Adds a request of the type `kind` (`RTM_*`), described by `name`; `write` adds its attributes.
    /// `flags` are those of `NLM_F_*` besides `NLM_F_REQUEST`.
    fn push(
        &mut self,
        name: String,
        kind: u16,
        flags: u16,
        fixed: &impl FixedHeader,
        write: impl FnOnce(&mut RouteMessageWriter<'_>),
    ) {
        self.names.push(name);
        self.last = self.bytes.len();
        let header = RequestHeader { kind, flags, sequence: self.number() };
        RouteMessageWriter::append_request(&mut self.bytes, &header, fixed, write);
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
            *flags = (u16::from_ne_bytes(*flags) | message::ACK).to_ne_bytes();
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
mod tests;

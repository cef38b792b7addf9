//! One question to the name servers, over UDP, or over TCP where the answer is too long for that.
//!
//! A server that does not answer within [`STEP`] is not given up: the next one is asked as well, and the first
//! answer wins. One that refuses, or reports a failure, is followed by the next one at once.
//!
//! # Invariants
//!
//! Each query has a socket (hence a port) and an ID of its own, both random, against forged answers. The socket
//! is connected, so datagrams of others do not arrive.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use super::LookupError;
use dhow_model::dns_message::{self, DnsQuestion, code, kind};

/// How long a server has before the next one is asked as well.
const STEP: Duration = Duration::from_millis(700);
/// Bytes read at once. A datagram has at most 512, because queries do not offer more (RFC 1035, section 4.2.1).
const CHUNK: usize = 4096;

/// The addresses of one type that a name has, at least one.
pub(super) type InquiryOutcome = Result<Vec<IpAddr>, LookupError>;

/// A question and whom it was put to.
#[derive(Debug)]
pub(super) struct NameInquiry {
    /// With the ID 0.
    query: Vec<u8>,
    question: DnsQuestion,
    /// The servers that are still to be asked.
    upcoming: std::vec::IntoIter<SocketAddr>,
    /// When the next one is asked.
    next: Instant,
    attempts: Vec<ServerAttempt>,
    /// The result if no server has an answer.
    failure: LookupError,
    outcome: Option<InquiryOutcome>,
}

/// A query sent to one server.
#[derive(Debug)]
struct ServerAttempt {
    server: SocketAddr,
    socket: UdpSocket,
    id: u16,
}

/// What a server's message means.
enum ServerVerdict {
    /// It is no answer to the query.
    Nothing,
    /// Another server may know more; with a [`code`] if it gave one.
    Failed(Option<u8>),
    Answer(InquiryOutcome),
}

impl NameInquiry {
    /// A question for the addresses of the type `kind`, to be put to `servers` in turn, from `begun` on. `None`
    /// if `name` is no name.
    pub(super) fn new(name: &str, kind: u16, servers: Vec<SocketAddr>, begun: Instant) -> Option<Self> {
        let query = dns_message::encode_query(name, kind)?;
        Some(Self {
            question: dns_message::parse_query(&query).ok()?,
            query,
            upcoming: servers.into_iter(),
            next: begun,
            attempts: Vec::new(),
            failure: LookupError::Silent,
            outcome: None,
        })
    }

    /// The result, as soon as it is known.
    pub(super) fn outcome(&self) -> Option<&InquiryOutcome> {
        self.outcome.as_ref()
    }

    /// The result, whether or not there was time to get an answer.
    pub(super) fn finish(self) -> InquiryOutcome {
        self.outcome.unwrap_or(Err(self.failure))
    }

    /// When to call [`Self::advance`] even if no server answers.
    pub(super) fn due(&self) -> Option<Instant> {
        (self.outcome.is_none() && !self.upcoming.as_slice().is_empty()).then_some(self.next)
    }

    /// Where answers arrive.
    pub(super) fn sockets(&self) -> impl Iterator<Item = &UdpSocket> {
        self.attempts.iter().map(|attempt| &attempt.socket)
    }

    /// Asks the next server if it is time to, and gives up if no server is left.
    pub(super) fn advance(&mut self, now: Instant) {
        if self.outcome.is_some() {
            return;
        }
        while now >= self.next
            && let Some(server) = self.upcoming.next()
        {
            // One that cannot be reached is skipped.
            if let Ok(attempt) = ServerAttempt::start(server, &self.query) {
                self.attempts.push(attempt);
                self.next = now + STEP;
            }
        }
        if self.attempts.is_empty() && self.upcoming.as_slice().is_empty() {
            self.outcome = Some(Err(self.failure));
        }
    }

    /// Reads what has arrived. Blocks only if an answer must be fetched over TCP, until `deadline` at most.
    pub(super) fn hear(&mut self, deadline: Instant) {
        let mut buffer = [0; CHUNK];
        // Backwards, because attempts are removed.
        for at in (0..self.attempts.len()).rev() {
            let Some(attempt) = self.attempts.get(at) else { continue };
            let verdict = match attempt.socket.recv(&mut buffer) {
                Ok(length) => self.judge(attempt, buffer.get(..length).unwrap_or_default(), deadline),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                    continue;
                }
                // Nobody listens there (ICMP).
                Err(_) => ServerVerdict::Failed(None),
            };
            match verdict {
                ServerVerdict::Nothing => {}
                ServerVerdict::Failed(code) => {
                    self.failure = code.map_or(self.failure, LookupError::Failed);
                    self.attempts.remove(at);
                    self.next = Instant::now();
                }
                ServerVerdict::Answer(outcome) => {
                    self.outcome = Some(outcome);
                    self.attempts.clear();
                    return;
                }
            }
        }
    }

    /// What a datagram of the server means.
    fn judge(&self, attempt: &ServerAttempt, reply: &[u8], deadline: Instant) -> ServerVerdict {
        let code_in = |reply: &[u8]| dns_message::reply_code(reply, attempt.id, &self.query, &self.question);
        let Some(code) = code_in(reply) else { return ServerVerdict::Nothing };
        if !dns_message::is_truncated(reply) {
            return self.read_answer(reply, code);
        }
        match attempt.ask_over_tcp(&self.query, deadline) {
            Ok(whole) => {
                code_in(&whole).map_or(ServerVerdict::Failed(None), |code| self.read_answer(&whole, code))
            }
            Err(_) => ServerVerdict::Failed(None),
        }
    }

    /// What a whole answer with the response code `code` means.
    fn read_answer(&self, reply: &[u8], code: u8) -> ServerVerdict {
        match code {
            0 if dns_message::is_lame(reply) => ServerVerdict::Failed(Some(code::REFUSED)),
            0 => {
                // Whatever names the records have: the server has followed the aliases (CNAME) for us.
                let all = dns_message::answer_addresses(reply, self.question.end);
                let asked = all.into_iter().map(|(address, _)| address);
                let asked: Vec<IpAddr> =
                    asked.filter(|address| address.is_ipv6() == (self.question.kind == kind::AAAA)).collect();
                ServerVerdict::Answer(if asked.is_empty() { Err(LookupError::NoAddress) } else { Ok(asked) })
            }
            code::NO_SUCH_NAME => ServerVerdict::Answer(Err(LookupError::NoSuchHost)),
            code => ServerVerdict::Failed(Some(code)),
        }
    }
}

impl ServerAttempt {
    /// Sends `query` to `server`.
    fn start(server: SocketAddr, query: &[u8]) -> io::Result<Self> {
        let any: IpAddr =
            if server.is_ipv6() { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
        let socket = UdpSocket::bind((any, 0))?;
        socket.set_nonblocking(true)?;
        socket.connect(server)?;
        let id = u16::from_ne_bytes(dhow_sys::random::random_bytes()?);
        let attempt = Self { server, socket, id };
        attempt.socket.send(&attempt.numbered(query))?;
        Ok(attempt)
    }

    /// `query` with this attempt's ID.
    fn numbered(&self, query: &[u8]) -> Vec<u8> {
        let mut query = query.to_vec();
        dns_message::set_id(&mut query, self.id);
        query
    }

    /// Asks the same server again, over a connection (RFC 7766).
    fn ask_over_tcp(&self, query: &[u8], deadline: Instant) -> io::Result<Vec<u8>> {
        let left = || {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() { Err(io::Error::from(ErrorKind::TimedOut)) } else { Ok(left) }
        };
        let mut stream = TcpStream::connect_timeout(&self.server, left()?)?;
        stream.set_write_timeout(Some(left()?))?;
        let length = u16::try_from(query.len()).map_err(io::Error::other)?;
        stream.write_all(&[&length.to_be_bytes(), self.numbered(query).as_slice()].concat())?;
        let mut input = Vec::new();
        let mut chunk = [0; CHUNK];
        loop {
            // A server that sends single bytes gets no more time than others.
            stream.set_read_timeout(Some(left()?))?;
            match stream.read(&mut chunk) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(length) => input.extend(chunk.iter().take(length)),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            if let Some(message) = dns_message::split_frame(&input) {
                return Ok(message);
            }
        }
    }
}

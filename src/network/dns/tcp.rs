//! Queries over TCP (RFC 7766): each prefixed with its length, several per connection.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::epoll::{self, EventFlags};
use rustix::io::Errno;
use rustix::net::{SendFlags, SocketFlags};

use super::state::{DnsConnection, DnsServer, QueryOrigin, TokenTarget};
use dhow_model::dns_message::{self, QueryFault, code, split_frame};

/// Connections per container.
const MAX_CONNECTIONS: usize = 64;
/// Unanswered queries per connection.
const MAX_PENDING: usize = 64;
/// Answers that a connection may leave unread, in bytes.
const MAX_UNREAD: usize = 256 << 10;
/// Idle time-out of a connection.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes per read(2).
const CHUNK: usize = 16 << 10;

impl DnsServer {
    /// Accepts pending connections of the container `key`.
    pub(super) fn accept(&mut self, key: u64) {
        loop {
            let Some(listener) = self.listener(key) else { return };
            match rustix::net::accept_with(listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
                Ok(socket) => self.connected(key, socket),
                Err(Errno::CONNABORTED | Errno::INTR) => {}
                Err(Errno::MFILE | Errno::NFILE) => {
                    let Some(client) = self.clients.get(&key) else { return };
                    let accept = || rustix::net::accept_with(&client.sockets.tcp, SocketFlags::CLOEXEC);
                    if !self.reserve_fd.refuse_one(&self.epoll, accept) {
                        return;
                    }
                }
                Err(_) => return,
            }
        }
    }

    fn connected(&mut self, key: u64, socket: OwnedFd) {
        let token = self.token();
        let Some(served) = self.clients.get_mut(&key) else { return };
        if served.connections.len() >= MAX_CONNECTIONS {
            return;
        }
        let interest = EventFlags::IN;
        if epoll::add(&self.epoll, &socket, epoll::EventData::new_u64(token), interest).is_err() {
            return;
        }
        served.connections.insert(token);
        let due = Instant::now() + IDLE_TIMEOUT;
        self.timers.insert((due, token));
        let connection = DnsConnection {
            socket,
            key,
            input: vec![],
            output: vec![],
            pending: 0,
            ended: false,
            interest,
            due,
        };
        self.slots.insert(token, TokenTarget::Connection(Box::new(connection)));
    }

    fn connection_mut(&mut self, token: u64) -> Option<&mut DnsConnection> {
        match self.slots.get_mut(&token) {
            Some(TokenTarget::Connection(connection)) => Some(connection),
            _ => None,
        }
    }

    /// Handles an epoll event of a connection.
    pub(crate) fn connection_event(&mut self, token: u64, flags: EventFlags) {
        if flags.intersects(EventFlags::ERR | EventFlags::HUP) {
            return self.close(token);
        }
        if flags.contains(EventFlags::IN) && !self.read_questions(token) {
            return self.close(token);
        }
        self.flush(token);
    }

    /// Returns `false` if the connection is to be closed.
    fn read_questions(&mut self, token: u64) -> bool {
        let mut chunk = [0; CHUNK];
        let Some(connection) = self.connection_mut(token) else { return true };
        let key = connection.key;
        match rustix::io::read(&connection.socket, &mut chunk) {
            Ok(0) => connection.ended = true,
            Ok(length) => connection.input.extend(chunk.iter().take(length)),
            Err(Errno::AGAIN | Errno::INTR) => return true,
            Err(_) => return false,
        }
        while let Some(connection) = self.connection_mut(token) {
            let Some(message) = split_frame(&connection.input) else { break };
            connection.input.drain(..message.len() + 2);
            // Counted before anything can answer it.
            connection.pending += 1;
            let too_many = connection.pending > MAX_PENDING;
            match dns_message::parse_query(&message) {
                Ok(question) if too_many => {
                    self.reply_code(key, QueryOrigin::Tcp(token), &message, &question, code::REFUSED)
                }
                // A message that is not a query gets no answer, so the client would wait forever.
                Err(QueryFault::Ignore) => return false,
                _ => self.handle_query(key, QueryOrigin::Tcp(token), message),
            }
        }
        true
    }

    /// Queues an answer on a connection, if it still exists.
    pub(crate) fn reply_over(&mut self, token: u64, bytes: &[u8]) {
        let Some(connection) = self.connection_mut(token) else { return };
        let Ok(length) = u16::try_from(bytes.len()) else { return self.close(token) };
        connection.pending = connection.pending.saturating_sub(1);
        connection.output.extend(length.to_be_bytes());
        connection.output.extend(bytes);
        if connection.output.len() > MAX_UNREAD {
            return self.close(token);
        }
        self.flush(token);
    }

    /// Sends queued answers, and closes a connection that is done.
    fn flush(&mut self, token: u64) {
        let Some(connection) = self.connection_mut(token) else { return };
        while !connection.output.is_empty() {
            match rustix::net::send(&connection.socket, &connection.output, SendFlags::NOSIGNAL) {
                Ok(sent) => drop(connection.output.drain(..sent.min(connection.output.len()))),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                Err(_) => return self.close(token),
            }
        }
        if connection.ended && connection.pending == 0 && connection.output.is_empty() {
            return self.close(token);
        }
        // After the client's FIN, EPOLLIN would be reported forever.
        let mut interest = EventFlags::empty();
        interest.set(EventFlags::IN, !connection.ended);
        interest.set(EventFlags::OUT, !connection.output.is_empty());
        let old = connection.due;
        connection.due = Instant::now() + IDLE_TIMEOUT;
        let (new, changed) = (connection.due, interest != connection.interest);
        connection.interest = interest;
        self.timers.remove(&(old, token));
        self.timers.insert((new, token));
        if changed && let Some(TokenTarget::Connection(connection)) = self.slots.get(&token) {
            let data = epoll::EventData::new_u64(token);
            if epoll::modify(&self.epoll, &connection.socket, data, interest).is_err() {
                self.close(token);
            }
        }
    }

    /// The idle time-out of a connection may have passed.
    pub(super) fn idle(&mut self, token: u64, now: Instant) {
        if self.connection_mut(token).is_some_and(|connection| connection.due <= now) {
            self.close(token);
        }
    }

    fn close(&mut self, token: u64) {
        if let Some(connection) = self.connection_mut(token) {
            let (due, key) = (connection.due, connection.key);
            self.timers.remove(&(due, token));
            self.slots.remove(&token);
            if let Some(served) = self.clients.get_mut(&key) {
                served.connections.remove(&token);
            }
        }
    }
}

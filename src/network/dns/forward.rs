//! Queries that are forwarded to the resolvers.
//!
//! A server that does not answer within [`ATTEMPT_TIMEOUT`] is not given up: the next one is asked as well, and the first
//! answer wins. The silent server has a shorter time-out until it answers again, or for [`SILENT_MEMORY`]. A server that
//! refuses, or reports a failure, is followed by the next one at once. If none has an answer, the container gets what the
//! last of them said, or SERVFAIL if all were silent.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::epoll::{self, EventFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketType};

use super::message::{self, DnsQuestion, code};
use super::resolv_conf::MAX_SERVERS;
use super::server::{DnsServer, QueryOrigin, TokenTarget};
use super::tcp::split_frame;
use super::{DnsClient, socket};

/// Forwarded queries per container.
const MAX_PER_CONTAINER: usize = 256;
/// Forwarded queries in total.
const MAX_TOTAL: usize = 1024;
/// How long a server has before the next one is asked as well: less than the shortest time-out that
/// resolv.conf(5) allows, `timeout:1`.
const ATTEMPT_TIMEOUT: Duration = Duration::from_millis(700);
/// The same for a server that was silent lately: enough for a nearby one, which may know names that others do
/// not.
const SHORT_ATTEMPT_TIMEOUT: Duration = Duration::from_millis(150);
/// How long a server counts as silent.
const SILENT_MEMORY: Duration = Duration::from_secs(30);
/// How long a query is kept. C libraries retransmit after five seconds, with the same ID.
const QUERY_TIMEOUT: Duration = Duration::from_secs(10);
/// Number of silent servers to remember.
const MOST_SILENT: usize = 64;
/// How often each server is asked.
const ROUNDS: usize = 2;

/// A query that was forwarded.
#[derive(Debug)]
pub(crate) struct ForwardedQuery {
    client: u64,
    origin: QueryOrigin,
    /// The container's query ID.
    id: u16,
    query: Vec<u8>,
    question: DnsQuestion,
    attempts: Vec<UpstreamAttempt>,
    /// Number of attempts so far; selects the next server.
    turn: usize,
    /// The last answer that was a failure or a refusal.
    last_failure: Option<Vec<u8>>,
    begun: Instant,
    /// When it is looked at next.
    due: Instant,
}

/// A query sent to one server.
#[derive(Debug)]
struct UpstreamAttempt {
    token: u64,
    /// The server, if it is one of the host's.
    of_host: Option<SocketAddr>,
    begun: Instant,
    socket: OwnedFd,
    id: u16,
    /// For TCP only.
    stream: Option<UpstreamStream>,
}

#[derive(Debug, Default)]
struct UpstreamStream {
    output: Vec<u8>,
    input: Vec<u8>,
}

/// What a server's socket had to say.
enum UpstreamEvent {
    Nothing,
    /// The server will not answer.
    Failed,
    /// An answer with its response code, under the container's query ID.
    Reply(Vec<u8>, u8),
}

/// The servers to ask for a container, and from where.
struct UpstreamServers {
    list: Vec<SocketAddr>,
    /// The container whose `--dns` servers they are; they are asked from its namespace.
    inside: Option<Arc<DnsClient>>,
}

impl DnsServer {
    /// Forwards a query.
    pub(super) fn forward(&mut self, key: u64, origin: QueryOrigin, query: Vec<u8>, question: DnsQuestion) {
        let Some(member) = self.clients.get(&key) else { return };
        if member.flights.len() >= MAX_PER_CONTAINER || self.forwarded.len() >= MAX_TOTAL {
            return self.reply_code(key, origin, &query, &question, code::REFUSED);
        }
        let flight = self.token();
        let begun = Instant::now();
        let id = message::id(&query);
        let (tries, excuse) = Default::default();
        let new = ForwardedQuery {
            client: key,
            origin,
            id,
            query,
            question,
            attempts: tries,
            turn: 0,
            last_failure: excuse,
            begun,
            due: begun,
        };
        self.forwarded.insert(flight, new);
        if let Some(member) = self.clients.get_mut(&key) {
            member.flights.insert(flight);
        }
        self.ask_next(flight);
    }

    /// Asks the next server that can be asked. If none is left and no answer is outstanding, fails the query.
    fn ask_next(&mut self, key: u64) {
        loop {
            let Some(flight) = self.forwarded.get(&key) else { return };
            // Looked up each time: the host's resolv.conf may have changed.
            let servers = self.upstream_servers(flight.client);
            let Some(flight) = self.forwarded.get(&key) else { return };
            let server = servers.list.get(flight.turn % servers.list.len().max(1)).copied();
            let Some(server) = server.filter(|_| flight.turn < servers.list.len() * ROUNDS) else {
                if flight.attempts.is_empty() {
                    return self.give_up(key);
                }
                return self.reschedule(key, flight.begun + QUERY_TIMEOUT);
            };
            let tcp = matches!(flight.origin, QueryOrigin::Tcp(_));
            let token = self.token();
            let made = connect_upstream(&servers, server, tcp).and_then(|socket| {
                let out = EventFlags::IN | if tcp { EventFlags::OUT } else { EventFlags::empty() };
                epoll::add(&self.epoll, &socket, epoll::EventData::new_u64(token), out)?;
                Ok(socket)
            });
            let Some(flight) = self.forwarded.get_mut(&key) else { return };
            flight.turn += 1;
            let Ok(socket) = made else { continue };
            let Ok(id) = dhow_sys::random::random_bytes().map(u16::from_ne_bytes) else { continue };
            let mut query = flight.query.clone();
            message::set_id(&mut query, id);
            let stream = if tcp {
                let length = u16::try_from(query.len()).unwrap_or(0).to_be_bytes();
                Some(UpstreamStream { output: [&length, query.as_slice()].concat(), input: Vec::new() })
            } else {
                if rustix::net::send(&socket, &query, SendFlags::NOSIGNAL).is_err() {
                    continue;
                }
                None
            };
            let of_host = servers.inside.is_none().then_some(server);
            let now = Instant::now();
            flight.attempts.push(UpstreamAttempt { token, of_host, begun: now, socket, id, stream });
            let was_silent = self.silent.get(&server).is_some_and(|until| now < *until);
            let step = if was_silent { SHORT_ATTEMPT_TIMEOUT } else { ATTEMPT_TIMEOUT };
            let due = (now + step).min(flight.begun + QUERY_TIMEOUT);
            self.slots.insert(token, TokenTarget::Upstream(key));
            return self.reschedule(key, due);
        }
    }

    /// The servers for the container `key`.
    fn upstream_servers(&mut self, key: u64) -> UpstreamServers {
        let asker = self.names.get(key).map(Arc::clone);
        let own = asker.as_ref().and_then(|asker| asker.upstream.as_ref()).map(|own| {
            own.servers.iter().take(MAX_SERVERS).map(|ip| SocketAddr::new(*ip, self.port)).collect::<Vec<_>>()
        });
        match own {
            Some(list) if asker.as_deref().is_some_and(has_egress_rules) => {
                // Asked from the host's namespace, a loopback address would mean the host's loopback.
                let list = list.into_iter().filter(|server| is_reachable_from_host(server.ip())).collect();
                UpstreamServers { list, inside: None }
            }
            Some(list) => UpstreamServers { list, inside: asker },
            None => UpstreamServers { list: self.resolvers.servers().to_vec(), inside: None },
        }
    }

    fn reschedule(&mut self, key: u64, due: Instant) {
        if let Some(flight) = self.forwarded.get_mut(&key) {
            self.timers.remove(&(flight.due, key));
            flight.due = due;
            self.timers.insert((due, key));
        }
    }

    /// The time of a query has come: ask another server, or give up.
    pub(crate) fn attempt_timed_out(&mut self, key: u64, now: Instant) {
        let Some(flight) = self.forwarded.get(&key) else { return };
        if self.silent.len() > MOST_SILENT {
            self.silent.clear();
        }
        let silent = flight.attempts.iter().filter(|one| now >= one.begun + ATTEMPT_TIMEOUT);
        self.silent.extend(silent.filter_map(|one| Some((one.of_host?, now + SILENT_MEMORY))));
        match now >= flight.begun + QUERY_TIMEOUT {
            true => self.give_up(key),
            false => self.ask_next(key),
        }
    }

    /// A server's socket is readable, or failed.
    pub(crate) fn upstream_ready(&mut self, key: u64, token: u64) {
        let Some(flight) = self.forwarded.get_mut(&key) else { return };
        let Some(at) = flight.attempts.iter().position(|one| one.token == token) else { return };
        let Some(one) = flight.attempts.get_mut(at) else { return };
        let heard = match &mut one.stream {
            None => read_datagram(&one.socket, &mut self.buffer),
            Some(stream) => read_stream(&self.epoll, &one.socket, token, stream),
        };
        let heard = match heard {
            UpstreamEvent::Reply(mut bytes, _) => {
                match message::reply_code(&bytes, one.id, &flight.query, &flight.question) {
                    // Over UDP anybody may have sent it; over TCP it is the server itself.
                    None if one.stream.is_none() => UpstreamEvent::Nothing,
                    None => UpstreamEvent::Failed,
                    Some(code) => {
                        if let Some(server) = &one.of_host {
                            self.silent.remove(server);
                        }
                        message::set_id(&mut bytes, flight.id);
                        UpstreamEvent::Reply(bytes, code)
                    }
                }
            }
            other => other,
        };
        let failed = |code| matches!(code, code::FAILURE | code::NOT_IMPLEMENTED | code::REFUSED);
        match heard {
            UpstreamEvent::Nothing => return,
            UpstreamEvent::Reply(bytes, code) if !failed(code) => return self.deliver(key, bytes),
            UpstreamEvent::Reply(bytes, _) => flight.last_failure = Some(bytes),
            UpstreamEvent::Failed => {}
        }
        flight.attempts.remove(at);
        self.slots.remove(&token);
        let servers = self.resolvers_of(key);
        match self.forwarded.get(&key) {
            // Every server was asked, and the last outstanding one has failed.
            Some(flight)
                if flight.attempts.is_empty() && flight.last_failure.is_some() && flight.turn >= servers =>
            {
                self.give_up(key);
            }
            _ => self.ask_next(key),
        }
    }

    fn resolvers_of(&mut self, key: u64) -> usize {
        let Some(member) = self.forwarded.get(&key).map(|flight| flight.client) else { return 0 };
        self.upstream_servers(member).list.len()
    }

    fn give_up(&mut self, key: u64) {
        let Some(flight) = self.forwarded.get_mut(&key) else { return };
        let failure = || message::reply_with(&flight.query, Some(&flight.question), code::FAILURE);
        let bytes = flight.last_failure.take().unwrap_or_else(failure);
        self.deliver(key, bytes);
    }

    /// Delivers an answer to the container. The egress policies of its networks learn it first.
    fn deliver(&mut self, key: u64, bytes: Vec<u8>) {
        let Some(flight) = self.drop_forwarded(key) else { return };
        if let Some(asker) = self.names.get(flight.client).map(Arc::clone) {
            self.log_answer(&asker, &flight.question, &bytes);
            let told = message::answer_addresses(&bytes, flight.question.end);
            let trusted = asker.upstream.is_none() || has_egress_rules(&asker);
            for on in asker.memberships.iter().filter(|_| !told.is_empty()) {
                let address = on.endpoint.v4.map(|net| IpAddr::from(net.addr()));
                let address = address.or_else(|| on.endpoint.v6.map(|net| net.addr().into()));
                if let (Some(egress), Some(address)) = (&on.egress, address) {
                    egress.learn_answer(address, &flight.question.name, &told, trusted);
                }
            }
        }
        self.reply(flight.client, flight.origin, bytes);
    }

    /// Drops a query with all its sockets.
    pub(crate) fn drop_forwarded(&mut self, key: u64) -> Option<ForwardedQuery> {
        let mut flight = self.forwarded.remove(&key)?;
        self.timers.remove(&(flight.due, key));
        for one in flight.attempts.drain(..) {
            self.slots.remove(&one.token);
        }
        if let Some(member) = self.clients.get_mut(&flight.client) {
            member.flights.remove(&key);
        }
        Some(flight)
    }
}

/// Whether answers to this container may open its egress rules.
fn has_egress_rules(asker: &DnsClient) -> bool {
    asker.memberships.iter().any(|on| on.egress.as_ref().is_some_and(|egress| egress.restricts()))
}

/// Whether an address means the same in every network namespace.
fn is_reachable_from_host(address: IpAddr) -> bool {
    !address.is_loopback() && !address.is_unspecified()
}

/// A socket that is connected, or connecting, to a server.
fn connect_upstream(servers: &UpstreamServers, server: SocketAddr, tcp: bool) -> std::io::Result<OwnedFd> {
    let family = if server.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let kind = if tcp { SocketType::STREAM } else { SocketType::DGRAM };
    let socket = match servers.inside.as_ref().and_then(|asker| asker.upstream.as_ref()) {
        Some(own) => (own.sockets)(family, kind)?,
        None => socket(family, kind)?,
    };
    match rustix::net::connect(&socket, &server) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(socket),
        Err(error) => Err(error.into()),
    }
}

fn read_datagram(socket: &OwnedFd, buffer: &mut [u8]) -> UpstreamEvent {
    match rustix::net::recv(socket, &mut *buffer, RecvFlags::DONTWAIT) {
        Ok((_, length)) => UpstreamEvent::Reply(buffer.get(..length).unwrap_or_default().to_vec(), 0),
        Err(Errno::AGAIN | Errno::INTR) => UpstreamEvent::Nothing,
        Err(_) => UpstreamEvent::Failed,
    }
}

fn read_stream(epoll: &OwnedFd, socket: &OwnedFd, token: u64, stream: &mut UpstreamStream) -> UpstreamEvent {
    while !stream.output.is_empty() {
        match rustix::net::send(socket, &stream.output, SendFlags::NOSIGNAL) {
            Ok(sent) => drop(stream.output.drain(..sent.min(stream.output.len()))),
            Err(Errno::AGAIN | Errno::NOTCONN) => return UpstreamEvent::Nothing,
            Err(Errno::INTR) => {}
            Err(_) => return UpstreamEvent::Failed,
        }
        if stream.output.is_empty()
            && epoll::modify(epoll, socket, epoll::EventData::new_u64(token), EventFlags::IN).is_err()
        {
            return UpstreamEvent::Failed;
        }
    }
    let mut chunk = [0; 16 << 10];
    match rustix::io::read(socket, &mut chunk) {
        Ok(0) => UpstreamEvent::Failed,
        Ok(length) => {
            // One message of at most 64 KiB; whatever follows is not read.
            stream.input.extend(chunk.iter().take(length));
            split_frame(&stream.input).map_or(UpstreamEvent::Nothing, |bytes| UpstreamEvent::Reply(bytes, 0))
        }
        Err(Errno::AGAIN | Errno::INTR) => UpstreamEvent::Nothing,
        Err(_) => UpstreamEvent::Failed,
    }
}

//! Queries that are forwarded to the resolvers.
//!
//! A server that does not answer within [`ATTEMPT_TIMEOUT`] is not given up: the next one is asked as well,
//! and the first answer wins. The silent server has a shorter time-out until it answers again, or for
//! [`SILENT_MEMORY`]. A server that refuses, or reports a failure, is followed by the next one at once. If
//! none has an answer, the container gets what the last of them said, or SERVFAIL if all were silent.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::epoll::{self, EventFlags};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, SocketType};

use super::DnsClient;
use super::resolv_conf::MAX_SERVERS;
use super::state::{DnsServer, ForwardedQuery, QueryOrigin, TokenTarget, UpstreamAttempt, UpstreamStream};
use crate::socket::open_socket;
use dhow_model::dns_message::{self, DnsQuestion, code, split_frame};

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
const MAX_SILENT: usize = 64;
/// How often each server is asked.
const ROUNDS: usize = 2;

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
    client: Option<Arc<DnsClient>>,
}

impl DnsServer {
    /// Forwards a query.
    pub(super) fn forward(&mut self, key: u64, origin: QueryOrigin, query: Vec<u8>, question: DnsQuestion) {
        let Some(served) = self.clients.get(&key) else { return };
        if served.forwarded.len() >= MAX_PER_CONTAINER || self.forwarded.len() >= MAX_TOTAL {
            return self.reply_code(key, origin, &query, &question, code::REFUSED);
        }
        let token = self.token();
        let begun = Instant::now();
        let id = dns_message::id(&query);
        let (attempts, last_failure) = Default::default();
        let forwarded = ForwardedQuery {
            client: key,
            origin,
            id,
            query,
            question,
            attempts,
            turn: 0,
            last_failure,
            begun,
            due: begun,
        };
        self.forwarded.insert(token, forwarded);
        if let Some(served) = self.clients.get_mut(&key) {
            served.forwarded.insert(token);
        }
        self.ask_next(token);
    }

    /// Asks the next server that can be asked. If none is left and no answer is outstanding, fails the query.
    fn ask_next(&mut self, key: u64) {
        loop {
            let Some(forwarded) = self.forwarded.get(&key) else { return };
            // Looked up each time: the host's resolv.conf may have changed.
            let servers = self.upstream_servers(forwarded.client);
            let Some(forwarded) = self.forwarded.get(&key) else { return };
            let server = servers.list.get(forwarded.turn % servers.list.len().max(1)).copied();
            let Some(server) = server.filter(|_| forwarded.turn < servers.list.len() * ROUNDS) else {
                if forwarded.attempts.is_empty() {
                    return self.give_up(key);
                }
                return self.reschedule(key, forwarded.begun + QUERY_TIMEOUT);
            };
            let tcp = matches!(forwarded.origin, QueryOrigin::Tcp(_));
            let token = self.token();
            let connected = connect_upstream(&servers, server, tcp).and_then(|socket| {
                let interest = EventFlags::IN | if tcp { EventFlags::OUT } else { EventFlags::empty() };
                epoll::add(&self.epoll, &socket, epoll::EventData::new_u64(token), interest)?;
                Ok(socket)
            });
            let Some(forwarded) = self.forwarded.get_mut(&key) else { return };
            forwarded.turn += 1;
            let Ok(socket) = connected else { continue };
            let Ok(id) = dhow_sys::random::random_bytes().map(u16::from_ne_bytes) else { continue };
            let mut query = forwarded.query.clone();
            dns_message::set_id(&mut query, id);
            let stream = if tcp {
                let length = u16::try_from(query.len()).unwrap_or(0).to_be_bytes();
                Some(UpstreamStream { output: [&length, query.as_slice()].concat(), input: Vec::new() })
            } else {
                if rustix::net::send(&socket, &query, SendFlags::NOSIGNAL).is_err() {
                    continue;
                }
                None
            };
            let host_server = servers.client.is_none().then_some(server);
            let now = Instant::now();
            forwarded.attempts.push(UpstreamAttempt { token, host_server, begun: now, socket, id, stream });
            let was_silent = self.silent.get(&server).is_some_and(|until| now < *until);
            let timeout = if was_silent { SHORT_ATTEMPT_TIMEOUT } else { ATTEMPT_TIMEOUT };
            let due = (now + timeout).min(forwarded.begun + QUERY_TIMEOUT);
            self.slots.insert(token, TokenTarget::Upstream(key));
            return self.reschedule(key, due);
        }
    }

    /// The servers for the container `key`.
    fn upstream_servers(&mut self, key: u64) -> UpstreamServers {
        let client = self.names.get(key).map(Arc::clone);
        let custom = client.as_ref().and_then(|client| client.upstream.as_ref()).map(|custom| {
            custom
                .servers
                .iter()
                .take(MAX_SERVERS)
                .map(|ip| SocketAddr::new(*ip, self.port))
                .collect::<Vec<_>>()
        });
        match custom {
            Some(list) if client.as_deref().is_some_and(has_egress_rules) => {
                // Asked from the host's namespace, a loopback address would mean the host's loopback.
                let list = list.into_iter().filter(|server| is_reachable_from_host(server.ip())).collect();
                UpstreamServers { list, client: None }
            }
            Some(list) => UpstreamServers { list, client },
            None => UpstreamServers { list: self.resolvers.servers().to_vec(), client: None },
        }
    }

    fn reschedule(&mut self, key: u64, due: Instant) {
        if let Some(forwarded) = self.forwarded.get_mut(&key) {
            self.timers.remove(&(forwarded.due, key));
            forwarded.due = due;
            self.timers.insert((due, key));
        }
    }

    /// The time of a query has come: ask another server, or give up.
    pub(crate) fn attempt_timed_out(&mut self, key: u64, now: Instant) {
        let Some(forwarded) = self.forwarded.get(&key) else { return };
        if self.silent.len() > MAX_SILENT {
            // At worst, a silent server is waited for once more.
            self.silent.clear();
        }
        let silent = forwarded.attempts.iter().filter(|attempt| now >= attempt.begun + ATTEMPT_TIMEOUT);
        self.silent.extend(silent.filter_map(|attempt| Some((attempt.host_server?, now + SILENT_MEMORY))));
        match now >= forwarded.begun + QUERY_TIMEOUT {
            true => self.give_up(key),
            false => self.ask_next(key),
        }
    }

    /// A server's socket is readable, or failed.
    pub(crate) fn upstream_ready(&mut self, key: u64, token: u64) {
        let Some(forwarded) = self.forwarded.get_mut(&key) else { return };
        let Some(index) = forwarded.attempts.iter().position(|attempt| attempt.token == token) else {
            return;
        };
        let Some(attempt) = forwarded.attempts.get_mut(index) else { return };
        let event = match &mut attempt.stream {
            None => read_datagram(&attempt.socket, &mut self.buffer),
            Some(stream) => read_stream(&self.epoll, &attempt.socket, token, stream),
        };
        let event = match event {
            UpstreamEvent::Reply(mut bytes, _) => {
                match dns_message::reply_code(&bytes, attempt.id, &forwarded.query, &forwarded.question) {
                    // Over UDP anybody may have sent it; over TCP it is the server itself.
                    None if attempt.stream.is_none() => UpstreamEvent::Nothing,
                    None => UpstreamEvent::Failed,
                    Some(code) => {
                        if let Some(server) = &attempt.host_server {
                            self.silent.remove(server);
                        }
                        dns_message::set_id(&mut bytes, forwarded.id);
                        UpstreamEvent::Reply(bytes, code)
                    }
                }
            }
            other => other,
        };
        let failed = |code| matches!(code, code::FAILURE | code::NOT_IMPLEMENTED | code::REFUSED);
        match event {
            UpstreamEvent::Nothing => return,
            UpstreamEvent::Reply(bytes, code) if !failed(code) => return self.deliver(key, bytes),
            UpstreamEvent::Reply(bytes, _) => forwarded.last_failure = Some(bytes),
            UpstreamEvent::Failed => {}
        }
        forwarded.attempts.remove(index);
        self.slots.remove(&token);
        let servers = self.resolvers_of(key);
        match self.forwarded.get(&key) {
            // Every server was asked, and the last outstanding one has failed.
            Some(forwarded)
                if forwarded.attempts.is_empty()
                    && forwarded.last_failure.is_some()
                    && forwarded.turn >= servers =>
            {
                self.give_up(key);
            }
            _ => self.ask_next(key),
        }
    }

    fn resolvers_of(&mut self, key: u64) -> usize {
        let Some(client) = self.forwarded.get(&key).map(|forwarded| forwarded.client) else { return 0 };
        self.upstream_servers(client).list.len()
    }

    fn give_up(&mut self, key: u64) {
        let Some(forwarded) = self.forwarded.get_mut(&key) else { return };
        let failure = || dns_message::reply_with(&forwarded.query, Some(&forwarded.question), code::FAILURE);
        let bytes = forwarded.last_failure.take().unwrap_or_else(failure);
        self.deliver(key, bytes);
    }

    /// Delivers an answer to the container. The egress policies of its networks learn it first.
    fn deliver(&mut self, key: u64, bytes: Vec<u8>) {
        let Some(forwarded) = self.drop_forwarded(key) else { return };
        if let Some(client) = self.names.get(forwarded.client).map(Arc::clone) {
            self.log_answer(&client, &forwarded.question, &bytes);
            let addresses = dns_message::answer_addresses(&bytes, forwarded.question.end);
            let trusted = client.upstream.is_none() || has_egress_rules(&client);
            for membership in client.memberships.iter().filter(|_| !addresses.is_empty()) {
                if let (Some(egress), Some(address)) =
                    (&membership.egress, membership.endpoint.addresses().next())
                {
                    egress.learn_answer(address, &forwarded.question.name, &addresses, trusted);
                }
            }
        }
        self.reply(forwarded.client, forwarded.origin, bytes);
    }

    /// Drops a query with all its sockets.
    pub(crate) fn drop_forwarded(&mut self, key: u64) -> Option<ForwardedQuery> {
        let mut forwarded = self.forwarded.remove(&key)?;
        self.timers.remove(&(forwarded.due, key));
        for attempt in forwarded.attempts.drain(..) {
            self.slots.remove(&attempt.token);
        }
        if let Some(served) = self.clients.get_mut(&forwarded.client) {
            served.forwarded.remove(&key);
        }
        Some(forwarded)
    }
}

/// Whether answers to this container may open its egress rules.
fn has_egress_rules(client: &DnsClient) -> bool {
    client.memberships.iter().any(|on| on.egress.as_ref().is_some_and(|egress| egress.restricts()))
}

/// Whether an address means the same in every network namespace.
fn is_reachable_from_host(address: IpAddr) -> bool {
    !address.is_loopback() && !address.is_unspecified()
}

/// A socket that is connected, or connecting, to a server.
fn connect_upstream(servers: &UpstreamServers, server: SocketAddr, tcp: bool) -> std::io::Result<OwnedFd> {
    let kind = if tcp { SocketType::STREAM } else { SocketType::DGRAM };
    let socket = match servers.client.as_ref().and_then(|client| client.upstream.as_ref()) {
        Some(upstream) => (upstream.sockets)(server.is_ipv6(), kind)?,
        None => open_socket(server.is_ipv6(), kind, None)?,
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
        // ECONNREFUSED, for one: an ICMP error for the connected socket.
        Err(_) => UpstreamEvent::Failed,
    }
}

fn read_stream(epoll: &OwnedFd, socket: &OwnedFd, token: u64, stream: &mut UpstreamStream) -> UpstreamEvent {
    while !stream.output.is_empty() {
        match rustix::net::send(socket, &stream.output, SendFlags::NOSIGNAL) {
            Ok(sent) => drop(stream.output.drain(..sent.min(stream.output.len()))),
            // ENOTCONN: it is still connecting.
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

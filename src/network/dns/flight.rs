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

use super::client::frame;
use super::host::SERVERS;
use super::message::{self, Question, code};
use super::server::{Origin, Server, Slot};
use super::{Asker, socket};
use crate::sys;

/// Forwarded queries per container.
const EACH: usize = 256;
/// Forwarded queries in total.
const ALL: usize = 1024;
/// How long a server has before the next one is asked as well: less than the shortest time-out that
/// resolv.conf(5) allows, `timeout:1`.
const STEP: Duration = Duration::from_millis(700);
/// The same for a server that was silent lately: enough for a nearby one, which may know names that others do
/// not.
const SHORT_STEP: Duration = Duration::from_millis(150);
/// How long a server counts as silent.
const GRUDGE: Duration = Duration::from_secs(30);
/// How long a query is kept. C libraries retransmit after five seconds, with the same ID.
const PATIENCE: Duration = Duration::from_secs(10);
/// Number of silent servers to remember.
const MOST_SILENT: usize = 64;
/// How often each server is asked.
const ROUNDS: usize = 2;

/// A query that was forwarded.
#[derive(Debug)]
pub(super) struct Flight {
    key: u64,
    origin: Origin,
    /// The container's query ID.
    id: u16,
    query: Vec<u8>,
    question: Question,
    tries: Vec<Try>,
    /// Number of attempts so far; selects the next server.
    turn: usize,
    /// The last answer that was a failure or a refusal.
    excuse: Option<Vec<u8>>,
    begun: Instant,
    /// When it is looked at next.
    due: Instant,
}

/// A query sent to one server.
#[derive(Debug)]
struct Try {
    token: u64,
    /// The server, if it is one of the host's.
    of_host: Option<SocketAddr>,
    begun: Instant,
    socket: OwnedFd,
    id: u16,
    /// For TCP only.
    stream: Option<Stream>,
}

#[derive(Debug, Default)]
struct Stream {
    output: Vec<u8>,
    input: Vec<u8>,
}

/// What a server's socket had to say.
enum Heard {
    Nothing,
    /// The server will not answer.
    Dead,
    /// An answer with its response code, under the container's query ID.
    Reply(Vec<u8>, u8),
}

/// The servers to ask for a container, and from where.
struct Servers {
    list: Vec<SocketAddr>,
    /// The container whose `--dns` servers they are; they are asked from its namespace.
    inside: Option<Arc<Asker>>,
}

impl Server {
    /// Forwards a query.
    pub(super) fn forward(&mut self, key: u64, origin: Origin, query: Vec<u8>, question: Question) {
        let Some(member) = self.members.get(&key) else { return };
        if member.flights.len() >= EACH || self.flights.len() >= ALL {
            return self.say(key, origin, &query, &question, code::REFUSED);
        }
        let flight = self.token();
        let begun = Instant::now();
        let id = message::id(&query);
        let (tries, excuse) = Default::default();
        let new = Flight { key, origin, id, query, question, tries, turn: 0, excuse, begun, due: begun };
        self.flights.insert(flight, new);
        if let Some(member) = self.members.get_mut(&key) {
            member.flights.insert(flight);
        }
        self.ask(flight);
    }

    /// Asks the next server that can be asked. If none is left and no answer is outstanding, fails the query.
    fn ask(&mut self, key: u64) {
        loop {
            let Some(flight) = self.flights.get(&key) else { return };
            // Looked up each time: the host's resolv.conf may have changed.
            let servers = self.servers(flight.key);
            let Some(flight) = self.flights.get(&key) else { return };
            let server = servers.list.get(flight.turn % servers.list.len().max(1)).copied();
            let Some(server) = server.filter(|_| flight.turn < servers.list.len() * ROUNDS) else {
                if flight.tries.is_empty() {
                    return self.give_up(key);
                }
                return self.look_again(key, flight.begun + PATIENCE);
            };
            let tcp = matches!(flight.origin, Origin::Tcp(_));
            let token = self.token();
            let made = open(&servers, server, tcp).and_then(|socket| {
                let out = EventFlags::IN | if tcp { EventFlags::OUT } else { EventFlags::empty() };
                epoll::add(&self.epoll, &socket, epoll::EventData::new_u64(token), out)?;
                Ok(socket)
            });
            let Some(flight) = self.flights.get_mut(&key) else { return };
            flight.turn += 1;
            let Ok(socket) = made else { continue };
            let Ok(id) = sys::random::bytes().map(u16::from_ne_bytes) else { continue };
            let mut query = flight.query.clone();
            message::set_id(&mut query, id);
            let stream = if tcp {
                let length = u16::try_from(query.len()).unwrap_or(0).to_be_bytes();
                Some(Stream { output: [&length, query.as_slice()].concat(), input: Vec::new() })
            } else {
                if rustix::net::send(&socket, &query, SendFlags::NOSIGNAL).is_err() {
                    continue;
                }
                None
            };
            let of_host = servers.inside.is_none().then_some(server);
            let now = Instant::now();
            flight.tries.push(Try { token, of_host, begun: now, socket, id, stream });
            let was_silent = self.silent.get(&server).is_some_and(|until| now < *until);
            let step = if was_silent { SHORT_STEP } else { STEP };
            let due = (now + step).min(flight.begun + PATIENCE);
            self.slots.insert(token, Slot::Try(key));
            return self.look_again(key, due);
        }
    }

    /// The servers for the container `key`.
    fn servers(&mut self, key: u64) -> Servers {
        let asker = self.names.get(key).map(Arc::clone);
        let own = asker.as_ref().and_then(|asker| asker.upstream.as_ref()).map(|own| {
            own.servers.iter().take(SERVERS).map(|ip| SocketAddr::new(*ip, self.port)).collect::<Vec<_>>()
        });
        match own {
            Some(list) if asker.as_deref().is_some_and(restricted) => {
                // Asked from the host's namespace, a loopback address would mean the host's loopback.
                let list = list.into_iter().filter(|server| outside(server.ip())).collect();
                Servers { list, inside: None }
            }
            Some(list) => Servers { list, inside: asker },
            None => Servers { list: self.resolvers.servers().to_vec(), inside: None },
        }
    }

    fn look_again(&mut self, key: u64, due: Instant) {
        if let Some(flight) = self.flights.get_mut(&key) {
            self.timers.remove(&(flight.due, key));
            flight.due = due;
            self.timers.insert((due, key));
        }
    }

    /// The time of a query has come: ask another server, or give up.
    pub(super) fn overdue(&mut self, key: u64, now: Instant) {
        let Some(flight) = self.flights.get(&key) else { return };
        if self.silent.len() > MOST_SILENT {
            self.silent.clear();
        }
        let silent = flight.tries.iter().filter(|one| now >= one.begun + STEP);
        self.silent.extend(silent.filter_map(|one| Some((one.of_host?, now + GRUDGE))));
        match now >= flight.begun + PATIENCE {
            true => self.give_up(key),
            false => self.ask(key),
        }
    }

    /// A server's socket is readable, or failed.
    pub(super) fn heard(&mut self, key: u64, token: u64) {
        let Some(flight) = self.flights.get_mut(&key) else { return };
        let Some(at) = flight.tries.iter().position(|one| one.token == token) else { return };
        let Some(one) = flight.tries.get_mut(at) else { return };
        let heard = match &mut one.stream {
            None => hear_datagram(&one.socket, &mut self.buffer),
            Some(stream) => hear_stream(&self.epoll, &one.socket, token, stream),
        };
        let heard = match heard {
            Heard::Reply(mut bytes, _) => {
                match message::reply_code(&bytes, one.id, &flight.query, &flight.question) {
                    // Over UDP anybody may have sent it; over TCP it is the server itself.
                    None if one.stream.is_none() => Heard::Nothing,
                    None => Heard::Dead,
                    Some(code) => {
                        if let Some(server) = &one.of_host {
                            self.silent.remove(server);
                        }
                        message::set_id(&mut bytes, flight.id);
                        Heard::Reply(bytes, code)
                    }
                }
            }
            other => other,
        };
        let failed = |code| matches!(code, code::FAILURE | code::NOT_IMPLEMENTED | code::REFUSED);
        match heard {
            Heard::Nothing => return,
            Heard::Reply(bytes, code) if !failed(code) => return self.land(key, bytes),
            Heard::Reply(bytes, _) => flight.excuse = Some(bytes),
            Heard::Dead => {}
        }
        flight.tries.remove(at);
        self.slots.remove(&token);
        let servers = self.resolvers_of(key);
        match self.flights.get(&key) {
            // Every server was asked, and the last outstanding one has failed.
            Some(flight) if flight.tries.is_empty() && flight.excuse.is_some() && flight.turn >= servers => {
                self.give_up(key);
            }
            _ => self.ask(key),
        }
    }

    fn resolvers_of(&mut self, key: u64) -> usize {
        let Some(member) = self.flights.get(&key).map(|flight| flight.key) else { return 0 };
        self.servers(member).list.len()
    }

    fn give_up(&mut self, key: u64) {
        let Some(flight) = self.flights.get_mut(&key) else { return };
        let failure = || message::reply_with(&flight.query, Some(&flight.question), code::FAILURE);
        let bytes = flight.excuse.take().unwrap_or_else(failure);
        self.land(key, bytes);
    }

    /// Delivers an answer to the container. The egress policies of its networks learn it first.
    fn land(&mut self, key: u64, bytes: Vec<u8>) {
        let Some(flight) = self.drop_flight(key) else { return };
        if let Some(asker) = self.names.get(flight.key).map(Arc::clone) {
            self.answered(&asker, &flight.question, &bytes);
            let told = message::addresses(&bytes, flight.question.end);
            let trusted = asker.upstream.is_none() || restricted(&asker);
            for on in asker.memberships.iter().filter(|_| !told.is_empty()) {
                let address = on.endpoint.v4.map(|net| IpAddr::from(net.addr()));
                let address = address.or_else(|| on.endpoint.v6.map(|net| net.addr().into()));
                if let (Some(egress), Some(address)) = (&on.egress, address) {
                    egress.answered(address, &flight.question.name, &told, trusted);
                }
            }
        }
        self.reply(flight.key, flight.origin, bytes);
    }

    /// Drops a query with all its sockets.
    pub(super) fn drop_flight(&mut self, key: u64) -> Option<Flight> {
        let mut flight = self.flights.remove(&key)?;
        self.timers.remove(&(flight.due, key));
        for one in flight.tries.drain(..) {
            self.slots.remove(&one.token);
        }
        if let Some(member) = self.members.get_mut(&flight.key) {
            member.flights.remove(&key);
        }
        Some(flight)
    }
}

/// Whether answers to this container may open its egress rules.
fn restricted(asker: &Asker) -> bool {
    asker.memberships.iter().any(|on| on.egress.as_ref().is_some_and(|egress| egress.restricts()))
}

/// Whether an address means the same in every network namespace.
fn outside(address: IpAddr) -> bool {
    !address.is_loopback() && !address.is_unspecified()
}

/// A socket that is connected, or connecting, to a server.
fn open(servers: &Servers, server: SocketAddr, tcp: bool) -> std::io::Result<OwnedFd> {
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

fn hear_datagram(socket: &OwnedFd, buffer: &mut [u8]) -> Heard {
    match rustix::net::recv(socket, &mut *buffer, RecvFlags::DONTWAIT) {
        Ok((_, length)) => Heard::Reply(buffer.get(..length).unwrap_or_default().to_vec(), 0),
        Err(Errno::AGAIN | Errno::INTR) => Heard::Nothing,
        Err(_) => Heard::Dead,
    }
}

fn hear_stream(epoll: &OwnedFd, socket: &OwnedFd, token: u64, stream: &mut Stream) -> Heard {
    while !stream.output.is_empty() {
        match rustix::net::send(socket, &stream.output, SendFlags::NOSIGNAL) {
            Ok(sent) => drop(stream.output.drain(..sent.min(stream.output.len()))),
            Err(Errno::AGAIN | Errno::NOTCONN) => return Heard::Nothing,
            Err(Errno::INTR) => {}
            Err(_) => return Heard::Dead,
        }
        if stream.output.is_empty()
            && epoll::modify(epoll, socket, epoll::EventData::new_u64(token), EventFlags::IN).is_err()
        {
            return Heard::Dead;
        }
    }
    let mut chunk = [0; 16 << 10];
    match rustix::io::read(socket, &mut chunk) {
        Ok(0) => Heard::Dead,
        Ok(length) => {
            // One message of at most 64 KiB; whatever follows is not read.
            stream.input.extend(chunk.iter().take(length));
            frame(&stream.input).map_or(Heard::Nothing, |bytes| Heard::Reply(bytes, 0))
        }
        Err(Errno::AGAIN | Errno::INTR) => Heard::Nothing,
        Err(_) => Heard::Dead,
    }
}

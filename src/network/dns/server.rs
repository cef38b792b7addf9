//! The name service's thread: one epoll loop for all containers, in which nothing blocks.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::io;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::Instant;

use rustix::event::{Timespec, epoll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};

use super::answer::answer;
use super::client::Connection;
use super::flight::Flight;
use super::host::Resolvers;
use super::message::{self, Fault, Question, code};
use super::names::Names;
use super::{Asker, Sockets};
use crate::network::egress::log::{Line, Log};

/// Maximum length of a message in bytes.
pub(super) const LONGEST: usize = 65535;
/// Datagrams read from one container before the next one gets its turn.
const TURN: usize = 32;
/// Events per epoll_wait(2).
const EVENTS: usize = 64;
/// Token of the eventfd that announces commands.
const WAKE: u64 = 0;

#[derive(Debug)]
pub(super) enum Order {
    Add(u64, Arc<Asker>, Sockets),
    Update(u64, Arc<Asker>),
    Remove(u64),
    End,
}

/// What an epoll token stands for.
#[derive(Debug)]
pub(super) enum Slot {
    /// A container's UDP socket.
    Udp(u64),
    /// A container's TCP listener.
    Tcp(u64),
    /// A container's TCP connection.
    Connection(Box<Connection>),
    /// An attempt at an upstream server: the key of the forwarded query.
    Try(u64),
}

/// A container that is served.
#[derive(Debug)]
pub(super) struct Member {
    sockets: Sockets,
    tokens: [u64; 2],
    /// Tokens of its connections.
    pub(super) connections: HashSet<u64>,
    /// Keys of its forwarded queries.
    pub(super) flights: HashSet<u64>,
}

/// Where a query came from and the answer goes to.
#[derive(Clone, Copy, Debug)]
pub(super) enum Origin {
    Udp(SocketAddr),
    /// The token of a connection.
    Tcp(u64),
}

/// The state of the thread.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) epoll: OwnedFd,
    wake: Arc<OwnedFd>,
    orders: Receiver<Order>,
    ended: bool,
    /// Tokens and keys are never reused, so a late event cannot hit another object.
    next: u64,
    pub(super) slots: HashMap<u64, Slot>,
    pub(super) members: HashMap<u64, Member>,
    pub(super) names: Names,
    pub(super) flights: HashMap<u64, Flight>,
    /// When connections and forwarded queries are due, by token or key.
    pub(super) timers: BTreeSet<(Instant, u64)>,
    pub(super) resolvers: Resolvers,
    /// The host's servers that were silent lately, and until when that counts.
    pub(super) silent: HashMap<SocketAddr, Instant>,
    /// The port of `--dns` servers.
    pub(super) port: u16,
    pub(super) buffer: Vec<u8>,
    /// Reserved, to be closed when accept(2) fails with EMFILE.
    pub(super) spare: Option<OwnedFd>,
}

impl Server {
    pub(super) fn new(
        resolvers: Resolvers,
        wake: Arc<OwnedFd>,
        orders: Receiver<Order>,
        port: u16,
    ) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, &*wake, epoll::EventData::new_u64(WAKE), epoll::EventFlags::IN)?;
        let spare = rustix::io::fcntl_dupfd_cloexec(&*wake, 0)?;
        Ok(Self {
            epoll,
            wake,
            orders,
            ended: false,
            next: WAKE,
            slots: HashMap::new(),
            members: HashMap::new(),
            names: Names::default(),
            flights: HashMap::new(),
            timers: BTreeSet::new(),
            resolvers,
            silent: HashMap::new(),
            port,
            buffer: vec![0; LONGEST],
            spare: Some(spare),
        })
    }

    pub(super) fn run(mut self) {
        let mut space = [MaybeUninit::<epoll::Event>::uninit(); EVENTS];
        loop {
            let ready: Vec<(u64, epoll::EventFlags)> =
                match epoll::wait(&self.epoll, &mut space, self.patience().as_ref()) {
                    Ok((ready, _)) => ready.iter().map(|event| (event.data.u64(), event.flags)).collect(),
                    Err(Errno::INTR) => continue,
                    // The epoll instance itself is broken.
                    Err(_) => return,
                };
            let _ = rustix::io::read(&*self.wake, &mut [0; 8]);
            // Commands come first: they are in force for queries that were sent after them.
            self.obey();
            if self.ended {
                return;
            }
            for (token, flags) in ready {
                self.event(token, flags);
            }
            self.expire(Instant::now());
        }
    }

    /// How long to wait for events.
    fn patience(&self) -> Option<Timespec> {
        let (due, _) = self.timers.first()?;
        let wait = due.saturating_duration_since(Instant::now());
        // epoll_wait(2) may wake up early; a millisecond more makes sure that the time has come.
        Timespec::try_from(wait + std::time::Duration::from_millis(1)).ok()
    }

    /// Runs all queued commands.
    fn obey(&mut self) {
        loop {
            match self.orders.try_recv() {
                Ok(Order::Add(key, asker, sockets)) => self.add(key, asker, sockets),
                Ok(Order::Update(key, asker)) if self.members.contains_key(&key) => {
                    self.names.put(key, asker)
                }
                Ok(Order::Update(..)) => {}
                Ok(Order::Remove(key)) => self.remove(key),
                Err(TryRecvError::Empty) => return,
                Ok(Order::End) | Err(TryRecvError::Disconnected) => {
                    self.ended = true;
                    return;
                }
            }
        }
    }

    fn add(&mut self, key: u64, asker: Arc<Asker>, sockets: Sockets) {
        let (udp, tcp) = (self.token(), self.token());
        for (fd, token, slot) in [(&sockets.udp, udp, Slot::Udp(key)), (&sockets.tcp, tcp, Slot::Tcp(key))] {
            // Fails only without memory; the container's queries then stay unanswered.
            if epoll::add(&self.epoll, fd, epoll::EventData::new_u64(token), epoll::EventFlags::IN).is_ok() {
                self.slots.insert(token, slot);
            }
        }
        self.names.put(key, asker);
        let (connections, flights) = Default::default();
        self.members.insert(key, Member { sockets, tokens: [udp, tcp], connections, flights });
    }

    fn remove(&mut self, key: u64) {
        self.names.remove(key);
        let Some(member) = self.members.remove(&key) else { return };
        for flight in member.flights {
            self.drop_flight(flight);
        }
        for token in member.connections.into_iter().chain(member.tokens) {
            self.slots.remove(&token);
        }
    }

    pub(super) fn token(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn event(&mut self, token: u64, flags: epoll::EventFlags) {
        match self.slots.get(&token) {
            Some(Slot::Udp(key)) => self.datagrams(*key),
            Some(Slot::Tcp(key)) => self.accept(*key),
            Some(Slot::Connection(_)) => self.connection(token, flags),
            Some(Slot::Try(flight)) => self.heard(*flight, token),
            None => {}
        }
    }

    fn expire(&mut self, now: Instant) {
        while let Some((due, token)) = self.timers.first().copied() {
            if due > now {
                return;
            }
            self.timers.pop_first();
            if self.flights.contains_key(&token) {
                self.overdue(token, now);
            } else {
                self.idle(token, now);
            }
        }
    }

    fn datagrams(&mut self, key: u64) {
        for _ in 0..TURN {
            let Some(member) = self.members.get(&key) else { return };
            let received =
                rustix::net::recvfrom(&member.sockets.udp, self.buffer.as_mut_slice(), RecvFlags::empty());
            match received {
                Ok((_, length, Some(from))) => {
                    let Ok(from) = SocketAddr::try_from(from) else { continue };
                    let message = self.buffer.get(..length).unwrap_or_default().to_vec();
                    self.asked(key, Origin::Udp(from), message);
                }
                // The error belongs to an earlier reply whose port was closed meanwhile; queries may follow.
                Err(Errno::CONNREFUSED | Errno::HOSTUNREACH | Errno::NETUNREACH) => {}
                _ => return,
            }
        }
    }

    /// Answers a query, or forwards it.
    pub(super) fn asked(&mut self, key: u64, origin: Origin, message: Vec<u8>) {
        // Commands that were sent before the query, even if only just, must be in force.
        self.obey();
        let question = match message::query(&message) {
            Ok(question) => question,
            Err(Fault::Ignore) => return,
            Err(Fault::Say(code)) => {
                return self.reply(key, origin, message::reply_with(&message, None, code));
            }
        };
        let found = self.names.find(key, &question.name, question.kind);
        let Some(asker) = self.names.get(key).map(Arc::clone) else { return };
        if let Some(found) = found {
            let udp = matches!(origin, Origin::Udp(_));
            let bytes = answer(&message, &found, udp);
            let bytes = bytes.unwrap_or_else(|| message::reply_with(&message, Some(&question), code::FORMAT));
            self.answered(&asker, &question, &bytes);
            return self.reply(key, origin, bytes);
        }
        let told = if !asker.memberships.iter().any(|on| !on.network.internal) {
            Some(code::FAILURE)
        } else if asker.ndots_set
            && !question.name.contains('.')
            && matches!(question.kind, message::kind::A | message::kind::AAAA)
        {
            Some(0)
        } else {
            None
        };
        match told {
            Some(code) => self.say(key, origin, &message, &question, code),
            None => self.forward(key, origin, message, question),
        }
    }

    /// Replies with nothing but a response code.
    pub(super) fn say(&mut self, key: u64, origin: Origin, query: &[u8], question: &Question, code: u8) {
        let bytes = message::reply_with(query, Some(question), code);
        if let Some(asker) = self.names.get(key).map(Arc::clone) {
            self.answered(&asker, question, &bytes);
        }
        self.reply(key, origin, bytes);
    }

    /// Logs what a container is told.
    pub(super) fn answered(&self, asker: &Asker, question: &Question, reply: &[u8]) {
        if let Some(log) = &asker.log {
            write(log, asker, question, reply);
        }
    }

    /// Sends a reply. Like any network, it may be lost.
    pub(super) fn reply(&mut self, key: u64, origin: Origin, bytes: Vec<u8>) {
        match origin {
            Origin::Udp(to) => {
                if let Some(member) = self.members.get(&key) {
                    let _ = rustix::net::sendto(&member.sockets.udp, &bytes, SendFlags::NOSIGNAL, &to);
                }
            }
            Origin::Tcp(token) => self.reply_over(token, &bytes),
        }
    }

    pub(super) fn listener(&self, key: u64) -> Option<std::os::fd::BorrowedFd<'_>> {
        Some(self.members.get(&key)?.sockets.tcp.as_fd())
    }
}

fn write(log: &Log, asker: &Asker, question: &Question, reply: &[u8]) {
    let result = match reply.get(3).map(|flags| flags & 0x0f) {
        Some(0) => "answered",
        Some(1) => "FORMERR",
        Some(2) => "SERVFAIL",
        Some(3) => "NXDOMAIN",
        Some(4) => "NOTIMP",
        Some(5) => "REFUSED",
        _ => "failed",
    };
    let record = Some(message::kind_name(question.kind));
    let name = Some(question.name.clone());
    log.put(Line { container: asker.name.clone(), kind: "dns", name, record, result, ..Line::default() });
}

//! The state of the name service's thread.
//!
//! [`DnsServer`] has one `impl` per subject: `server.rs` runs the event loop and answers queries,
//! `forward.rs` asks the resolvers, `tcp.rs` serves the containers' TCP connections.
//!
//! # Identifiers
//!
//! - A *key* names a container ([`ServedClient`]), allocated by the service's owner.
//! - A *token* names a descriptor in the epoll set ([`TokenTarget`]) or a forwarded query. Tokens are never
//!   reused, so a late event cannot hit another object.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Instant;

use rustix::event::epoll;

use super::names::NameTable;
use super::resolv_conf::HostResolvers;
use super::{DnsClient, DnsSockets};
use crate::socket::ReserveFd;
use crate::wake::CommandReceiver;
use dhow_model::dns_message::{DnsQuestion, MAX_MESSAGE};

/// Token of the eventfd that announces commands.
const WAKE: u64 = 0;

#[derive(Debug)]
pub(super) enum DnsCommand {
    Add(u64, Arc<DnsClient>, DnsSockets),
    Update(u64, Arc<DnsClient>),
    Remove(u64),
    End,
}

/// What an epoll token stands for.
#[derive(Debug)]
pub(super) enum TokenTarget {
    /// A container's UDP socket.
    Udp(u64),
    /// A container's TCP listener.
    Tcp(u64),
    /// A container's TCP connection.
    Connection(Box<DnsConnection>),
    /// An attempt at an upstream server: the key of the forwarded query.
    Upstream(u64),
}

/// A container that is served.
#[derive(Debug)]
pub(super) struct ServedClient {
    pub(super) sockets: DnsSockets,
    pub(super) tokens: [u64; 2],
    /// Tokens of its connections.
    pub(super) connections: HashSet<u64>,
    /// Keys of its forwarded queries.
    pub(super) forwarded: HashSet<u64>,
}

/// Where a query came from and the answer goes to.
#[derive(Clone, Copy, Debug)]
pub(super) enum QueryOrigin {
    Udp(SocketAddr),
    /// The token of a connection.
    Tcp(u64),
}

#[derive(Debug)]
pub(super) struct DnsServer {
    pub(super) epoll: OwnedFd,
    pub(super) commands: CommandReceiver<DnsCommand>,
    pub(super) ended: bool,
    next: u64,
    pub(super) slots: HashMap<u64, TokenTarget>,
    pub(super) clients: HashMap<u64, ServedClient>,
    pub(super) names: NameTable,
    pub(super) forwarded: HashMap<u64, ForwardedQuery>,
    /// When connections and forwarded queries are due, by token or key.
    pub(super) timers: BTreeSet<(Instant, u64)>,
    pub(super) resolvers: HostResolvers,
    /// The host's servers that were silent lately, and until when that counts.
    pub(super) silent: HashMap<SocketAddr, Instant>,
    /// The port of `--dns` servers.
    pub(super) port: u16,
    pub(super) buffer: Vec<u8>,
    pub(super) reserve_fd: ReserveFd,
}

/// A query that was forwarded.
#[derive(Debug)]
pub(super) struct ForwardedQuery {
    pub(super) client: u64,
    pub(super) origin: QueryOrigin,
    /// The container's query ID.
    pub(super) id: u16,
    pub(super) query: Vec<u8>,
    pub(super) question: DnsQuestion,
    pub(super) attempts: Vec<UpstreamAttempt>,
    /// Number of attempts so far; selects the next server.
    pub(super) turn: usize,
    /// The last answer that was a failure or a refusal.
    pub(super) last_failure: Option<Vec<u8>>,
    pub(super) begun: Instant,
    /// When it is looked at next.
    pub(super) due: Instant,
}

/// A query sent to one server.
#[derive(Debug)]
pub(super) struct UpstreamAttempt {
    pub(super) token: u64,
    /// The server, if it is one of the host's.
    pub(super) host_server: Option<SocketAddr>,
    pub(super) begun: Instant,
    pub(super) socket: OwnedFd,
    pub(super) id: u16,
    /// For TCP only.
    pub(super) stream: Option<UpstreamStream>,
}

#[derive(Debug, Default)]
pub(super) struct UpstreamStream {
    pub(super) output: Vec<u8>,
    pub(super) input: Vec<u8>,
}

/// A container's connection.
#[derive(Debug)]
pub(super) struct DnsConnection {
    pub(super) socket: OwnedFd,
    pub(super) key: u64,
    pub(super) input: Vec<u8>,
    pub(super) output: Vec<u8>,
    /// Queries that are not answered yet.
    pub(super) pending: usize,
    /// The client has closed its end.
    pub(super) ended: bool,
    pub(super) interest: epoll::EventFlags,
    /// When to close it unless something happens.
    pub(super) due: Instant,
}

impl DnsServer {
    pub(super) fn new(
        resolvers: HostResolvers,
        commands: CommandReceiver<DnsCommand>,
        port: u16,
    ) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, commands.waker(), epoll::EventData::new_u64(WAKE), epoll::EventFlags::IN)?;
        let mut reserve_fd = ReserveFd::default();
        // For accept(2) when descriptors run out.
        reserve_fd.refill(&epoll);
        Ok(Self {
            epoll,
            commands,
            ended: false,
            next: WAKE,
            slots: HashMap::new(),
            clients: HashMap::new(),
            names: NameTable::default(),
            forwarded: HashMap::new(),
            timers: BTreeSet::new(),
            resolvers,
            silent: HashMap::new(),
            port,
            buffer: vec![0; MAX_MESSAGE],
            reserve_fd,
        })
    }

    /// A token that was never used before.
    pub(super) fn token(&mut self) -> u64 {
        self.next += 1;
        self.next
    }
}

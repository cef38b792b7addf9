//! The name service's thread: one epoll loop for all containers, in which nothing blocks.

use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::sync::mpsc::TryRecvError;
use std::time::Instant;

use rustix::event::{Timespec, epoll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};

use super::answer::build_answer;
use super::state::{DnsCommand, DnsServer, QueryOrigin, ServedClient, TokenTarget};
use super::{DnsClient, DnsSockets};
use crate::egress::log::{EgressLog, EgressRecord};
use dhow_model::dns_message::{self, DnsQuestion, QueryFault, code};

/// Datagrams read from one container before the next one gets its turn.
const TURN: usize = 32;
/// Events per epoll_wait(2).
const EVENTS: usize = 64;

impl DnsServer {
    pub(super) fn run(mut self) {
        let mut space = [MaybeUninit::<epoll::Event>::uninit(); EVENTS];
        loop {
            let ready: Vec<(u64, epoll::EventFlags)> =
                match epoll::wait(&self.epoll, &mut space, self.poll_timeout().as_ref()) {
                    Ok((ready, _)) => ready.iter().map(|event| (event.data.u64(), event.flags)).collect(),
                    Err(Errno::INTR) => continue,
                    // The epoll instance itself is broken.
                    Err(_) => return,
                };
            self.commands.waker().reset();
            // Commands come first: they are in force for queries that were sent after them.
            self.run_commands();
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
    fn poll_timeout(&self) -> Option<Timespec> {
        let (due, _) = self.timers.first()?;
        let wait = due.saturating_duration_since(Instant::now());
        // epoll_wait(2) may wake up early; a millisecond more makes sure that the time has come.
        Timespec::try_from(wait + std::time::Duration::from_millis(1)).ok()
    }

    /// Runs all queued commands.
    fn run_commands(&mut self) {
        loop {
            match self.commands.try_recv() {
                Ok(DnsCommand::Add(key, client, sockets)) => self.add(key, client, sockets),
                Ok(DnsCommand::Update(key, client)) if self.clients.contains_key(&key) => {
                    self.names.insert(key, client)
                }
                Ok(DnsCommand::Update(..)) => {}
                Ok(DnsCommand::Remove(key)) => self.remove(key),
                Err(TryRecvError::Empty) => return,
                Ok(DnsCommand::End) | Err(TryRecvError::Disconnected) => {
                    self.ended = true;
                    return;
                }
            }
        }
    }

    fn add(&mut self, key: u64, client: Arc<DnsClient>, sockets: DnsSockets) {
        let (udp, tcp) = (self.token(), self.token());
        for (fd, token, slot) in
            [(&sockets.udp, udp, TokenTarget::Udp(key)), (&sockets.tcp, tcp, TokenTarget::Tcp(key))]
        {
            // Fails only without memory; the container's queries then stay unanswered.
            if epoll::add(&self.epoll, fd, epoll::EventData::new_u64(token), epoll::EventFlags::IN).is_ok() {
                self.slots.insert(token, slot);
            }
        }
        self.names.insert(key, client);
        let (connections, forwarded) = Default::default();
        self.clients.insert(key, ServedClient { sockets, tokens: [udp, tcp], connections, forwarded });
    }

    fn remove(&mut self, key: u64) {
        self.names.remove(key);
        let Some(served) = self.clients.remove(&key) else { return };
        for forwarded in served.forwarded {
            self.drop_forwarded(forwarded);
        }
        for token in served.connections.into_iter().chain(served.tokens) {
            self.slots.remove(&token);
        }
    }

    fn event(&mut self, token: u64, flags: epoll::EventFlags) {
        match self.slots.get(&token) {
            Some(TokenTarget::Udp(key)) => self.datagrams(*key),
            Some(TokenTarget::Tcp(key)) => self.accept(*key),
            Some(TokenTarget::Connection(_)) => self.connection_event(token, flags),
            Some(TokenTarget::Upstream(forwarded)) => self.upstream_ready(*forwarded, token),
            None => {}
        }
    }

    fn expire(&mut self, now: Instant) {
        while let Some((due, token)) = self.timers.first().copied() {
            if due > now {
                return;
            }
            self.timers.pop_first();
            if self.forwarded.contains_key(&token) {
                self.attempt_timed_out(token, now);
            } else {
                self.idle(token, now);
            }
        }
    }

    fn datagrams(&mut self, key: u64) {
        for _ in 0..TURN {
            let Some(served) = self.clients.get(&key) else { return };
            let received =
                rustix::net::recvfrom(&served.sockets.udp, self.buffer.as_mut_slice(), RecvFlags::empty());
            match received {
                Ok((_, length, Some(from))) => {
                    let Ok(from) = SocketAddr::try_from(from) else { continue };
                    let message = self.buffer.get(..length).unwrap_or_default().to_vec();
                    self.handle_query(key, QueryOrigin::Udp(from), message);
                }
                // The error belongs to an earlier reply whose port was closed meanwhile; queries may follow.
                Err(Errno::CONNREFUSED | Errno::HOSTUNREACH | Errno::NETUNREACH) => {}
                _ => return,
            }
        }
    }

    /// Answers a query, or forwards it.
    pub(super) fn handle_query(&mut self, key: u64, origin: QueryOrigin, message: Vec<u8>) {
        // Commands that were sent before the query, even if only just, must be in force.
        self.run_commands();
        let question = match dns_message::parse_query(&message) {
            Ok(question) => question,
            Err(QueryFault::Ignore) => return,
            Err(QueryFault::Reply(code)) => {
                return self.reply(key, origin, dns_message::reply_with(&message, None, code));
            }
        };
        let answer = self.names.resolve(key, &question.name, question.kind);
        let Some(client) = self.names.get(key).map(Arc::clone) else { return };
        if let Some(answer) = answer {
            let udp = matches!(origin, QueryOrigin::Udp(_));
            let bytes = build_answer(&message, &question, &answer, udp);
            let bytes =
                bytes.unwrap_or_else(|| dns_message::reply_with(&message, Some(&question), code::FORMAT));
            self.log_answer(&client, &question, &bytes);
            return self.reply(key, origin, bytes);
        }
        let local_code = if !client.memberships.iter().any(|on| !on.network.internal) {
            Some(code::FAILURE)
        } else if client.ndots_set
            && !question.name.contains('.')
            && matches!(question.kind, dns_message::kind::A | dns_message::kind::AAAA)
        {
            Some(0)
        } else {
            None
        };
        match local_code {
            Some(code) => self.reply_code(key, origin, &message, &question, code),
            None => self.forward(key, origin, message, question),
        }
    }

    /// Replies with nothing but a response code.
    pub(super) fn reply_code(
        &mut self,
        key: u64,
        origin: QueryOrigin,
        query: &[u8],
        question: &DnsQuestion,
        code: u8,
    ) {
        let bytes = dns_message::reply_with(query, Some(question), code);
        if let Some(client) = self.names.get(key).map(Arc::clone) {
            self.log_answer(&client, question, &bytes);
        }
        self.reply(key, origin, bytes);
    }

    /// Logs what a container is told.
    pub(super) fn log_answer(&self, client: &DnsClient, question: &DnsQuestion, reply: &[u8]) {
        if let Some(log) = &client.log {
            log_query(log, client, question, reply);
        }
    }

    /// Sends a reply. Like any network, it may be lost.
    pub(super) fn reply(&mut self, key: u64, origin: QueryOrigin, bytes: Vec<u8>) {
        match origin {
            QueryOrigin::Udp(to) => {
                if let Some(served) = self.clients.get(&key) {
                    let _ = rustix::net::sendto(&served.sockets.udp, &bytes, SendFlags::NOSIGNAL, &to);
                }
            }
            QueryOrigin::Tcp(token) => self.reply_over(token, &bytes),
        }
    }

    pub(super) fn listener(&self, key: u64) -> Option<std::os::fd::BorrowedFd<'_>> {
        Some(self.clients.get(&key)?.sockets.tcp.as_fd())
    }
}

fn log_query(log: &EgressLog, client: &DnsClient, question: &DnsQuestion, reply: &[u8]) {
    let result = match reply.get(3).map(|flags| flags & 0x0f) {
        Some(0) => "answered",
        code => code.and_then(code::name).unwrap_or("failed"),
    };
    let record = Some(dns_message::kind::type_name(question.kind));
    let name = Some(question.name.clone());
    log.record(EgressRecord {
        container: client.name.clone(),
        kind: "dns",
        name,
        record,
        result,
        ..EgressRecord::default()
    });
}

//! Two sockets that are one connection, and the bytes between them.
//!
//! What is asked of it, and how: a FIN goes on as a FIN of that direction alone, so that a connection may be half closed
//! for as long as its ends like; a reset or any other error of one side resets the other; nothing ever times out, for
//! what the ends do about silence (keep-alive, time-outs of their own) is theirs. What a container has said before it ended still arrives. A side that does not read stops its
//! peer, for no more is read than what is already on its way: one buffer or one pipe for each direction.

use std::io::{self, ErrorKind};
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::event::epoll::EventFlags;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown};
use rustix::pipe::SpliceFlags;

use super::pipes::{Pipe, Pipes};
use super::quota::Permit;

/// The size of the buffer that all connections of a worker share, in bytes.
pub(super) const BUFFER: usize = 64 << 10;
/// Splicing pays from here on: a connection that moves less needs no pipe.
const BULK: u64 = 64 << 10;
/// A read of so much, in bytes, says that there is a stream; one of so little that there are messages.
const STREAM: usize = 16 << 10;
const MESSAGE: usize = 4 << 10;
/// What a direction may move before others have their turn, in bytes.
const TURN: usize = 512 << 10;
/// A connection that has moved this much, in bytes, is worth being given to the worker that has least to do.
const HEAVY: u64 = 1 << 20;

/// Two connected sockets that do not block, to be made one connection. Both reset their connections when they are closed
/// ([`reset_on_close`]): whatever ends this process must not look like the end of the stream to either side.
#[derive(Debug)]
pub(crate) struct Pair {
    /// Towards the container.
    pub(crate) inside: OwnedFd,
    /// Towards the rest of the world.
    pub(crate) outside: OwnedFd,
    /// Whether the inner one may still be connecting, to which the outer one has come. Sockets other than an outer one to
    /// which the inner one has come are set to send small packets at once (tcp(7), `TCP_NODELAY`).
    pub(crate) connecting: bool,
    /// The container.
    pub(crate) container: IpAddr,
    /// What the connection belongs to: all of one owner can be reset at once.
    pub(crate) owner: u64,
    /// Its place among all connections.
    pub(crate) permit: Permit,
}

/// The connection.
#[derive(Debug)]
pub(super) struct Conn {
    /// The inner and the outer socket.
    pub(super) sockets: [OwnedFd; 2],
    /// From the inner to the outer socket, and back.
    ways: [Way; 2],
    sides: [Side; 2],
    /// An error was seen on one side.
    broken: bool,
    /// It waits for its turn.
    pub(super) queued: bool,
    /// It is counted among those that move much.
    pub(super) heavy: bool,
    /// The container is gone; what it said before it closed its end is still to be brought to the other.
    pub(super) orphaned: bool,
    /// See [`Pair`].
    pub(super) container: IpAddr,
    /// See [`Pair`].
    pub(super) owner: u64,
    _permit: Permit,
}

#[derive(Debug, Default)]
struct Side {
    readable: bool,
    writable: bool,
    /// It has ended in some way: a short read is not the last.
    ended: bool,
    /// It has ended with a FIN: a short read takes all there will be,
    fin: bool,
    /// unless there is urgent data, in front of which every read stops.
    urgent: bool,
}

#[derive(Debug, Default)]
struct Way {
    /// What was read and could not be written yet.
    left: Vec<u8>,
    /// What of it is written.
    sent: usize,
    pipe: Option<Pipe>,
    /// Bytes in the pipe.
    held: usize,
    moved: u64,
    splices: bool,
    /// The source has ended.
    eof: bool,
    /// And the destination knows.
    done: bool,
    /// The destination sends what it gets at once.
    prompt: bool,
}

/// How a turn ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Nothing more can be moved until something happens.
    Idle,
    /// Its time was up.
    More,
    /// Both directions have ended.
    Over,
    /// It has to be reset.
    Broken,
}

/// What the connections of a worker share.
#[derive(Debug)]
pub(super) struct Tools {
    /// For bytes that do not go through a pipe.
    pub(super) buffer: Box<[u8]>,
    /// Pipes.
    pub(super) pipes: Pipes,
}

impl Tools {
    /// A buffer and no pipes yet.
    pub(super) fn new() -> Self {
        Self { buffer: vec![0; BUFFER].into_boxed_slice(), pipes: Pipes::default() }
    }
}

impl From<Pair> for Conn {
    fn from(pair: Pair) -> Self {
        let ready = |writable| Side { writable, ..Side::default() };
        let way = |prompt| Way { prompt, ..Way::default() };
        Self {
            sockets: [pair.inside, pair.outside],
            // Those that were accepted do; and a socket that has sent nothing has nothing to wait for (RFC 896).
            ways: [way(pair.connecting), way(true)],
            sides: [ready(!pair.connecting), ready(true)],
            broken: false,
            queued: false,
            heavy: false,
            orphaned: false,
            container: pair.container,
            owner: pair.owner,
            _permit: pair.permit,
        }
    }
}

impl Conn {
    /// Takes notice of an event of one side.
    pub(super) fn notice(&mut self, side: usize, flags: EventFlags) {
        let Some(state) = self.sides.get_mut(side) else { return };
        let ended = flags.intersects(EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR);
        state.readable |= ended || flags.contains(EventFlags::IN);
        state.writable |= flags.intersects(EventFlags::OUT | EventFlags::ERR);
        state.ended |= ended;
        // A reset looks like a FIN to those who do not look for errors.
        state.fin |= flags.contains(EventFlags::RDHUP) && !flags.contains(EventFlags::ERR);
        state.urgent |= flags.contains(EventFlags::PRI);
        self.broken |= flags.contains(EventFlags::ERR);
    }

    /// Moves what can be moved, in both directions, but not for too long.
    pub(super) fn turn(&mut self, tools: &mut Tools) -> Turn {
        let ([inner, outer], [there, back]) = (&mut self.sides, &mut self.ways);
        let [inside, outside] = &self.sockets;
        let first = there.pump((inside, inner), (outside, outer), tools, back.done);
        let second = match self.orphaned {
            true => Ok(false),
            false => back.pump((outside, outer), (inside, inner), tools, there.done),
        };
        let turns = [first, second];
        match turns {
            [Ok(_), Err(_)] | [Err(_), _] => Turn::Broken,
            [Ok(true), _] | [_, Ok(true)] => Turn::More,
            _ if self.broken => Turn::Broken,
            _ if self.orphaned && there.done => Turn::Over,
            _ if self.ways.iter().all(|way| way.done) => Turn::Over,
            _ => Turn::Idle,
        }
    }

    /// Takes notice that the container is gone; whether it closed its end in order before, so that what it said still has
    /// to arrive.
    pub(super) fn orphan(&mut self) -> bool {
        let ([inner, _], [inside, _]) = (&mut self.sides, &self.sockets);
        let mut fds = [PollFd::new(inside, PollFlags::RDHUP)];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        let polled = rustix::event::poll(&mut fds, Some(&now)).is_ok();
        let [found] = fds.map(|fd| fd.revents());
        let closed = inner.ended || polled && found.contains(PollFlags::RDHUP);
        self.orphaned = closed && !self.broken && !found.contains(PollFlags::ERR);
        (inner.ended, inner.readable) = (closed, true);
        self.orphaned
    }

    /// Whether it has just proved to move much, and can be moved itself.
    pub(super) fn is_heavy(&self) -> bool {
        !self.orphaned
            && self.ways.iter().any(|way| way.moved >= HEAVY)
            && self.ways.iter().all(|way| way.pipe.is_none())
    }

    /// Closes it: both ways have ended. What is not sent yet still will be, except to a container that is gone.
    pub(super) fn close(self, pipes: &mut Pipes) {
        for socket in self.sockets.iter().skip(usize::from(self.orphaned)) {
            let _ = rustix::net::sockopt::set_socket_linger(socket, None);
        }
        self.lose(pipes);
    }

    fn lose(self, pipes: &mut Pipes) {
        self.ways.into_iter().filter_map(|way| way.pipe).for_each(|pipe| pipes.lose(pipe));
    }

    /// Closes it with a reset to both sides, as it is set to.
    pub(super) fn reset(self, pipes: &mut Pipes) {
        self.lose(pipes);
    }
}

/// Has a socket answer its peer with a reset when it is closed, in place of what is not sent yet.
pub(crate) fn reset_on_close(socket: &OwnedFd) {
    // Nothing is left to do where it fails: the peer sees an end instead.
    let _ = rustix::net::sockopt::set_socket_linger(socket, Some(Duration::ZERO));
}

impl Way {
    /// Moves bytes until one of the sockets is not ready (`false`) or the turn is over (`true`). Where it is the `last`
    /// way, the connection is closed when it ends, which says so to the destination.
    fn pump(
        &mut self,
        (from, source): (&OwnedFd, &mut Side),
        (to, sink): (&OwnedFd, &mut Side),
        tools: &mut Tools,
        last: bool,
    ) -> io::Result<bool> {
        let mut budget = TURN;
        let result = loop {
            if self.done || !self.flush(to, sink)? {
                break false;
            }
            if self.eof {
                if !last {
                    rustix::net::shutdown(to, Shutdown::Write)?;
                }
                self.done = true;
                break false;
            }
            if !source.readable || !sink.writable {
                break false;
            }
            if budget == 0 {
                break true;
            }
            let Some(count) = self.fill(from, source, to, sink, tools)? else { continue };
            self.eof |= count == 0;
            self.moved = self.moved.saturating_add(count as u64);
            budget = budget.saturating_sub(count);
        };
        if self.held == 0
            && let Some(pipe) = self.pipe.take()
        {
            tools.pipes.put(pipe);
        }
        Ok(result)
    }

    /// Writes what was read before; whether nothing of it is left.
    fn flush(&mut self, to: &OwnedFd, sink: &mut Side) -> io::Result<bool> {
        while sink.writable && self.sent < self.left.len() {
            let rest = self.left.get(self.sent..).unwrap_or_default();
            match ready(rustix::net::send(to, rest, SendFlags::NOSIGNAL))? {
                Some(count) => self.sent += count,
                None => sink.writable = false,
            }
        }
        if self.sent < self.left.len() {
            return Ok(false);
        }
        (self.left, self.sent) = (Vec::new(), 0);
        while sink.writable
            && self.held > 0
            && let Some(pipe) = &self.pipe
        {
            let flags = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
            match ready(rustix::pipe::splice(&pipe.out, None, to, None, self.held, flags))? {
                Some(0) => return Err(ErrorKind::WriteZero.into()),
                Some(count) => self.held = self.held.saturating_sub(count),
                None => sink.writable = false,
            }
        }
        Ok(self.held == 0)
    }

    /// Reads once: how much, 0 at the end; `None` where there is nothing now.
    fn fill(
        &mut self,
        from: &OwnedFd,
        source: &mut Side,
        to: &OwnedFd,
        sink: &mut Side,
        tools: &mut Tools,
    ) -> io::Result<Option<usize>> {
        if self.splices && self.pipe.is_none() {
            self.pipe = tools.pipes.take();
        }
        if self.splices
            && let Some(pipe) = &self.pipe
        {
            let flags = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
            // The pipe is empty: that it would block is for want of bytes.
            let count = ready(rustix::pipe::splice(from, None, &pipe.into, None, pipe.size, flags))?;
            source.readable = count.is_some();
            self.held = count.unwrap_or(0);
            self.splices = count.is_none_or(|count| count >= MESSAGE);
            return Ok(count);
        }
        let (count, _) = match ready(rustix::net::recv(from, &mut *tools.buffer, RecvFlags::empty()))? {
            Some(read) => read,
            None => {
                source.readable = false;
                return Ok(None);
            }
        };
        // A short read has taken all there was; what comes later is a new event, unless it came already (epoll(7)).
        source.readable = count == tools.buffer.len() || source.ended;
        self.splices = count >= STREAM && self.moved >= BULK;
        let bytes = tools.buffer.get(..count).unwrap_or_default();
        if bytes.is_empty() {
            return Ok(Some(0));
        }
        if !self.prompt && self.moved > 0 {
            rustix::net::sockopt::set_tcp_nodelay(to, true)?;
            self.prompt = true;
        }
        // So the last bytes and the FIN are one packet, and wake their reader once.
        self.eof = source.fin && !source.urgent && count < tools.buffer.len();
        let more = if self.eof { SendFlags::MORE } else { SendFlags::empty() };
        let written = ready(rustix::net::send(to, bytes, SendFlags::NOSIGNAL | more))?.unwrap_or(0);
        if written < count {
            sink.writable = false;
            self.left = bytes.get(written..).unwrap_or_default().to_vec();
        }
        Ok(Some(count))
    }
}

/// `None` where it would block.
fn ready<T>(result: rustix::io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(Errno::AGAIN) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
#[path = "conn_tests.rs"]
mod tests;

//! A relayed connection: two sockets, and the bytes between them.
//!
//! - A FIN is passed on as a FIN of that direction alone, so a connection may stay half closed as long as its ends like.
//! - A reset, or any other error of one side, resets the other.
//! - Nothing times out: keep-alive and time-outs are the ends' business.
//! - What a container sent before it exited still arrives.
//! - Backpressure: a side that does not read stops its peer, because at most one buffer or one pipe per direction is held.

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

/// Size of the buffer that all connections of a worker share, in bytes.
pub(super) const BUFFER: usize = 64 << 10;
/// Bytes from which splicing pays; a connection that moves less needs no pipe.
const BULK: u64 = 64 << 10;
/// A read of at least this many bytes indicates a stream; a splice of fewer than the second indicates
/// messages.
const STREAM: usize = 16 << 10;
const MESSAGE: usize = 4 << 10;
/// Bytes that a direction may move before other connections get their turn.
const TURN: usize = 512 << 10;
/// Bytes from which a connection counts as heavy and may move to another worker.
const HEAVY: u64 = 1 << 20;

/// Two non-blocking sockets that are to become one connection. Both must reset their connections when they
/// are closed ([`reset_on_close`]): if this process is killed, neither side may see a clean end of the
/// stream.
#[derive(Debug)]
pub(crate) struct Pair {
    pub(crate) inside: OwnedFd,
    pub(crate) outside: OwnedFd,
    /// Whether the inner socket may still be connecting, on behalf of the accepted outer one. TCP_NODELAY
    /// must be set on every socket but an outer one that was connected for an accepted inner one.
    pub(crate) connecting: bool,
    pub(crate) container: IpAddr,
    /// All connections of one owner can be reset at once.
    pub(crate) owner: u64,
    pub(crate) permit: Permit,
}

#[derive(Debug)]
pub(super) struct Conn {
    /// The inner and the outer socket.
    pub(super) sockets: [OwnedFd; 2],
    /// From the inner to the outer socket, and back.
    ways: [Way; 2],
    sides: [Side; 2],
    broken: bool,
    /// It is in the worker's queue.
    pub(super) queued: bool,
    /// It is counted as heavy.
    pub(super) heavy: bool,
    /// The container is gone; only what it sent before it closed its end is still passed on.
    pub(super) orphaned: bool,
    pub(super) container: IpAddr,
    pub(super) owner: u64,
    _permit: Permit,
}

#[derive(Debug, Default)]
struct Side {
    readable: bool,
    writable: bool,
    /// Ended in any way: a short read is not the last one.
    ended: bool,
    /// Ended with a FIN, so a short read takes everything that is left …
    fin: bool,
    /// … unless there is urgent data, before which every read stops.
    urgent: bool,
}

#[derive(Debug, Default)]
struct Way {
    /// Bytes read that could not be written yet.
    left: Vec<u8>,
    /// How many of them have been written.
    sent: usize,
    pipe: Option<Pipe>,
    /// Bytes in the pipe.
    held: usize,
    moved: u64,
    splices: bool,
    /// The source has ended …
    eof: bool,
    /// … and the destination has been told.
    done: bool,
    /// TCP_NODELAY is set on the destination.
    prompt: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Blocked until the next event.
    Idle,
    /// The byte budget is used up.
    More,
    /// Both directions have ended.
    Over,
    /// To be reset.
    Broken,
}

/// What the connections of a worker share.
#[derive(Debug)]
pub(super) struct Tools {
    /// For bytes that do not go through a pipe.
    pub(super) buffer: Box<[u8]>,
    pub(super) pipes: Pipes,
}

impl Tools {
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
            // Accepted sockets inherit TCP_NODELAY; one that has sent nothing has nothing for Nagle's
            // algorithm to wait for (RFC 896).
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
    /// Records an epoll event of one side.
    pub(super) fn notice(&mut self, side: usize, flags: EventFlags) {
        let Some(state) = self.sides.get_mut(side) else { return };
        let ended = flags.intersects(EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR);
        state.readable |= ended || flags.contains(EventFlags::IN);
        state.writable |= flags.intersects(EventFlags::OUT | EventFlags::ERR);
        state.ended |= ended;
        // A reset sets EPOLLRDHUP as well; only without EPOLLERR it is a FIN.
        state.fin |= flags.contains(EventFlags::RDHUP) && !flags.contains(EventFlags::ERR);
        state.urgent |= flags.contains(EventFlags::PRI);
        self.broken |= flags.contains(EventFlags::ERR);
    }

    /// Moves what can be moved in both directions, up to the byte budget.
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
            // After the pumps: bytes that arrived before the error are still passed on.
            _ if self.broken => Turn::Broken,
            _ if self.orphaned && there.done => Turn::Over,
            _ if self.ways.iter().all(|way| way.done) => Turn::Over,
            _ => Turn::Idle,
        }
    }

    /// Records that the container is gone. Returns whether it had closed its end cleanly, so that what it
    /// sent still has to arrive.
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

    /// Whether it has just become heavy and holds no pipe, so that it can change workers.
    pub(super) fn is_heavy(&self) -> bool {
        !self.orphaned
            && self.ways.iter().any(|way| way.moved >= HEAVY)
            && self.ways.iter().all(|way| way.pipe.is_none())
    }

    /// Closes it after both directions have ended. Unsent bytes are still delivered, except to a container
    /// that is gone.
    pub(super) fn close(self, pipes: &mut Pipes) {
        for socket in self.sockets.iter().skip(usize::from(self.orphaned)) {
            let _ = rustix::net::sockopt::set_socket_linger(socket, None);
        }
        self.lose(pipes);
    }

    fn lose(self, pipes: &mut Pipes) {
        self.ways.into_iter().filter_map(|way| way.pipe).for_each(|pipe| pipes.lose(pipe));
    }

    /// Closes it with a reset to both sides (SO_LINGER 0).
    pub(super) fn reset(self, pipes: &mut Pipes) {
        self.lose(pipes);
    }
}

/// Makes close(2) send a reset and drop unsent bytes (SO_LINGER 0).
pub(crate) fn reset_on_close(socket: &OwnedFd) {
    // If it fails, the peer sees an end of stream instead; nothing can be done about that.
    let _ = rustix::net::sockopt::set_socket_linger(socket, Some(Duration::ZERO));
}

impl Way {
    /// Moves bytes until one of the sockets is not ready (`false`) or the budget is used up (`true`). With
    /// `last`, the other direction has ended already: closing the connection then sends the FIN.
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
        // An empty pipe goes back to the pool, so idle connections hold none.
        if self.held == 0
            && let Some(pipe) = self.pipe.take()
        {
            tools.pipes.put(pipe);
        }
        Ok(result)
    }

    /// Writes what was read before. Returns whether nothing is left.
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

    /// Reads once. Returns the number of bytes, 0 at the end, `None` if nothing is available.
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
            // The pipe is empty, so EAGAIN can only mean that the source has no bytes.
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
        // A short read has drained the socket; later data is a new edge, unless the end was reported already
        // (epoll(7)).
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
        // MSG_MORE lets the last bytes and the FIN travel in one segment, which wakes the reader once.
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

/// Maps EAGAIN to `None`.
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

//! A relayed connection: two sockets, and the bytes between them.
//!
//! - A FIN is passed on as a FIN of that direction alone, so a connection may stay half closed as long as its
//!   ends like.
//! - A reset, or any other error of one side, resets the other.
//! - Nothing times out: keep-alive and time-outs are the ends' business.
//! - What a container sent before it exited still arrives.
//! - Backpressure: a side that does not read stops its peer, because at most one buffer or one pipe per
//!   direction is held.

use std::io::{self, ErrorKind};
use std::net::IpAddr;
use std::os::fd::OwnedFd;

use rustix::event::epoll::EventFlags;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown};
use rustix::pipe::SpliceFlags;

use super::pipes::{PipePool, SplicePipe};
use super::quota::QuotaPermit;

/// Size of the buffer that all connections of a worker share, in bytes.
pub(super) const BUFFER_SIZE: usize = 64 << 10;
/// Bytes from which splicing pays; a connection that moves less needs no pipe.
const SPLICE_THRESHOLD: u64 = 64 << 10;
/// A read of at least this many bytes indicates a stream; a splice of fewer than the second indicates
/// messages.
const BULK_READ: usize = 16 << 10;
const SMALL_READ: usize = 4 << 10;
/// Bytes that a direction may move before other connections get their turn.
const TURN_BYTES: usize = 512 << 10;
/// Bytes from which a connection counts as heavy and may move to another worker.
const HEAVY_BYTES: u64 = 1 << 20;

/// Two non-blocking sockets that are to become one connection. Both must reset their connections when they
/// are closed ([`crate::socket::reset_on_close`]): if this process is killed, neither side may see a clean
/// end of the stream.
#[derive(Debug)]
pub(crate) struct RelayPair {
    pub inside: OwnedFd,
    pub outside: OwnedFd,
    /// Whether the inner socket may still be connecting, on behalf of the accepted outer one. TCP_NODELAY
    /// must be set on every socket but an outer one that was connected for an accepted inner one.
    pub connecting: bool,
    pub container: IpAddr,
    /// All connections of one owner can be reset at once.
    pub owner: u64,
    pub(crate) permit: QuotaPermit,
}

#[derive(Debug)]
pub(super) struct RelayConn {
    /// The inner and the outer socket.
    pub(super) sockets: [OwnedFd; 2],
    /// From the inner to the outer socket, and back.
    directions: [RelayDirection; 2],
    sides: [ConnSide; 2],
    broken: bool,
    /// It is in the worker's queue.
    pub(super) queued: bool,
    /// It is counted as heavy.
    pub(super) heavy: bool,
    /// The container is gone; only what it sent before it closed its end is still passed on.
    pub(super) orphaned: bool,
    pub(super) container: IpAddr,
    pub(super) owner: u64,
    _permit: QuotaPermit,
}

#[derive(Debug, Default)]
struct ConnSide {
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
struct RelayDirection {
    /// Bytes read that could not be written yet.
    unsent: Vec<u8>,
    /// How many of them have been written.
    sent: usize,
    pipe: Option<SplicePipe>,
    /// Bytes in the pipe.
    in_pipe: usize,
    moved: u64,
    use_splice: bool,
    /// The source has ended …
    eof: bool,
    /// … and the destination has been told.
    done: bool,
    /// TCP_NODELAY is set on the destination.
    nodelay: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RelayTurn {
    /// Blocked until the next event.
    Idle,
    /// The byte budget is used up.
    More,
    /// Both directions have ended.
    Finished,
    /// To be reset.
    Broken,
}

/// What the connections of a worker share.
#[derive(Debug)]
pub(super) struct WorkerBuffers {
    /// For bytes that do not go through a pipe.
    pub(super) buffer: Box<[u8]>,
    pub(super) pipes: PipePool,
}

impl WorkerBuffers {
    pub(super) fn new() -> Self {
        Self { buffer: vec![0; BUFFER_SIZE].into_boxed_slice(), pipes: PipePool::default() }
    }
}

impl From<RelayPair> for RelayConn {
    fn from(pair: RelayPair) -> Self {
        let ready = |writable| ConnSide { writable, ..ConnSide::default() };
        let direction = |nodelay| RelayDirection { nodelay, ..RelayDirection::default() };
        Self {
            sockets: [pair.inside, pair.outside],
            // Accepted sockets inherit TCP_NODELAY; one that has sent nothing has nothing for Nagle's
            // algorithm to wait for (RFC 896).
            directions: [direction(pair.connecting), direction(true)],
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

impl RelayConn {
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
    pub(super) fn turn(&mut self, buffers: &mut WorkerBuffers) -> RelayTurn {
        let ([inner, outer], [outbound, inbound]) = (&mut self.sides, &mut self.directions);
        let [inside, outside] = &self.sockets;
        let first = outbound.pump((inside, inner), (outside, outer), buffers, inbound.done);
        let second = match self.orphaned {
            true => Ok(false),
            false => inbound.pump((outside, outer), (inside, inner), buffers, outbound.done),
        };
        let turns = [first, second];
        match turns {
            [Ok(_), Err(_)] | [Err(_), _] => RelayTurn::Broken,
            [Ok(true), _] | [_, Ok(true)] => RelayTurn::More,
            // After the pumps: bytes that arrived before the error are still passed on.
            _ if self.broken => RelayTurn::Broken,
            _ if self.orphaned && outbound.done => RelayTurn::Finished,
            _ if self.directions.iter().all(|direction| direction.done) => RelayTurn::Finished,
            _ => RelayTurn::Idle,
        }
    }

    /// Records that the container is gone. Returns whether it had closed its end cleanly, so that what it
    /// sent still has to arrive.
    pub(super) fn orphan(&mut self) -> bool {
        let ([inner, _], [inside, _]) = (&mut self.sides, &self.sockets);
        let mut fds = [PollFd::new(inside, PollFlags::RDHUP)];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        let polled = rustix::event::poll(&mut fds, Some(&now)).is_ok();
        let [events] = fds.map(|fd| fd.revents());
        let closed = inner.ended || polled && events.contains(PollFlags::RDHUP);
        self.orphaned = closed && !self.broken && !events.contains(PollFlags::ERR);
        (inner.ended, inner.readable) = (closed, true);
        self.orphaned
    }

    /// Whether it has just become heavy and holds no pipe, so that it can change workers.
    pub(super) fn is_heavy(&self) -> bool {
        !self.orphaned
            && self.directions.iter().any(|direction| direction.moved >= HEAVY_BYTES)
            && self.directions.iter().all(|direction| direction.pipe.is_none())
    }

    /// Closes it after both directions have ended. Unsent bytes are still delivered, except to a container
    /// that is gone.
    pub(super) fn close(self, pipes: &mut PipePool) {
        for socket in self.sockets.iter().skip(usize::from(self.orphaned)) {
            let _ = rustix::net::sockopt::set_socket_linger(socket, None);
        }
        self.release_pipes(pipes);
    }

    fn release_pipes(self, pipes: &mut PipePool) {
        self.directions
            .into_iter()
            .filter_map(|direction| direction.pipe)
            .for_each(|pipe| pipes.discard(pipe));
    }

    /// Closes it with a reset to both sides (SO_LINGER 0).
    pub(super) fn reset(self, pipes: &mut PipePool) {
        self.release_pipes(pipes);
    }
}

impl RelayDirection {
    /// Moves bytes until one of the sockets is not ready (`false`) or the budget is used up (`true`). With
    /// `last`, the other direction has ended already: closing the connection then sends the FIN.
    fn pump(
        &mut self,
        (from, source): (&OwnedFd, &mut ConnSide),
        (to, sink): (&OwnedFd, &mut ConnSide),
        buffers: &mut WorkerBuffers,
        last: bool,
    ) -> io::Result<bool> {
        let mut budget = TURN_BYTES;
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
            let Some(count) = self.fill(from, source, to, sink, buffers)? else { continue };
            self.eof |= count == 0;
            self.moved = self.moved.saturating_add(count as u64);
            budget = budget.saturating_sub(count);
        };
        // An empty pipe goes back to the pool, so idle connections hold none.
        if self.in_pipe == 0
            && let Some(pipe) = self.pipe.take()
        {
            buffers.pipes.put(pipe);
        }
        Ok(result)
    }

    /// Writes what was read before. Returns whether nothing is left.
    fn flush(&mut self, to: &OwnedFd, sink: &mut ConnSide) -> io::Result<bool> {
        while sink.writable && self.sent < self.unsent.len() {
            let rest = self.unsent.get(self.sent..).unwrap_or_default();
            match ready(rustix::net::send(to, rest, SendFlags::NOSIGNAL))? {
                Some(count) => self.sent += count,
                None => sink.writable = false,
            }
        }
        if self.sent < self.unsent.len() {
            return Ok(false);
        }
        (self.unsent, self.sent) = (Vec::new(), 0);
        while sink.writable
            && self.in_pipe > 0
            && let Some(pipe) = &self.pipe
        {
            let flags = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
            match ready(rustix::pipe::splice(&pipe.out, None, to, None, self.in_pipe, flags))? {
                Some(0) => return Err(ErrorKind::WriteZero.into()),
                Some(count) => self.in_pipe = self.in_pipe.saturating_sub(count),
                None => sink.writable = false,
            }
        }
        Ok(self.in_pipe == 0)
    }

    /// Reads once. Returns the number of bytes, 0 at the end, `None` if nothing is available.
    fn fill(
        &mut self,
        from: &OwnedFd,
        source: &mut ConnSide,
        to: &OwnedFd,
        sink: &mut ConnSide,
        buffers: &mut WorkerBuffers,
    ) -> io::Result<Option<usize>> {
        if self.use_splice && self.pipe.is_none() {
            self.pipe = buffers.pipes.take();
        }
        if self.use_splice
            && let Some(pipe) = &self.pipe
        {
            let flags = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
            // The pipe is empty, so EAGAIN can only mean that the source has no bytes.
            let count = ready(rustix::pipe::splice(from, None, &pipe.into, None, pipe.size, flags))?;
            source.readable = count.is_some();
            self.in_pipe = count.unwrap_or(0);
            self.use_splice = count.is_none_or(|count| count >= SMALL_READ);
            return Ok(count);
        }
        let (count, _) = match ready(rustix::net::recv(from, &mut *buffers.buffer, RecvFlags::empty()))? {
            Some(read) => read,
            None => {
                source.readable = false;
                return Ok(None);
            }
        };
        // A short read has drained the socket; later data is a new edge, unless the end was reported already
        // (epoll(7)).
        source.readable = count == buffers.buffer.len() || source.ended;
        self.use_splice = count >= BULK_READ && self.moved >= SPLICE_THRESHOLD;
        let bytes = buffers.buffer.get(..count).unwrap_or_default();
        if bytes.is_empty() {
            return Ok(Some(0));
        }
        if !self.nodelay && self.moved > 0 {
            rustix::net::sockopt::set_tcp_nodelay(to, true)?;
            self.nodelay = true;
        }
        // MSG_MORE lets the last bytes and the FIN travel in one segment, which wakes the reader once.
        self.eof = source.fin && !source.urgent && count < buffers.buffer.len();
        let more = if self.eof { SendFlags::MORE } else { SendFlags::empty() };
        let written = ready(rustix::net::send(to, bytes, SendFlags::NOSIGNAL | more))?.unwrap_or(0);
        if written < count {
            sink.writable = false;
            self.unsent = bytes.get(written..).unwrap_or_default().to_vec();
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
mod tests;

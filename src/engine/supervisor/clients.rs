//! The commands connected to a supervisor: what they are attached to, and what they wait for.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use rustix::fs::OFlags;
use rustix::io::Errno;

use crate::engine::attach::wire::{Report, Supervisor};
use crate::model::log::Stream;
use crate::sys::pty;

/// Enough for a chunk and a full pipe (64 KiB) that the command has not read yet; set with `F_SETPIPE_SZ`
/// (fcntl(2)).
const ROOM_AT_THE_END: usize = 256 << 10;

pub(super) type Id = u32;

pub(super) struct Client {
    pub(super) id: Id,
    socket: Supervisor,
    /// The command's input; `None` after its end.
    input: Option<OwnedFd>,
    /// By [`Stream::index`].
    outputs: [Option<Output>; 2],
    /// Gets a report when the container exits.
    pub(super) awaits_end: bool,
    /// Gets a report at the next start.
    pub(super) awaits_start: bool,
    /// The command that started the container, unless it has detached.
    pub(super) owner: Option<Owner>,
}

/// What must be cleaned up for the command that started the container, if it is killed.
pub(super) struct Owner {
    /// A duplicate of the user's terminal and its settings.
    pub(super) terminal: Option<(OwnedFd, pty::Saved)>,
}

struct Output {
    fd: OwnedFd,
    pending: Vec<u8>,
}

impl Client {
    pub(super) fn socket(&self) -> &Supervisor {
        &self.socket
    }

    /// Attaches it with these ends of its pipes.
    pub(super) fn attach(&mut self, [input, output, error]: [Option<OwnedFd>; 3]) {
        self.input = input;
        let end = |fd: OwnedFd| {
            // A command that does not read must not block the supervisor. A pipe that cannot be made
            // nonblocking is not used.
            rustix::fs::fcntl_setfl(&fd, OFlags::NONBLOCK).ok().map(|()| Output { fd, pending: Vec::new() })
        };
        self.outputs = [output.and_then(end), error.and_then(end)];
        self.awaits_end = true;
    }

    pub(super) fn input(&self) -> Option<BorrowedFd<'_>> {
        self.input.as_ref().map(OwnedFd::as_fd)
    }

    /// `None` at the end of input.
    pub(super) fn read_input(&mut self, buffer: &mut [u8]) -> Option<usize> {
        match rustix::io::read(self.input.as_ref()?, buffer) {
            Ok(length) if length > 0 => Some(length),
            Err(Errno::AGAIN | Errno::INTR) => Some(0),
            Ok(_) | Err(_) => {
                self.input = None;
                None
            }
        }
    }

    /// Streams with output that the client has not taken yet.
    pub(super) fn waiting_outputs(&self) -> impl Iterator<Item = (Stream, BorrowedFd<'_>)> {
        [Stream::Stdout, Stream::Stderr].into_iter().filter_map(|stream| {
            let output = self.outputs.get(stream.index())?.as_ref()?;
            (!output.pending.is_empty()).then(|| (stream, output.fd.as_fd()))
        })
    }

    /// Writes output to the client; what does not fit is kept for later.
    pub(super) fn write(&mut self, stream: Stream, bytes: &[u8]) {
        let Some(slot) = self.outputs.get_mut(stream.index()) else { return };
        if let Some(output) = slot {
            output.pending.extend_from_slice(bytes);
            match rustix::io::write(&output.fd, &output.pending) {
                Ok(length) => drop(output.pending.drain(..length)),
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(_) => *slot = None,
            }
        }
    }

    /// Writes the rest of the output and closes the streams.
    fn finish(&mut self) {
        for stream in [Stream::Stdout, Stream::Stderr] {
            if let Some(Some(output)) = self.outputs.get(stream.index())
                && !output.pending.is_empty()
            {
                // Nobody will poll for this client any more: the pipe must take all the rest at once.
                let _ = rustix::pipe::fcntl_setpipe_size(&output.fd, ROOM_AT_THE_END);
                self.write(stream, &[]);
            }
        }
        self.outputs = [None, None];
        self.input = None;
    }
}

#[derive(Default)]
pub(super) struct Clients {
    all: Vec<Client>,
    last: Id,
}

impl Clients {
    pub(super) fn add(&mut self, socket: Supervisor) -> &mut Client {
        // Not reused at once: an event in the current batch may still carry the number of a client that is
        // gone.
        self.last = self.last.wrapping_add(1);
        let client = Client {
            id: self.last,
            socket,
            input: None,
            outputs: [None, None],
            awaits_end: false,
            awaits_start: false,
            owner: None,
        };
        let index = self.all.len();
        self.all.push(client);
        &mut self.all[index]
    }

    pub(super) fn get(&mut self, id: Id) -> Option<&mut Client> {
        self.all.iter_mut().find(|client| client.id == id)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Client> {
        self.all.iter()
    }

    pub(super) fn remove(&mut self, id: Id) -> Option<Client> {
        let index = self.all.iter().position(|client| client.id == id)?;
        Some(self.all.remove(index))
    }

    /// Copies output to all attached clients.
    pub(super) fn write(&mut self, stream: Stream, bytes: &[u8]) {
        self.all.iter_mut().for_each(|client| client.write(stream, bytes));
    }

    /// Whether a client has yet to take output of `stream`; until then the container's is not read.
    pub(super) fn hold_up(&self, stream: Stream) -> bool {
        self.all.iter().flat_map(Client::waiting_outputs).any(|(waiting, _)| waiting == stream)
    }

    /// After the exit: writes the rest of the output to all clients.
    pub(super) fn finish_output(&mut self) {
        self.all.iter_mut().for_each(Client::finish);
    }

    /// Reports the exit to all who wait for it, and disconnects them.
    pub(super) fn tell_end(&mut self, report: &Report) {
        for client in self.all.iter().filter(|client| client.awaits_end) {
            client.socket.report(report);
        }
        self.all.retain(|client| !client.awaits_end);
    }

    /// Reports a start to all who wait for it.
    pub(super) fn tell_start(&mut self, report: &Report) {
        for client in self.all.iter_mut().filter(|client| client.awaits_start) {
            client.awaits_start = false;
            client.socket.report(report);
        }
    }
}

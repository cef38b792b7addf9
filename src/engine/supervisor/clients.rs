//! The commands that are connected to a supervisor: what they are attached to and what they wait for.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use rustix::fs::OFlags;
use rustix::io::Errno;

use crate::engine::attach::wire::{Report, Supervisor};
use crate::model::log::Stream;
use crate::sys::pty;

/// More than a chunk and whatever the command has not read yet (a pipe holds 64 KiB): pipe(7), `F_SETPIPE_SZ`.
const ROOM_AT_THE_END: usize = 256 << 10;

/// Tells connections apart.
pub(super) type Id = u32;

/// One connection.
pub(super) struct Client {
    pub(super) id: Id,
    socket: Supervisor,
    /// Where its input comes from, until that ends.
    input: Option<OwnedFd>,
    /// Where output goes to, by [`Stream::index`].
    outputs: [Option<Output>; 2],
    /// It is to be told of the end.
    pub(super) awaits_end: bool,
    /// It is to be told of the next start.
    pub(super) awaits_start: bool,
    /// Set for the command that started the container and has not detached.
    pub(super) owner: Option<Owner>,
}

/// What the command that started the container leaves if it dies.
pub(super) struct Owner {
    /// The user's terminal and its settings, put back if the command dies without doing so.
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

    /// Attaches it to these ends of its pipes.
    pub(super) fn attach(&mut self, [input, output, error]: [Option<OwnedFd>; 3]) {
        self.input = input;
        let end = |fd: OwnedFd| {
            // Without this a command that does not read could hold the supervisor; such a pipe is not used.
            rustix::fs::fcntl_setfl(&fd, OFlags::NONBLOCK).ok().map(|()| Output { fd, pending: Vec::new() })
        };
        self.outputs = [output.and_then(end), error.and_then(end)];
        self.awaits_end = true;
    }

    /// Where input may come from.
    pub(super) fn input(&self) -> Option<BorrowedFd<'_>> {
        self.input.as_ref().map(OwnedFd::as_fd)
    }

    /// Reads input; `None` at its end, after which none comes.
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

    /// Where output is waiting to be taken.
    pub(super) fn waiting_outputs(&self) -> impl Iterator<Item = (Stream, BorrowedFd<'_>)> {
        [Stream::Stdout, Stream::Stderr].into_iter().filter_map(|stream| {
            let output = self.outputs.get(stream.index())?.as_ref()?;
            (!output.pending.is_empty()).then(|| (stream, output.fd.as_fd()))
        })
    }

    /// Hands output over; what it does not take now is kept.
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

    /// Gives it the rest of the output and takes it off.
    fn finish(&mut self) {
        for stream in [Stream::Stdout, Stream::Stderr] {
            if let Some(Some(output)) = self.outputs.get(stream.index())
                && !output.pending.is_empty()
            {
                let _ = rustix::pipe::fcntl_setpipe_size(&output.fd, ROOM_AT_THE_END);
                self.write(stream, &[]);
            }
        }
        self.outputs = [None, None];
        self.input = None;
    }
}

/// All connections.
#[derive(Default)]
pub(super) struct Clients {
    all: Vec<Client>,
    last: Id,
}

impl Clients {
    /// Adds a connection.
    pub(super) fn add(&mut self, socket: Supervisor) -> &mut Client {
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

    /// Copies output to whoever is attached.
    pub(super) fn write(&mut self, stream: Stream, bytes: &[u8]) {
        self.all.iter_mut().for_each(|client| client.write(stream, bytes));
    }

    /// Whether somebody has output of `stream` to take first.
    pub(super) fn hold_up(&self, stream: Stream) -> bool {
        self.all.iter().flat_map(Client::waiting_outputs).any(|(waiting, _)| waiting == stream)
    }

    /// The container has ended: everybody attached gets the rest of its output.
    pub(super) fn finish_output(&mut self) {
        self.all.iter_mut().for_each(Client::finish);
    }

    /// Tells those who wait for the end, and lets them go.
    pub(super) fn tell_end(&mut self, report: &Report) {
        for client in self.all.iter().filter(|client| client.awaits_end) {
            client.socket.report(report);
        }
        self.all.retain(|client| !client.awaits_end);
    }

    /// Tells those who wait for a start.
    pub(super) fn tell_start(&mut self, report: &Report) {
        for client in self.all.iter_mut().filter(|client| client.awaits_start) {
            client.awaits_start = false;
            client.socket.report(report);
        }
    }
}

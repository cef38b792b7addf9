//! The commands connected to a supervisor: what they are attached to, and what they wait for.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use rustix::fs::OFlags;
use rustix::io::Errno;

use crate::control::protocol::{ControlConnection, ControlReport};
use dhow_model::log::OutputStream;
use dhow_sys::pty;

/// Enough for a chunk and a full pipe (64 KiB) that the command has not read yet; set with `F_SETPIPE_SZ`
/// (fcntl(2)).
const FINAL_PIPE_SIZE: usize = 256 << 10;

pub(crate) type ClientId = u32;

pub(crate) struct ClientConnection {
    pub id: ClientId,
    socket: ControlConnection,
    /// The command's input; `None` after its end.
    input: Option<OwnedFd>,
    /// By [`OutputStream::index`].
    outputs: [Option<ClientOutput>; 2],
    /// Gets a report when the container exits.
    pub(crate) awaits_end: bool,
    /// Gets a report at the next start.
    pub(crate) awaits_start: bool,
    /// The command that started the container, unless it has detached.
    pub owner: Option<ForegroundOwner>,
}

/// What must be cleaned up for the command that started the container, if it is killed.
pub(crate) struct ForegroundOwner {
    /// A duplicate of the user's terminal and its settings.
    pub terminal: Option<(OwnedFd, pty::SavedTermios)>,
}

struct ClientOutput {
    fd: OwnedFd,
    pending: Vec<u8>,
}

impl ClientConnection {
    pub(super) fn socket(&self) -> &ControlConnection {
        &self.socket
    }

    /// Attaches it with these ends of its pipes.
    pub(super) fn attach(&mut self, [input, output, error]: [Option<OwnedFd>; 3]) {
        self.input = input;
        let end = |fd: OwnedFd| {
            // A command that does not read must not block the supervisor. A pipe that cannot be made
            // nonblocking is not used.
            rustix::fs::fcntl_setfl(&fd, OFlags::NONBLOCK)
                .ok()
                .map(|()| ClientOutput { fd, pending: Vec::new() })
        };
        self.outputs = [output.and_then(end), error.and_then(end)];
        self.awaits_end = true;
    }

    pub(super) fn input(&self) -> Option<BorrowedFd<'_>> {
        self.input.as_ref().map(OwnedFd::as_fd)
    }

    /// `None` at the end of input.
    pub(crate) fn read_input(&mut self, buffer: &mut [u8]) -> Option<usize> {
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
    pub(crate) fn waiting_outputs(&self) -> impl Iterator<Item = (OutputStream, BorrowedFd<'_>)> {
        [OutputStream::Stdout, OutputStream::Stderr].into_iter().filter_map(|stream| {
            let output = self.outputs.get(stream.index())?.as_ref()?;
            (!output.pending.is_empty()).then(|| (stream, output.fd.as_fd()))
        })
    }

    /// Writes output to the client; what does not fit is kept for later.
    pub(super) fn write(&mut self, stream: OutputStream, bytes: &[u8]) {
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
    fn flush_and_detach(&mut self) {
        for stream in [OutputStream::Stdout, OutputStream::Stderr] {
            if let Some(Some(output)) = self.outputs.get(stream.index())
                && !output.pending.is_empty()
            {
                // Nobody will poll for this client any more: the pipe must take all the rest at once.
                let _ = rustix::pipe::fcntl_setpipe_size(&output.fd, FINAL_PIPE_SIZE);
                self.write(stream, &[]);
            }
        }
        self.outputs = [None, None];
        self.input = None;
    }
}

#[derive(Default)]
pub(crate) struct ClientSet {
    clients: Vec<ClientConnection>,
    last_id: ClientId,
}

impl ClientSet {
    pub(super) fn add(&mut self, socket: ControlConnection) -> &mut ClientConnection {
        // Not reused at once: an event in the current batch may still carry the number of a client that is
        // gone.
        self.last_id = self.last_id.wrapping_add(1);
        let client = ClientConnection {
            id: self.last_id,
            socket,
            input: None,
            outputs: [None, None],
            awaits_end: false,
            awaits_start: false,
            owner: None,
        };
        let index = self.clients.len();
        self.clients.push(client);
        &mut self.clients[index]
    }

    pub(super) fn get(&mut self, id: ClientId) -> Option<&mut ClientConnection> {
        self.clients.iter_mut().find(|client| client.id == id)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &ClientConnection> {
        self.clients.iter()
    }

    pub(super) fn remove(&mut self, id: ClientId) -> Option<ClientConnection> {
        let index = self.clients.iter().position(|client| client.id == id)?;
        Some(self.clients.remove(index))
    }

    /// Copies output to all attached clients.
    pub(super) fn write(&mut self, stream: OutputStream, bytes: &[u8]) {
        self.clients.iter_mut().for_each(|client| client.write(stream, bytes));
    }

    /// Whether a client has yet to take output of `stream`; until then the container's is not read.
    pub(crate) fn is_backlogged(&self, stream: OutputStream) -> bool {
        self.clients.iter().flat_map(ClientConnection::waiting_outputs).any(|(waiting, _)| waiting == stream)
    }

    /// After the exit: writes the rest of the output to all clients.
    pub(crate) fn finish_output(&mut self) {
        self.clients.iter_mut().for_each(ClientConnection::flush_and_detach);
    }

    /// Reports the exit to all who wait for it, and disconnects them.
    pub(crate) fn notify_exit(&mut self, report: &ControlReport) {
        for client in self.clients.iter().filter(|client| client.awaits_end) {
            client.socket.send_report(report);
        }
        self.clients.retain(|client| !client.awaits_end);
    }

    /// Reports a start to all who wait for it.
    pub(crate) fn notify_started(&mut self, report: &ControlReport) {
        for client in self.clients.iter_mut().filter(|client| client.awaits_start) {
            client.awaits_start = false;
            client.socket.send_report(report);
        }
    }
}

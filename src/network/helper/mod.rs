//! The network helper: the one process that carries all traffic of a user's containers on networks.
//!
//! Its main thread waits for supervisors, which hold one connection per container, and handles their
//! requests. It exits when the last of them is gone. A container's state is dropped with its connection, a
//! network's with the last container on it.

mod active_network;
pub mod protocol;
mod session;

use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::thread::JoinHandle;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

pub use self::protocol::{HelperReply, HelperRequest, OpenRequest};
use self::session::{HelperSession, HelperState};
use crate::backend::NetworkBackend;
use crate::publish::PortUnavailable;
use dhow_error::Failure;
use dhow_sys::socket::{SeqpacketListener, SeqpacketSocket};

/// Stack size of the threads that shut networks down, in bytes.
const STACK: usize = 256 << 10;

#[derive(Clone, Debug, Default)]
pub struct HelperOptions {
    /// The backend to use, whatever else would work.
    pub backend: Option<NetworkBackend>,
}

/// Serves the connections to `listener`, whose socket is called `name` in `dir`, and `first`. Never returns.
pub fn serve(
    listener: SeqpacketListener,
    dir: BorrowedFd<'_>,
    name: &str,
    first: SeqpacketSocket,
    start: &HelperOptions,
) -> ! {
    let code = match HelperServer::new(listener, start) {
        Ok(helper) => helper.run(dir, name, first),
        Err(error) => {
            send(&first, &HelperReply::Failed(Failure::from_chain(&error)), &[]);
            1
        }
    };
    dhow_sys::process::exit_now(code)
}

struct HelperServer {
    listener: SeqpacketListener,
    shared: HelperState,
    sessions: Vec<(SeqpacketSocket, Option<HelperSession>)>,
    /// Threads that shut networks down.
    closing: Vec<JoinHandle<()>>,
}

impl HelperServer {
    fn new(listener: SeqpacketListener, start: &HelperOptions) -> anyhow::Result<Self> {
        Ok(Self {
            listener,
            shared: HelperState::new(start.backend)?,
            sessions: Vec::new(),
            closing: Vec::new(),
        })
    }

    fn run(mut self, dir: BorrowedFd<'_>, name: &str, first: SeqpacketSocket) -> i32 {
        send(&first, &HelperReply::Ready, &[]);
        self.sessions.push((first, None));
        loop {
            let Ok(closed) = self.poll_once() else { return 1 };
            if self.sessions.is_empty() {
                // A client that finds the name gone starts another helper. One that connected meanwhile is
                // dropped and does the same: served here, it would end up on networks of its own. Neither
                // waits for the kernel, which takes its time for the rest.
                let _ = rustix::fs::unlinkat(dir, name, rustix::fs::AtFlags::empty());
                drop(self.listener);
                drop(closed);
                // A thread that panicked has dropped everything, too.
                self.closing.into_iter().for_each(|thread| drop(thread.join()));
                return 0;
            }
            closed.into_iter().for_each(|session| self.close_session(session));
        }
    }

    /// Drops a container's state. Networks without containers are shut down in the background.
    fn close_session(&mut self, session: HelperSession) {
        let mut networks = session.networks();
        drop(session);
        networks.retain(|network| Arc::strong_count(network) == 1);
        self.closing.retain(|thread| !thread.is_finished());
        if !networks.is_empty() {
            let thread = std::thread::Builder::new().name("network-close".into()).stack_size(STACK);
            // If no thread can be started, they are gone when this returns.
            self.closing.extend(thread.spawn(move || drop(networks)).ok());
        }
    }

    /// Waits for the next events and handles them. Returns the containers that are gone; their published
    /// ports are closed already.
    fn poll_once(&mut self) -> rustix::io::Result<Vec<HelperSession>> {
        let mut fds = vec![PollFd::from_borrowed_fd(self.listener.as_fd(), PollFlags::IN)];
        fds.extend(
            self.sessions.iter().map(|(socket, _)| PollFd::from_borrowed_fd(socket.as_fd(), PollFlags::IN)),
        );
        match poll(&mut fds, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
        let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        drop(fds);
        let mut closed = Vec::new();
        // In reverse, because swap_remove moves the last session.
        for index in (0..self.sessions.len()).rev() {
            if ready.get(index + 1) == Some(&true) && self.handle_message(index).is_none() {
                closed.extend(self.sessions.swap_remove(index).1);
            }
        }
        // Everyone's ports first: dropping the rest takes longer, and others may bind them already.
        closed.iter_mut().for_each(HelperSession::release_ports);
        if ready.first() == Some(&true) {
            self.accept_sessions();
        }
        Ok(closed)
    }

    /// Accepts pending connections.
    fn accept_sessions(&mut self) {
        while let Ok(Some(socket)) = self.listener.accept() {
            self.sessions.push((socket, None));
        }
    }

    /// Handles a request of the session at `index`; `None` if the supervisor is gone.
    fn handle_message(&mut self, index: usize) -> Option<()> {
        let (socket, session) = self.sessions.get_mut(index)?;
        let message = protocol::receive(socket).ok().filter(|message| !message.bytes.is_empty())?;
        let request: HelperRequest = serde_json::from_slice(&message.bytes).ok()?;
        let result = match (request, session.as_mut()) {
            (HelperRequest::Open(open_request), None) => {
                HelperSession::open(&mut self.shared, *open_request, message.fds).map(|new_session| {
                    let published = new_session.published();
                    *session = Some(new_session);
                    HelperReply::Opened(published)
                })
            }
            (request, Some(session)) => session.handle_request(&mut self.shared, request, message.fds),
            (_, None) => return None,
        };
        match result {
            Ok(HelperReply::Opened(published)) => {
                send(socket, &HelperReply::Opened(published), &[self.shared.namespace()]);
            }
            Ok(reply) => send(socket, &reply, &[]),
            Err(error) => match error.downcast::<PortUnavailable>() {
                Ok(port) => send(socket, &HelperReply::Unavailable(port), &[]),
                Err(error) => send(socket, &HelperReply::Failed(Failure::from_chain(&error)), &[]),
            },
        }
        Some(())
    }
}

/// A client that does not read loses the reply: the helper must not block.
fn send(socket: &SeqpacketSocket, reply: &HelperReply, fds: &[BorrowedFd<'_>]) {
    let _ = protocol::send(socket, reply, fds, true);
}

/// The user namespace of this process.
fn own_userns() -> anyhow::Result<OwnedFd> {
    use rustix::fs::{Mode, OFlags};
    Ok(rustix::fs::open("/proc/self/ns/user", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?)
}

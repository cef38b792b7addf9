//! The network helper: the one process that carries all traffic of a user's containers on networks.
//!
//! Its main thread waits for supervisors, which hold one connection per container, and handles their requests. It exits
//! when the last of them is gone. A container's state is dropped with its connection, a network's with the last container
//! on it.

mod bridge;
mod member;
pub mod wire;

use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::thread::JoinHandle;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use self::member::{Member, Shared};
pub use self::wire::{Opening, Reply, Request};
use crate::error::Failure;
use crate::network::publish::Unavailable;
use crate::network::rung::Rung;
use crate::sys;
use crate::sys::socket::{Listener, Socket};

/// Stack size of the threads that shut networks down, in bytes.
const STACK: usize = 256 << 10;

#[derive(Clone, Debug, Default)]
pub struct Start {
    /// The backend to use, whatever else would work.
    pub rung: Option<Rung>,
}

/// Serves the connections to `listener`, whose socket is called `name` in `dir`, and `first`. Never returns.
pub fn serve(listener: Listener, dir: BorrowedFd<'_>, name: &str, first: Socket, start: &Start) -> ! {
    let code = match Helper::new(listener, start) {
        Ok(helper) => helper.live(dir, name, first),
        Err(error) => {
            send(&first, &Reply::Failed(Failure::of(&error)), &[]);
            1
        }
    };
    sys::process::exit_now(code)
}

struct Helper {
    listener: Listener,
    shared: Shared,
    members: Vec<(Socket, Option<Member>)>,
    /// Threads that shut networks down.
    closing: Vec<JoinHandle<()>>,
}

impl Helper {
    fn new(listener: Listener, start: &Start) -> anyhow::Result<Self> {
        Ok(Self { listener, shared: Shared::new(start.rung)?, members: Vec::new(), closing: Vec::new() })
    }

    fn live(mut self, dir: BorrowedFd<'_>, name: &str, first: Socket) -> i32 {
        send(&first, &Reply::Ready, &[]);
        self.members.push((first, None));
        loop {
            let Ok(gone) = self.attend() else { return 1 };
            if self.members.is_empty() {
                // A client that finds the name gone starts another helper. One that connected meanwhile is
                // dropped and does the same: served here, it would end up on networks of its own. Neither
                // waits for the kernel, which takes its time for the rest.
                let _ = rustix::fs::unlinkat(dir, name, rustix::fs::AtFlags::empty());
                drop(self.listener);
                drop(gone);
                // A thread that panicked has dropped everything, too.
                self.closing.into_iter().for_each(|thread| drop(thread.join()));
                return 0;
            }
            gone.into_iter().for_each(|member| self.dismiss(member));
        }
    }

    /// Drops a container's state. Networks without containers are shut down in the background.
    fn dismiss(&mut self, member: Member) {
        let mut networks = member.networks();
        drop(member);
        networks.retain(|network| Arc::strong_count(network) == 1);
        self.closing.retain(|thread| !thread.is_finished());
        if !networks.is_empty() {
            let thread = std::thread::Builder::new().name("closing".into()).stack_size(STACK);
            // If no thread can be started, they are gone when this returns.
            self.closing.extend(thread.spawn(move || drop(networks)).ok());
        }
    }

    /// Waits for the next events and handles them. Returns the containers that are gone; their published
    /// ports are closed already.
    fn attend(&mut self) -> rustix::io::Result<Vec<Member>> {
        let mut fds = vec![PollFd::from_borrowed_fd(self.listener.as_fd(), PollFlags::IN)];
        fds.extend(
            self.members.iter().map(|(socket, _)| PollFd::from_borrowed_fd(socket.as_fd(), PollFlags::IN)),
        );
        match poll(&mut fds, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
        let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        drop(fds);
        let mut gone = Vec::new();
        // In reverse, because swap_remove moves the last session.
        for index in (0..self.members.len()).rev() {
            if ready.get(index + 1) == Some(&true) && self.hear(index).is_none() {
                gone.extend(self.members.swap_remove(index).1);
            }
        }
        // Everyone's ports first: dropping the rest takes longer, and others may bind them already.
        gone.iter_mut().for_each(Member::withdraw);
        if ready.first() == Some(&true) {
            self.admit();
        }
        Ok(gone)
    }

    /// Accepts pending connections.
    fn admit(&mut self) {
        while let Ok(Some(socket)) = self.listener.accept() {
            self.members.push((socket, None));
        }
    }

    /// Handles a request of the session at `index`; `None` if the supervisor is gone.
    fn hear(&mut self, index: usize) -> Option<()> {
        let (socket, member) = self.members.get_mut(index)?;
        let message = wire::receive(socket).ok().filter(|message| !message.bytes.is_empty())?;
        let request: Request = serde_json::from_slice(&message.bytes).ok()?;
        let done = match (request, member.as_mut()) {
            (Request::Open(opening), None) => {
                Member::open(&mut self.shared, *opening, message.fds).map(|opened| {
                    let published = opened.published().to_vec();
                    *member = Some(opened);
                    Reply::Opened(published)
                })
            }
            (request, Some(member)) => member.follow(&mut self.shared, request, message.fds),
            (_, None) => return None,
        };
        match done {
            Ok(Reply::Opened(published)) => {
                send(socket, &Reply::Opened(published), &[self.shared.namespace()]);
            }
            Ok(reply) => send(socket, &reply, &[]),
            Err(error) => match error.downcast::<Unavailable>() {
                Ok(port) => send(socket, &Reply::Unavailable(port), &[]),
                Err(error) => send(socket, &Reply::Failed(Failure::of(&error)), &[]),
            },
        }
        Some(())
    }
}

/// A client that does not read loses the reply: the helper must not block.
fn send(socket: &Socket, reply: &Reply, fds: &[BorrowedFd<'_>]) {
    let _ = wire::send(socket, reply, fds, true);
}

/// The user namespace of this process.
fn own_namespace() -> anyhow::Result<OwnedFd> {
    use rustix::fs::{Mode, OFlags};
    Ok(rustix::fs::open("/proc/self/ns/user", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?)
}

//! The network helper: the one process that carries the traffic of all the user's containers on networks.
//!
//! Its main thread waits for supervisors, one connection for each container, and does what they ask. It ends when the
//! last of them is gone; what belongs to a container goes with its connection, and what belongs to a network with the
//! last container on it.

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

/// Bytes of stack for letting go of networks.
const STACK: usize = 256 << 10;

/// How a helper is to work.
#[derive(Clone, Debug, Default)]
pub struct Start {
    /// The datapath to use, whatever else would work.
    pub rung: Option<Rung>,
}

/// Serves the connections that come in by `listener`, which is called `name` in `dir`, and `first`; never returns.
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
    /// Threads that let go of networks.
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
                // Whoever finds the name gone starts another helper. Whoever has come meanwhile is let down and does the
                // same: served here, it would be on networks of its own. Neither is to wait for the kernel, which takes
                // its time for what is left.
                let _ = rustix::fs::unlinkat(dir, name, rustix::fs::AtFlags::empty());
                drop(self.listener);
                drop(gone);
                // A thread that has panicked has let go of everything, too.
                self.closing.into_iter().for_each(|thread| drop(thread.join()));
                return 0;
            }
            gone.into_iter().for_each(|member| self.dismiss(member));
        }
    }

    /// Lets go of what a member has. The networks that nobody is on any more go by and by: nobody is to wait for that.
    fn dismiss(&mut self, member: Member) {
        let mut networks = member.networks();
        drop(member);
        networks.retain(|network| Arc::strong_count(network) == 1);
        self.closing.retain(|thread| !thread.is_finished());
        if !networks.is_empty() {
            let thread = std::thread::Builder::new().name("closing".into()).stack_size(STACK);
            // Without a thread they are gone when this returns.
            self.closing.extend(thread.spawn(move || drop(networks)).ok());
        }
    }

    /// Waits for the next thing to do, and does it. Who has gone has no published ports any more, but all the rest.
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
        // From the end, so that who is gone does not move who is still to be looked at.
        for index in (0..self.members.len()).rev() {
            if ready.get(index + 1) == Some(&true) && self.hear(index).is_none() {
                gone.extend(self.members.swap_remove(index).1);
            }
        }
        gone.iter_mut().for_each(Member::withdraw);
        if ready.first() == Some(&true) {
            self.admit();
        }
        Ok(gone)
    }

    /// Takes the connections that wait.
    fn admit(&mut self) {
        while let Ok(Some(socket)) = self.listener.accept() {
            self.members.push((socket, None));
        }
    }

    /// Does what the member at `index` asks for; `None` where it is gone.
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

/// Whoever does not listen is told nothing.
fn send(socket: &Socket, reply: &Reply, fds: &[BorrowedFd<'_>]) {
    let _ = wire::send(socket, reply, fds, true);
}

/// The user namespace of this process.
fn own_namespace() -> anyhow::Result<OwnedFd> {
    use rustix::fs::{Mode, OFlags};
    Ok(rustix::fs::open("/proc/self/ns/user", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?)
}

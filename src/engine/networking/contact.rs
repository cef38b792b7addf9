//! Connects to the network helper through its socket, or starts it.
//!
//! There is one helper per account, store, and network namespace that containers are started from. A helper that
//! exits by itself removes its socket. One that was killed leaves it behind, and connecting fails with ECONNREFUSED.
//!
//! # Races
//!
//! Starting takes a lock per socket name, and the socket is looked at again once the lock is held: two commands that
//! find no helper start one.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use anyhow::{Context as _, Result};
use rustix::fs::{AtFlags, unlinkat};
use rustix::io::Errno;

use crate::error::{Failure, Kind};
use crate::network::helper::{self, Reply, Request, Start, wire};
use crate::sandbox::identity::{self, Identity};
use crate::store::Store;
use crate::store::lock::Lock;
use crate::sys;
use crate::sys::process::{self, Side, ns};
use crate::sys::socket::{Listener, Socket};

#[derive(Debug)]
pub(super) struct Contact(Socket);

impl Contact {
    /// Sends a request and waits for the answer.
    pub(super) fn ask(&self, request: &Request, fds: &[BorrowedFd<'_>]) -> Result<(Reply, Vec<OwnedFd>)> {
        wire::send(&self.0, request, fds, false)?;
        let message = wire::receive(&self.0)?;
        if message.bytes.is_empty() {
            return Err(gone().into());
        }
        match serde_json::from_slice(&message.bytes)? {
            Reply::Failed(failure) => Err(failure.into()),
            Reply::Unavailable(port) => Err(port.into()),
            reply => Ok((reply, message.fds)),
        }
    }

    /// Readable when the helper is gone.
    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// The failure of a request whose helper exits before it answers.
fn gone() -> Failure {
    Failure::new(Kind::Interrupted, "the network helper has ended")
}

/// Everything needed to start a helper.
pub(super) struct Starter<'a> {
    pub(super) store: &'a Store,
    pub(super) identity: &'a Identity,
    /// Options for the helper.
    pub(super) start: &'a Start,
    /// The user namespace that a killed helper left containers in; `None` if there are none, for a new one.
    pub(super) survivors: &'a dyn Fn() -> Result<Option<OwnedFd>>,
}

/// A helper that runs, or is still starting, which leaves time for other work.
#[derive(Debug)]
pub(in crate::engine) struct Reached {
    contact: Contact,
    /// Held by the command that starts it, until others can connect.
    starting: Option<Lock>,
}

impl Reached {
    /// Waits until the helper is ready.
    pub(super) fn wait(self) -> Result<Contact> {
        if self.starting.is_some() {
            let message = self.contact.0.receive()?;
            match serde_json::from_slice(&message.bytes) {
                Ok(Reply::Ready) => {}
                Ok(Reply::Failed(failure)) => return Err(failure.into()),
                _ => return Err(gone().into()),
            }
        }
        Ok(self.contact)
    }
}

/// Connects to the helper or starts it. The process must be single-threaded.
pub(super) fn reach(starter: &Starter<'_>) -> Result<Reached> {
    let name = place()?;
    let dir = starter.store.helper_dir();
    if let Found::Helper(contact) = find(&dir, &name)? {
        return Ok(Reached { contact, starting: None });
    }
    // Somebody else may have started one while we waited for the lock.
    let starting = starter.store.lock_helper_start(&name)?;
    let survivors = match find(&dir, &name)? {
        Found::Helper(contact) => return Ok(Reached { contact, starting: None }),
        Found::Nobody => None,
        // Only a killed helper leaves containers behind; one that exits by itself has none.
        Found::Dead => (starter.survivors)()?,
    };
    let dir = sys::fs::open_dir(&dir)?;
    let contact = start(starter, &name, dir.as_fd(), survivors)?;
    Ok(Reached { contact, starting: Some(starting) })
}

enum Found {
    Helper(Contact),
    Nobody,
    Dead,
}

fn find(dir: &std::path::Path, name: &str) -> Result<Found> {
    let dir = match sys::fs::open_dir(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Found::Nobody),
        other => other?,
    };
    match Socket::connect(dir.as_fd(), name) {
        Ok(socket) => Ok(Found::Helper(Contact(socket))),
        Err(error) => match error.raw_os_error() {
            Some(libc::ENOENT) => Ok(Found::Nobody),
            Some(libc::ECONNREFUSED) => Ok(Found::Dead),
            _ => Err(error).context("connecting to the network helper"),
        },
    }
}

/// Socket name of the helper for this host and network namespace.
fn place() -> Result<String> {
    let namespace = rustix::fs::stat("/proc/self/ns/net").context("looking at the network namespace")?;
    let node = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let node: String = node.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(64).collect();
    Ok(format!("{node}.{}", namespace.st_ino))
// The data root may be on a file system shared between hosts, where inode numbers say nothing.
}

/// Forks the helper as a daemon (double fork), so that it is nobody's child.
fn start(
    starter: &Starter<'_>,
    name: &str,
    dir: BorrowedFd<'_>,
    survivors: Option<OwnedFd>,
) -> Result<Contact> {
    let (ours, theirs) = Socket::pair()?;
    match process::fork().context("starting the network helper")? {
        Side::Child => {
            drop(ours);
            // A session of its own: signals of the command's terminal are not for the helper.
            let _ = rustix::process::setsid();
            match process::fork() {
                Ok(Side::Child) => {}
                Ok(Side::Parent(_)) => process::exit_now(0),
                Err(_) => process::exit_now(1),
            }
            let error = match settle_in(starter.identity, name, dir, survivors, &theirs) {
                Ok(listener) => helper::serve(listener, dir, name, theirs, starter.start),
                Err(error) => error,
            };
            let failed = Reply::Failed(Failure::of(&error));
            let _ = theirs.send(&serde_json::to_vec(&failed).unwrap_or_default(), &[]);
            process::exit_now(1)
        }
        Side::Parent(child) => {
            drop(theirs);
            // The intermediate process, which exits at once.
            child.wait()?;
            Ok(Contact(ours))
        }
    }
}

/// Drops everything inherited from the command, and enters the user namespace that the helper lives in.
fn settle_in(
    identity: &Identity,
    name: &str,
    dir: BorrowedFd<'_>,
    survivors: Option<OwnedFd>,
    first: &Socket,
) -> Result<Listener> {
    process::set_title("dhow: network");
    let null = crate::engine::attach::streams::null()?;
    for number in 0..3 {
        process::place_fd(null.as_fd(), number)?;
    }
    drop(null);
    // Containers may outlive the command; a pipe or terminal of its caller must not stay open with them.
    let mut keep = vec![dir, first.as_fd()];
    keep.extend(survivors.as_ref().map(OwnedFd::as_fd));
    process::close_others(3, &keep)?;
    // Writing to a closed connection must fail with EPIPE, not kill the helper.
    sys::signal::set_mask(&sys::signal::Set::of(&[libc::SIGPIPE]))?;
    rustix::process::chdir("/")?;
    match &survivors {
        Some(namespace) => sys::namespace::join(namespace.as_fd(), ns::USER)
            .context("joining the user namespace of containers that run")?,
        None => identity::enter_new(identity)?,
    }
    // Under the start lock: a socket that exists is left over from a killed helper.
    match unlinkat(dir, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(error) => return Err(error.into()),
    }
    Listener::bind(dir, name).context("opening the network helper's socket")
}

//! Reaching the network helper: by its socket if it runs, else by starting it.
//!
//! There is a helper for each account, store and network namespace that containers are started from. A helper that ends
//! by itself takes its socket away; one that was killed leaves it, and that nobody answers there tells so.

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

/// A connection to the helper.
#[derive(Debug)]
pub(super) struct Contact(Socket);

impl Contact {
    /// Asks for something and waits for it.
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

/// The failure of a helper that has ended before it answered.
fn gone() -> Failure {
    Failure::new(Kind::Interrupted, "the network helper has ended")
}

/// Who starts a helper.
pub(super) struct Starter<'a> {
    pub(super) store: &'a Store,
    pub(super) identity: &'a Identity,
    /// How it is to work.
    pub(super) start: &'a Start,
    /// The user namespace of containers that an earlier helper has left; a new one if there are none.
    pub(super) survivors: &'a dyn Fn() -> Result<Option<OwnedFd>>,
}

/// A helper that runs, or is being started: that takes a while, in which there is other work.
#[derive(Debug)]
pub(in crate::engine) struct Reached {
    contact: Contact,
    /// Held by who starts it, until it can be found by others.
    starting: Option<Lock>,
}

impl Reached {
    /// Waits until it is there.
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

/// Reaches the helper. The process must have one thread.
pub(super) fn reach(starter: &Starter<'_>) -> Result<Reached> {
    let name = place()?;
    let dir = starter.store.helper_dir();
    if let Found::Helper(contact) = find(&dir, &name)? {
        return Ok(Reached { contact, starting: None });
    }
    let starting = starter.store.lock_helper_start(&name)?;
    let survivors = match find(&dir, &name)? {
        Found::Helper(contact) => return Ok(Reached { contact, starting: None }),
        Found::Nobody => None,
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

/// What the helper of this machine and network namespace is called.
fn place() -> Result<String> {
    let namespace = rustix::fs::stat("/proc/self/ns/net").context("looking at the network namespace")?;
    let node = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let node: String = node.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(64).collect();
    Ok(format!("{node}.{}", namespace.st_ino))
}

/// Forks a helper that is nobody's child.
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
            child.wait()?;
            Ok(Contact(ours))
        }
    }
}

/// Leaves everything of the command behind and goes where the helper lives.
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
    let mut keep = vec![dir, first.as_fd()];
    keep.extend(survivors.as_ref().map(OwnedFd::as_fd));
    process::close_others(3, &keep)?;
    // A closed connection is an error to who writes to it, and nothing else.
    sys::signal::set_mask(&sys::signal::Set::of(&[libc::SIGPIPE]))?;
    rustix::process::chdir("/")?;
    match &survivors {
        Some(namespace) => sys::namespace::join(namespace.as_fd(), ns::USER)
            .context("joining the user namespace of containers that run")?,
        None => identity::enter_new(identity)?,
    }
    match unlinkat(dir, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(error) => return Err(error.into()),
    }
    Listener::bind(dir, name).context("opening the network helper's socket")
}

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

use dhow_error::{Failure, FailureKind};
use dhow_network::helper::{self, HelperOptions, HelperReply, HelperRequest, protocol};
use dhow_sandbox::identity::{self, HostIdentity};
use dhow_store::Store;
use dhow_store::lock::FileLock;
use dhow_sys::process::{self, ForkSide, ns};
use dhow_sys::socket::{SeqpacketListener, SeqpacketSocket};

#[derive(Debug)]
pub struct HelperClient(SeqpacketSocket);

impl HelperClient {
    /// Sends a request and waits for the answer.
    pub fn request(
        &self,
        request: &HelperRequest,
        fds: &[BorrowedFd<'_>],
    ) -> Result<(HelperReply, Vec<OwnedFd>)> {
        protocol::send(&self.0, request, fds, false)?;
        let message = protocol::receive(&self.0)?;
        if message.bytes.is_empty() {
            return Err(helper_gone().into());
        }
        match serde_json::from_slice(&message.bytes)? {
            HelperReply::Failed(failure) => Err(failure.into()),
            HelperReply::Unavailable(port) => Err(port.into()),
            reply => Ok((reply, message.fds)),
        }
    }

    /// Readable when the helper is gone.
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// The failure of a request whose helper exits before it answers.
fn helper_gone() -> Failure {
    Failure::new(FailureKind::Interrupted, "the network helper has ended")
}

/// Everything needed to start a helper.
pub(crate) struct HelperStarter<'a> {
    pub store: &'a Store,
    pub identity: &'a HostIdentity,
    /// Options for the helper.
    pub start: &'a HelperOptions,
    /// The user namespace that a killed helper left containers in; `None` if there are none, for a new one.
    pub(crate) surviving_userns: &'a dyn Fn() -> Result<Option<OwnedFd>>,
}

/// A helper that runs, or is still starting, which leaves time for other work.
#[derive(Debug)]
pub struct PendingHelper {
    client: HelperClient,
    /// Held by the command that starts it, until others can connect.
    start_lock: Option<FileLock>,
}

impl PendingHelper {
    /// Waits until the helper is ready.
    pub fn wait(self) -> Result<HelperClient> {
        if self.start_lock.is_some() {
            let message = self.client.0.receive()?;
            match serde_json::from_slice(&message.bytes) {
                Ok(HelperReply::Ready) => {}
                Ok(HelperReply::Failed(failure)) => return Err(failure.into()),
                _ => return Err(helper_gone().into()),
            }
        }
        Ok(self.client)
    }
}

/// Connects to the helper or starts it. The process must be single-threaded.
pub(super) fn reach_helper(starter: &HelperStarter<'_>) -> Result<PendingHelper> {
    let name = socket_name()?;
    let dir = starter.store.helper_dir();
    if let HelperProbe::Running(client) = probe(&dir, &name)? {
        return Ok(PendingHelper { client, start_lock: None });
    }
    // Somebody else may have started one while we waited for the lock.
    let start_lock = starter.store.lock_helper_start(&name)?;
    let userns = match probe(&dir, &name)? {
        HelperProbe::Running(client) => return Ok(PendingHelper { client, start_lock: None }),
        HelperProbe::Absent => None,
        // Only a killed helper leaves containers behind; one that exits by itself has none.
        HelperProbe::Stale => (starter.surviving_userns)()?,
    };
    let dir = dhow_sys::fs::open_dir(&dir)?;
    let client = fork_helper(starter, &name, dir.as_fd(), userns)?;
    Ok(PendingHelper { client, start_lock: Some(start_lock) })
}

enum HelperProbe {
    Running(HelperClient),
    Absent,
    Stale,
}

fn probe(dir: &std::path::Path, name: &str) -> Result<HelperProbe> {
    let dir = match dhow_sys::fs::open_dir(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(HelperProbe::Absent),
        other => other?,
    };
    match SeqpacketSocket::connect(dir.as_fd(), name) {
        Ok(socket) => Ok(HelperProbe::Running(HelperClient(socket))),
        Err(error) => match error.raw_os_error() {
            Some(libc::ENOENT) => Ok(HelperProbe::Absent),
            Some(libc::ECONNREFUSED) => Ok(HelperProbe::Stale),
            _ => Err(error).context("connecting to the network helper"),
        },
    }
}

/// Socket name of the helper for this host and network namespace.
fn socket_name() -> Result<String> {
    let namespace = rustix::fs::stat("/proc/self/ns/net").context("looking at the network namespace")?;
    let node = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let node: String = node.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(64).collect();
    // With the host's name: on a data root that hosts share, inode numbers alone would collide.
    Ok(format!("{node}.{}", namespace.st_ino))
}

/// Forks the helper as a daemon (double fork), so that it is nobody's child.
fn fork_helper(
    starter: &HelperStarter<'_>,
    name: &str,
    dir: BorrowedFd<'_>,
    userns: Option<OwnedFd>,
) -> Result<HelperClient> {
    let (ours, theirs) = SeqpacketSocket::pair()?;
    match process::fork().context("starting the network helper")? {
        ForkSide::Child => {
            drop(ours);
            // A session of its own: signals of the command's terminal are not for the helper.
            let _ = rustix::process::setsid();
            match process::fork() {
                Ok(ForkSide::Child) => {}
                Ok(ForkSide::Parent(_)) => process::exit_now(0),
                Err(_) => process::exit_now(1),
            }
            let error = match become_helper(starter.identity, name, dir, userns, &theirs) {
                Ok(listener) => helper::serve(listener, dir, name, theirs, starter.start),
                Err(error) => error,
            };
            let failed = HelperReply::Failed(Failure::from_chain(&error));
            let _ = theirs.send(&serde_json::to_vec(&failed).unwrap_or_default(), &[]);
            process::exit_now(1)
        }
        ForkSide::Parent(child) => {
            drop(theirs);
            // The intermediate process, which exits at once.
            child.wait()?;
            Ok(HelperClient(ours))
        }
    }
}

/// Drops everything inherited from the command, and enters the user namespace that the helper lives in.
fn become_helper(
    identity: &HostIdentity,
    name: &str,
    dir: BorrowedFd<'_>,
    userns: Option<OwnedFd>,
    command: &SeqpacketSocket,
) -> Result<SeqpacketListener> {
    let _ = process::set_title("dhow: network");
    let null = dhow_sys::stdio::open_dev_null()?;
    for number in 0..3 {
        process::place_fd(null.as_fd(), number)?;
    }
    drop(null);
    // Containers may outlive the command; a pipe or terminal of its caller must not stay open with them.
    let mut keep = vec![dir, command.as_fd()];
    keep.extend(userns.as_ref().map(OwnedFd::as_fd));
    process::close_others(3, &keep)?;
    // Writing to a closed connection must fail with EPIPE, not kill the helper.
    dhow_sys::signal::set_mask(&dhow_sys::signal::SignalSet::of(&[libc::SIGPIPE]))?;
    rustix::process::chdir("/")?;
    match &userns {
        Some(namespace) => dhow_sys::namespace::setns(namespace.as_fd(), ns::USER)
            .context("joining the user namespace of containers that run")?,
        None => identity::enter_new_userns(identity)?,
    }
    // Under the start lock: a socket that exists is left over from a killed helper.
    match unlinkat(dir, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(error) => return Err(error.into()),
    }
    SeqpacketListener::bind(dir, name).context("opening the network helper's socket")
}

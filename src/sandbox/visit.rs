//! A helper process inside a container's file system, for the duration of one command (`cp`, `diff`, `export` …).
//!
//! It joins the namespaces of a running container (through a pidfd of its first process), or assembles the file
//! system of a stopped one in namespaces of its own.
//!
//! # Trust
//!
//! Once inside, the helper's `/` is the container's, so no link and no race can lead it elsewhere. It executes
//! nothing of the container. It is undumpable, so no process of the container can inspect it. It holds three
//! descriptors: its socket to the parent (a second time as standard error) and one end of a pipe.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::identity::{Identity, explain_refusal};
use super::idmap::IdMap;
use super::plan::{Mount, Root, RootSource};
use super::{overlay, rootfs};
use crate::error::{Failure, Kind};
use crate::sys;
use crate::sys::process::{Child, Side, ns};
use crate::sys::socket::{MAX_MESSAGE, Socket};

/// Capabilities that the helper needs to handle files of any owner: CAP_CHOWN, CAP_DAC_OVERRIDE,
/// CAP_DAC_READ_SEARCH, CAP_FOWNER, CAP_FSETID and CAP_SETFCAP (capabilities(7)).
const CAPABILITIES: u64 = 0b1_1111 | 1 << 31;

/// Requested capacity of the data pipe, in bytes.
const PIPE: usize = 1 << 20;

/// The container whose file system the helper works on.
pub enum Place<'a> {
    /// The process behind this pidfd.
    Running(BorrowedFd<'a>),
    /// A stopped container, whose file system is assembled from this.
    Stopped(&'a Layout, &'a Identity),
}

/// The file system of a stopped container.
#[derive(Clone, Debug)]
pub struct Layout {
    pub root: Root,
    pub mounts: Vec<Mount>,
    pub ids: IdMap,
    /// A host directory, the parent of the writable layer, to be covered with a tmpfs so that nothing on disk
    /// changes.
    pub scratch: Option<PathBuf>,
}

/// Direction of the data pipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// To the helper.
    In,
    /// From the helper.
    Out,
}

/// What the work inside the container gets.
pub struct Inside<'a> {
    pub root: OwnedFd,
    /// The helper's end of the data pipe.
    pub data: OwnedFd,
    control: &'a Socket,
}

/// The parent's handle. Dropping it before [`FsHelper::finish`] kills the helper.
pub struct Visitor {
    child: Child,
    control: Socket,
    data: Option<OwnedFd>,
    ended: bool,
}

/// A message on the control socket, in either direction.
#[derive(Serialize, Deserialize)]
enum Said<T> {
    Word(T),
    Failed(Failure),
}

impl Inside<'_> {
    /// Sends a message to the parent.
    pub fn tell<T: Serialize>(&self, word: &T) -> Result<()> {
        tell(self.control, word)
    }

    /// Waits for a message from the parent.
    pub fn hear<T: DeserializeOwned>(&self) -> Result<T> {
        hear(self.control)?.ok_or_else(interrupted)
    }
}

impl Visitor {
    /// Sends a message to the helper.
    pub fn tell<T: Serialize>(&self, word: &T) -> Result<()> {
        tell(&self.control, word)
    }

    /// Waits for a message from the helper; a failure it reports is returned as an error.
    pub fn hear<T: DeserializeOwned>(&self) -> Result<T> {
        hear(&self.control)?.ok_or_else(interrupted)
    }

    /// The parent's end of the data pipe; an error the second time.
    pub fn take_data(&mut self) -> Result<OwnedFd> {
        self.data.take().ok_or_else(interrupted)
    }

    /// Waits for the helper to end. An error if it failed.
    pub fn finish(mut self) -> Result<()> {
        self.data = None;
        while hear::<serde_json::Value>(&self.control)?.is_some() {}
        self.ended = true;
        if self.child.wait()?.code() == 0 { Ok(()) } else { Err(interrupted()) }
    }
}

impl Drop for Visitor {
    fn drop(&mut self) {
        if !self.ended {
            // Both fail only if it has already ended.
            let _ = self.child.signal(libc::SIGKILL);
            let _ = self.child.wait();
        }
    }
}

fn tell<T: Serialize>(socket: &Socket, word: &T) -> Result<()> {
    Ok(socket.send(&serde_json::to_vec(&Said::Word(word))?, &[])?)
}

/// The next message; `None` at end of file.
fn hear<T: DeserializeOwned>(socket: &Socket) -> Result<Option<T>> {
    let message = socket.receive()?;
    if message.bytes.is_empty() {
        return Ok(None);
    }
    match serde_json::from_slice(&message.bytes) {
        Ok(Said::Word(word)) => Ok(Some(word)),
        Ok(Said::Failed(failure)) => Err(failure.into()),
        Err(_) => Err(interrupted()),
    }
}

fn interrupted() -> anyhow::Error {
    Failure::new(Kind::Interrupted, "the process inside the container has ended").into()
}

/// Starts a helper in `place` that performs `work` and exits. The process must have one thread; `work` must
/// not own any descriptor, since all but the helper's own are closed.
pub fn visit(place: Place<'_>, flow: Flow, work: impl FnOnce(Inside<'_>) -> Result<()>) -> Result<Visitor> {
    let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    // A larger pipe saves context switches. May fail: pipe-user-pages-soft limits each account (pipe(7)).
    let _ = rustix::pipe::fcntl_setpipe_size(&write, PIPE);
    let (ours, theirs) = match flow {
        Flow::In => (write, read),
        Flow::Out => (read, write),
    };
    send(place, ours, theirs, |root, control, data| {
        sys::caps::set_process(CAPABILITIES & sys::caps::permitted()?).context("giving up capabilities")?;
        work(Inside { root, data, control })
    })
}

/// Clones the container's root file system without its mounts, as a detached mount tree.
pub fn own_tree(place: Place<'_>) -> Result<OwnedFd> {
    let (ours, theirs) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    let visitor = send(place, ours, theirs, |root, control, _| {
        let tree = sys::mount::clone_tree(root.as_fd(), false).context("cutting out the root")?;
        control.send(&serde_json::to_vec(&Said::Word(()))?, &[tree.as_fd()])?;
        Ok(())
    })?;
    let mut message = visitor.control.receive()?;
    match message.fds.pop() {
        Some(tree) => visitor.finish().map(|()| tree),
        None => match serde_json::from_slice(&message.bytes) {
            Ok(Said::<()>::Failed(failure)) => Err(failure.into()),
            _ => Err(interrupted()),
        },
    }
}

/// Forks the helper; for a stopped container into new user and mount namespaces, whose ids this side maps.
fn send(
    place: Place<'_>,
    data: OwnedFd,
    their_data: OwnedFd,
    work: impl FnOnce(OwnedFd, &Socket, OwnedFd) -> Result<()>,
) -> Result<Visitor> {
    let (control, theirs) = Socket::pair()?;
    let side = match &place {
        Place::Running(_) => sys::process::fork()?,
        Place::Stopped(..) => {
            sys::process::clone_into(ns::USER | ns::MOUNT).map_err(|error| explain_refusal(&error))?
        }
    };
    match side {
        Side::Child => {
            drop((control, data));
            sys::process::exit_now(serve(&place, theirs, their_data, work))
        }
        Side::Parent(child) => {
            drop((theirs, their_data));
            let visitor = Visitor { child, control, data: Some(data), ended: false };
            if let Place::Stopped(layout, identity) = place {
                identity.apply(&layout.ids, visitor.child.pid)?;
                visitor.tell(&())?;
            }
            Ok(visitor)
        }
    }
}

/// In the child: enters the container and performs `work`. Returns the exit status.
fn serve(
    place: &Place<'_>,
    control: Socket,
    data: OwnedFd,
    work: impl FnOnce(OwnedFd, &Socket, OwnedFd) -> Result<()>,
) -> i32 {
    let Ok((control, data, pidfd)) = leave_the_rest(place, control, data) else { return 1 };
    let there = match place {
        Place::Running(_) => join(pidfd),
        Place::Stopped(layout, _) => put_together(layout, &control),
    };
    match there.and_then(|root| work(root, &control, data)) {
        Ok(()) => 0,
        Err(error) => {
            report(&control, &Failure::of(&error));
            1
        }
    }
}

/// Closes everything but the socket, the pipe and the pidfd. Standard error becomes the control socket: the
/// output of a panic is no valid message there, instead of ending up in whatever file has descriptor 2.
fn leave_the_rest(
    place: &Place<'_>,
    control: Socket,
    data: OwnedFd,
) -> std::io::Result<(Socket, OwnedFd, Option<OwnedFd>)> {
    let control = OwnedFd::from(control);
    let errors = control.try_clone()?;
    let [control, data, errors, pidfd] = match place {
        Place::Running(pidfd) => {
            let pidfd = rustix::io::fcntl_dupfd_cloexec(pidfd, 3)?;
            sys::process::keep_only([control, data, errors, pidfd])?.map(Some)
        }
        Place::Stopped(..) => {
            let [control, data, errors] = sys::process::keep_only([control, data, errors])?;
            [Some(control), Some(data), Some(errors), None]
        }
    };
    // Leaked on purpose: it is standard error from here on.
    std::mem::forget(errors);
    let missing = || std::io::Error::other("a descriptor is missing");
    Ok((control.ok_or_else(missing)?.into(), data.ok_or_else(missing)?, pidfd))
}

fn join(pidfd: Option<OwnedFd>) -> Result<OwnedFd> {
    use nix::sched::{CloneFlags, setns};
    sys::process::set_dumpable(false)?;
    if let Some(pidfd) = pidfd {
        match setns(&pidfd, CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS) {
            Err(nix::errno::Errno::ESRCH) => {
                return Err(Failure::new(Kind::Conflict, "the container has just ended")
                    .hint("try again")
                    .into());
            }
            other => other.context("joining the container's namespaces")?,
        }
    }
    // setns(2) into a mount namespace also sets root and working directory to its root.
    arrive()
}

fn put_together(layout: &Layout, control: &Socket) -> Result<OwnedFd> {
    let prepared = rootfs::prepare(&layout.mounts)?;
    hear::<()>(control)?.ok_or_else(interrupted)?;
    // Not earlier: whoever writes the id map must be able to access this process's /proc entries.
    sys::process::set_dumpable(false)?;
    if let (Some(scratch), RootSource::Overlay(layers)) = (&layout.scratch, &layout.root.source) {
        overlay::writable_in_memory(layers, scratch).context("making a writable layer in memory")?;
    }
    let root = rootfs::assemble(&layout.root, &layout.mounts, prepared)?;
    rootfs::pivot(root.as_fd())?;
    arrive()
}

/// The common end of both ways in: locks the process down and opens its new `/`.
fn arrive() -> Result<OwnedFd> {
    sys::process::set_dumpable(false)?;
    // A change of credentials, as by setns(2), clears this setting, so it comes last. If the parent is gone
    // by now, the pipe tells.
    sys::process::die_with_parent()?;
    rustix::process::umask(rustix::fs::Mode::empty());
    Ok(sys::fs::open_dir(Path::new("/"))?)
}

/// Reports a failure to the parent; nothing can be done if even that fails.
fn report(control: &Socket, failure: &Failure) {
    let mut text = serde_json::to_vec(&Said::<()>::Failed(failure.clone())).unwrap_or_default();
    if text.is_empty() || text.len() > MAX_MESSAGE {
        let short = Failure::new(failure.kind(), "the work inside the container failed");
        text = serde_json::to_vec(&Said::<()>::Failed(short)).unwrap_or_default();
    }
    let _ = control.send(&text, &[]);
}

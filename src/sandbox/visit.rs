//! A process of dhow's own inside a container's file system, for as long as one command needs it there.
//!
//! It joins the namespaces of a running container (through a pidfd of its first process), or puts the file system of
//! one that does not run together in namespaces of its own. Once inside its `/` is the container's, so that no link
//! and no race can lead it elsewhere; it runs nothing of the container; no process of the container can look into it,
//! because it is not dumpable; and it has three descriptors: a socket to its parent, twice, and a pipe.

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

/// What the visitor needs to handle files of every owner: CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH,
/// CAP_FOWNER, CAP_FSETID and CAP_SETFCAP (capabilities(7)).
const CAPABILITIES: u64 = 0b1_1111 | 1 << 31;

/// Bytes that the pipe holds, if the system allows it.
const PIPE: usize = 1 << 20;

/// Where to go.
pub enum Place<'a> {
    /// Where the process that this pidfd stands for is.
    Running(BorrowedFd<'a>),
    /// To what is made of this.
    Stopped(&'a Layout, &'a Identity),
}

/// The file system of a container that does not run.
#[derive(Clone, Debug)]
pub struct Layout {
    /// Its root.
    pub root: Root,
    /// What is mounted in it.
    pub mounts: Vec<Mount>,
    /// The id map of the container.
    pub ids: IdMap,
    /// A directory of the host that is covered with memory, in which the writable layer lies: nothing is changed.
    pub scratch: Option<PathBuf>,
}

/// Which way the pipe goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// To the visitor.
    In,
    /// From the visitor.
    Out,
}

/// What the visitor has.
pub struct Inside<'a> {
    /// The container's root.
    pub root: OwnedFd,
    /// Its end of the pipe.
    pub data: OwnedFd,
    control: &'a Socket,
}

/// The visitor as its parent sees it. Dropped before [`Visitor::finish`] it is killed.
pub struct Visitor {
    child: Child,
    control: Socket,
    data: Option<OwnedFd>,
    ended: bool,
}

/// A message. What one side tells, the other hears.
#[derive(Serialize, Deserialize)]
enum Said<T> {
    Word(T),
    Failed(Failure),
}

impl Inside<'_> {
    /// Tells the parent something.
    pub fn tell<T: Serialize>(&self, word: &T) -> Result<()> {
        tell(self.control, word)
    }

    /// Waits for what the parent tells.
    pub fn hear<T: DeserializeOwned>(&self) -> Result<T> {
        hear(self.control)?.ok_or_else(interrupted)
    }
}

impl Visitor {
    /// Tells the visitor something.
    pub fn tell<T: Serialize>(&self, word: &T) -> Result<()> {
        tell(&self.control, word)
    }

    /// Waits for what the visitor tells; its failure is an error.
    pub fn hear<T: DeserializeOwned>(&self) -> Result<T> {
        hear(&self.control)?.ok_or_else(interrupted)
    }

    /// This side's end of the pipe; given away once.
    pub fn take_data(&mut self) -> Result<OwnedFd> {
        self.data.take().ok_or_else(interrupted)
    }

    /// Waits for the visitor's end. An error if it failed.
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
            // Either fails only where it has ended.
            let _ = self.child.signal(libc::SIGKILL);
            let _ = self.child.wait();
        }
    }
}

fn tell<T: Serialize>(socket: &Socket, word: &T) -> Result<()> {
    Ok(socket.send(&serde_json::to_vec(&Said::Word(word))?, &[])?)
}

/// The next word; `None` at the end.
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

/// Sends a visitor to `place`, which does `work` there and ends. The process must have one thread; `work` must own
/// nothing that has a descriptor.
pub fn visit(place: Place<'_>, flow: Flow, work: impl FnOnce(Inside<'_>) -> Result<()>) -> Result<Visitor> {
    let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    // The fewer turns the better; the account's share of large pipes may be used up, though.
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

/// The container's own file system without what is mounted in it, as the root of a tree that nobody else sees.
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

/// In the child: goes there and works. Returns the exit status.
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

/// Closes all but the socket, the pipe, and what leads to the container. What a panic would write goes to the socket,
/// where it is no word, and not to a file that happens to have the number of standard error.
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
    // Its `/` is the container's now, and so is the working directory.
    arrive()
}

fn put_together(layout: &Layout, control: &Socket) -> Result<OwnedFd> {
    let prepared = rootfs::prepare(&layout.mounts)?;
    hear::<()>(control)?.ok_or_else(interrupted)?;
    // Not before: who maps the ids must be able to look at this process.
    sys::process::set_dumpable(false)?;
    if let (Some(scratch), RootSource::Overlay(layers)) = (&layout.scratch, &layout.root.source) {
        overlay::writable_in_memory(layers, scratch).context("making a writable layer in memory")?;
    }
    let root = rootfs::assemble(&layout.root, &layout.mounts, prepared)?;
    rootfs::pivot(root.as_fd())?;
    arrive()
}

fn arrive() -> Result<OwnedFd> {
    sys::process::set_dumpable(false)?;
    // A change of namespace undoes this, so it comes last. A parent that is gone by now is noticed by the pipe.
    sys::process::die_with_parent()?;
    rustix::process::umask(rustix::fs::Mode::empty());
    Ok(sys::fs::open_dir(Path::new("/"))?)
}

/// Says why it failed. Nothing can be done where even that fails.
fn report(control: &Socket, failure: &Failure) {
    let mut text = serde_json::to_vec(&Said::<()>::Failed(failure.clone())).unwrap_or_default();
    if text.is_empty() || text.len() > MAX_MESSAGE {
        let short = Failure::new(failure.kind(), "the work inside the container failed");
        text = serde_json::to_vec(&Said::<()>::Failed(short)).unwrap_or_default();
    }
    let _ = control.send(&text, &[]);
}

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

use super::identity::idmap::IdMap;
use super::identity::{HostIdentity, explain_userns_refusal};
use super::plan::{PlannedMount, RootPlan, RootSource};
use super::rootfs::{self, overlay};
use super::sync_socket::encode_failure;
use dhow_error::{Failure, FailureKind};
use dhow_sys::process::{ChildProcess, ForkSide, ns};
use dhow_sys::socket::SeqpacketSocket;

/// Capabilities that the helper needs to handle files of any owner: CAP_CHOWN, CAP_DAC_OVERRIDE,
/// CAP_DAC_READ_SEARCH, CAP_FOWNER, CAP_FSETID and CAP_SETFCAP (capabilities(7)).
const CAPABILITIES: u64 = 0b1_1111 | 1 << 31;

/// Requested capacity of the data pipe, in bytes.
const PIPE_SIZE: usize = 1 << 20;

/// The container whose file system the helper works on.
pub enum FsTarget<'a> {
    /// The process behind this pidfd.
    Running(BorrowedFd<'a>),
    /// A stopped container, whose file system is assembled from this.
    Stopped(&'a StoppedRootfs, &'a HostIdentity),
}

/// The file system of a stopped container.
#[derive(Clone, Debug)]
pub struct StoppedRootfs {
    pub root: RootPlan,
    pub mounts: Vec<PlannedMount>,
    pub ids: IdMap,
    /// A host directory, the parent of the writable layer, to be covered with a tmpfs so that nothing on disk
    /// changes.
    pub scratch: Option<PathBuf>,
}

/// Direction of the data pipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PipeDirection {
    /// To the helper.
    In,
    /// From the helper.
    Out,
}

/// What the work inside the container gets.
pub struct FsHelperContext<'a> {
    pub root: OwnedFd,
    /// The helper's end of the data pipe.
    pub data: OwnedFd,
    control: &'a SeqpacketSocket,
}

/// The parent's handle. Dropping it before [`FsHelper::finish`] kills the helper.
pub struct FsHelper {
    child: ChildProcess,
    control: SeqpacketSocket,
    data: Option<OwnedFd>,
    ended: bool,
}

/// A message on the control socket, in either direction.
#[derive(Serialize, Deserialize)]
enum FsHelperMessage<T> {
    Value(T),
    Failed(Failure),
}

impl FsHelperContext<'_> {
    /// Sends a message to the parent.
    pub fn send<T: Serialize>(&self, value: &T) -> Result<()> {
        send_message(self.control, value)
    }

    /// Waits for a message from the parent.
    pub fn receive<T: DeserializeOwned>(&self) -> Result<T> {
        receive_message(self.control)?.ok_or_else(helper_ended)
    }
}

impl FsHelper {
    /// Sends a message to the helper.
    pub fn send<T: Serialize>(&self, value: &T) -> Result<()> {
        send_message(&self.control, value)
    }

    /// Waits for a message from the helper; a failure it reports is returned as an error.
    pub fn receive<T: DeserializeOwned>(&self) -> Result<T> {
        receive_message(&self.control)?.ok_or_else(helper_ended)
    }

    /// The parent's end of the data pipe; an error the second time.
    pub fn take_data(&mut self) -> Result<OwnedFd> {
        self.data.take().ok_or_else(helper_ended)
    }

    /// Waits for the helper to end. An error if it failed.
    pub fn finish(mut self) -> Result<()> {
        // A helper that still reads from the pipe sees its end.
        self.data = None;
        // Until end of file; a failure among the messages is returned.
        while receive_message::<serde_json::Value>(&self.control)?.is_some() {}
        self.ended = true;
        if self.child.wait()?.code() == 0 { Ok(()) } else { Err(helper_ended()) }
    }
}

impl Drop for FsHelper {
    fn drop(&mut self) {
        if !self.ended {
            // Both fail only if it has already ended.
            let _ = self.child.signal(libc::SIGKILL);
            let _ = self.child.wait();
        }
    }
}

fn send_message<T: Serialize>(socket: &SeqpacketSocket, value: &T) -> Result<()> {
    Ok(socket.send(&serde_json::to_vec(&FsHelperMessage::Value(value))?, &[])?)
}

/// The next message; `None` at end of file.
fn receive_message<T: DeserializeOwned>(socket: &SeqpacketSocket) -> Result<Option<T>> {
    let message = socket.receive()?;
    if message.bytes.is_empty() {
        return Ok(None);
    }
    match serde_json::from_slice(&message.bytes) {
        Ok(FsHelperMessage::Value(value)) => Ok(Some(value)),
        Ok(FsHelperMessage::Failed(failure)) => Err(failure.into()),
        Err(_) => Err(helper_ended()),
    }
}

fn helper_ended() -> anyhow::Error {
    Failure::new(FailureKind::Interrupted, "the process inside the container has ended").into()
}

/// Starts a helper in `target` that performs `work` and exits. The process must have one thread; `work` must
/// not own any descriptor, since all but the helper's own are closed.
pub fn start_helper(
    target: FsTarget<'_>,
    direction: PipeDirection,
    work: impl FnOnce(FsHelperContext<'_>) -> Result<()>,
) -> Result<FsHelper> {
    let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    // A larger pipe saves context switches. May fail: pipe-user-pages-soft limits each account (pipe(7)).
    let _ = rustix::pipe::fcntl_setpipe_size(&write, PIPE_SIZE);
    let (ours, theirs) = match direction {
        PipeDirection::In => (write, read),
        PipeDirection::Out => (read, write),
    };
    fork_helper(target, ours, theirs, |root, control, data| {
        dhow_sys::caps::set_process(CAPABILITIES & dhow_sys::caps::permitted()?)
            .context("giving up capabilities")?;
        work(FsHelperContext { root, data, control })
    })
}

/// Clones the container's root file system without its mounts, as a detached mount tree.
pub fn clone_root_tree(target: FsTarget<'_>) -> Result<OwnedFd> {
    let (ours, theirs) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    let helper = fork_helper(target, ours, theirs, |root, control, _| {
        let tree = dhow_sys::mount::clone_tree(root.as_fd(), false).context("cutting out the root")?;
        control.send(&serde_json::to_vec(&FsHelperMessage::Value(()))?, &[tree.as_fd()])?;
        Ok(())
    })?;
    let mut message = helper.control.receive()?;
    match message.fds.pop() {
        Some(tree) => helper.finish().map(|()| tree),
        None => match serde_json::from_slice(&message.bytes) {
            Ok(FsHelperMessage::<()>::Failed(failure)) => Err(failure.into()),
            _ => Err(helper_ended()),
        },
    }
}

/// Forks the helper; for a stopped container into new user and mount namespaces, whose ids this side maps.
fn fork_helper(
    target: FsTarget<'_>,
    data: OwnedFd,
    their_data: OwnedFd,
    work: impl FnOnce(OwnedFd, &SeqpacketSocket, OwnedFd) -> Result<()>,
) -> Result<FsHelper> {
    let (control, theirs) = SeqpacketSocket::pair()?;
    let side = match &target {
        FsTarget::Running(_) => dhow_sys::process::fork()?,
        FsTarget::Stopped(..) => dhow_sys::process::clone_into(ns::USER | ns::MOUNT)
            .map_err(|error| explain_userns_refusal(&error))?,
    };
    match side {
        ForkSide::Child => {
            drop((control, data));
            dhow_sys::process::exit_now(run_helper(&target, theirs, their_data, work))
        }
        ForkSide::Parent(child) => {
            drop((theirs, their_data));
            let helper = FsHelper { child, control, data: Some(data), ended: false };
            if let FsTarget::Stopped(stopped, identity) = target {
                identity.apply(&stopped.ids, helper.child.pid)?;
                helper.send(&())?;
            }
            Ok(helper)
        }
    }
}

/// In the child: enters the container and performs `work`. Returns the exit status.
fn run_helper(
    target: &FsTarget<'_>,
    control: SeqpacketSocket,
    data: OwnedFd,
    work: impl FnOnce(OwnedFd, &SeqpacketSocket, OwnedFd) -> Result<()>,
) -> i32 {
    let Ok((control, data, pidfd)) = close_inherited(target, control, data) else { return 1 };
    let root = match target {
        FsTarget::Running(_) => enter_namespaces(pidfd),
        FsTarget::Stopped(stopped, _) => assemble_stopped(stopped, &control),
    };
    match root.and_then(|root| work(root, &control, data)) {
        Ok(()) => 0,
        Err(error) => {
            send_failure(&control, &Failure::from_chain(&error));
            1
        }
    }
}

/// Closes everything but the socket, the pipe and the pidfd. Standard error becomes the control socket: the
/// output of a panic is no valid message there, instead of ending up in whatever file has descriptor 2.
fn close_inherited(
    target: &FsTarget<'_>,
    control: SeqpacketSocket,
    data: OwnedFd,
) -> std::io::Result<(SeqpacketSocket, OwnedFd, Option<OwnedFd>)> {
    let control = OwnedFd::from(control);
    let errors = control.try_clone()?;
    let [control, data, errors, pidfd] = match target {
        FsTarget::Running(pidfd) => {
            let pidfd = rustix::io::fcntl_dupfd_cloexec(pidfd, 3)?;
            dhow_sys::process::keep_only([control, data, errors, pidfd])?.map(Some)
        }
        FsTarget::Stopped(..) => {
            let [control, data, errors] = dhow_sys::process::keep_only([control, data, errors])?;
            [Some(control), Some(data), Some(errors), None]
        }
    };
    // Leaked on purpose: it is standard error from here on.
    std::mem::forget(errors);
    let missing = || std::io::Error::other("a descriptor is missing");
    Ok((control.ok_or_else(missing)?.into(), data.ok_or_else(missing)?, pidfd))
}

fn enter_namespaces(pidfd: Option<OwnedFd>) -> Result<OwnedFd> {
    use nix::sched::{CloneFlags, setns};
    dhow_sys::process::set_dumpable(false)?;
    if let Some(pidfd) = pidfd {
        match setns(&pidfd, CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS) {
            Err(nix::errno::Errno::ESRCH) => {
                return Err(Failure::new(FailureKind::Conflict, "the container has just ended")
                    .hint("try again")
                    .into());
            }
            other => other.context("joining the container's namespaces")?,
        }
    }
    // setns(2) into a mount namespace also sets root and working directory to its root.
    finish_entry()
}

fn assemble_stopped(stopped: &StoppedRootfs, control: &SeqpacketSocket) -> Result<OwnedFd> {
    let sources = rootfs::open_sources(&stopped.mounts)?;
    receive_message::<()>(control)?.ok_or_else(helper_ended)?;
    // Not earlier: whoever writes the id map must be able to access this process's /proc entries.
    dhow_sys::process::set_dumpable(false)?;
    if let (Some(scratch), RootSource::Overlay(layers)) = (&stopped.scratch, &stopped.root.source) {
        overlay::put_upper_in_memory(layers, scratch).context("making a writable layer in memory")?;
    }
    let root = rootfs::assemble_root(&stopped.root, &stopped.mounts, sources)?;
    rootfs::pivot_into(root.as_fd())?;
    finish_entry()
}

/// The common end of both ways in: locks the process down and opens its new `/`.
fn finish_entry() -> Result<OwnedFd> {
    dhow_sys::process::set_dumpable(false)?;
    // A change of credentials, as by setns(2), clears this setting, so it comes last. If the parent is gone
    // by now, the pipe tells.
    dhow_sys::process::die_with_parent()?;
    // Files are created with exactly the modes given.
    rustix::process::umask(rustix::fs::Mode::empty());
    Ok(dhow_sys::fs::open_dir(Path::new("/"))?)
}

/// Reports a failure to the parent; nothing can be done if even that fails.
fn send_failure(control: &SeqpacketSocket, failure: &Failure) {
    let summary = "the work inside the container failed";
    let message = encode_failure(failure, summary, FsHelperMessage::<()>::Failed);
    let _ = control.send(&message, &[]);
}

//! Starts a further process in a running container (`docker exec`).
//!
//! ```text
//! caller ──fork──► intermediate ──setns──► ··· ──fork──► process ──► exec stub ──► program
//! ```
//!
//! The intermediate process leaves the caller's namespaces for the container's and forks there with `CLONE_PARENT`,
//! so the new process is a child of the caller, who can wait for it. Until then it shares the caller's memory, and the
//! caller stands still ([`dhow_sys::spawn`]). A process that outlives its caller is waited for
//! by [`exec_monitor`].
//!
//! # Trust
//!
//! The container may be hostile and wait for this moment. Before it joins, the intermediate process closes every
//! descriptor but the streams and its own, hides its command line, and makes itself undumpable: nothing inside can
//! open its files, directories or memory, since they belong to a process of the host's user namespace. It stays
//! undumpable until it becomes the exec stub, which holds nothing of the host ([`dhow_sys::exec_stub`]). Inside,
//! the container's /proc is not consulted, paths are resolved without magic links, and no file is read that could
//! block.

pub mod exec_monitor;
mod userns;

use std::convert::Infallible;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use anyhow::{Context as _, Result};
use dhow_error::{Failure, FailureKind};
use dhow_sys::exec_stub::{ExecStub, STATUS_FD};
use dhow_sys::process::{ChildProcess, ForkSide, ns};
use dhow_sys::spawn;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::pipe::PipeFlags;

use crate::confine;
use crate::confine::program::{self, ResolvedProgram, explain_no_stub};
use crate::confine::user::{ProcessUser, UserDatabase};
use crate::plan::{JoinPlan, ProcessPlan};
use crate::sync_socket::{self, SyncMessage, SyncSocket};

/// A hostile container could keep the stub's status pipe open to block its caller, so the caller waits no
/// longer than this.
const EXEC_TIMEOUT: Timespec = Timespec { tv_sec: 10, tv_nsec: 0 };

/// A process that has become its program.
pub struct JoinedProcess {
    pub process: ChildProcess,
    /// The master side of the terminal, if the plan has one.
    pub terminal: Option<OwnedFd>,
}

/// The descriptors that the intermediate process and the new process keep open.
struct JoinFds {
    channel: SyncSocket,
    stub: ExecStub,
    container_pidfd: OwnedFd,
    streams: [OwnedFd; 3],
    /// Entered last: the namespace from [`userns::userns_for_user`], if one is needed.
    userns: Option<OwnedFd>,
}

/// Starts `plan` in the namespaces of the process behind the pidfd `container`. `streams` are standard input,
/// output and error unless the plan has a terminal. The process must have one thread.
pub fn spawn_in_container(
    plan: &JoinPlan,
    container: BorrowedFd<'_>,
    streams: [BorrowedFd<'_>; 3],
) -> Result<JoinedProcess> {
    let (ours, theirs) = sync_socket::socket_pair()?;
    // Non-blocking: it is read after a timeout even if nothing has arrived.
    let (status, status_writer) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
    let intermediate = spawn::run_sharing_memory(&[ours.as_fd()], &mut || {
        match JoinFds::gather(plan, &theirs, &status_writer, container, streams) {
            Ok(fds) => run_intermediate(plan, &fds),
            Err(error) => theirs.send_failure(&Failure::from_chain(&error)),
        }
        125
    });
    let intermediate = intermediate.context("starting a process");
    // The memory was the intermediate process's as well.
    dhow_sys::process::set_dumpable(true)?;
    drop((theirs, status_writer));
    let intermediate = intermediate?;
    let joined = await_process(&ours);
    // Reaped before the outcome is looked at, so that a failure leaves no zombie.
    intermediate.wait()?;
    let joined = joined?;
    match await_exec(&status, &joined.process)? {
        None => Ok(joined),
        Some(error) => {
            joined.process.wait()?;
            let name = plan.process.args.first().map_or("", String::as_str);
            Err(program::explain_exec_error(name, &error).into())
        }
    }
}

/// Waits until the process has become the exec stub. Messages from it and from the intermediate process come
/// in any order.
fn await_process(channel: &SyncSocket) -> Result<JoinedProcess> {
    let (mut process, mut terminal, mut failure) = (None, None, None);
    loop {
        match channel.receive()? {
            SyncMessage::Process(child) => process = Some(child),
            SyncMessage::Terminal(master) => terminal = Some(master),
            // Only a container's first process has an owner listener.
            SyncMessage::Listener(_) => {}
            SyncMessage::Failed(reported) => failure = Some(reported),
            SyncMessage::Running => break,
        }
    }
    match (failure, process) {
        (None, Some(process)) => Ok(JoinedProcess { process, terminal }),
        (failure, process) => {
            process.map(|process| process.wait()).transpose()?;
            let killed = || Failure::new(FailureKind::Interrupted, "the process was killed before it ran");
            Err(failure.unwrap_or_else(killed).into())
        }
    }
}

/// Waits until the stub has become the program. Returns the error of execve(2) if it could not.
fn await_exec(status: &OwnedFd, process: &ChildProcess) -> Result<Option<std::io::Error>> {
    let mut poll_fds = [
        PollFd::from_borrowed_fd(status.as_fd(), PollFlags::IN),
        PollFd::from_borrowed_fd(process.pidfd(), PollFlags::IN),
    ];
    rustix::io::retry_on_intr(|| poll(&mut poll_fds, Some(&EXEC_TIMEOUT)))?;
    let mut errno = [0; 4];
    match rustix::io::read(status, &mut errno) {
        Ok(4) => Ok(Some(std::io::Error::from_raw_os_error(i32::from_ne_bytes(errno)))),
        // End of file, or no answer in time: the program counts as started.
        _ => Ok(None),
    }
}

impl JoinFds {
    /// Moves all descriptors above [`STATUS_FD`], which the stub uses.
    fn gather(
        plan: &JoinPlan,
        channel: &SyncSocket,
        status_writer: &OwnedFd,
        container: BorrowedFd<'_>,
        streams: [BorrowedFd<'_>; 3],
    ) -> Result<Self> {
        let raised = |fd: BorrowedFd<'_>| rustix::io::fcntl_dupfd_cloexec(fd, STATUS_FD + 1);
        let userns = userns::userns_for_user(plan, container)?;
        let gathered = Self {
            userns: userns.as_ref().map(|userns| raised(userns.as_fd())).transpose()?,
            channel: channel.at_or_above(STATUS_FD + 1)?,
            stub: ExecStub::new().map_err(|error| explain_no_stub(&error))?,
            container_pidfd: raised(container)?,
            streams: [raised(streams[0])?, raised(streams[1])?, raised(streams[2])?],
        };
        dhow_sys::process::place_fd(status_writer.as_fd(), STATUS_FD)?;
        Ok(gathered)
    }

    /// Closes all other descriptors. Safe because their owners never run again: this process ends or execs.
    fn close_others(&self) -> std::io::Result<()> {
        let own = [self.channel.as_fd(), self.stub.as_fd(), self.container_pidfd.as_fd()];
        let others = self.streams.iter().chain(&self.userns).map(|fd| fd.as_fd());
        let keep: Vec<BorrowedFd<'_>> = own.into_iter().chain(others).collect();
        dhow_sys::process::close_others(STATUS_FD.cast_unsigned() + 1, &keep)
    }
}

/// In the intermediate process.
fn run_intermediate(plan: &JoinPlan, fds: &JoinFds) -> ! {
    // /proc/PID/cmdline is world-readable and would show the caller's command line inside the container. It is the
    // caller's memory, who has it back in the end.
    let title = dhow_sys::process::set_title(&format!("dhow: {}", plan.name));
    let entered = enter_container(plan, fds);
    if let Some(title) = title {
        title.write();
    }
    let Err(error) = entered else { dhow_sys::process::exit_now(0) };
    // Not returned: once descriptors have been closed, nothing of the caller may run again.
    fds.channel.send_failure(&Failure::from_chain(&error));
    dhow_sys::process::exit_now(125)
}

/// Creates the new process in the container. Returns in the intermediate process only.
fn enter_container(plan: &JoinPlan, fds: &JoinFds) -> Result<()> {
    // By the host's /proc; the container's own is not to be trusted.
    confine::set_oom_score(&plan.process)?;
    if let Some(cgroup) = &plan.cgroup {
        // Before joining: afterwards the host's cgroup file system is out of reach.
        cgroup.enter()?;
    }
    fds.close_others()?;
    dhow_sys::process::set_dumpable(false)?;
    dhow_sys::namespace::setns(fds.container_pidfd.as_fd(), plan.unshare.clone_flags())
        .map_err(|error| explain_join_refusal(&error))?;
    match dhow_sys::process::clone_sibling(0, None).map_err(|error| explain_join_refusal(&error))? {
        ForkSide::Child => {
            let error = match become_process(plan, fds) {
                Ok(never) => match never {},
                Err(error) => error,
            };
            fds.channel.send_failure(&Failure::from_chain(&error));
            dhow_sys::process::exit_now(125)
        }
        ForkSide::Parent(process) => fds.channel.send_process(&process),
    }
}

/// Explains why the container could not be entered. Once its first process is ending, fork(2) fails with
/// `ENOMEM` in its pid namespace.
pub(super) fn explain_join_refusal(error: &std::io::Error) -> anyhow::Error {
    match error.raw_os_error() {
        Some(libc::ESRCH | libc::ENOMEM) => container_ended().into(),
        _ => Failure::new(FailureKind::Denied, format!("the kernel refused to enter the container: {error}"))
            .into(),
    }
}

pub(super) fn container_ended() -> Failure {
    Failure::new(FailureKind::Conflict, "the container has ended")
}

/// In the new process, inside the container: takes on its identity and execs.
fn become_process(plan: &JoinPlan, fds: &JoinFds) -> Result<Infallible> {
    rustix::process::umask(Mode::from_raw_mode(0o022));
    // After setns(2), `/` is the container's.
    let root = dhow_sys::fs::open_dir(Path::new("/"))?;
    let user = resolve_user(&UserDatabase::read(root.as_fd()), &plan.process)?;
    confine::check_mapped(&user, &plan.ids, &plan.confinement)?;
    let terminal = match plan.process.tty {
        true => Some(open_terminal(root.as_fd(), fds, &user, plan.process.terminal_size)?),
        false => None,
    };
    enter_workdir(root.as_fd(), &plan.process.cwd)?;
    let process = with_conditional_env(plan, root.as_fd());
    drop(root);
    let [input, output, error] = &fds.streams;
    confine::attach_streams(terminal.as_ref(), [input.as_fd(), output.as_fd(), error.as_fd()])?;
    confine::set_rlimits(&process)?;
    if let Some(userns) = &fds.userns {
        // Late: inside it, this process has no capabilities over the container's own namespaces.
        dhow_sys::namespace::setns(userns.as_fd(), ns::USER).context("entering the user's namespace")?;
    }
    confine::drop_privileges(&plan.confinement, &user)?;
    if process.die_with_parent {
        confine::die_with_parent(&fds.channel)?;
    }
    ResolvedProgram::resolve(&process, &user)?.exec_via_stub(&fds.stub, &plan.confinement.seccomp)
}

/// Resolves the user. A user that does not exist has docker's exit code for a command that cannot be run
/// (126).
pub(super) fn resolve_user(database: &UserDatabase, process: &ProcessPlan) -> Result<ProcessUser, Failure> {
    let resolved = database.resolve(&process.user, &process.groups);
    resolved.map_err(|failure| Failure::new(FailureKind::CommandNotExecutable, failure.to_string()))
}

/// Opens a terminal on the container's own devpts, as a program inside would.
fn open_terminal(
    root: BorrowedFd<'_>,
    fds: &JoinFds,
    user: &ProcessUser,
    size: Option<(u16, u16)>,
) -> Result<OwnedFd> {
    let devpts = dhow_sys::fs::open_in_root(
        root,
        Path::new("dev/pts"),
        OFlags::PATH | OFlags::DIRECTORY,
        Mode::empty(),
    )
    .context("opening /dev/pts")?;
    let (master, slave) = confine::open_terminal(devpts.as_fd(), user, size)?;
    fds.channel.send_terminal(&master)?;
    Ok(slave)
}

/// Enters the working directory. Unlike for a container's first process, a missing one is not created.
fn enter_workdir(root: BorrowedFd<'_>, cwd: &str) -> Result<()> {
    let dir =
        dhow_sys::fs::open_in_root(root, Path::new(cwd), OFlags::PATH | OFlags::DIRECTORY, Mode::empty())
            .and_then(|dir| Ok(rustix::process::fchdir(&dir)?));
    dir.map_err(|error| {
        let kind = match error.raw_os_error() {
            Some(libc::ENOENT) => FailureKind::CommandNotFound,
            _ => FailureKind::CommandNotExecutable,
        };
        let text = match error.raw_os_error() {
            Some(libc::ENOENT) => "no such file or directory".to_owned(),
            Some(libc::ENOTDIR) => "not a directory".to_owned(),
            Some(libc::EACCES) => "permission denied".to_owned(),
            Some(libc::ELOOP) => "it leads through a link of /proc".to_owned(),
            _ => error.to_string(),
        };
        Failure::new(kind, format!("chdir to cwd (\"{}\"): {text}", cwd.escape_debug())).into()
    })
}

/// Adds what can only be determined inside, namely [`JoinPlan::env_if_file`].
fn with_conditional_env(plan: &JoinPlan, root: BorrowedFd<'_>) -> ProcessPlan {
    let mut process = plan.process.clone();
    if let Some((file, variable)) = &plan.env_if_file {
        let opened = dhow_sys::fs::open_in_root(root, Path::new(file), OFlags::PATH, Mode::empty());
        process.env.extend(opened.is_ok().then(|| variable.clone()));
    }
    process
}

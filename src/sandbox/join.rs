//! Starts a further process in a container that runs.
//!
//! ```text
//! caller ──fork──► usher ──setns──► ··· ──fork──► process ──► stub ──► program
//! ```
//!
//! The usher leaves the caller's namespaces for the container's and makes the process there, as a child of the caller,
//! who can wait for it. A process that outlives its caller gets a keeper outside ([`super::keeper`]).
//!
//! The container may be hostile and lie in wait. So before it joins the usher closes every descriptor but the streams
//! and its own tools, hides its command line, and becomes undumpable: nothing inside can open its files, directories or
//! memory, as these belong to a process of the host's user namespace. It stays so until the stub, which has nothing of
//! the host ([`crate::sys::stub`]). Inside, the container's /proc is not asked, paths are resolved without the links of
//! a /proc, and no file is read that could block.

use std::convert::Infallible;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use anyhow::{Context as _, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::pipe::PipeFlags;

use super::cgroup::Membership;
use super::channel::{self, Channel, Said};
use super::idmap::IdMap;
use super::launch::namespaces;
use super::plan::{Confinement, Process, Unshare};
use super::program::{self, Program};
use super::user::{Database, User};
use super::{alias, confine};
use crate::error::{Failure, Kind};
use crate::sys;
use crate::sys::process::{Child, Side, ns};
use crate::sys::stub::{STATUS, Stub};

/// The container could hold the stub's pipe open to make its caller wait; the caller does so no longer than this.
const PATIENCE: Timespec = Timespec { tv_sec: 10, tv_nsec: 0 };

/// What will be done.
#[derive(Clone, Debug)]
pub struct JoinPlan {
    /// The container's name.
    pub name: String,
    /// The container's own cgroup, if it has one.
    pub cgroup: Option<Membership>,
    /// Which namespaces are the container's own.
    pub unshare: Unshare,
    /// The ids of its user namespace.
    pub ids: IdMap,
    /// The process. Its working directory must exist.
    pub process: Process,
    /// Its confinement.
    pub confinement: Confinement,
    /// A variable for containers that have this file: its path and the variable.
    pub variable_of_file: Option<(&'static str, String)>,
}

/// A process whose program runs.
pub struct Joined {
    /// To be waited for.
    pub process: Child,
    /// The master side of its terminal, if the plan has one.
    pub terminal: Option<OwnedFd>,
}

/// What the usher and the process hold on to.
struct Tools {
    channel: Channel,
    stub: Stub,
    container: OwnedFd,
    streams: [OwnedFd; 3],
    /// The namespace to enter last.
    alias: Option<OwnedFd>,
}

/// Starts `plan` in the namespaces of the process that the pidfd `container` means. `streams` are its standard input,
/// output and error unless it has a terminal. The process must have one thread.
pub fn spawn(plan: &JoinPlan, container: BorrowedFd<'_>, streams: [BorrowedFd<'_>; 3]) -> Result<Joined> {
    let (ours, theirs) = channel::pair()?;
    let (status, told) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
    match sys::process::clone_into(0).context("starting a process")? {
        Side::Child => {
            let gathered = Tools::gather(plan, &theirs, &told, container, streams);
            let error = match gathered.and_then(|tools| usher(plan, tools)) {
                Ok(never) => match never {},
                Err(error) => error,
            };
            theirs.send_failure(&Failure::of(&error));
            sys::process::exit_now(125)
        }
        Side::Parent(usher) => {
            drop((theirs, told));
            let joined = meet(&ours);
            usher.wait()?;
            let joined = joined?;
            match await_start(&status, &joined.process)? {
                None => Ok(joined),
                Some(error) => {
                    joined.process.wait()?;
                    Err(program::explain(plan.process.args.first().map_or("", String::as_str), &error).into())
                }
            }
        }
    }
}

/// Waits until the process has become the stub. What it and the usher say may come in any order.
fn meet(channel: &Channel) -> Result<Joined> {
    let (mut process, mut terminal, mut failure) = (None, None, None);
    loop {
        match channel.listen()? {
            Said::Process(child) => process = Some(child),
            Said::Terminal(master) => terminal = Some(master),
            // Only a container's first process has one.
            Said::Listener(_) => {}
            Said::Failed(why) => failure = Some(why),
            Said::Running => break,
        }
    }
    match (failure, process) {
        (None, Some(process)) => Ok(Joined { process, terminal }),
        (failure, process) => {
            process.map(|process| process.wait()).transpose()?;
            let killed = || Failure::new(Kind::Interrupted, "the process was killed before it ran");
            Err(failure.unwrap_or_else(killed).into())
        }
    }
}

/// Waits until the stub has become the program; what kept it from that otherwise.
fn await_start(status: &OwnedFd, process: &Child) -> Result<Option<std::io::Error>> {
    let mut fds = [
        PollFd::from_borrowed_fd(status.as_fd(), PollFlags::IN),
        PollFd::from_borrowed_fd(process.pidfd(), PollFlags::IN),
    ];
    rustix::io::retry_on_intr(|| poll(&mut fds, Some(&PATIENCE)))?;
    let mut errno = [0; 4];
    match rustix::io::read(status, &mut errno) {
        Ok(4) => Ok(Some(std::io::Error::from_raw_os_error(i32::from_ne_bytes(errno)))),
        _ => Ok(None),
    }
}

impl Tools {
    /// Takes them out of the way of the descriptor that the stub uses.
    fn gather(
        plan: &JoinPlan,
        channel: &Channel,
        told: &OwnedFd,
        container: BorrowedFd<'_>,
        streams: [BorrowedFd<'_>; 3],
    ) -> Result<Self> {
        let raised = |fd: BorrowedFd<'_>| rustix::io::fcntl_dupfd_cloexec(fd, STATUS + 1);
        let alias = alias::namespace(plan, container)?;
        let tools = Self {
            alias: alias.as_ref().map(|alias| raised(alias.as_fd())).transpose()?,
            channel: channel.at_or_above(STATUS + 1)?,
            stub: Stub::new().map_err(|error| no_stub(&error))?,
            container: raised(container)?,
            streams: [raised(streams[0])?, raised(streams[1])?, raised(streams[2])?],
        };
        sys::process::place_fd(told.as_fd(), STATUS)?;
        Ok(tools)
    }

    /// Nobody comes back to whatever owns the others: this process ends, or becomes a program.
    fn close_others(&self) -> std::io::Result<()> {
        let own = [self.channel.as_fd(), self.stub.as_fd(), self.container.as_fd()];
        let others = self.streams.iter().chain(&self.alias).map(|fd| fd.as_fd());
        let keep: Vec<BorrowedFd<'_>> = own.into_iter().chain(others).collect();
        sys::process::close_others(STATUS.cast_unsigned() + 1, &keep)
    }
}

fn usher(plan: &JoinPlan, tools: Tools) -> Result<Infallible> {
    let failed = |error: anyhow::Error| -> ! {
        tools.channel.send_failure(&Failure::of(&error));
        sys::process::exit_now(125)
    };
    match lead_in(plan, &tools) {
        Ok(never) => match never {},
        Err(error) => failed(error),
    }
}

fn lead_in(plan: &JoinPlan, tools: &Tools) -> Result<Infallible> {
    // /proc/PID/cmdline is for everybody to read, and this process's is the caller's.
    sys::process::set_title(&format!("dhow: {}", plan.name));
    confine::set_oom_score(&plan.process)?;
    if let Some(cgroup) = &plan.cgroup {
        cgroup.enter()?;
    }
    tools.close_others()?;
    sys::process::set_dumpable(false)?;
    sys::namespace::join(tools.container.as_fd(), namespaces(plan.unshare))
        .map_err(|error| explain_refusal(&error))?;
    match sys::process::clone_sibling(0, None).map_err(|error| explain_refusal(&error))? {
        Side::Child => join(plan, tools),
        Side::Parent(process) => {
            tools.channel.send_process(&process)?;
            sys::process::exit_now(0)
        }
    }
}

/// A container whose first process ends takes in no further process; fork(2) then says `ENOMEM`.
pub(super) fn explain_refusal(error: &std::io::Error) -> anyhow::Error {
    match error.raw_os_error() {
        Some(libc::ESRCH | libc::ENOMEM) => ended().into(),
        _ => Failure::new(Kind::Denied, format!("the kernel refused to enter the container: {error}")).into(),
    }
}

/// Without the stub the container could get at dhow's own file.
pub(super) fn no_stub(error: &std::io::Error) -> Failure {
    let failure = Failure::new(Kind::Denied, format!("the kernel runs no program from memory: {error}"));
    match error.raw_os_error() {
        Some(libc::EACCES) => failure.hint("root can allow it with `sysctl vm.memfd_noexec=1`"),
        _ => failure,
    }
}

/// The container that was to be joined is no more.
pub(super) fn ended() -> Failure {
    Failure::new(Kind::Conflict, "the container has ended")
}

fn join(plan: &JoinPlan, tools: &Tools) -> Result<Infallible> {
    rustix::process::umask(Mode::from_raw_mode(0o022));
    let root = sys::fs::open_dir(Path::new("/"))?;
    let user = resolve(&Database::read(root.as_fd()), &plan.process)?;
    confine::check_mapped(&user, &plan.ids, &plan.confinement)?;
    let terminal = match plan.process.tty {
        true => Some(open_terminal(root.as_fd(), tools, &user, plan.process.terminal_size)?),
        false => None,
    };
    enter_workdir(root.as_fd(), &plan.process.cwd)?;
    let process = complete(plan, root.as_fd());
    drop(root);
    let [input, output, error] = &tools.streams;
    confine::attach_streams(terminal.as_ref(), [input.as_fd(), output.as_fd(), error.as_fd()])?;
    confine::limit_resources(&process)?;
    if let Some(alias) = &tools.alias {
        sys::namespace::join(alias.as_fd(), ns::USER).context("entering the user's namespace")?;
    }
    confine::give_up_privilege(&plan.confinement, &user)?;
    if process.die_with_parent {
        confine::die_with_parent(&tools.channel)?;
    }
    Program::find(&process, &user)?.exec_through(&tools.stub, &plan.confinement.seccomp)
}

/// As docker's exit codes have it, a user that is not found is a command that cannot be run.
pub(super) fn resolve(database: &Database, process: &Process) -> Result<User, Failure> {
    let found = database.resolve(&process.user, &process.groups);
    found.map_err(|failure| Failure::new(Kind::CommandNotExecutable, failure.to_string()))
}

/// A terminal of the container's own devpts, as a program inside would open one.
fn open_terminal(
    root: BorrowedFd<'_>,
    tools: &Tools,
    user: &User,
    size: Option<(u16, u16)>,
) -> Result<OwnedFd> {
    let devpts =
        sys::fs::open_in_root(root, Path::new("dev/pts"), OFlags::PATH | OFlags::DIRECTORY, Mode::empty())
            .context("opening /dev/pts")?;
    let (master, slave) = confine::open_terminal(devpts.as_fd(), user, size)?;
    tools.channel.send_terminal(&master)?;
    Ok(slave)
}

/// Unlike a container's first process this one makes no directory.
fn enter_workdir(root: BorrowedFd<'_>, cwd: &str) -> Result<()> {
    let dir = sys::fs::open_in_root(root, Path::new(cwd), OFlags::PATH | OFlags::DIRECTORY, Mode::empty())
        .and_then(|dir| Ok(rustix::process::fchdir(&dir)?));
    dir.map_err(|error| {
        let kind = match error.raw_os_error() {
            Some(libc::ENOENT) => Kind::CommandNotFound,
            _ => Kind::CommandNotExecutable,
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

/// The process with what only the inside can tell.
fn complete(plan: &JoinPlan, root: BorrowedFd<'_>) -> Process {
    let mut process = plan.process.clone();
    if let Some((file, variable)) = &plan.variable_of_file {
        let found = sys::fs::open_in_root(root, Path::new(file), OFlags::PATH, Mode::empty());
        process.env.extend(found.is_ok().then(|| variable.clone()));
    }
    process
}

//! The first process of a container from clone to exec: it builds the root file system, enters it, drops its
//! privileges, and becomes the container's program.
//!
//! It has one thread and is alone in its namespaces. Nothing here returns to the supervisor's code: a failure is sent
//! over the sync socket and the process exits.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use anyhow::{Context as _, Result};
use rustix::fs::{Mode, OFlags};

use crate::confine;
use crate::confine::program::{self, ResolvedProgram};
use crate::confine::user::{ProcessUser, UserDatabase};
use crate::plan::{PeerMount, SandboxPlan};
use crate::sync_socket::SyncSocket;

use crate::rootfs::{self, MountSources};

use dhow_error::Failure;
use dhow_sys::exec_stub::{ExecStub, STATUS_FD};

/// Standard input, output and error of a container without a terminal.
pub(super) struct StdioFds<'a>(pub(super) [BorrowedFd<'a>; 3]);

/// What the new container's first process receives from the other container.
#[derive(Default)]
pub(super) struct ReceivedMounts {
    mounts: Vec<(PeerMount, OwnedFd)>,
    /// Where the exec stub reports, if the process is visible to others: /dev/null, since nobody listens.
    pub(super) stub_status: Option<OwnedFd>,
}

impl ReceivedMounts {
    pub(super) fn new(mounts: Vec<(PeerMount, OwnedFd)>) -> Self {
        Self { mounts, stub_status: None }
    }

    /// Takes the mount of this kind; `None` if it was taken before or never requested.
    fn take(&mut self, kind: PeerMount) -> Option<OwnedFd> {
        let index = self.mounts.iter().position(|(other, _)| *other == kind)?;
        Some(self.mounts.swap_remove(index).1)
    }
}

/// Becomes the container's program. Ends by exec, or exits with 125 after reporting the failure.
pub(super) fn run_init(
    plan: &SandboxPlan,
    channel: &SyncSocket,
    streams: &StdioFds<'_>,
    received: ReceivedMounts,
) -> ! {
    let error = match become_container(plan, channel, streams, received) {
        Ok(never) => match never {},
        Err(error) => error,
    };
    channel.send_failure(&Failure::from_chain(&error));
    dhow_sys::process::exit_now(125)
}

fn become_container(
    plan: &SandboxPlan,
    channel: &SyncSocket,
    streams: &StdioFds<'_>,
    mut received: ReceivedMounts,
) -> Result<std::convert::Infallible> {
    dhow_sys::process::set_name(&format!("dhow: {}", plan.name));
    // The caller's umask must not leak in; docker's is 022.
    rustix::process::umask(Mode::from_raw_mode(0o022));
    // In a new network namespace `lo` is down.
    if plan.unshare.net {
        dhow_sys::interface::loopback_up().context("bringing up the loopback interface")?;
    }
    let mut sources = rootfs::prepare_mounts(plan)?;
    sources.add_peer_mounts(&plan.mounts, |kind| received.take(kind));
    // A filter of the user's own may forbid memfd_create(2), so this comes before any is loaded.
    let stub = received
        .stub_status
        .as_ref()
        .map(|_| ExecStub::new())
        .transpose()
        .map_err(|error| program::explain_no_stub(&error))?;
    channel.await_go()?;
    // From here on the ids are mapped, so files can be created and owned.
    let (user, terminal) = enter_root(plan, channel, sources)?;
    confine::attach_streams(terminal.as_ref(), streams.0)?;
    confine::set_rlimits(&plan.process)?;
    // A process that others can see has set its score in the intermediate process: undumpable, it cannot
    // write its /proc.
    if stub.is_none() {
        confine::set_oom_score(&plan.process)?;
    }
    // The network is connected while the root is built; the program must not run before both are done.
    if plan.awaits_network {
        channel.await_go()?;
    }
    if let Some(listener) = confine::drop_privileges(&plan.confinement, &user)? {
        channel.send_listener(&listener)?;
    }
    if plan.process.die_with_parent {
        confine::die_with_parent(channel)?;
    }
    let resolved = ResolvedProgram::resolve(&plan.process, &user)?;
    match (stub, &received.stub_status) {
        (Some(stub), Some(status)) => {
            dhow_sys::process::place_fd(status.as_fd(), STATUS_FD)?;
            resolved.exec_via_stub(&stub, &plan.confinement.seccomp)
        }
        _ => resolved.exec(),
    }
}

/// Builds the root file system and makes it `/`. Returns the user that the program runs as, and its terminal.
fn enter_root(
    plan: &SandboxPlan,
    channel: &SyncSocket,
    sources: MountSources,
) -> Result<(ProcessUser, Option<OwnedFd>)> {
    // The names are set from inside, where this process has CAP_SYS_ADMIN over the new UTS namespace.
    if plan.unshare.uts {
        set_names(plan)?;
    }
    let root = rootfs::build_rootfs(plan, sources)?;
    // Before the pivot, while the root is reached by descriptor only.
    let user = UserDatabase::read(root.as_fd()).resolve(&plan.process.user, &plan.process.groups)?;
    confine::check_mapped(&user, &plan.ids, &plan.confinement)?;
    let terminal = match plan.process.tty {
        true => Some(open_terminal(root.as_fd(), channel, &user, plan.process.terminal_size)?),
        false => None,
    };
    rootfs::pivot_into(root.as_fd())?;
    // Holding the old root open would be a way out of the container.
    drop(root);
    enter_workdir(&plan.process.cwd)?;
    Ok((user, terminal))
}

fn set_names(plan: &SandboxPlan) -> Result<()> {
    if let Some(name) = &plan.hostname {
        rustix::system::sethostname(name.as_bytes())
            .with_context(|| format!("setting the host name `{name}`"))?;
    }
    if let Some(name) = &plan.domainname {
        rustix::system::setdomainname(name.as_bytes())
            .with_context(|| format!("setting the domain name `{name}`"))?;
    }
    Ok(())
}

/// Opens the container's terminal on its own devpts, binds it to /dev/console, and sends the master side out.
fn open_terminal(
    root: BorrowedFd<'_>,
    channel: &SyncSocket,
    user: &ProcessUser,
    size: Option<(u16, u16)>,
) -> Result<OwnedFd> {
    let devpts = dhow_sys::fs::open_in_root(
        root,
        Path::new("dev/pts"),
        OFlags::PATH | OFlags::DIRECTORY,
        Mode::empty(),
    )?;
    let (master, slave) = confine::open_terminal(devpts.as_fd(), user, size)?;
    let console = dhow_sys::fs::ensure_file_in_root(root, Path::new("dev/console"))?;
    let tree = dhow_sys::mount::clone_tree(slave.as_fd(), false)?;
    dhow_sys::mount::attach(tree.as_fd(), console.as_fd()).context("mounting /dev/console")?;
    channel.send_terminal(&master)?;
    Ok(slave)
}

/// Enters the working directory; a missing one is created, as docker does.
fn enter_workdir(cwd: &str) -> Result<()> {
    // The change of root has ended there.
    if cwd == "/" {
        return Ok(());
    }
    let root = dhow_sys::fs::open_dir(Path::new("/"))?;
    let dir = dhow_sys::fs::ensure_dir_in_root(root.as_fd(), Path::new(cwd))
        .with_context(|| format!("making the working directory `{cwd}`"))?;
    rustix::process::fchdir(&dir).with_context(|| format!("entering the working directory `{cwd}`"))?;
    Ok(())
}

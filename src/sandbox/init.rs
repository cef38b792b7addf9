//! The life of the new process from clone to exec: it builds the root, enters it, gives up what it may not keep, and
//! becomes the container's program.
//!
//! It runs alone in its namespaces with one thread. Nothing here returns to the supervisor's code: a failure goes out
//! by the channel and the process ends.

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use anyhow::{Context as _, Result};
use rustix::fs::{Mode, OFlags};

use super::channel::Channel;
use super::plan::{Plan, Process, SeccompPlan};
use super::user::{Database, User};
use super::{caps, program, rootfs, seccomp};
use crate::error::{Failure, Kind};
use crate::sys;

/// Standard input, output and error of a container without a terminal.
pub(super) struct Streams<'a>(pub(super) [BorrowedFd<'a>; 3]);

/// Becomes the container. Never returns: ends by exec, or by exit with a failure sent.
pub(super) fn run(plan: &Plan, channel: &Channel, streams: &Streams<'_>) -> ! {
    let error = match become_container(plan, channel, streams) {
        Ok(never) => match never {},
        Err(error) => error,
    };
    channel.send_failure(&Failure::of(&error));
    sys::process::exit_now(125)
}

fn become_container(
    plan: &Plan,
    channel: &Channel,
    streams: &Streams<'_>,
) -> Result<std::convert::Infallible> {
    sys::process::set_name(&format!("dhow: {}", plan.name));
    // The caller's mask is not the container's business; this one is docker's.
    rustix::process::umask(Mode::from_raw_mode(0o022));
    if plan.unshare.net {
        sys::net::loopback_up().context("bringing up the loopback interface")?;
    }
    let prepared = rootfs::prepare(&plan.mounts)?;
    channel.await_go()?;
    if plan.unshare.uts {
        set_names(plan)?;
    }
    let root = rootfs::build(plan, prepared)?;
    let user = Database::read(root.as_fd()).resolve(&plan.process.user, &plan.process.groups)?;
    check_mapped(plan, &user)?;
    let terminal = match plan.process.tty {
        true => Some(open_terminal(root.as_fd(), channel, &user, plan.process.terminal_size)?),
        false => None,
    };
    rootfs::pivot(root.as_fd())?;
    drop(root);
    enter_workdir(&plan.process.cwd)?;
    attach_streams(terminal.as_ref(), streams)?;
    limit_resources(&plan.process)?;
    give_up_privilege(plan, &user)?;
    if plan.process.die_with_parent {
        sys::process::die_with_parent()?;
        // A parent that was gone before that call sends no signal.
        channel.check_open()?;
    }
    program::exec(&plan.process, &user)
}

fn set_names(plan: &Plan) -> Result<()> {
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

/// Refuses ids that do not exist inside, before the kernel does so with `EINVAL`.
fn check_mapped(plan: &Plan, user: &User) -> Result<()> {
    if plan.confinement.emulate_root {
        return Ok(());
    }
    let missing = if plan.ids.has_uid(user.uid) {
        user.groups.iter().chain([&user.gid]).find(|gid| !plan.ids.has_gid(**gid))
    } else {
        Some(&user.uid)
    };
    match missing {
        None => Ok(()),
        Some(id) => {
            Err(Failure::new(Kind::Invalid, format!("id {id} is beyond the account's subordinate ids"))
                .hint("give the account a longer range in /etc/subuid and /etc/subgid")
                .into())
        }
    }
}

/// Makes the container's terminal in its own devpts, binds it to /dev/console, and hands out the master side.
fn open_terminal(
    root: BorrowedFd<'_>,
    channel: &Channel,
    user: &User,
    size: Option<(u16, u16)>,
) -> Result<OwnedFd> {
    let devpts =
        sys::fs::open_in_root(root, Path::new("dev/pts"), OFlags::PATH | OFlags::DIRECTORY, Mode::empty())?;
    let (master, slave) = sys::pty::open_pair(devpts.as_fd()).context("opening a terminal")?;
    if let Some((rows, columns)) = size {
        sys::pty::set_rows_and_columns(master.as_fd(), rows, columns)?;
    }
    // With one id only, the terminal belongs to it already and any other owner is refused.
    let _ = sys::fs::chown_fd(slave.as_fd(), user.uid, rustix::fs::fstat(&slave)?.st_gid);
    let console = sys::fs::ensure_file_in_root(root, Path::new("dev/console"))?;
    let tree = sys::mount::clone_tree(slave.as_fd(), false)?;
    sys::mount::attach(tree.as_fd(), console.as_fd()).context("mounting /dev/console")?;
    channel.send_terminal(&master)?;
    Ok(slave)
}

/// The working directory is made if missing, as docker makes it.
fn enter_workdir(cwd: &str) -> Result<()> {
    let root = sys::fs::open_dir(Path::new("/"))?;
    let dir = sys::fs::ensure_dir_in_root(root.as_fd(), Path::new(cwd))
        .with_context(|| format!("making the working directory `{cwd}`"))?;
    rustix::process::fchdir(&dir).with_context(|| format!("entering the working directory `{cwd}`"))?;
    Ok(())
}

/// A session of its own, with the terminal as its controlling one if there is one.
fn attach_streams(terminal: Option<&OwnedFd>, streams: &Streams<'_>) -> Result<()> {
    let fds = match terminal {
        Some(terminal) => {
            sys::pty::take_controlling(terminal.as_fd()).context("taking the terminal")?;
            [terminal.as_fd(); 3]
        }
        None => {
            rustix::process::setsid()?;
            streams.0
        }
    };
    // Above 2 first, so that placing one does not overwrite another that is still needed.
    let high: Vec<OwnedFd> =
        fds.iter().map(|fd| rustix::io::fcntl_dupfd_cloexec(fd, 3)).collect::<Result<_, _>>()?;
    for (number, fd) in (0..).zip(&high) {
        sys::process::place_fd(fd.as_fd(), number)?;
    }
    Ok(())
}

fn limit_resources(process: &Process) -> Result<()> {
    for (name, soft, hard) in &process.rlimits {
        let Some(resource) = sys::rlimit::Resource::by_name(name) else {
            return Err(Failure::new(Kind::Invalid, format!("`{name}` is not a limit that Linux has")).into());
        };
        resource.set(*soft, *hard).map_err(|error| explain_limit(&error, name, *hard))?;
    }
    if let Some(score) = process.oom_score_adj {
        let fd =
            rustix::fs::open("/proc/self/oom_score_adj", OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
        rustix::io::write(&fd, score.to_string().as_bytes()).with_context(|| {
            format!("setting oom_score_adj to {score}; an unprivileged user can only raise it")
        })?;
    }
    Ok(())
}

fn explain_limit(error: &std::io::Error, name: &str, hard: u64) -> Failure {
    let wanted = if hard == u64::MAX { "unlimited".into() } else { hard.to_string() };
    Failure::new(Kind::Denied, format!("cannot set ulimit {name} to {wanted}: {error}"))
        .hint(format!("the account's own hard limit (`ulimit -H`) bounds it; root can raise it in /etc/security/limits.conf ({name})"))
}

/// In the order that keeps each step permitted: the filter is loaded while CAP_SYS_ADMIN is held, unless
/// no_new_privs makes that unnecessary, and then as late as possible.
fn give_up_privilege(plan: &Plan, user: &User) -> Result<()> {
    let confinement = &plan.confinement;
    let filter = compile(plan)?;
    let load = |filter: &Option<seccomp::Program>| {
        filter.as_ref().map_or(Ok(()), seccomp::Program::load).context("loading the system call filter")
    };
    caps::limit(confinement.caps()).context("limiting capabilities")?;
    // Docker refuses these calls to everybody but root, and so does the kernel without the emulation.
    let emulate = confinement.emulate_root && user.uid == 0;
    if !confinement.no_new_privileges {
        load(&filter)?;
        if emulate {
            // The last step before exec, which settles the capabilities by the bounding set: from here on the
            // process's own changes of identity would only seem to succeed.
            return seccomp::root_emulation().load().context("loading the root emulation");
        }
    }
    if !confinement.emulate_root {
        sys::process::become_user(user.uid, user.gid, Some(&user.groups))
            .with_context(|| format!("becoming user {}:{}", user.uid, user.gid))?;
        caps::settle(confinement.caps(), user.uid == 0).context("setting capabilities")?;
    }
    if confinement.no_new_privileges {
        caps::forbid_new()?;
        load(&filter)?;
        if emulate {
            seccomp::root_emulation().load().context("loading the root emulation")?;
        }
    }
    Ok(())
}

fn compile(plan: &Plan) -> Result<Option<seccomp::Program>> {
    Ok(match &plan.confinement.seccomp {
        SeccompPlan::Default => Some(seccomp::default_filter(plan.confinement.caps())),
        SeccompPlan::Unconfined => None,
        SeccompPlan::Profile(text) => seccomp::from_json(text, plan.confinement.caps())?,
    })
}

/// For messages: the text of a C string.
pub(super) fn c_string(text: &str) -> Result<CString> {
    CString::new(text).map_err(|_| {
        Failure::new(Kind::Invalid, format!("`{}` contains a NUL byte", text.escape_debug())).into()
    })
}

//! The last steps before a process becomes a program of a container: streams, limits, identity, privileges.
//!
//! Both a container's first process and every process that joins it later take them.

pub(crate) mod program;
pub mod user;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};

use anyhow::{Context as _, Result};
use rustix::fs::{Mode, OFlags};

use super::confine::user::ProcessUser;
use super::identity::idmap::IdMap;
use super::plan::{Confinement, ProcessPlan, SeccompPlan};
use super::sync_socket::SyncSocket;
use super::{caps, seccomp};
use dhow_error::{Failure, FailureKind};
use dhow_sys::rlimit::RlimitResource;

/// Rejects ids that are not mapped, with a better message than the kernel's `EINVAL`.
pub(super) fn check_mapped(user: &ProcessUser, ids: &IdMap, confinement: &Confinement) -> Result<()> {
    // No identity is changed then, so any id will do.
    if confinement.emulate_root {
        return Ok(());
    }
    let unmapped = if ids.has_uid(user.uid) {
        user.groups.iter().chain([&user.gid]).find(|gid| !ids.has_gid(**gid))
    } else {
        Some(&user.uid)
    };
    match unmapped {
        None => Ok(()),
        Some(id) => Err(Failure::new(
            FailureKind::Invalid,
            format!("id {id} is beyond the account's subordinate ids"),
        )
        .hint("give the account a longer range in /etc/subuid and /etc/subgid")
        .into()),
    }
}

/// Opens a new terminal on the devpts instance at `devpts`, owned by `user`. Returns master and slave side.
pub(super) fn open_terminal(
    devpts: BorrowedFd<'_>,
    user: &ProcessUser,
    size: Option<(u16, u16)>,
) -> Result<(OwnedFd, OwnedFd)> {
    let (master, slave) = dhow_sys::pty::open_pair(devpts).context("opening a terminal")?;
    if let Some((rows, columns)) = size {
        dhow_sys::pty::set_rows_and_columns(master.as_fd(), rows, columns)?;
    }
    // With a single id, the terminal belongs to it already, and any other owner is refused.
    let _ = dhow_sys::fs::chown_fd(slave.as_fd(), user.uid, rustix::fs::fstat(&slave)?.st_gid);
    Ok((master, slave))
}

/// Starts a new session, with the terminal, if there is one, as the controlling terminal, and installs the
/// streams.
pub(super) fn attach_streams(terminal: Option<&OwnedFd>, streams: [BorrowedFd<'_>; 3]) -> Result<()> {
    let fds = match terminal {
        Some(terminal) => {
            dhow_sys::pty::take_controlling(terminal.as_fd()).context("taking the terminal")?;
            [terminal.as_fd(); 3]
        }
        None => {
            rustix::process::setsid()?;
            streams
        }
    };
    // First to numbers above 2, so that installing one stream does not overwrite another that is still
    // needed.
    let mut copies = Vec::new();
    for fd in fds.iter().filter(|fd| fd.as_raw_fd() < 3) {
        copies.push(rustix::io::fcntl_dupfd_cloexec(fd, 3)?);
    }
    let mut copies = copies.iter();
    for (number, fd) in (0..).zip(fds) {
        let source = if fd.as_raw_fd() < 3 { copies.next().map_or(fd, OwnedFd::as_fd) } else { fd };
        dhow_sys::process::place_fd(source, number)?;
    }
    Ok(())
}

pub(super) fn set_rlimits(process: &ProcessPlan) -> Result<()> {
    for (name, soft, hard) in &process.rlimits {
        let Some(resource) = RlimitResource::by_name(name) else {
            return Err(Failure::new(
                FailureKind::Invalid,
                format!("`{name}` is not a limit that Linux has"),
            )
            .into());
        };
        set_limit(resource, *soft, *hard).with_context(|| format!("cannot set ulimit {name}"))?;
    }
    Ok(())
}

/// Sets a limit, or as much of it as can be had: an unprivileged process cannot raise its hard limit.
fn set_limit(resource: RlimitResource, soft: u64, hard: u64) -> io::Result<()> {
    match resource.set(soft, hard) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            let (_, most) = resource.get()?;
            resource.set(soft.min(most), hard.min(most))
        }
        other => other,
    }
}

/// Sets `oom_score_adj` through the /proc that this process currently sees.
pub(super) fn set_oom_score(process: &ProcessPlan) -> Result<()> {
    if let Some(score) = process.oom_score_adj {
        let fd =
            rustix::fs::open("/proc/self/oom_score_adj", OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
        rustix::io::write(&fd, score.to_string().as_bytes()).with_context(|| {
            format!("setting oom_score_adj to {score}; an unprivileged user can only raise it")
        })?;
    }
    Ok(())
}

/// Applies capabilities, seccomp filters, user and groups. Returns the owner listener, if owners are to be
/// remembered.
///
/// The order keeps each step permitted. Loading a filter needs CAP_SYS_ADMIN or no_new_privs, so it happens while the
/// former is still held, unless no_new_privs is set; then it comes as late as possible.
pub(super) fn drop_privileges(confinement: &Confinement, user: &ProcessUser) -> Result<Option<OwnedFd>> {
    let filter = compile(confinement)?;
    let load = |filter: &Option<seccomp::SeccompProgram>| {
        filter
            .as_ref()
            .map_or(Ok(()), seccomp::SeccompProgram::load)
            .context("loading the system call filter")
    };
    caps::limit_bounding_set(confinement.caps()).context("limiting capabilities")?;
    // Docker, and the kernel without emulation, deny these calls to everyone but root.
    let emulate = confinement.emulate_root && user.uid == 0;
    if !confinement.no_new_privileges {
        load(&filter)?;
        if emulate {
            // The last step before exec, which derives the capabilities from the bounding set. With the
            // emulation loaded, this process's own changes of identity would only pretend to succeed.
            return load_emulation(confinement);
        }
    }
    // Under emulation the process keeps the only identity there is.
    if !confinement.emulate_root {
        dhow_sys::process::become_user(user.uid, user.gid, Some(&user.groups))
            .with_context(|| format!("becoming user {}:{}", user.uid, user.gid))?;
        caps::set_process_caps(confinement.caps(), user.uid == 0).context("setting capabilities")?;
    }
    if confinement.no_new_privileges {
        caps::set_no_new_privs()?;
        load(&filter)?;
        if emulate {
            return load_emulation(confinement);
        }
    }
    Ok(None)
}

/// Loads the emulation with a listener if owners are to be remembered. Without a listener (Linux before 5.0,
/// or nested in a filter that has one) they are forgotten.
fn load_emulation(confinement: &Confinement) -> Result<Option<OwnedFd>> {
    if confinement.remember_owners
        && let Ok(listener) = seccomp::owner_emulation().load_with_listener()
    {
        return Ok(Some(listener));
    }
    seccomp::root_emulation().load().context("loading the root emulation")?;
    Ok(None)
}

fn compile(confinement: &Confinement) -> Result<Option<seccomp::SeccompProgram>> {
    Ok(match &confinement.seccomp {
        SeccompPlan::Default => Some(seccomp::default_filter(confinement.caps())),
        SeccompPlan::Unconfined => None,
        SeccompPlan::Profile(text) => seccomp::from_json(text, confinement.caps())?,
    })
}

/// Asks for SIGKILL when the parent ends. Must come after the last change of user, which clears the setting.
pub(super) fn die_with_parent(channel: &SyncSocket) -> Result<()> {
    dhow_sys::process::die_with_parent()?;
    // No signal is sent if the parent was gone before the call.
    channel.check_open()
}

//! chown in single-id mode. The account maps one id only, so files cannot be given to others: the owners that
//! a command sets are recorded in an extended attribute instead, and go into the layer from there. See
//! `sandbox/seccomp/emulation.rs` on root emulation.
//!
//! A process in the container's user namespace receives a seccomp notification for each chown and answers it
//! in the kernel's place. The command can change the path between the notification and its use; the worst
//! result is that another file of the same container gets the recorded owner.

use std::ffi::OsStr;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, XattrFlags};
use rustix::io::Errno;

use dhow_sys::process::{self, ChildProcess, ForkSide};
use dhow_sys::seccomp::{self, SeccompNotification};

const OWNER_XATTR: &str = "user.dhow.owner";
/// `PATH_MAX`, including the final zero byte.
const PATH_MAX: usize = 4096;

/// The monitor process. Killed on drop.
pub(crate) struct ChownMonitor(ChildProcess);

impl ChownMonitor {
    /// Forks the monitor into the user namespace `namespace`. The caller must have a single thread.
    pub(super) fn start(listener: OwnedFd, namespace: BorrowedFd<'_>) -> Result<Self> {
        match process::fork().context("starting a process")? {
            ForkSide::Child => {
                // The order matters: entering a user namespace clears the death signal.
                let entered = process::close_others(3, &[listener.as_fd(), namespace])
                    .and_then(|()| dhow_sys::namespace::setns(namespace, 0))
                    .and_then(|()| process::die_with_parent());
                if entered.is_ok() {
                    answer_calls(listener.as_fd());
                }
                process::exit_now(0)
            }
            ForkSide::Parent(child) => Ok(Self(child)),
        }
    }
}

impl Drop for ChownMonitor {
    fn drop(&mut self) {
        let _ = self.0.signal(libc::SIGKILL);
        let _ = self.0.wait();
    }
}

/// Answers notifications until the last process of the container has exited.
fn answer_calls(listener: BorrowedFd<'_>) {
    loop {
        let mut fds = [PollFd::from_borrowed_fd(listener, PollFlags::IN)];
        match poll(&mut fds, None) {
            Ok(_) if fds.iter().any(|fd| fd.revents().contains(PollFlags::IN)) => {}
            Err(Errno::INTR) => continue,
            _ => return,
        }
        // ENOENT: the caller was killed before its notification was read (seccomp_unotify(2)).
        let Ok(call) = seccomp::receive_notification(listener) else { continue };
        let error = match record_owner(&call) {
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => libc::ENOENT,
            // Like every call that this mode cannot carry out, chown reports success.
            _ => 0,
        };
        // ENOENT: the caller died meanwhile.
        let _ = seccomp::respond(listener, &call, error);
    }
}

/// A decoded chown call. An id of all ones is left unchanged.
struct ChownCall {
    file: OwnedFd,
    owner: (u32, u32),
}

fn record_owner(call: &SeccompNotification) -> std::io::Result<()> {
    let Some(ChownCall { file, owner }) = decode_call(call)? else { return Ok(()) };
    // The descriptor may be O_PATH, on which the xattr calls fail with EBADF: use its /proc path.
    let path = PathBuf::from(dhow_sys::fs::fd_path(file.as_fd()));
    let stat = rustix::fs::fstat(&file)?;
    let kind = FileType::from_raw_mode(stat.st_mode);
    // `user.*` attributes exist only on regular files and directories (xattr(7)).
    if !matches!(kind, FileType::RegularFile | FileType::Directory) {
        return Ok(());
    }
    let recorded = recorded_owner(&path);
    let new = |requested: u32, recorded: u32| if requested == u32::MAX { recorded } else { requested };
    let owner = (new(owner.0, recorded.0), new(owner.1, recorded.1));
    // Without the attribute a file belongs to root.
    if owner == (0, 0) {
        match rustix::fs::removexattr(&path, OWNER_XATTR) {
            Ok(()) | Err(Errno::NODATA) => {}
            Err(error) => return Err(error.into()),
        }
    } else {
        let value = format!("{}:{}", owner.0, owner.1);
        rustix::fs::setxattr(&path, OWNER_XATTR, value.as_bytes(), XattrFlags::empty())?;
    }
    // Like the kernel, clear setuid and setgid when the owner changes.
    let special_bits = stat.st_mode & 0o6000;
    // Setgid without group execute means mandatory locking, which the kernel keeps.
    let is_lock = stat.st_mode & 0o2010 == 0o2000;
    let cleared = if is_lock { special_bits & 0o4000 } else { special_bits };
    if kind == FileType::RegularFile && cleared != 0 {
        let mode = Mode::from_raw_mode(stat.st_mode & 0o7777 & !cleared);
        rustix::fs::chmodat(CWD, &path, mode, AtFlags::empty())?;
    }
    Ok(())
}

fn recorded_owner(path: &Path) -> (u32, u32) {
    let mut value = [0_u8; 32];
    let mut read = || {
        let length = rustix::fs::getxattr(path, OWNER_XATTR, &mut value[..]).ok()?;
        let (uid, gid) = std::str::from_utf8(value.get(..length)?).ok()?.split_once(':')?;
        Some((uid.parse().ok()?, gid.parse().ok()?))
    };
    read().unwrap_or((0, 0))
}

/// The call's file and owner. `None` for other architectures, whose call numbers differ.
#[expect(clippy::cast_possible_truncation, reason = "ids and descriptors are 32 bits of a register")]
fn decode_call(call: &SeccompNotification) -> std::io::Result<Option<ChownCall>> {
    if call.arch != seccomp::NATIVE_ARCH {
        return Ok(None);
    }
    let caller = CallerThread(call.pid);
    let [first, second, third, fourth, fifth, _] = call.arguments;
    let number = libc::c_long::from(call.call);
    let cwd = libc::AT_FDCWD;
    let (file, owner) = if number == libc::SYS_fchownat {
        let path = caller.read_path(second)?;
        let flags = fifth as i32;
        let follow = flags & libc::AT_SYMLINK_NOFOLLOW == 0;
        let file = match path.as_os_str().is_empty() && flags & libc::AT_EMPTY_PATH != 0 {
            true => caller.open_fd(first as i32)?,
            false => caller.resolve_path(first as i32, &path, follow)?,
        };
        (file, (third as u32, fourth as u32))
    } else if number == libc::SYS_fchown {
        (caller.open_fd(first as i32)?, (second as u32, third as u32))
    } else if let Some(follow) = legacy_chown(number) {
        (caller.resolve_path(cwd, &caller.read_path(first)?, follow)?, (second as u32, third as u32))
    } else {
        return Ok(None);
    };
    Ok(Some(ChownCall { file, owner }))
}

/// Whether this is chown or lchown, which newer architectures lack; if so, whether it follows links.
#[cfg(target_arch = "x86_64")]
fn legacy_chown(number: libc::c_long) -> Option<bool> {
    match number {
        libc::SYS_chown => Some(true),
        libc::SYS_lchown => Some(false),
        _ => None,
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn legacy_chown(_: libc::c_long) -> Option<bool> {
    None
}

/// The thread that made the call.
struct CallerThread(u32);

impl CallerThread {
    fn proc(&self, entry: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{entry}", self.0))
    }

    /// Reads a path from the thread's memory.
    fn read_path(&self, address: u64) -> std::io::Result<PathBuf> {
        let mut buffer = vec![0_u8; PATH_MAX];
        let length = std::fs::File::open(self.proc("mem"))?.read_at(&mut buffer, address)?;
        let text = buffer.get(..length).unwrap_or_default();
        let end = text.iter().position(|byte| *byte == 0).ok_or(Errno::NAMETOOLONG)?;
        Ok(PathBuf::from(OsStr::from_bytes(text.get(..end).unwrap_or_default())))
    }

    /// Opens its file descriptor `number`, as O_PATH.
    fn open_fd(&self, number: i32) -> std::io::Result<OwnedFd> {
        let entry = if number == libc::AT_FDCWD { "cwd".to_owned() } else { format!("fd/{number}") };
        Ok(rustix::fs::open(self.proc(&entry), OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?)
    }

    /// Resolves `path` from the directory `number`.
    fn resolve_path(&self, number: i32, path: &Path, follow: bool) -> std::io::Result<OwnedFd> {
        if path.as_os_str().is_empty() {
            return Err(Errno::NOENT.into());
        }
        let root = rustix::fs::open(
            self.proc("root"),
            OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        )?;
        let full_path = if path.is_absolute() {
            path.to_owned()
        } else {
            // Relative to the container's root; wrong only for a process that has called chroot.
            let from = self.open_fd(number)?;
            std::fs::read_link(format!("/proc/self/fd/{}", from.as_raw_fd()))?.join(path)
        };
        // An absolute symlink must resolve below the container's root.
        let flags = if follow { OFlags::PATH } else { OFlags::PATH | OFlags::NOFOLLOW };
        dhow_sys::fs::open_in_root(root.as_fd(), &full_path, flags, Mode::empty())
    }
}

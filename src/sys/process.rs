//! Processes: clone3(2), fork(2), exec, waiting by pidfd, credentials, closing descriptors.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, FromRawFd as _, IntoRawFd as _, OwnedFd};

/// Namespaces for [`clone_into`], as flags of clone(2).
pub mod ns {
    pub const USER: u64 = libc::CLONE_NEWUSER as u64;
    pub const MOUNT: u64 = libc::CLONE_NEWNS as u64;
    pub const PID: u64 = libc::CLONE_NEWPID as u64;
    /// System V IPC and POSIX message queues.
    pub const IPC: u64 = libc::CLONE_NEWIPC as u64;
    /// Host name and NIS domain name.
    pub const UTS: u64 = libc::CLONE_NEWUTS as u64;
    pub const NET: u64 = libc::CLONE_NEWNET as u64;
    pub const CGROUP: u64 = libc::CLONE_NEWCGROUP as u64;
}

/// Where a fork returned.
pub enum ForkSide {
    /// In the new process.
    Child,
    /// In the calling process.
    Parent(ChildProcess),
}

/// A child process with its pidfd, which cannot come to refer to another process.
#[derive(Debug)]
pub struct ChildProcess {
    /// As seen in this process's pid namespace.
    pub pid: i32,
    pidfd: OwnedFd,
}

impl ChildProcess {
    /// A child that another process created on behalf of this one (`CLONE_PARENT`), with the pidfd it sent.
    pub fn from_parts(pid: i32, pidfd: OwnedFd) -> Self {
        Self { pid, pidfd }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChildExit {
    /// By exit, with this status.
    Exited(i32),
    /// By this signal.
    Signaled(i32),
}

impl ChildExit {
    /// The status as reported by a shell: 128 + n for signal n.
    pub fn code(self) -> i32 {
        match self {
            Self::Exited(status) => status,
            Self::Signaled(signal) => 128 + signal,
        }
    }
}

impl ChildProcess {
    /// Waits for the process to end, and reaps it.
    pub fn wait(&self) -> io::Result<ChildExit> {
        loop {
            match self.wait_options(libc::WEXITED) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(Some(exit)) => return Ok(exit),
                Ok(None) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Reaps the process if it has ended.
    pub fn try_wait(&self) -> io::Result<Option<ChildExit>> {
        self.wait_options(libc::WEXITED | libc::WNOHANG)
    }

    fn wait_options(&self, options: i32) -> io::Result<Option<ChildExit>> {
        // SAFETY: an all-zero siginfo_t is a valid value of that plain C structure.
        let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
        // SAFETY: the kernel writes one siginfo_t to a buffer of that type that outlives the call.
        let result = unsafe {
            libc::waitid(
                libc::P_PIDFD,
                self.pidfd.as_raw_fd().cast_unsigned(),
                &raw mut info,
                options | libc::__WALL,
            )
        };
        if result != 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: waitid succeeded, so the fields of a SIGCHLD siginfo are those to read; both are zero where
        // WNOHANG found nothing.
        let (pid, status) = unsafe { (info.si_pid(), info.si_status()) };
        Ok(match (pid, info.si_code) {
            (0, _) => None,
            (_, libc::CLD_EXITED) => Some(ChildExit::Exited(status)),
            _ => Some(ChildExit::Signaled(status)),
        })
    }

    /// Sends a signal; a process that has already ended is no error.
    pub fn signal(&self, signal: i32) -> io::Result<()> {
        signal_pidfd(self.pidfd.as_fd(), signal)
    }

    /// The pidfd, readable once the process has ended.
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

/// pidfd_send_signal(2) for any signal number, including real-time signals.
pub fn signal_pidfd(pidfd: BorrowedFd<'_>, signal: i32) -> io::Result<()> {
    let no_info = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: a null siginfo is allowed and means that of kill(2).
    let result = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal, no_info, 0) };
    if result == 0 {
        return Ok(());
    }
    match io::Error::last_os_error() {
        gone if gone.raw_os_error() == Some(libc::ESRCH) => Ok(()),
        error => Err(error),
    }
}

/// `struct clone_args` of clone3(2), up to `cgroup` (Linux 5.7).
#[repr(C)]
#[derive(Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

/// `CLONE_INTO_CGROUP` of `linux/sched.h` (Linux 5.7).
const INTO_CGROUP: u64 = 1 << 33;

/// Forks into new namespaces (`flags` from [`ns`]).
///
/// The calling process must have one thread; otherwise this fails. The child gets a copy of the memory, including
/// locks that other threads hold at that moment, and it goes on to allocate.
pub fn clone_into(flags: u64) -> io::Result<ForkSide> {
    clone_into_cgroup(flags, None)
}

/// Like [`clone_into`], and into the cgroup v2 whose directory `cgroup` is. A new cgroup namespace is
/// nevertheless rooted in the caller's cgroup.
pub fn clone_into_cgroup(flags: u64, cgroup: Option<BorrowedFd<'_>>) -> io::Result<ForkSide> {
    clone_from(flags, libc::SIGCHLD as u64, cgroup)
}

fn clone_from(flags: u64, exit_signal: u64, cgroup: Option<BorrowedFd<'_>>) -> io::Result<ForkSide> {
    if !is_single_threaded()? {
        return Err(io::Error::other("a process with several threads cannot fork into a container"));
    }
    let mut pidfd: i32 = -1;
    let into = if cgroup.is_some() { INTO_CGROUP } else { 0 };
    let args = CloneArgs {
        flags: flags | into | libc::CLONE_PIDFD as u64,
        cgroup: cgroup.map_or(0, |dir| u64::from(dir.as_raw_fd().cast_unsigned())),
        pidfd: (&raw mut pidfd) as u64,
        exit_signal,
        ..CloneArgs::default()
    };
    // SAFETY: without CLONE_VM the child runs on its own copy of this stack, as after fork(2); `args` is
    // initialised and its exact size passed; `pidfd` outlives the call; no other thread exists (checked above).
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw const args, size_of::<CloneArgs>()) };
    match pid {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(ForkSide::Child),
        pid => {
            // SAFETY: with CLONE_PIDFD the kernel stored a new descriptor that nobody else owns.
            let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
            Ok(ForkSide::Parent(ChildProcess { pid: pid as i32, pidfd }))
        }
    }
}

/// fork(2), on the same condition as [`clone_into`]. The child may start threads.
pub fn fork() -> io::Result<ForkSide> {
    if !is_single_threaded()? {
        return Err(io::Error::other("a process with several threads cannot fork"));
    }
    // SAFETY: no other thread exists (checked above), so the child finds every lock free.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(ForkSide::Child),
        pid => {
            let raw =
                rustix::process::Pid::from_raw(pid).ok_or_else(|| io::Error::other("fork gave no child"))?;
            // The child cannot be reaped before this process waits for it, so the pid still refers to it.
            Ok(ForkSide::Parent(ChildProcess {
                pid,
                pidfd: rustix::process::pidfd_open(raw, rustix::process::PidfdFlags::empty())?,
            }))
        }
    }
}

/// Like [`clone_into_cgroup`], but creates a sibling (`CLONE_PARENT`): a child of this process's parent,
/// which alone can wait for it.
pub fn clone_sibling(flags: u64, cgroup: Option<BorrowedFd<'_>>) -> io::Result<ForkSide> {
    // clone3(2) rejects an exit signal with CLONE_PARENT: the sibling gets that of the caller.
    clone_from(flags | libc::CLONE_PARENT as u64, 0, cgroup)
}

/// Whether this process has one thread, as [`fork`], unshare(2) and setns(2) of user namespaces want it. A thread that was
/// joined may count for a moment: its last user-space instruction wakes the one that waits for it.
pub fn is_single_threaded() -> io::Result<bool> {
    // unshare(2): CLONE_THREAD is a no-op in a process with one thread and refused in others (EINVAL). Unlike
    // /proc, it can be trusted in a container too.
    // SAFETY: unshare takes a number.
    if unsafe { libc::unshare(libc::CLONE_THREAD) } == 0 {
        return Ok(true);
    }
    if io::Error::last_os_error().raw_os_error() == Some(libc::EINVAL) {
        return Ok(false);
    }
    // A seccomp filter denies the call. The link count of the task directory is 2 plus the number of threads
    // (proc_task_getattr in fs/proc/base.c).
    let stat = match rustix::fs::stat("/proc/self/task") {
        Ok(stat) => stat,
        // No /proc at all, so there is no way to tell. dhow starts threads only in commands that never fork
        // afterwards.
        Err(rustix::io::Errno::NOENT) => return Ok(true),
        Err(error) => return Err(error.into()),
    };
    Ok(stat.st_nlink <= 3)
}

/// execve(2): replaces this process; returns only on failure.
pub fn exec(path: &std::ffi::CStr, args: &[CString], env: &[CString]) -> io::Error {
    let argv = null_terminated(args);
    let envp = null_terminated(env);
    // SAFETY: both arrays end in a null pointer and hold pointers to NUL-terminated strings that outlive the call.
    unsafe { libc::execve(path.as_ptr(), argv.as_ptr(), envp.as_ptr()) };
    io::Error::last_os_error()
}

pub(super) fn null_terminated(strings: &[CString]) -> Vec<*const libc::c_char> {
    strings.iter().map(|s| s.as_ptr()).chain(std::iter::once(std::ptr::null())).collect()
}

/// Marks every descriptor from `first` on as close-on-exec (close_range(2), Linux 5.11).
pub fn close_on_exec_from(first: u32) -> io::Result<()> {
    close_range(first, u32::MAX, libc::CLOSE_RANGE_CLOEXEC)
}

fn close_range(first: u32, last: u32, flags: u32) -> io::Result<()> {
    // SAFETY: close_range takes numbers only; what is closed by it belongs to code that does not run again.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, last, flags) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Closes every descriptor from `first` on except those in `keep`, in a process that is about to exec or
/// exit: the owner of a closed descriptor must never run again.
pub fn close_others(mut first: u32, keep: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut numbers: Vec<u32> = keep.iter().map(|fd| fd.as_raw_fd().cast_unsigned()).collect();
    numbers.sort_unstable();
    for number in numbers {
        if number > first {
            close_range(first, number - 1, 0)?;
        }
        first = first.max(number + 1);
    }
    close_range(first, u32::MAX, 0)
}

/// Duplicates `fd` at number `to`, inheritable across exec.
pub fn place_fd(fd: BorrowedFd<'_>, to: i32) -> io::Result<()> {
    if fd.as_raw_fd() == to {
        // SAFETY: F_SETFD takes a number.
        let result = unsafe { libc::fcntl(to, libc::F_SETFD, 0) };
        return if result >= 0 { Ok(()) } else { Err(io::Error::last_os_error()) };
    }
    // SAFETY: dup2 takes numbers only; `to` is one of the standard streams, which std never caches by ownership.
    let result = unsafe { libc::dup2(fd.as_raw_fd(), to) };
    if result >= 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Moves `fds` to the numbers from 0 on and closes every other descriptor of this process.
///
/// For a forked child that never returns to its caller: descriptors that other values own are closed or refer to
/// something else afterwards, so no such value may be used or dropped.
pub fn keep_only<const N: usize>(fds: [OwnedFd; N]) -> io::Result<[OwnedFd; N]> {
    let first_free = i32::try_from(N).unwrap_or(i32::MAX);
    // First to numbers above the final ones, so that installing one does not overwrite another that is still
    // needed.
    let mut high = Vec::with_capacity(N);
    for fd in fds {
        high.push(rustix::io::fcntl_dupfd_cloexec(&fd, first_free)?);
        // Not closed: its number may be one of the final ones.
        let _: i32 = fd.into_raw_fd();
    }
    let high = <[OwnedFd; N]>::try_from(high).map_err(|_| io::Error::other("a descriptor is missing"))?;
    let mut number = 0;
    let placed = high.map(|fd| {
        // SAFETY: dup3 takes numbers only; whoever thought to own `number` is never to use it (see above).
        let placed = unsafe { libc::dup3(fd.into_raw_fd(), number, libc::O_CLOEXEC) };
        number += 1;
        placed
    });
    if placed.contains(&-1) {
        return Err(io::Error::last_os_error());
    }
    close_range(first_free.cast_unsigned(), u32::MAX, 0)?;
    // SAFETY: dup3 made each of these numbers a new open descriptor, and nothing else here owns it.
    Ok(placed.map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }))
}

/// Sets supplementary groups, then group, then user: real, effective, saved and file-system ids.
pub fn become_user(uid: u32, gid: u32, groups: Option<&[u32]>) -> io::Result<()> {
    if let Some(groups) = groups {
        // SAFETY: pointer and length are of one slice of gid_t, which the kernel only reads.
        if unsafe { libc::setgroups(groups.len(), groups.as_ptr()) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    // SAFETY: both calls take numbers only; glibc changes the one thread there is.
    if unsafe { libc::setresgid(gid, gid, gid) } != 0 || unsafe { libc::setresuid(uid, uid, uid) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// _exit(2): ends this process without exit handlers and without flushing buffers, as a forked child must.
pub fn exit_now(status: i32) -> ! {
    // SAFETY: _exit takes a number and does not return.
    unsafe { libc::_exit(status) }
}

/// Sets the process's comm, which `ps` shows in its short format; at most 15 bytes.
pub fn set_name(name: &str) {
    let mut bytes: Vec<u8> = name.bytes().filter(|b| *b != 0).take(15).collect();
    bytes.push(0);
    // SAFETY: PR_SET_NAME reads a NUL-terminated string of at most 16 bytes.
    unsafe { libc::prctl(libc::PR_SET_NAME, bytes.as_ptr()) };
}

/// Overwrites the command line that `ps` shows, within the space of the original (proc_pid_stat(5),
/// `arg_start`). Returns what was there, unless the place is not known.
pub fn set_title(title: &str) -> Option<ProcessTitle> {
    set_name(title);
    let stat = stat("self")?;
    let field = |number| stat_field(&stat, number).and_then(|number| usize::try_from(number).ok());
    let (start, end) = (field(48)?, field(49)?);
    if start == 0 || end <= start {
        return None;
    }
    let room = end - start;
    // SAFETY: the kernel says that the arguments of this process lie from `start` to `end`, in its readable stack. No
    // reference into that memory exists: std copies out of it at each call.
    let before = unsafe { std::slice::from_raw_parts(start as *const u8, room) }.to_vec();
    let mut bytes: Vec<u8> = title.bytes().filter(|b| *b != 0).take(room - 1).collect();
    bytes.resize(room, 0);
    ProcessTitle { start, bytes }.write();
    Some(ProcessTitle { start, bytes: before })
}

/// A command line as `ps` shows it.
pub struct ProcessTitle {
    start: usize,
    bytes: Vec<u8>,
}

impl ProcessTitle {
    /// Writes it to where it was read.
    pub fn write(&self) {
        // SAFETY: both only come from `set_title`, which asked the kernel where the arguments of this process lie; they
        // are writable and that long. No reference into that memory exists.
        unsafe {
            std::ptr::copy_nonoverlapping(self.bytes.as_ptr(), self.start as *mut u8, self.bytes.len())
        };
    }
}

/// The content of /proc/PID/stat (proc_pid_stat(5)); `None` if the process is gone. One read(2), because the
/// kernel generates the text anew at each.
pub fn stat(pid: &str) -> Option<String> {
    let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::CLOEXEC;
    let file = rustix::fs::open(format!("/proc/{pid}/stat"), flags, rustix::fs::Mode::empty()).ok()?;
    let mut buffer = [0; LONGEST_STAT];
    let length = rustix::io::retry_on_intr(|| rustix::io::read(&file, &mut buffer)).ok()?;
    Some(String::from_utf8_lossy(buffer.get(..length)?).into_owned())
}

/// 52 numbers of up to 20 digits, and a name.
const LONGEST_STAT: usize = 2048;

/// A field of that text by its number in proc_pid_stat(5), from 4 on. The name before them is in parentheses
/// and may contain anything.
pub fn stat_field(line: &str, number: usize) -> Option<u64> {
    line.rsplit_once(')')?.1.split_whitespace().nth(number.checked_sub(3)?)?.parse().ok()
}

/// The process state in that text, a letter.
pub fn stat_state(line: &str) -> Option<char> {
    line.rsplit_once(") ")?.1.chars().next()
}

/// Asks for SIGKILL when the parent thread ends (prctl(2), PR_SET_PDEATHSIG). Cleared by a change of
/// credentials.
pub fn die_with_parent() -> io::Result<()> {
    Ok(rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?)
}

/// Permits or denies other processes of the same user to inspect this one (prctl(2), PR_SET_DUMPABLE). Also
/// decides who owns its /proc entries.
pub fn set_dumpable(dumpable: bool) -> io::Result<()> {
    use rustix::process::DumpableBehavior as Behavior;
    let behavior = if dumpable { Behavior::Dumpable } else { Behavior::NotDumpable };
    Ok(rustix::process::set_dumpable_behavior(behavior)?)
}

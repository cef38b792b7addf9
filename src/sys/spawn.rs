//! Children that share this process's memory while it stands still: clone(2) with `CLONE_VM` and `CLONE_VFORK`.
//!
//! Copying a process takes longer than what some children are there for, and leaves both sides with a page fault for each
//! page that they write. posix_spawn(3) shares the memory too, but with two system calls for each of the 64 signals.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};

use super::process::{ChildProcess, exit_now, is_single_threaded, null_terminated};

/// Bytes of stack for a child that only execs.
const SMALL_STACK: usize = 16 << 10;
/// Bytes of stack for any other, as a process has; only what is used becomes memory.
const STACK: usize = 8 << 20;

/// Memory for the stack of a child.
struct ChildStack {
    start: *mut c_void,
    length: usize,
}

impl ChildStack {
    fn new(length: usize) -> io::Result<Self> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_STACK | libc::MAP_NORESERVE;
        // SAFETY: a new mapping at an address that the kernel chooses.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), length, protection, flags, -1, 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(Self { start, length })
    }

    /// Stacks grow downwards; the end of a mapping is aligned for any architecture.
    fn end(&self) -> *mut c_void {
        self.start.wrapping_byte_add(self.length)
    }
}

impl Drop for ChildStack {
    fn drop(&mut self) {
        // SAFETY: the mapping is this value's own, and the child that ran on it is gone.
        unsafe { libc::munmap(self.start, self.length) };
    }
}

/// Clones a child that runs `entry` with `argument`, and returns once it has executed a program or exited.
///
/// # Safety
/// `entry` must never return to its caller's caller, and must bear that its changes to memory are seen here.
unsafe fn clone_sharing_memory(
    stack_size: usize,
    entry: extern "C" fn(*mut c_void) -> c_int,
    argument: *mut c_void,
) -> io::Result<ChildProcess> {
    let stack = ChildStack::new(stack_size)?;
    let mut pidfd: c_int = -1;
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_PIDFD | libc::SIGCHLD;
    // SAFETY: the child runs on a stack of its own. That, `pidfd` and what `argument` points to outlive it, for with
    // CLONE_VFORK this thread goes on only after it. With CLONE_PIDFD the kernel stores a descriptor in `pidfd`.
    let pid = unsafe { libc::clone(entry, stack.end(), flags, argument, &raw mut pidfd) };
    if pid < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel stored a new descriptor that nobody else owns.
    Ok(ChildProcess::from_parts(pid, unsafe { OwnedFd::from_raw_fd(pidfd) }))
}

/// What [`run_sharing_memory`] hands to its child.
struct SharedWork<'a> {
    work: &'a mut dyn FnMut() -> c_int,
    /// Closed in the child.
    close: &'a [BorrowedFd<'a>],
}

/// Runs `work` in a child, which exits with the status that it returns; this process goes on after that. The process
/// must have one thread.
///
/// The child has a copy of the descriptors, without those in `close`, and a user, a working directory and namespaces of
/// its own, but the same memory: what `work` stores is seen afterwards, and what it allocates and does not drop is lost. A
/// process that it forks gets a copy of the memory, as usual.
pub fn run_sharing_memory(
    close: &[BorrowedFd<'_>],
    work: &mut dyn FnMut() -> c_int,
) -> io::Result<ChildProcess> {
    if !is_single_threaded()? {
        return Err(io::Error::other("a process with several threads cannot lend its memory"));
    }
    let mut shared = SharedWork { work, close };
    // SAFETY: `run_shared` ends its process, and `work` knows that it shares the memory.
    unsafe { clone_sharing_memory(STACK, run_shared, (&raw mut shared).cast()) }
}

/// In the child.
extern "C" fn run_shared(shared: *mut c_void) -> c_int {
    // SAFETY: `run_sharing_memory` passes its own value, which nobody else accesses until this process has gone.
    let shared = unsafe { &mut *shared.cast::<SharedWork<'_>>() };
    for fd in shared.close {
        // SAFETY: the number is closed in this process only; its owner is the process whose memory this is.
        unsafe { libc::close(fd.as_raw_fd()) };
    }
    exit_now((shared.work)())
}

/// What the child executes, in memory that it shares with this process.
struct SpawnOrder {
    program: *const c_char,
    args: *const *const c_char,
    env: *const *const c_char,
    stdio: [c_int; 3],
    /// Why the program could not be executed.
    errno: c_int,
}

/// Starts `program` with an empty environment and `stdio` as standard input, output and error; does not wait for it.
/// `args` begin with the name. Signals that are blocked stay so.
pub fn spawn(program: &CStr, args: &[CString], stdio: [BorrowedFd<'_>; 3]) -> io::Result<ChildProcess> {
    let args = null_terminated(args);
    let env = null_terminated(&[]);
    let mut order = SpawnOrder {
        program: program.as_ptr(),
        args: args.as_ptr(),
        env: env.as_ptr(),
        stdio: stdio.map(|fd| fd.as_raw_fd()),
        errno: 0,
    };
    // SAFETY: `execute` ends its process or executes a program; it writes to nothing but `order`.
    let child = unsafe { clone_sharing_memory(SMALL_STACK, execute, (&raw mut order).cast()) }?;
    match order.errno {
        0 => Ok(child),
        errno => {
            child.wait()?;
            Err(io::Error::from_raw_os_error(errno))
        }
    }
}

/// In the child. Allocates nothing and takes no lock: the memory is that of a thread which stands still.
extern "C" fn execute(order: *mut c_void) -> c_int {
    // SAFETY: `spawn` passes its own order, which nobody else accesses until this process has gone.
    let order = unsafe { &mut *order.cast::<SpawnOrder>() };
    // SAFETY: these calls take numbers, and what `order` points to: strings that end in NUL and arrays that end in null.
    unsafe {
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
        for (number, fd) in (0..).zip(order.stdio) {
            // dup2(2) on the same number would leave it close-on-exec.
            let placed =
                if fd == number { libc::fcntl(fd, libc::F_SETFD, 0) } else { libc::dup2(fd, number) };
            if placed < 0 {
                order.errno = *libc::__errno_location();
                libc::_exit(127);
            }
        }
        libc::execve(order.program, order.args, order.env);
        order.errno = *libc::__errno_location();
        libc::_exit(127)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::os::fd::AsFd as _;

    use super::*;
    use crate::process::ChildExit;

    fn spawned(program: &CStr, args: &[&str]) -> io::Result<(ChildExit, String)> {
        let null = crate::stdio::open_dev_null().unwrap();
        let (read, write) = crate::stdio::cloexec_pipe().unwrap();
        let args: Vec<CString> = args.iter().map(|arg| CString::new(*arg).unwrap()).collect();
        let child = spawn(program, &args, [null.as_fd(), write.as_fd(), write.as_fd()])?;
        drop(write);
        let mut text = String::new();
        std::fs::File::from(read).read_to_string(&mut text).unwrap();
        Ok((child.wait()?, text))
    }

    #[test]
    fn runs_with_its_arguments_and_nothing_else() {
        let (exit, text) = spawned(c"/bin/sh", &["sh", "-c", "echo $0 $HOME $1; exit 7", "a", "b"]).unwrap();
        assert_eq!((exit, text.as_str()), (ChildExit::Exited(7), "a b\n"));
    }

    #[test]
    fn what_the_child_stores_is_seen_here_and_what_it_closes_is_not() {
        let (read, write) = crate::stdio::cloexec_pipe().unwrap();
        let (mut answer, mut closed) = (0, false);
        let mut work = || {
            answer = 42;
            closed = rustix::io::fcntl_getfd(&read).is_err();
            drop(write.try_clone().unwrap());
            7
        };
        // A test program has more threads than one, which only the check minds.
        let mut shared = SharedWork { work: &mut work, close: &[read.as_fd()] };
        // SAFETY: as in `run_sharing_memory`; the other threads go on, and nothing here waits for them.
        let child = unsafe { clone_sharing_memory(STACK, run_shared, (&raw mut shared).cast()) }.unwrap();
        assert_eq!(child.wait().unwrap(), ChildExit::Exited(7));
        assert_eq!((answer, closed), (42, true));
        assert!(rustix::io::fcntl_getfd(&read).is_ok());
    }

    #[test]
    fn says_why_a_program_cannot_be_executed() {
        let error = spawned(c"/nonexistent", &["x"]).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENOENT));
    }
}

//! Signals: masks, dispositions, and receiving by descriptor (signalfd(2)).

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};

/// glibc's first and last real-time signal, to which `RTMIN+n` refers.
const RTMIN: i32 = 34;
const RTMAX: i32 = 64;

/// A signal set for a mask.
#[derive(Clone, Copy)]
pub struct SignalSet(libc::sigset_t);

impl SignalSet {
    pub fn of(signals: &[i32]) -> Self {
        // SAFETY: an all-zero sigset_t is a valid value; sigemptyset then initialises it in libc's own terms.
        let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
        // SAFETY: `set` is a valid sigset_t owned by this frame; sigaddset refuses numbers out of range.
        unsafe {
            libc::sigemptyset(&raw mut set);
            for signal in signals {
                libc::sigaddset(&raw mut set, *signal);
            }
        }
        Self(set)
    }
}

/// Replaces the signal mask of the calling thread and returns the previous one.
pub fn set_mask(set: &SignalSet) -> io::Result<SignalSet> {
    let mut old = SignalSet::of(&[]);
    // SAFETY: both pointers are to valid sigset_t values that outlive the call.
    let result = unsafe { libc::sigprocmask(libc::SIG_SETMASK, &raw const set.0, &raw mut old.0) };
    if result == 0 { Ok(old) } else { Err(io::Error::last_os_error()) }
}

/// Every signal that can be forwarded: all but KILL, STOP, and those raised by faults of this process itself.
pub fn forwardable() -> Vec<i32> {
    let excluded = [
        libc::SIGKILL,
        libc::SIGSTOP,
        libc::SIGSEGV,
        libc::SIGBUS,
        libc::SIGILL,
        libc::SIGFPE,
        libc::SIGABRT,
    ];
    // 32 and 33 are reserved by glibc's threads.
    (1..=RTMAX).filter(|s| !excluded.contains(s) && !(32..RTMIN).contains(s)).collect()
}

/// Resets every disposition to the default and unblocks all signals, for a process about to exec.
pub fn reset_signals() -> io::Result<()> {
    for signal in (1..=RTMAX).filter(|s| *s != libc::SIGKILL && *s != libc::SIGSTOP) {
        reset(signal)?;
    }
    set_mask(&SignalSet::of(&[])).map(drop)
}

/// Ignores `signal` in this process and those it starts, until [`reset_signals`].
pub fn ignore(signal: i32) -> io::Result<()> {
    set_action(signal, &KernelAction { handler: libc::SIG_IGN, ..KernelAction::default() })
}

/// The kernel's `struct sigaction`; all zero is the default (sigaction(2), "C library/kernel differences").
#[repr(C)]
#[derive(Default)]
struct KernelAction {
    handler: usize,
    flags: libc::c_ulong,
    restorer: usize,
    mask: u64,
}

fn reset(signal: i32) -> io::Result<()> {
    set_action(signal, &KernelAction::default())
}

/// By the raw system call: libc refuses 32 and 33, but a parent may have left them ignored. `action` must be to ignore
/// the signal or the default.
fn set_action(signal: i32, action: &KernelAction) -> io::Result<()> {
    let old = std::ptr::null_mut::<KernelAction>();
    // SAFETY: `action` is initialised, outlives the call and is at least as large as the kernel's structure on every
    // architecture; it installs no handler; a null pointer asks for no old value; 8 is the size of the mask.
    let result = unsafe {
        libc::syscall(libc::SYS_rt_sigaction, signal, std::ptr::from_ref(action), old, size_of::<u64>())
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// A descriptor from which blocked signals are read.
#[derive(Debug)]
pub struct SignalFd(OwnedFd);

impl SignalFd {
    /// Blocks exactly `signals` and opens a descriptor for them.
    pub fn blocking(signals: &[i32]) -> io::Result<Self> {
        let set = SignalSet::of(signals);
        set_mask(&set)?;
        // SAFETY: the set is valid and outlives the call; -1 asks for a new descriptor.
        let fd = unsafe { libc::signalfd(-1, &raw const set.0, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: signalfd returned a new descriptor that nobody else owns.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// The next pending signal, if any.
    pub fn next(&self) -> io::Result<Option<i32>> {
        // SAFETY: an all-zero signalfd_siginfo is a valid value of that plain C structure.
        let mut info: libc::signalfd_siginfo = unsafe { std::mem::zeroed() };
        // SAFETY: the kernel writes at most the passed size, which is that of the buffer.
        let read = unsafe {
            libc::read(self.0.as_raw_fd(), (&raw mut info).cast(), size_of::<libc::signalfd_siginfo>())
        };
        if read > 0 {
            return Ok(Some(info.ssi_signo as i32));
        }
        match io::Error::last_os_error() {
            error if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            error => Err(error),
        }
    }

    /// For poll(2).
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        std::os::fd::AsFd::as_fd(&self.0)
    }
}

//! System call filters: seccomp(2), and notifications (seccomp_unotify(2)).

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};

/// One instruction of classic BPF, `linux/filter.h`.
pub use libc::sock_filter as Instruction;

/// `SECCOMP_FILTER_FLAG_LOG`: write decisions other than "allow" to the audit log.
pub const LOG: u32 = 2;
/// `SECCOMP_FILTER_FLAG_SPEC_ALLOW`: leave speculative store bypass enabled. On kernels whose mitigations are
/// set to `seccomp`, a filter without this flag slows down the whole process.
pub const SPEC_ALLOW: u32 = 4;

/// Installs `filter` for the calling thread and all its descendants; it can never be removed.
///
/// Needs `no_new_privs`, or CAP_SYS_ADMIN in the thread's user namespace (`EACCES` otherwise). `EINVAL`: the program
/// is malformed, or the kernel lacks seccomp filters; `ENOMEM`: all installed filters together are too long. Neither
/// allocates nor locks, so it may be called between fork and exec.
pub fn load(filter: &[Instruction], flags: u32) -> io::Result<()> {
    install(filter, flags).map(drop)
}

/// Like [`load`]; returns a listener for calls that the filter answers with `SECCOMP_RET_USER_NOTIF` (Linux
/// 5.0). `EBUSY`: another filter of the thread already has one.
pub fn load_with_listener(filter: &[Instruction], flags: u32) -> io::Result<OwnedFd> {
    let fd = install(filter, flags | NEW_LISTENER)?;
    // SAFETY: with that flag the kernel returned a new descriptor, closed by exec, that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// `SECCOMP_FILTER_FLAG_NEW_LISTENER`.
const NEW_LISTENER: u32 = 8;

fn install(filter: &[Instruction], flags: u32) -> io::Result<i32> {
    let Ok(len) = u16::try_from(filter.len()) else { return Err(io::ErrorKind::InvalidInput.into()) };
    let program = libc::sock_fprog { len, filter: filter.as_ptr().cast_mut() };
    // SAFETY: the kernel copies `len` instructions from `filter`, a slice that long which outlives the call, and the
    // `sock_fprog` itself; it writes to neither, so casting the constness away is harmless.
    let result = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::c_ulong::from(libc::SECCOMP_SET_MODE_FILTER),
            libc::c_ulong::from(flags),
            &raw const program,
        )
    };
    if result >= 0 { Ok(result as i32) } else { Err(io::Error::last_os_error()) }
}

/// A call that waits for a response: `struct seccomp_notif`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct SeccompNotification {
    id: u64,
    /// The calling thread, as seen in this process's pid namespace.
    pub pid: u32,
    flags: u32,
    /// The call number on its architecture.
    pub call: i32,
    /// `AUDIT_ARCH_*`
    pub arch: u32,
    instruction: u64,
    pub arguments: [u64; 6],
}

/// `struct seccomp_notif_resp`.
#[repr(C)]
struct NotifyResponse {
    id: u64,
    value: i64,
    error: i32,
    flags: u32,
}

/// `AUDIT_ARCH_*` of the architecture dhow was built for.
#[cfg(target_arch = "x86_64")]
pub const NATIVE_ARCH: u32 = 0xc000_003e;
/// `AUDIT_ARCH_*` of the architecture dhow was built for.
#[cfg(target_arch = "aarch64")]
pub const NATIVE_ARCH: u32 = 0xc000_00b7;

/// `SECCOMP_IOCTL_NOTIF_RECV` and `SECCOMP_IOCTL_NOTIF_SEND` of `linux/seccomp.h`.
const RECEIVE: libc::c_ulong = 0xc050_2100;
const SEND: libc::c_ulong = 0xc018_2101;

/// Waits for the next call. `ENOENT`: it was interrupted or killed meanwhile.
pub fn receive_notification(listener: BorrowedFd<'_>) -> io::Result<SeccompNotification> {
    let mut notification = SeccompNotification::default();
    // SAFETY: the kernel wants a zeroed structure of this size, which the number of the call says, and fills it.
    let result = unsafe { libc::ioctl(listener.as_raw_fd(), RECEIVE as _, &raw mut notification) };
    if result == 0 { Ok(notification) } else { Err(io::Error::last_os_error()) }
}

/// Completes a call with 0, or with this errno. `ENOENT`: the call is gone, and needs no response.
pub fn respond(listener: BorrowedFd<'_>, to: &SeccompNotification, error: i32) -> io::Result<()> {
    let mut response = NotifyResponse { id: to.id, value: 0, error: -error, flags: 0 };
    // SAFETY: the kernel reads one structure of this size, which the number of the call says.
    let result = unsafe { libc::ioctl(listener.as_raw_fd(), SEND as _, &raw mut response) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

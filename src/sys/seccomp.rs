//! System call filters: seccomp(2) in filter mode.

use std::io;

/// One instruction of classic BPF as `linux/filter.h` defines it.
pub use libc::sock_filter as Instruction;

/// Write filter decisions other than "allow" to the audit log.
pub const LOG: u32 = 2;
/// Do not disable speculative store bypass for the filtered process: for a kernel whose mitigations are set to
/// `seccomp`, the difference between a filter that is free and one that slows everything down.
pub const SPEC_ALLOW: u32 = 4;

/// Installs `filter` for the calling thread and all that it starts; a filter is never removed again.
///
/// Needs `no_new_privs` or CAP_SYS_ADMIN in the thread's user namespace (`EACCES` otherwise). `EINVAL` means that the
/// program is malformed or the kernel has no seccomp filters; `ENOMEM` that all installed filters together are too
/// long. Neither allocates nor locks, so it may be called between fork and exec.
pub fn load(filter: &[Instruction], flags: u32) -> io::Result<()> {
    let Ok(len) = u16::try_from(filter.len()) else { return Err(io::ErrorKind::InvalidInput.into()) };
    let program = libc::sock_fprog { len, filter: filter.as_ptr().cast_mut() };
    // SAFETY: the kernel copies `len` instructions from `filter`, a slice that long which outlives the call, and the
    // `sock_fprog` itself; it writes to neither, so casting the constness away is harmless.
    let done = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::c_ulong::from(libc::SECCOMP_SET_MODE_FILTER),
            libc::c_ulong::from(flags),
            &raw const program,
        )
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

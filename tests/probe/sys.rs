//! The C functions and constants the probe needs, of Linux on 64-bit machines, declared by hand.

use std::ffi::{c_char, c_int, c_long, c_ulong, c_void};
use std::io;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd as _;

unsafe extern "C" {
    pub fn syscall(number: c_long, ...) -> c_long;
    pub fn prctl(option: c_int, ...) -> c_int;
    pub fn getresuid(real: *mut u32, effective: *mut u32, saved: *mut u32) -> c_int;
    pub fn getresgid(real: *mut u32, effective: *mut u32, saved: *mut u32) -> c_int;
    pub fn getgroups(size: c_int, list: *mut u32) -> c_int;
    pub fn getrlimit(resource: c_int, limit: *mut [c_ulong; 2]) -> c_int;
    pub fn setrlimit(resource: c_int, limit: *const [c_ulong; 2]) -> c_int;
    pub fn listen(fd: c_int, backlog: c_int) -> c_int;
    pub fn getsockopt(fd: c_int, level: c_int, option: c_int, value: *mut c_void, size: *mut u32) -> c_int;
    pub fn setsockopt(fd: c_int, level: c_int, option: c_int, value: *const c_void, size: u32) -> c_int;
    pub fn umask(mode: u32) -> u32;
    pub fn getpgid(pid: c_int) -> c_int;
    pub fn getsid(pid: c_int) -> c_int;
    pub fn getppid() -> c_int;
    pub fn getpriority(which: c_int, who: u32) -> c_int;
    pub fn isatty(fd: c_int) -> c_int;
    pub fn fork() -> c_int;
    pub fn waitpid(pid: c_int, status: *mut c_int, options: c_int) -> c_int;
    pub fn _exit(status: c_int) -> !;
    pub fn alarm(seconds: u32) -> u32;
    pub fn socket(domain: c_int, kind: c_int, protocol: c_int) -> c_int;
    pub fn ioctl(fd: c_int, request: c_ulong, ...) -> c_int;
    pub fn close(fd: c_int) -> c_int;
    pub fn uname(names: *mut [[c_char; 65]; 6]) -> c_int;
    pub fn mkstemp(template: *mut c_char) -> c_int;
    pub fn unlink(path: *const c_char) -> c_int;
}

#[cfg(target_arch = "x86_64")]
pub const SYS_CAPGET: c_long = 125;
#[cfg(target_arch = "x86_64")]
pub const SYS_RT_SIGACTION: c_long = 13;
#[cfg(target_arch = "x86_64")]
pub const SYS_RT_SIGPROCMASK: c_long = 14;
#[cfg(target_arch = "aarch64")]
pub const SYS_CAPGET: c_long = 90;
#[cfg(target_arch = "aarch64")]
pub const SYS_RT_SIGACTION: c_long = 134;
#[cfg(target_arch = "aarch64")]
pub const SYS_RT_SIGPROCMASK: c_long = 135;

/// `prctl` with one number, for the options that answer with a number.
pub fn ask(option: c_int, argument: c_ulong) -> io::Result<c_int> {
    let none: c_ulong = 0;
    // SAFETY: only options that take numbers are asked.
    answer(unsafe { prctl(option, argument, none, none, none) })
}

/// A C function's result, -1 meaning the error in `errno`.
pub fn answer(result: c_int) -> io::Result<c_int> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// A raw pointer to `value` as the variable arguments of [`syscall`] take it.
pub fn pointer<T>(value: &mut T) -> *mut c_void {
    std::ptr::from_mut(value).cast()
}

/// Takes as many descriptors as there may be.
pub fn raise_descriptors() {
    const NOFILE: c_int = 7;
    let mut limit = [0; 2];
    // SAFETY: `struct rlimit` is two words.
    if unsafe { getrlimit(NOFILE, &raw mut limit) } == 0 {
        limit[0] = limit[1];
        // SAFETY: as above.
        unsafe { setrlimit(NOFILE, &raw const limit) };
    }
}

/// Ends a connection with RST instead of FIN: a linger time of zero.
pub fn reset(stream: TcpStream) -> io::Result<()> {
    const SOCKET: c_int = 1;
    const LINGER: c_int = 13;
    let mut linger: [c_int; 2] = [1, 0];
    // SAFETY: `struct linger` is two integers.
    answer(unsafe { setsockopt(stream.as_raw_fd(), SOCKET, LINGER, pointer(&mut linger), 8) }).map(drop)
}

/// Has a socket report each error that ICMP brings, not only the final ones (ip(7), `IP_RECVERR`).
pub fn report_errors(socket: &UdpSocket, v6: bool) -> io::Result<()> {
    let (level, option) = if v6 { (41, 25) } else { (0, 11) };
    let mut yes: c_int = 1;
    // SAFETY: the option is an integer.
    answer(unsafe { setsockopt(socket.as_raw_fd(), level, option, pointer(&mut yes), 4) }).map(drop)
}

/// Lets more connections wait to be accepted than the 128 of the standard library.
pub fn deepen(listener: &TcpListener) -> io::Result<()> {
    // SAFETY: takes numbers only.
    answer(unsafe { listen(listener.as_raw_fd(), 4096) }).map(drop)
}

/// The longest packet, in bytes, that goes to where `socket` is connected, as far as is known here.
pub fn path_mtu(socket: &UdpSocket, v6: bool) -> io::Result<i32> {
    // SOL_IPV6 and IPV6_MTU, IPPROTO_IP and IP_MTU.
    let (level, option) = if v6 { (41, 24) } else { (0, 14) };
    let (mut value, mut size) = (0_i32, 4_u32);
    // SAFETY: the kernel writes an int and its size, both of which outlive the call.
    answer(unsafe { getsockopt(socket.as_raw_fd(), level, option, pointer(&mut value), &mut size) })?;
    Ok(value)
}

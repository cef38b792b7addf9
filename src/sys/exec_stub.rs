//! An executable of a few instructions, held in memory only, that execs another one: memfd_create(2), execveat(2).
//!
//! While a process execs, `/proc/self/exe` still is the old executable. A script or link that points there makes the
//! kernel run that file, in a process that others may inspect. For a process that has joined a container, it would be
//! dhow's own file on the host, which the container could open and later overwrite (CVE-2019-5736). Checking the
//! program first does not help, since the container can change it at any moment. So the process becomes this stub,
//! which has nothing of the host, and the stub becomes the program.
//!
//! # Protocol
//!
//! The stub takes the program's path as `argv[0]`, the program's own arguments after it, and its environment.
//! Descriptor [`STATUS_FD`] must be the write end of a pipe: end of file without data means that the program runs;
//! otherwise the four bytes of an errno follow. If that descriptor is closed, someone else has executed the stub, and
//! it exits.

use std::arch::global_asm;
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};

use super::process::null_terminated;

/// The descriptor on which the stub reports that the program could not be executed.
pub const STATUS_FD: i32 = 3;

// fcntl(3, F_SETFD, FD_CLOEXEC); execve(argv[0], argv + 1, envp); write(3, &errno, 4); exit_group(126)
#[cfg(target_arch = "x86_64")]
global_asm!(
    ".pushsection .rodata.dhow_stub, \"a\", @progbits",
    ".hidden dhow_stub_start",
    ".globl dhow_stub_start",
    "dhow_stub_start:",
    "mov edi, 3",
    "mov esi, 2",
    "mov edx, 1",
    "mov eax, 72",
    "syscall",
    "test eax, eax",
    "js 2f",
    "mov rcx, [rsp]",
    "mov rdi, [rsp + 8]",
    "lea rsi, [rsp + 16]",
    "lea rdx, [rsp + rcx * 8 + 16]",
    "mov eax, 59",
    "syscall",
    "neg eax",
    "push rax",
    "mov edi, 3",
    "mov rsi, rsp",
    "mov edx, 4",
    "mov eax, 1",
    "syscall",
    "2:",
    "mov edi, 126",
    "mov eax, 231",
    "syscall",
    ".hidden dhow_stub_end",
    ".globl dhow_stub_end",
    "dhow_stub_end:",
    ".popsection",
);

#[cfg(target_arch = "aarch64")]
global_asm!(
    ".pushsection .rodata.dhow_stub, \"a\", @progbits",
    ".balign 4",
    ".hidden dhow_stub_start",
    ".globl dhow_stub_start",
    "dhow_stub_start:",
    "mov x0, #3",
    "mov x1, #2",
    "mov x2, #1",
    "mov x8, #25",
    "svc #0",
    "tbnz x0, #63, 2f",
    "ldr x3, [sp]",
    "ldr x0, [sp, #8]",
    "add x1, sp, #16",
    "add x2, x1, x3, lsl #3",
    "mov x8, #221",
    "svc #0",
    "neg w0, w0",
    "str x0, [sp, #-16]!",
    "mov x0, #3",
    "mov x1, sp",
    "mov x2, #4",
    "mov x8, #64",
    "svc #0",
    "2:",
    "mov x0, #126",
    "mov x8, #94",
    "svc #0",
    ".hidden dhow_stub_end",
    ".globl dhow_stub_end",
    "dhow_stub_end:",
    ".popsection",
);

unsafe extern "C" {
    static dhow_stub_start: u8;
    static dhow_stub_end: u8;
}

fn code() -> &'static [u8] {
    let (start, end) = (&raw const dhow_stub_start, &raw const dhow_stub_end);
    // SAFETY: both symbols delimit one read-only section of this program, which nobody changes.
    unsafe { std::slice::from_raw_parts(start, end.addr() - start.addr()) }
}

/// Load address; a multiple of every page size of Linux.
const BASE: u64 = 0x40_0000;
/// Length of the ELF header and two program headers.
const HEADERS: u64 = 64 + 2 * 56;

#[cfg(target_arch = "x86_64")]
const MACHINE: u16 = 62;
#[cfg(target_arch = "aarch64")]
const MACHINE: u16 = 183;

/// The stub as an ELF file: elf(5).
fn image() -> Vec<u8> {
    let code = code();
    let size = HEADERS + code.len() as u64;
    let mut file = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    // Type EXEC, machine, version; entry point, offsets of program and section headers; flags, sizes and
    // counts.
    file.extend(2_u16.to_le_bytes());
    file.extend(MACHINE.to_le_bytes());
    file.extend(1_u32.to_le_bytes());
    for word in [BASE + HEADERS, 64, 0] {
        file.extend(word.to_le_bytes());
    }
    file.extend(0_u32.to_le_bytes());
    for half in [64_u16, 56, 2, 0, 0, 0] {
        file.extend(half.to_le_bytes());
    }
    // One segment to read and execute; a non-executable stack.
    segment(&mut file, libc::PT_LOAD, libc::PF_R | libc::PF_X, [0, BASE, BASE, size, size, 0x1_0000]);
    segment(&mut file, libc::PT_GNU_STACK, libc::PF_R | libc::PF_W, [0, 0, 0, 0, 0, 16]);
    file.extend(code);
    file
}

fn segment(file: &mut Vec<u8>, kind: u32, flags: u32, words: [u64; 6]) {
    file.extend(kind.to_le_bytes());
    file.extend(flags.to_le_bytes());
    for word in words {
        file.extend(word.to_le_bytes());
    }
}

/// The stub, ready to be executed; close-on-exec.
#[derive(Debug)]
pub struct ExecStub(OwnedFd);

impl ExecStub {
    /// Creates the stub. `EACCES` if the kernel executes nothing from memory (`vm.memfd_noexec` is 2).
    pub fn new() -> io::Result<Self> {
        let fd = match memfd(libc::MFD_CLOEXEC | libc::MFD_EXEC) {
            // MFD_EXEC is unknown, and not needed, before Linux 6.3.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => memfd(libc::MFD_CLOEXEC)?,
            other => other?,
        };
        // Must not have the number that the stub expects the pipe at.
        let mut file = std::fs::File::from(rustix::io::fcntl_dupfd_cloexec(&fd, STATUS_FD + 1)?);
        io::Write::write_all(&mut file, &image())?;
        Ok(Self(file.into()))
    }

    /// To exempt it when other descriptors are closed.
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// Becomes the stub, and through it the program at `path`. Returns only if execveat(2) fails.
    pub fn exec(&self, path: &CStr, args: &[CString], env: &[CString]) -> io::Error {
        let argv: Vec<_> = std::iter::once(path.as_ptr()).chain(null_terminated(args)).collect();
        let envp = null_terminated(env);
        // SAFETY: both arrays end in a null pointer and hold pointers to NUL-terminated strings that outlive the
        // call, as does the empty path.
        unsafe {
            libc::syscall(
                libc::SYS_execveat,
                self.0.as_raw_fd(),
                c"".as_ptr(),
                argv.as_ptr(),
                envp.as_ptr(),
                libc::AT_EMPTY_PATH,
            )
        };
        io::Error::last_os_error()
    }
}

fn memfd(flags: libc::c_uint) -> io::Result<OwnedFd> {
    // SAFETY: the name is a NUL-terminated string that outlives the call.
    let fd = unsafe { libc::memfd_create(c"dhow-stub".as_ptr(), flags) };
    // SAFETY: the kernel returned a new descriptor that nobody else owns.
    if fd >= 0 { Ok(unsafe { OwnedFd::from_raw_fd(fd) }) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;
    use std::os::unix::process::CommandExt as _;
    use std::process::{Command, Stdio};

    /// The stub's exit status if the program could not be executed.
    const STUB_EXIT_CODE: i32 = 126;

    /// Runs the stub in a child: returns what it wrote to the status pipe, its output and its exit code.
    fn run(args: &[&str], status: bool) -> (Vec<u8>, String, Option<i32>) {
        let stub = ExecStub::new().unwrap();
        let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
        let write = rustix::io::fcntl_dupfd_cloexec(write, 10).unwrap();
        let args: Vec<CString> = args.iter().map(|arg| CString::new(*arg).unwrap()).collect();
        let mut command = Command::new("unused");
        command.stdout(Stdio::piped()).stdin(Stdio::null());
        let raw = write.as_raw_fd();
        let exec = move || {
            // SAFETY: numbers only, in a child that execs at once.
            unsafe {
                if status {
                    libc::dup2(raw, STATUS_FD);
                } else {
                    libc::close(STATUS_FD);
                }
            }
            Err(stub.exec(&args[0], &args[1..], &[CString::new("A=b").unwrap()]))
        };
        // SAFETY: the closure allocates, which is sound where the parent's other threads hold no lock of the
        // allocator for long; glibc makes the allocator usable after fork.
        let child = unsafe { command.pre_exec(exec) }.spawn().unwrap();
        drop((write, command));
        let output = child.wait_with_output().unwrap();
        let mut said = Vec::new();
        std::fs::File::from(read).read_to_end(&mut said).unwrap();
        (said, String::from_utf8(output.stdout).unwrap(), output.status.code())
    }

    #[test]
    fn it_becomes_the_program() {
        let (said, output, code) = run(
            &["/bin/sh", "name", "-c", "echo $0 $1 $A; test -e /proc/self/fd/3; exit $?", "x", "y"],
            true,
        );
        assert_eq!((said.as_slice(), output.as_str(), code), (&[][..], "x y b\n", Some(1)));
    }

    #[test]
    fn it_tells_why_it_could_not() {
        let (said, _, code) = run(&["/no/such/file", "x"], true);
        assert_eq!((said, code), (libc::ENOENT.to_le_bytes().to_vec(), Some(STUB_EXIT_CODE)));
        let (said, _, code) = run(&["/etc/passwd", "x"], true);
        assert_eq!((said, code), (libc::EACCES.to_le_bytes().to_vec(), Some(STUB_EXIT_CODE)));
    }

    #[test]
    fn it_runs_nothing_for_somebody_else() {
        let (said, output, code) = run(&["/bin/echo", "echo", "run"], false);
        assert_eq!((said.as_slice(), output.as_str(), code), (&[][..], "", Some(STUB_EXIT_CODE)));
    }
}

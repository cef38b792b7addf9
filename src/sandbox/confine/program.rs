//! Resolves the container's program and execs it.
//!
//! Until the exec, this process's `/proc/self/exe` is dhow's own file on the host. An image whose program is a link
//! to it, or a script with it as interpreter, would execute that file inside and could later overwrite it
//! (CVE-2019-5736). So the program and a script's interpreter must be reachable without magic links of /proc.

use std::convert::Infallible;
use std::ffi::CString;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use rustix::fs::{Access, AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::user::ProcessUser;
use crate::plan::{ProcessPlan, SeccompPlan};
use dhow_error::{Failure, FailureKind};
use dhow_model::environment::DEFAULT_PATH;
use dhow_sys::exec_stub::{ExecStub, STATUS_FD};

/// How many nested interpreters the kernel follows (`fs/exec.c`).
const MAX_INTERPRETERS: u32 = 5;

/// A program that exists and may be executed.
pub(crate) struct ResolvedProgram {
    /// As it was requested, for messages.
    name: String,
    path: CString,
    args: Vec<CString>,
    env: Vec<CString>,
}

impl ResolvedProgram {
    /// Resolves the program of `process` for `user`, whose identity this process already has.
    pub(crate) fn resolve(process: &ProcessPlan, user: &ProcessUser) -> Result<Self> {
        let env = environment(process, user);
        let name = process.args.first().map_or("", String::as_str);
        let search = env.iter().rev().find_map(|entry| entry.strip_prefix("PATH=")).unwrap_or(DEFAULT_PATH);
        let program = search_path(name, search)?;
        refuse_own_file(&program, MAX_INTERPRETERS)?;
        let (path, args) = match &process.init {
            Some(init) => {
                (PathBuf::from(init), [vec![init.clone(), "--".into()], process.args.clone()].concat())
            }
            None => (program, process.args.clone()),
        };
        Ok(Self {
            name: name.to_owned(),
            path: CString::new(path.as_os_str().as_bytes())?,
            args: args.iter().map(|arg| c_string(arg)).collect::<Result<_>>()?,
            env: env.iter().map(|entry| c_string(entry)).collect::<Result<_>>()?,
        })
    }

    /// Replaces this process; returns only on failure.
    pub(crate) fn exec(&self) -> Result<Infallible> {
        dhow_sys::signal::reset_signals()?;
        dhow_sys::process::close_on_exec_from(3)?;
        Err(explain_exec_error(&self.name, &dhow_sys::process::exec(&self.path, &self.args, &self.env))
            .into())
    }

    /// Execs via `stub`, which reports what this process no longer can. If a filter of the user's own denies
    /// execveat(2), it execs directly: the check in [`ResolvedProgram::resolve`] then has to suffice.
    pub(crate) fn exec_via_stub(&self, stub: &ExecStub, filter: &SeccompPlan) -> Result<Infallible> {
        dhow_sys::signal::reset_signals()?;
        dhow_sys::process::close_on_exec_from(STATUS_FD.cast_unsigned() + 1)?;
        let error = stub.exec(&self.path, &self.args, &self.env);
        match filter {
            SeccompPlan::Profile(_) => self.exec(),
            _ => Err(explain_exec_error(&self.name, &error).into()),
        }
    }
}

/// The environment, with `HOME` from the user database unless it is set.
fn environment(process: &ProcessPlan, user: &ProcessUser) -> Vec<String> {
    let mut env = process.env.clone();
    if !env.iter().any(|entry| entry.starts_with("HOME=")) {
        env.push(format!("HOME={}", user.home));
    }
    env
}

/// Finds a program like execvp(3): names with a slash as they are, others along `search`.
fn search_path(name: &str, search: &str) -> Result<PathBuf> {
    if name.is_empty() {
        return Err(Failure::new(FailureKind::CommandNotFound, "the command's name is empty").into());
    }
    if name.contains('/') {
        let path = PathBuf::from(name);
        return match rustix::fs::stat(&path) {
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => {
                Err(explain_exec_error(name, &Errno::ISDIR.into()).into())
            }
            Ok(_) => Ok(path),
            Err(error) => Err(explain_exec_error(name, &error.into()).into()),
        };
    }
    // As in execvp(3), a file that may not be executed does not end the search, but decides the error.
    let mut found_not_executable = false;
    for dir in search.split(':') {
        let path = Path::new(if dir.is_empty() { "." } else { dir }).join(name);
        match rustix::fs::stat(&path) {
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile => {
                if rustix::fs::accessat(rustix::fs::CWD, &path, Access::EXEC_OK, AtFlags::EACCESS).is_ok() {
                    return Ok(path);
                }
                found_not_executable = true;
            }
            _ => {}
        }
    }
    if found_not_executable {
        return Err(explain_exec_error(name, &Errno::ACCESS.into()).into());
    }
    Err(Failure::new(
        FailureKind::CommandNotFound,
        format!("exec: \"{}\": executable file not found in $PATH", name.escape_debug()),
    )
    .into())
}

/// Explains in docker's words why `name` could not be executed.
pub(crate) fn explain_exec_error(name: &str, error: &std::io::Error) -> Failure {
    let kind = match error.raw_os_error() {
        Some(libc::ENOENT | libc::ENOTDIR) => FailureKind::CommandNotFound,
        _ => FailureKind::CommandNotExecutable,
    };
    let text = match error.raw_os_error() {
        Some(libc::ENOENT | libc::ENOTDIR) => "no such file or directory",
        Some(libc::EACCES) => "permission denied",
        Some(libc::ENOEXEC) => "exec format error",
        Some(libc::EISDIR) => "is a directory",
        Some(libc::ELOOP) => "too many symbolic links",
        _ => return Failure::new(kind, format!("exec: \"{}\": {error}", name.escape_debug())),
    };
    Failure::new(kind, format!("exec: \"{}\": {text}", name.escape_debug()))
}

/// Explains why the exec stub could not be created. Exec without it would expose dhow's own file to the
/// container.
pub(crate) fn explain_no_stub(error: &std::io::Error) -> Failure {
    let failure =
        Failure::new(FailureKind::Denied, format!("the kernel runs no program from memory: {error}"));
    match error.raw_os_error() {
        Some(libc::EACCES) => failure.hint("root can allow it with `sysctl vm.memfd_noexec=1`"),
        _ => failure,
    }
}

/// Fails if executing `path` would execute dhow's own file, directly or as a script's interpreter.
fn refuse_own_file(path: &Path, depth: u32) -> Result<()> {
    let root = dhow_sys::fs::open_dir(Path::new("/"))?;
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = match dhow_sys::fs::open_in_root(root.as_fd(), &absolute, flags, Mode::empty()) {
        Ok(file) => file,
        Err(error) if error.raw_os_error() == Some(libc::ELOOP) => return Err(refers_to_dhow(path).into()),
        // Unreadable files have no `#!` line that the kernel would accept, or cannot be executed either.
        Err(_) => return Ok(()),
    };
    match interpreter(file)? {
        Some(interpreter) if depth > 0 => refuse_own_file(&interpreter, depth - 1),
        _ => Ok(()),
    }
}

fn refers_to_dhow(path: &Path) -> Failure {
    Failure::new(
        FailureKind::CommandNotExecutable,
        format!("exec: \"{}\": leads to /proc/self/exe, which would be dhow itself", path.display()),
    )
}

/// The interpreter in a `#!` line, without its argument.
fn interpreter(file: OwnedFd) -> Result<Option<PathBuf>> {
    if dhow_sys::fs::file_type(file.as_fd())? != FileType::RegularFile {
        return Ok(None);
    }
    // The kernel looks at the first 256 bytes only (`BINPRM_BUF_SIZE`).
    let mut buffer = [0_u8; 512];
    let length = rustix::io::retry_on_intr(|| rustix::io::pread(&file, &mut buffer, 0))
        .context("reading the program's first line")?;
    let head = buffer.get(..length).unwrap_or_default();
    let Some(line) = head.strip_prefix(b"#!") else { return Ok(None) };
    let line = line.split(|b| *b == b'\n').next().unwrap_or_default();
    let word = line.split(|b| *b == b' ' || *b == b'\t').find(|word| !word.is_empty());
    Ok(word.map(|word| PathBuf::from(std::ffi::OsStr::from_bytes(word))))
}

fn c_string(text: &str) -> Result<CString> {
    CString::new(text).map_err(|_| {
        Failure::new(FailureKind::Invalid, format!("`{}` contains a NUL byte", text.escape_debug())).into()
    })
}

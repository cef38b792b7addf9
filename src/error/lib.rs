//! The error that travels through `anyhow`: what kind of failure it is, and what the user can do about it.
//!
//! # Use
//!
//! Code that knows *why* something failed returns a [`Failure`]; callers add what they were doing with
//! `anyhow::Context`. The command line (`cli/frame/report.rs`) turns the chain into one line and an exit
//! code, and is the only place that does. This crate imports no other one of dhow.
//!
//! # Across processes
//!
//! A child process (a stage of a launch, a build job) sends its error as
//! [`Failure::from_chain`], which keeps kind, text, hint and lines.

#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests make files of their own"))]

use std::fmt;
use std::ops::RangeInclusive;

use rustix::io::Errno;
use serde::{Deserialize, Serialize};

/// The kind of a failure; decides the exit code, and whether a retry can help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FailureKind {
    /// A malformed command line or file.
    Invalid,
    NotFound,
    /// A name is already taken.
    Conflict,
    InUse,
    /// The kernel, the file system or a registry denied permission.
    Denied,
    /// Not possible on this machine, with this kernel, or in this version of dhow.
    Unsupported,
    /// A remote host did not answer, or answered nonsense.
    Network,
    /// Content does not match its digest, or a record is unreadable.
    Corrupt,
    /// A disk, quota or limit is exhausted.
    Full,
    /// The container's command does not exist in the container (exit code 127).
    CommandNotFound,
    /// The container's command cannot be executed (exit code 126).
    CommandNotExecutable,
    Interrupted,
    /// The reader of standard output or standard error is gone, so nobody is left to be told (exit code 141).
    OutputClosed,
    Other,
}

/// A failure: its kind, one sentence about what went wrong, and possibly a hint.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Failure {
    kind: FailureKind,
    message: String,
    hint: Option<String>,
    /// The lines of a build file it refers to, from 1, first and last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lines: Option<(u32, u32)>,
}

impl Failure {
    /// `message` has no final full stop.
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hint: None, lines: None }
    }

    /// Adds what the user can do: a command, a setting, another spelling.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds the lines of the build file it refers to, from 1. Lines that are already set stay: they are
    /// closer to the cause.
    #[must_use]
    pub fn at(mut self, lines: RangeInclusive<u32>) -> Self {
        self.lines.get_or_insert((*lines.start(), *lines.end()));
        self
    }

    /// The lines of the build file it refers to, from 1.
    pub fn lines(&self) -> Option<RangeInclusive<u32>> {
        self.lines.map(|(first, last)| first..=last)
    }

    /// Flattens a chain of causes into one failure, to be sent to another process.
    pub fn from_chain(error: &anyhow::Error) -> Self {
        let hint = error.chain().find_map(|cause| Self::find_in(cause)?.hint_text());
        // The type of the cause does not travel.
        let hint = hint.or_else(|| exhausted(error).map(exhaustion_hint));
        let lines = lines_of(error).map(RangeInclusive::into_inner);
        // Errors of a chain cannot be serialized, so the text of the message keeps the causes.
        Self { kind: kind_of(error), message: format!("{error:#}"), hint: hint.map(str::to_owned), lines }
    }

    /// The failure in a link of an error chain: the link itself, or one wrapped in an `io::Error` by a `Read`
    /// implementation.
    pub fn find_in<'a>(cause: &'a (dyn std::error::Error + 'static)) -> Option<&'a Self> {
        // `Read` implementations can only return io::Error, so they wrap the Failure.
        let carried = || cause.downcast_ref::<std::io::Error>()?.get_ref()?.downcast_ref::<Self>();
        cause.downcast_ref::<Self>().or_else(carried)
    }

    pub fn kind(&self) -> FailureKind {
        self.kind
    }

    pub fn hint_text(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// The lines of the build file that `error` refers to, from the first link that has any.
pub fn lines_of(error: &anyhow::Error) -> Option<RangeInclusive<u32>> {
    error.chain().find_map(|cause| Failure::find_in(cause)?.lines())
}

/// The kind of the first [`Failure`] in the chain, or the kind that an I/O error in it amounts to.
pub fn kind_of(error: &anyhow::Error) -> FailureKind {
    for cause in error.chain() {
        if let Some(failure) = Failure::find_in(cause) {
            return failure.kind;
        }
        // The first cause that has a kind decides: it is closest to what was attempted.
        if let Some(kind) = with_io_error(cause, kind_of_io) {
            return kind;
        }
    }
    FailureKind::Other
}

/// What `cause` is as an I/O error, passed through `read`; None if it is none.
fn with_io_error<T>(
    cause: &(dyn std::error::Error + 'static),
    read: impl Fn(&std::io::Error) -> T,
) -> Option<T> {
    if let Some(error) = cause.downcast_ref::<std::io::Error>() {
        return Some(read(error));
    }
    // rustix and nix have error types of their own.
    let errno = cause.downcast_ref::<Errno>().map(|errno| (*errno).into());
    errno
        .or_else(|| cause.downcast_ref::<nix::Error>().map(|errno| (*errno).into()))
        .map(|error| read(&error))
}

/// The error of the system call that found a disk, a quota, a limit or a table exhausted, if that is why `error` came
/// about.
pub fn exhausted(error: &anyhow::Error) -> Option<Errno> {
    let errno = error.chain().find_map(|cause| with_io_error(cause, Errno::from_io_error)?)?;
    [Errno::NOSPC, Errno::DQUOT, Errno::FBIG, Errno::MFILE, Errno::NFILE]
        .into_iter()
        .find(|known| *known == errno)
}

/// What can be done about an exhausted disk or table; see [`exhausted`].
pub fn exhaustion_hint(errno: Errno) -> &'static str {
    match errno {
        Errno::NOSPC => "the disk is full: see `df`; `dhow system prune` removes what dhow has no use for",
        Errno::DQUOT => {
            "the account's quota is used up; `dhow system prune` removes what dhow has no use for"
        }
        Errno::FBIG => "that is the limit of the file system, or of this process: see `ulimit -f`",
        Errno::MFILE => "this process may have no more files open: see `ulimit -Hn`",
        _ => "the whole system may have no more files open: see `sysctl fs.file-max`",
    }
}

fn kind_of_io(error: &std::io::Error) -> FailureKind {
    use std::io::ErrorKind as E;
    match error.kind() {
        E::NotFound => FailureKind::NotFound,
        E::PermissionDenied => FailureKind::Denied,
        E::StorageFull | E::QuotaExceeded | E::FileTooLarge => FailureKind::Full,
        // A table of open files: the process's or the system's.
        _ if matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE)) => FailureKind::Full,
        E::Interrupted => FailureKind::Interrupted,
        _ => FailureKind::Other,
    }
}

pub fn invalid(message: impl Into<String>) -> Failure {
    Failure::new(FailureKind::Invalid, message)
}

pub fn not_found(message: impl Into<String>) -> Failure {
    Failure::new(FailureKind::NotFound, message)
}

pub fn unsupported(message: impl Into<String>) -> Failure {
    Failure::new(FailureKind::Unsupported, message)
}

/// Content that does not match its digest or format.
pub fn corrupt(message: impl Into<String>) -> Failure {
    Failure::new(FailureKind::Corrupt, message)
}

/// A write to standard output or standard error whose reader is gone.
pub fn output_closed() -> Failure {
    Failure::new(FailureKind::OutputClosed, "nobody reads the output any more")
}

/// docker's exit code for a container that failed to start for this reason.
pub fn start_failure_exit_code(kind: FailureKind) -> i32 {
    match kind {
        FailureKind::CommandNotFound => 127,
        FailureKind::CommandNotExecutable => 126,
        _ => 125,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_system_calls_have_their_kinds() {
        let full = anyhow::Error::from(rustix::io::Errno::NOSPC).context("doing it");
        assert_eq!(kind_of(&full), FailureKind::Full);
        assert_eq!(kind_of(&anyhow::Error::from(nix::Error::EDQUOT)), FailureKind::Full);
        assert_eq!(kind_of(&anyhow::Error::from(std::io::Error::from_raw_os_error(13))), FailureKind::Denied);
    }

    #[test]
    fn what_is_exhausted_is_named_also_in_another_process() {
        let error = anyhow::Error::from(std::io::Error::from(Errno::MFILE)).context("doing it");
        assert_eq!((exhausted(&error), kind_of(&error)), (Some(Errno::MFILE), FailureKind::Full));
        assert!(Failure::from_chain(&error).hint_text().unwrap().contains("ulimit -Hn"));
        let hinted = error.context("more");
        assert_eq!(exhausted(&hinted), Some(Errno::MFILE));
        let denied = anyhow::Error::from(Errno::PERM).context("doing it");
        assert_eq!((exhausted(&denied), Failure::from_chain(&denied).hint_text()), (None, None));
    }

    #[test]
    fn a_failure_inside_an_io_error_keeps_its_kind_and_hint() {
        let inner = Failure::new(FailureKind::Full, "too much").hint("less");
        let error = anyhow::Error::from(std::io::Error::other(inner)).context("doing it");
        assert_eq!(kind_of(&error), FailureKind::Full);
        assert_eq!(Failure::from_chain(&error).hint_text(), Some("less"));
    }

    #[test]
    fn the_lines_that_were_known_first_are_kept_on_the_way_to_another_process() {
        let error = anyhow::Error::from(invalid("wrong").at(3..=4).at(1..=9)).context("doing it");
        let sent = serde_json::to_string(&Failure::from_chain(&error)).unwrap();
        let received: Failure = serde_json::from_str(&sent).unwrap();
        assert_eq!(received.lines(), Some(3..=4));
        assert_eq!(invalid("wrong").lines(), None);
    }
}

//! The streams between a command and a container.
//!
//! There are two ways to connect them. A container that runs in the foreground with `--rm` keeps no log, so it
//! gets the caller's files and pipes directly ([`direct_streams`]): nothing is copied. Every other container writes
//! to its supervisor, which keeps the log and copies to each attached command through pipes that this command makes
//! ([`piped_streams`]).
//!
//! A terminal of the caller is never passed into a container: the container could read the user's keys from it or
//! change its settings. The container gets a pipe instead, and the command copies between the two.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use anyhow::Result;
use rustix::fs::OFlags;

use super::relay::StreamRelay;
use dhow_sys::pty;
use dhow_sys::stdio::{cloexec_pipe, open_dev_null};

/// The ends of the streams for the other side, and the relays between them and the command's own stdio.
pub struct AttachStreams<T> {
    /// For the other side: standard input, output and error.
    pub ends: T,
    /// For the command.
    pub relays: Vec<StreamRelay>,
}

/// Stdio for a container that is connected directly. `streams` says which of the command's streams it gets;
/// /dev/null stands in for the others.
pub fn direct_streams(streams: [bool; 3]) -> Result<AttachStreams<[OwnedFd; 3]>> {
    let (stdin, stdout, stderr) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
    let mut relays = Vec::new();
    let input =
        if streams[0] { input_without_terminal(stdin.as_fd(), &mut relays)? } else { open_dev_null()? };
    let mut output = |enabled: bool, fd: BorrowedFd<'_>| match enabled {
        true => output_without_terminal(fd, &mut relays),
        false => Ok(open_dev_null()?),
    };
    let ends = [input, output(streams[1], stdout.as_fd())?, output(streams[2], stderr.as_fd())?];
    Ok(AttachStreams { ends, relays })
}

/// Pipes to hand to the supervisor, one for each of `streams` that is true.
pub fn piped_streams(streams: [bool; 3]) -> Result<AttachStreams<[Option<OwnedFd>; 3]>> {
    let (stdin, stdout, stderr) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
    let mut relays = Vec::new();
    let input = streams[0].then(|| input_pipe(stdin.as_fd(), &mut relays)).transpose()?;
    let mut output =
        |enabled: bool, fd: BorrowedFd<'_>| enabled.then(|| output_pipe(fd, &mut relays)).transpose();
    let ends = [input, output(streams[1], stdout.as_fd())?, output(streams[2], stderr.as_fd())?];
    Ok(AttachStreams { ends, relays })
}

fn input_without_terminal(fd: BorrowedFd<'_>, relays: &mut Vec<StreamRelay>) -> Result<OwnedFd> {
    match pty::is_terminal(fd) {
        true => input_pipe(fd, relays),
        false => Ok(fd.try_clone_to_owned()?),
    }
}

fn output_without_terminal(fd: BorrowedFd<'_>, relays: &mut Vec<StreamRelay>) -> Result<OwnedFd> {
    match pty::is_terminal(fd) {
        true => output_pipe(fd, relays),
        false => Ok(fd.try_clone_to_owned()?),
    }
}

fn input_pipe(fd: BorrowedFd<'_>, relays: &mut Vec<StreamRelay>) -> Result<OwnedFd> {
    let (read, write) = cloexec_pipe()?;
    // A container that does not read its input must not block the command.
    rustix::fs::fcntl_setfl(&write, OFlags::NONBLOCK)?;
    relays.push(StreamRelay::new(fd.try_clone_to_owned()?, write));
    Ok(read)
}

fn output_pipe(fd: BorrowedFd<'_>, relays: &mut Vec<StreamRelay>) -> Result<OwnedFd> {
    let (read, write) = cloexec_pipe()?;
    // The caller's descriptor stays blocking: O_NONBLOCK belongs to the open file description (fcntl(2)),
    // which the caller's shell may share.
    relays.push(StreamRelay::output(read, fd.try_clone_to_owned()?));
    Ok(write)
}

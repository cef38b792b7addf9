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

use anyhow::{Context as _, Result};
use rustix::fs::{Mode, OFlags};

use super::relay::Relay;
use crate::sys::pty;

/// The ends of the streams for the other side, and the relays between them and the command's own stdio.
pub(crate) struct Streams<T> {
    /// For the other side: standard input, output and error.
    pub(crate) ends: T,
    /// For the command.
    pub(crate) relays: Vec<Relay>,
}

/// Stdio for a container that is connected directly. `wanted` says which of the command's streams it gets;
/// /dev/null stands in for the others.
pub(crate) fn direct(wanted: [bool; 3]) -> Result<Streams<[OwnedFd; 3]>> {
    let (stdin, stdout, stderr) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
    let mut relays = Vec::new();
    let input = if wanted[0] { input_from(stdin.as_fd(), &mut relays)? } else { null()? };
    let mut output = |wanted: bool, fd: BorrowedFd<'_>| match wanted {
        true => output_to(fd, &mut relays),
        false => null(),
    };
    let ends = [input, output(wanted[1], stdout.as_fd())?, output(wanted[2], stderr.as_fd())?];
    Ok(Streams { ends, relays })
}

/// Pipes to hand to the supervisor, one for each stream that is `wanted`.
pub(crate) fn through_pipes(wanted: [bool; 3]) -> Result<Streams<[Option<OwnedFd>; 3]>> {
    let (stdin, stdout, stderr) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
    let mut relays = Vec::new();
    let input = wanted[0].then(|| input_pipe(stdin.as_fd(), &mut relays)).transpose()?;
    let mut output =
        |wanted: bool, fd: BorrowedFd<'_>| wanted.then(|| output_pipe(fd, &mut relays)).transpose();
    let ends = [input, output(wanted[1], stdout.as_fd())?, output(wanted[2], stderr.as_fd())?];
    Ok(Streams { ends, relays })
}

pub(crate) fn null() -> Result<OwnedFd> {
    rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()).context("opening /dev/null")
}

fn input_from(fd: BorrowedFd<'_>, relays: &mut Vec<Relay>) -> Result<OwnedFd> {
    match pty::is_terminal(fd) {
        true => input_pipe(fd, relays),
        false => Ok(fd.try_clone_to_owned()?),
    }
}

fn output_to(fd: BorrowedFd<'_>, relays: &mut Vec<Relay>) -> Result<OwnedFd> {
    match pty::is_terminal(fd) {
        true => output_pipe(fd, relays),
        false => Ok(fd.try_clone_to_owned()?),
    }
}

fn input_pipe(fd: BorrowedFd<'_>, relays: &mut Vec<Relay>) -> Result<OwnedFd> {
    let (read, write) = pipe()?;
    rustix::fs::fcntl_setfl(&write, OFlags::NONBLOCK)?;
    relays.push(Relay::new(fd.try_clone_to_owned()?, write));
    Ok(read)
}

fn output_pipe(fd: BorrowedFd<'_>, relays: &mut Vec<Relay>) -> Result<OwnedFd> {
    let (read, write) = pipe()?;
    relays.push(Relay::output(read, fd.try_clone_to_owned()?));
    Ok(write)
}

pub(crate) fn pipe() -> Result<(OwnedFd, OwnedFd)> {
    Ok(rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?)
}

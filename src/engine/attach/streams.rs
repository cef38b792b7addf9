//! The streams between a command and a container.
//!
//! Two ways lead there. A container that runs in the foreground and removes itself at its end keeps no log, so it gets
//! the caller's files and pipes as they are ([`direct`]): nothing is copied. Every other container writes to its
//! supervisor, which keeps the log and copies to each command that is attached, through pipes that such a command makes
//! ([`through_pipes`]).
//!
//! A terminal of the caller is never passed on: with it the container could read the user's keys or change the
//! terminal's settings. It gets a pipe, and the command copies between the two.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use anyhow::{Context as _, Result};
use rustix::fs::{Mode, OFlags};

use super::relay::Relay;
use crate::sys::pty;

/// The streams of one side, and the copying between these and the command's own.
pub(crate) struct Streams<T> {
    /// For the other side: standard input, output and error.
    pub(crate) ends: T,
    /// For the command.
    pub(crate) relays: Vec<Relay>,
}

/// The container's own streams; `wanted` tells which lead to the command's, the others lead nowhere.
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

/// Pipes for the supervisor, one for each stream that is `wanted`.
pub(crate) fn through_pipes(wanted: [bool; 3]) -> Result<Streams<[Option<OwnedFd>; 3]>> {
    let (stdin, stdout, stderr) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
    let mut relays = Vec::new();
    let input = wanted[0].then(|| input_pipe(stdin.as_fd(), &mut relays)).transpose()?;
    let mut output =
        |wanted: bool, fd: BorrowedFd<'_>| wanted.then(|| output_pipe(fd, &mut relays)).transpose();
    let ends = [input, output(wanted[1], stdout.as_fd())?, output(wanted[2], stderr.as_fd())?];
    Ok(Streams { ends, relays })
}

/// A descriptor from which nothing comes and where everything vanishes.
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

/// Both ends are closed by exec.
pub(crate) fn pipe() -> Result<(OwnedFd, OwnedFd)> {
    Ok(rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?)
}

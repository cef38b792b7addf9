//! What a container gets as standard input, output and error.
//!
//! Files and pipes of the caller are passed on as they are. A terminal of the caller is not: the container would get a
//! handle with which it could read the user's keys or change the terminal's settings, so it gets a pipe, and the
//! command copies between the two. Without `-i` input is empty; a stream that is not attached goes nowhere.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use anyhow::{Context as _, Result};
use rustix::fs::{Mode, OFlags};

use super::relay::Relay;
use crate::model::container::ProcessSpec;
use crate::sys::pty;

/// The container's ends and the copying between the others.
pub(crate) struct Streams {
    /// For the container.
    pub(crate) container: [OwnedFd; 3],
    /// For the command.
    pub(crate) relays: Vec<Relay>,
}

/// Decides for each stream of `process` what it is.
pub(crate) fn prepare(process: &ProcessSpec) -> Result<Streams> {
    let (stdin, stdout, stderr) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
    let mut relays = Vec::new();
    let attached = |name: &str| {
        process.attach.is_empty() || process.attach.iter().any(|stream| stream.eq_ignore_ascii_case(name))
    };
    let input = match process.interactive && (process.attach.is_empty() || attached("stdin")) && !process.tty
    {
        true => input_from(stdin.as_fd(), &mut relays)?,
        false => null()?,
    };
    let mut output = |name: &str, fd: BorrowedFd<'_>| match attached(name) && !process.tty {
        true => output_to(fd, &mut relays),
        false => null(),
    };
    let output_end = output("stdout", stdout.as_fd())?;
    let error_end = output("stderr", stderr.as_fd())?;
    Ok(Streams { container: [input, output_end, error_end], relays })
}

fn null() -> Result<OwnedFd> {
    rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()).context("opening /dev/null")
}

fn input_from(fd: BorrowedFd<'_>, relays: &mut Vec<Relay>) -> Result<OwnedFd> {
    if !pty::is_terminal(fd) {
        return Ok(fd.try_clone_to_owned()?);
    }
    let (read, write) = pipe()?;
    rustix::fs::fcntl_setfl(&write, OFlags::NONBLOCK)?;
    relays.push(Relay::new(fd.try_clone_to_owned()?, write));
    Ok(read)
}

fn output_to(fd: BorrowedFd<'_>, relays: &mut Vec<Relay>) -> Result<OwnedFd> {
    if !pty::is_terminal(fd) {
        return Ok(fd.try_clone_to_owned()?);
    }
    let (read, write) = pipe()?;
    relays.push(Relay::output(read, fd.try_clone_to_owned()?));
    Ok(write)
}

fn pipe() -> Result<(OwnedFd, OwnedFd)> {
    Ok(rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?)
}

//! Descriptors to use as a process's stdio: /dev/null and pipes.

use std::io;
use std::os::fd::OwnedFd;

/// /dev/null, open for reading and writing, with an error that names it.
pub fn open_dev_null() -> io::Result<OwnedFd> {
    super::fs::open_null()
        .map_err(|error| io::Error::new(error.kind(), format!("opening /dev/null: {error}")))
}

/// A pipe (pipe2(2)): the end to read from, and the end to write to.
pub fn cloexec_pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?)
}

//! Reads Dockerfiles, and standard input from within a job.

use std::io::Read;

use anyhow::{Context as _, Result};

use dhow_error::invalid;

/// The largest Dockerfile, in bytes.
pub(crate) const DOCKERFILE_LIMIT: u64 = 16 << 20;

/// Reads `from` to its end. Fails if there is more than [`DOCKERFILE_LIMIT`].
pub(crate) fn read_limited(from: impl Read) -> Result<Vec<u8>> {
    let mut text = Vec::new();
    // One byte more than allowed shows that it is too large.
    from.take(DOCKERFILE_LIMIT + 1).read_to_end(&mut text)?;
    if text.len() as u64 > DOCKERFILE_LIMIT {
        return Err(invalid(format!("the Dockerfile has more than {} MiB", DOCKERFILE_LIMIT >> 20)).into());
    }
    Ok(text)
}

/// A duplicate of standard input. Called in a job.
pub(crate) fn stdin() -> Result<std::fs::File> {
    // Only the foreground process group may read a terminal, others get SIGTTIN. Jobs have a group of their
    // own, so rejoin the runner's.
    if rustix::termios::isatty(rustix::stdio::stdin()) {
        let runner = rustix::process::getppid();
        let _ =
            rustix::process::getpgid(runner).and_then(|group| rustix::process::setpgid(None, Some(group)));
    }
    Ok(rustix::io::dup(rustix::stdio::stdin()).context("cannot read standard input")?.into())
}

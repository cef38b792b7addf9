//! Archives from standard input.

use std::fs::File;

use anyhow::{Context as _, Result};

/// A duplicate of standard input, without the buffering and the lock of [`std::io::Stdin`].
pub(super) fn open_stdin() -> Result<File> {
    Ok(File::from(rustix::io::dup(rustix::stdio::stdin()).context("cannot read standard input")?))
}

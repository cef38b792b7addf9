//! Standard output, with a closed pipe as an error of its own, and lines on standard error.

pub(crate) mod humanize;
pub(crate) mod listing;
pub(crate) mod progress;
pub(crate) mod reindent;
pub(crate) mod table;
pub(crate) mod template;

use std::fmt;
use std::io::{self, IsTerminal, Write};

/// The reader of standard output is gone (`dhow images | head -1`); nobody is left to be told.
#[derive(Debug)]
struct StdoutClosed;

impl fmt::Display for StdoutClosed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("standard output is closed")
    }
}

impl std::error::Error for StdoutClosed {}

/// Standard output that reports a broken pipe as [`StdoutClosed`].
pub(crate) struct StdoutWriter(io::Stdout);

impl Write for StdoutWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes).map_err(mark_broken_pipe)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush().map_err(mark_broken_pipe)
    }
}

fn mark_broken_pipe(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::BrokenPipe { io::Error::other(StdoutClosed) } else { error }
}

/// Standard output, for commands that stream.
pub(crate) fn stdout() -> StdoutWriter {
    StdoutWriter(io::stdout())
}

/// Prints `text` and flushes.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    let mut out = stdout();
    out.write_all(text.as_bytes())?;
    // A reader that is gone shows only when the buffer is written.
    out.flush()?;
    Ok(())
}

/// Prints `text` and a newline.
pub(crate) fn print_line(text: &str) -> anyhow::Result<()> {
    print(&format!("{text}\n"))
}

/// Prints a line on standard error. Failures are ignored, as there is nowhere to report them.
pub(crate) fn eprint_line(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

pub(crate) fn stdout_is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// Whether `error` was caused by a reader of standard output that is gone.
pub(crate) fn is_closed_error(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let inner = cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        cause.is::<StdoutClosed>() || inner.is_some_and(|inner| inner.is::<StdoutClosed>())
    })
}

//! Standard output, with a closed pipe as an error of its own, and lines on standard error.

pub(crate) mod humanize;
pub(crate) mod listing;
pub(crate) mod progress;
pub(crate) mod reindent;
pub(crate) mod table;
pub(crate) mod template;

use std::io::{self, IsTerminal, Write};

use dhow_error::{Failure, FailureKind, output_closed};

/// Standard output or standard error. A broken pipe is a failure of the kind [`FailureKind::OutputClosed`]
/// (`dhow images | head -1`).
pub(crate) struct OutputWriter<W>(W);

impl<W: Write> Write for OutputWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes).map_err(mark_broken_pipe)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush().map_err(mark_broken_pipe)
    }
}

fn mark_broken_pipe(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::BrokenPipe => io::Error::other(output_closed()),
        _ => error,
    }
}

/// Standard output, for commands that stream.
pub(crate) fn stdout() -> OutputWriter<io::Stdout> {
    OutputWriter(io::stdout())
}

/// Standard error, for commands that stream.
pub(crate) fn stderr() -> OutputWriter<io::Stderr> {
    OutputWriter(io::stderr())
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

/// Whether `error` was caused by a reader of standard output or standard error that is gone.
pub(crate) fn is_closed_error(error: &anyhow::Error) -> bool {
    // Not `kind_of`, which stops at an I/O error that another one is wrapped in.
    let is_closed = |failure: &Failure| failure.kind() == FailureKind::OutputClosed;
    error.chain().any(|cause| Failure::find_in(cause).is_some_and(is_closed))
}

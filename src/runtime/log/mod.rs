//! Writes a container's output to its log.
//!
//! Output arrives in arbitrary pieces. It is split into lines of at most 16 KiB, as docker's log drivers do, stamped,
//! and handed to the driver: a file (`json-file`, `local`), the systemd journal, or nothing.

mod attributes;
mod journald;

use anyhow::Result;

use dhow_model::log::{LogDriver, OutputStream};
use dhow_store::{ContainerDir, LogWriter};

/// docker's limit; longer lines are split.
const LONGEST_LINE: usize = 16 << 10;

enum LogSink {
    File(Box<LogWriter>),
    Journal(journald::JournaldSink),
    Nothing,
}

/// The open log of a running container. A failed write loses lines but never stops the container.
pub(crate) struct ContainerLog {
    sink: LogSink,
    /// Incomplete last lines, by [`OutputStream::index`].
    partial_lines: [Vec<u8>; 2],
}

impl ContainerLog {
    /// Opens the log that the container's specification asks for.
    pub(crate) fn open(container: &ContainerDir) -> Result<Self> {
        let spec = container.spec();
        let plan = spec.log.plan()?;
        let sink = match plan.driver {
            LogDriver::None => LogSink::Nothing,
            LogDriver::Journald => LogSink::Journal(journald::JournaldSink::open(spec, &plan)?),
            LogDriver::JsonFile | LogDriver::Local => {
                let extras = attributes::json_attributes(spec, &plan)?;
                LogSink::File(Box::new(container.write_log(plan.rotation, extras)?))
            }
        };
        Ok(Self { sink, partial_lines: [Vec::new(), Vec::new()] })
    }

    /// Logs what the container wrote to `stream`.
    pub(crate) fn write(&mut self, stream: OutputStream, bytes: &[u8]) {
        if matches!(self.sink, LogSink::Nothing) {
            return;
        }
        let Some(partial) = self.partial_lines.get_mut(stream.index()) else { return };
        partial.extend_from_slice(bytes);
        let (lines, rest) = split_lines(partial);
        self.sink.write(stream, &lines);
        *partial = rest;
    }

    /// Writes incomplete last lines. Call when no more output follows.
    pub(crate) fn finish(&mut self) {
        for stream in [OutputStream::Stdout, OutputStream::Stderr] {
            let Some(partial) = self.partial_lines.get_mut(stream.index()) else { continue };
            let rest = std::mem::take(partial);
            if !rest.is_empty() {
                self.sink.write(stream, &[&rest]);
            }
        }
    }
}

impl LogSink {
    fn write(&mut self, stream: OutputStream, lines: &[&[u8]]) {
        match self {
            Self::File(file) => file.write(stream, lines),
            Self::Journal(journal) => journal.write(stream, lines),
            Self::Nothing => {}
        }
    }
}

/// Complete lines with their line feeds, pieces of overlong lines, and the rest.
fn split_lines(bytes: &[u8]) -> (Vec<&[u8]>, Vec<u8>) {
    let mut lines = Vec::new();
    let mut rest = bytes;
    loop {
        let window = rest.get(..LONGEST_LINE).unwrap_or(rest);
        let length = match window.iter().position(|byte| *byte == b'\n') {
            Some(end) => end + 1,
            // A piece has no line feed, by which docker's readers know that the line goes on in the next one.
            None if window.len() == LONGEST_LINE => LONGEST_LINE,
            None => return (lines, rest.to_vec()),
        };
        let (line, tail) = rest.split_at(length);
        lines.push(line);
        rest = tail;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_cut() {
        let (lines, rest) = split_lines(b"one\n\ntwo");
        assert_eq!(lines, [&b"one\n"[..], b"\n"]);
        assert_eq!(rest, b"two");
        let long = vec![b'x'; LONGEST_LINE + 5];
        let (lines, rest) = split_lines(&long);
        assert_eq!((lines.len(), rest.len()), (1, 5));
    }
}

//! The log of a container's output: one writer (its supervisor), many readers.

mod file;
mod read;
mod rotation;

use anyhow::Result;

pub use file::LogWriter;
pub use read::LogEntry;
pub(crate) use read::LogReader;

use super::ContainerDir;
use dhow_model::log::LogRotation;

impl ContainerDir {
    /// Opens the log for appending; `extras` is a JSON object stored with each line. Only for the container's
    /// supervisor.
    pub fn write_log(&self, rotation: LogRotation, extras: Option<String>) -> Result<LogWriter> {
        LogWriter::open(self.log_path(), rotation, extras)
    }

    /// Opens the log for reading: all of it, or the last `tail` lines.
    pub fn read_log(&self, tail: Option<usize>) -> Result<LogReader> {
        LogReader::open(self.log_path(), tail)
    }
}

//! The log of a container's output, in files beside its records: one writer, many readers.

mod file;
mod read;

use anyhow::Result;

pub use file::LogWriter;
pub use read::{LogEntry, LogReader};

use super::ContainerDir;
use crate::model::log::Rotation;

impl ContainerDir {
    /// Opens the log to go on behind its end; `extras` is a JSON object that goes along with each line. For the
    /// container's supervisor alone.
    pub fn write_log(&self, rotation: Rotation, extras: Option<String>) -> Result<LogWriter> {
        LogWriter::open(self.log_path(), rotation, extras)
    }

    /// Opens the log to be read: all of it, or the last `tail` lines.
    pub fn read_log(&self, tail: Option<usize>) -> Result<LogReader> {
        LogReader::open(self.log_path(), tail)
    }
}

//! Writes a container's log: a JSON object per line of output, as docker's json-file driver does, rotated by
//! size.

use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::rotation::{COMPRESSED, FileIdentity, rotated_path};
use crate::fs::ignore_missing;
use dhow_model::log::{LogRotation, OutputStream};

/// Maximum bytes per write.
const MAX_BATCH: usize = 64 << 10;

/// Formatted lines that go into one write.
#[derive(Default)]
struct LogBatch {
    text: String,
    /// Bytes of container output in it.
    output: u64,
    /// Lost bytes that it reports.
    reported: u64,
}

pub struct LogWriter {
    path: PathBuf,
    file: File,
    size: u64,
    rotation: LogRotation,
    /// A JSON object, written as `attrs` of each line.
    extras: Option<String>,
    /// Bytes of output that could not be written and have not been reported yet.
    lost: u64,
}

impl LogWriter {
    /// Opens the log at `path` for appending.
    pub(super) fn open(path: PathBuf, rotation: LogRotation, extras: Option<String>) -> Result<Self> {
        let file = open(&path).with_context(|| format!("cannot open the log `{}`", path.display()))?;
        let size = file.metadata()?.len();
        let mut log = Self { path, file, size, rotation, extras, lost: 0 };
        // A crash may have left an incomplete line; terminate it.
        let mut last = [b'\n'];
        if size > 0 {
            log.file.read_exact_at(&mut last, size - 1)?;
        }
        if last != [b'\n'] {
            log.append(b"\n")?;
        }
        Ok(log)
    }

    /// Appends lines of output. What cannot be written is lost, and reported in the log once writing works
    /// again.
    pub fn write(&mut self, stream: OutputStream, lines: &[&[u8]]) {
        if lines.is_empty() {
            return;
        }
        let time = jiff::Timestamp::now();
        let mut batch = self.new_batch(time);
        for line in lines {
            let text = self.line(stream, line, time);
            let length = batch.text.len() + text.len();
            if !batch.text.is_empty() && (length > MAX_BATCH || self.exceeds(length)) {
                self.write_batch(batch);
                batch = self.new_batch(time);
            }
            batch.text += &text;
            batch.output += line.len() as u64;
        }
        self.write_batch(batch);
    }

    /// An empty batch, or one that reports what was lost.
    fn new_batch(&self, time: jiff::Timestamp) -> LogBatch {
        let mut batch = LogBatch { reported: self.lost, ..LogBatch::default() };
        if self.lost > 0 {
            let note = format!("dhow: {} bytes of output could not be written to the log\n", self.lost);
            batch.text = self.line(OutputStream::Stderr, note.as_bytes(), time);
        }
        batch
    }

    /// Writes the batch, rotating first if it would exceed the maximum size.
    fn write_batch(&mut self, batch: LogBatch) {
        let LogBatch { text, output, reported } = batch;
        let rotated = if self.size > 0 && self.exceeds(text.len()) { self.rotate() } else { Ok(()) };
        match rotated.and_then(|()| self.append(text.as_bytes())) {
            Ok(()) => self.lost -= reported,
            Err(_) => self.lost += output,
        }
    }

    fn exceeds(&self, more: usize) -> bool {
        self.rotation.max_size.is_some_and(|max| self.size + more as u64 > max)
    }

    fn line(&self, stream: OutputStream, line: &[u8], time: jiff::Timestamp) -> String {
        let output = serde_json::to_string(&String::from_utf8_lossy(line)).unwrap_or_default();
        let mut text = format!(r#"{{"log":{output},"stream":"{}""#, stream.name());
        if let Some(extras) = &self.extras {
            let _ = write!(text, r#","attrs":{extras}"#);
        }
        let _ = writeln!(text, r#","time":"{time}"}}"#);
        text
    }

    /// Undoes a partial write, so that the log contains only whole lines.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self.file.write_all(bytes) {
            Ok(()) => {
                self.size += bytes.len() as u64;
                Ok(())
            }
            Err(error) => {
                self.file.set_len(self.size)?;
                Err(error)
            }
        }
    }

    fn rotate(&mut self) -> io::Result<()> {
        for number in (1..self.rotation.max_files).rev() {
            for ending in ["", COMPRESSED] {
                let from = rotated_path(&self.path, number, ending);
                let result = match number + 1 < self.rotation.max_files {
                    true => std::fs::rename(&from, rotated_path(&self.path, number + 1, ending)),
                    // The oldest file falls out.
                    false => std::fs::remove_file(&from),
                };
                ignore_missing(result)?;
            }
        }
        match self.rotation.max_files {
            // `max-file=1`: no rotated files are kept.
            0 | 1 => std::fs::remove_file(&self.path)?,
            _ => std::fs::rename(&self.path, rotated_path(&self.path, 1, ""))?,
        }
        self.file = open(&self.path)?;
        self.size = 0;
        if self.rotation.compress && self.rotation.max_files > 1 {
            compress_rotated(&self.path)?;
        }
        Ok(())
    }
}

/// Compresses the file rotated last. At every moment a reader finds it under one name or the other.
fn compress_rotated(path: &Path) -> io::Result<()> {
    let plain = rotated_path(path, 1, "");
    let partial = rotated_path(path, 1, ".partial");
    let compress = || {
        let (from, mut to) = (File::open(&plain)?, create(&partial)?);
        zstd::stream::copy_encode(&from, &mut to, 1)?;
        FileIdentity::of(&from)?.write_behind(&mut to)
    };
    let result = compress()
        .and_then(|()| std::fs::rename(&partial, rotated_path(path, 1, COMPRESSED)))
        .and_then(|()| std::fs::remove_file(&plain));
    if result.is_err() {
        ignore_missing(std::fs::remove_file(&partial))?;
    }
    result
}

fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rotation(max_size: u64, max_files: u32, compress: bool) -> LogRotation {
        LogRotation { max_size: Some(max_size), max_files, compress }
    }

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn rotates_and_keeps_so_many() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut log = LogWriter::open(path.clone(), rotation(300, 3, false), None).unwrap();
        for number in 0..20 {
            log.write(OutputStream::Stdout, &[format!("line {number}\n").as_bytes()]);
        }
        assert_eq!(names(dir.path()), ["log", "log.1", "log.2"]);
        assert!(std::fs::read_to_string(&path).unwrap().contains("line 19"));
        assert!(std::fs::metadata(&path).unwrap().len() <= 300);
    }

    #[test]
    fn compresses_what_is_put_aside() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = LogWriter::open(dir.path().join("log"), rotation(200, 3, true), None).unwrap();
        for number in 0..12 {
            log.write(OutputStream::Stderr, &[format!("line {number}\n").as_bytes()]);
        }
        assert_eq!(names(dir.path()), ["log", "log.1.zst", "log.2.zst"]);
    }

    #[test]
    fn what_could_not_be_written_is_reported_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut log = LogWriter::open(path.clone(), rotation(1000, 2, false), None).unwrap();
        log.write(OutputStream::Stdout, &[b"first\n"]);
        // With a directory in its way the log cannot be rotated.
        std::fs::create_dir_all(dir.path().join("log.1/x")).unwrap();
        let long = ["l".repeat(999), "\n".into()].concat();
        // A success in the same call must not hide the failure.
        log.write(OutputStream::Stdout, &[long.as_bytes(), b"second\n"]);
        log.write(OutputStream::Stdout, &[b"third\n"]);
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().filter_map(|line| line.split('"').nth(3)).collect();
        let note = "dhow: 1000 bytes of output could not be written to the log\\n";
        assert_eq!(lines, ["first\\n", note, "second\\n", "third\\n"]);
    }

    #[test]
    fn goes_on_behind_half_a_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        std::fs::write(&path, "{\"log\":\"torn").unwrap();
        let mut log = LogWriter::open(path.clone(), rotation(1 << 20, 1, false), Some("{}".into())).unwrap();
        log.write(OutputStream::Stdout, &[b"\xff\"\n"]);
        let text = std::fs::read_to_string(&path).unwrap();
        let line = text.lines().nth(1).unwrap();
        assert!(
            line.starts_with("{\"log\":\"\u{fffd}\\\"\\n\",\"stream\":\"stdout\",\"attrs\":{},\"time\":\"")
        );
    }
}

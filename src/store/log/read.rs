//! Reads a container's log: from the start or the last N lines, and onwards as it grows.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read, Seek as _, SeekFrom};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use serde::Deserialize;

use super::rotation::{FileIdentity, LogFiles, RotatedFile};
use dhow_model::log::OutputStream;

/// Bytes read at a time when searching backwards for line starts.
const BLOCK: u64 = 64 << 10;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry {
    /// RFC 3339.
    pub time: String,
    pub stream: OutputStream,
    /// Includes the line end, if the line has one.
    pub text: String,
    /// docker's `attrs`: the labels and variables selected by log options.
    pub extras: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct JsonLogLine {
    log: String,
    stream: String,
    time: String,
    #[serde(default)]
    attrs: BTreeMap<String, String>,
}

fn parse_entry(line: &[u8]) -> Option<LogEntry> {
    let line: JsonLogLine = serde_json::from_slice(line).ok()?;
    let stream = if line.stream == "stderr" { OutputStream::Stderr } else { OutputStream::Stdout };
    Some(LogEntry { time: line.time, stream, text: line.log, extras: line.attrs })
}

/// A log being read; [`LogReader::read`] continues where it stopped.
pub struct LogReader {
    path: PathBuf,
    /// Files to read before `current`, oldest first.
    rotated: Vec<RotatedLog>,
    /// The current file, once everything before it is read.
    current: Option<CurrentLog>,
    /// The latest file of those that were rotated when they were opened.
    latest_rotated: Option<FileIdentity>,
}

/// A rotated file, positioned at the first line to read.
enum RotatedLog {
    Plain(File),
    /// Lines to skip at the start of the decompressed text.
    Compressed(File, usize),
}

struct CurrentLog {
    file: BufReader<File>,
    /// An incomplete last line.
    partial: Vec<u8>,
}

impl LogReader {
    /// Opens the log at `path`: all of it, or the last `tail` lines.
    pub(super) fn open(path: PathBuf, tail: Option<usize>) -> Result<Self> {
        let mut reader = Self { path, rotated: Vec::new(), current: None, latest_rotated: None };
        let opened = reader.open_files(tail);
        opened.with_context(|| format!("reading the log `{}`", reader.path.display()))?;
        Ok(reader)
    }

    /// Passes every available entry to `take` until it returns `false`. Returns whether all entries were
    /// taken.
    pub fn read(&mut self, take: &mut dyn FnMut(LogEntry) -> Result<bool>) -> Result<bool> {
        loop {
            for source in std::mem::take(&mut self.rotated) {
                if !read_source(source, take)? {
                    return Ok(false);
                }
            }
            if !self.read_current(take)? {
                return Ok(false);
            }
            if !self.is_rotated()? {
                return Ok(true);
            }
            // Lines may have come between the last look and the rotation; now no more will.
            if !self.read_current(take)? {
                return Ok(false);
            }
            self.open_files(None)?;
        }
    }

    fn read_current(&mut self, take: &mut dyn FnMut(LogEntry) -> Result<bool>) -> Result<bool> {
        self.current.as_mut().map_or(Ok(true), |current| read_current(current, take))
    }

    /// Whether there is a later file than the current one.
    fn is_rotated(&self) -> io::Result<bool> {
        let latest = match std::fs::metadata(&self.path) {
            // It has just been put aside, or the container has not started yet.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            latest => latest?,
        };
        match &self.current {
            Some(current) => Ok(current.file.get_ref().metadata()?.ino() != latest.ino()),
            None => Ok(true),
        }
    }

    /// Opens the files that are later than the current one, all of them if none was opened yet. They are several if the
    /// log was rotated several times since.
    fn open_files(&mut self, tail: Option<usize>) -> io::Result<()> {
        let after = match &self.current {
            // It is complete now, so this does not change any more.
            Some(current) => Some(FileIdentity::of(current.file.get_ref())?),
            None => self.latest_rotated,
        };
        let files = LogFiles::open(&self.path, after)?;
        self.latest_rotated = files.rotated.first().and_then(RotatedFile::identity).or(after);
        (self.rotated, self.current) = files.seek_to_tail(tail)?;
        Ok(())
    }
}

fn read_source(source: RotatedLog, take: &mut dyn FnMut(LogEntry) -> Result<bool>) -> Result<bool> {
    match source {
        RotatedLog::Plain(file) => read_lines(BufReader::new(file), 0, take),
        RotatedLog::Compressed(file, skip) => {
            read_lines(BufReader::new(zstd::stream::read::Decoder::new(file)?), skip, take)
        }
    }
}

fn read_lines(
    from: impl io::BufRead,
    skip: usize,
    take: &mut dyn FnMut(LogEntry) -> Result<bool>,
) -> Result<bool> {
    for line in from.split(b'\n').skip(skip) {
        if let Some(entry) = parse_entry(&line?)
            && !take(entry)?
        {
            return Ok(false);
        }
    }
    Ok(true)
}

fn read_current(current: &mut CurrentLog, take: &mut dyn FnMut(LogEntry) -> Result<bool>) -> Result<bool> {
    loop {
        current.file.read_until(b'\n', &mut current.partial)?;
        if current.partial.pop_if(|last| *last == b'\n').is_none() {
            return Ok(true);
        }
        if let Some(entry) = parse_entry(&std::mem::take(&mut current.partial))
            && !take(entry)?
        {
            return Ok(false);
        }
    }
}

impl LogFiles {
    /// Positions the files at the start of the last `tail` lines, or at their own. Files before that are left out; the
    /// others are returned oldest first.
    fn seek_to_tail(self, tail: Option<usize>) -> io::Result<(Vec<RotatedLog>, Option<CurrentLog>)> {
        let mut missing = tail;
        let current = self.current.map(|file| seek_to_tail(file, &mut missing)).transpose()?;
        let mut rotated = Vec::new();
        for RotatedFile { file, compressed, .. } in self.rotated {
            if missing == Some(0) {
                break;
            }
            rotated.push(match compressed {
                false => RotatedLog::Plain(seek_to_tail(file, &mut missing)?),
                true => seek_in_compressed(file, &mut missing)?,
            });
        }
        rotated.reverse();
        let current = current.map(|file| CurrentLog { file: BufReader::new(file), partial: Vec::new() });
        Ok((rotated, current))
    }
}

/// Seeks to the start of the last `missing` lines of `file`, and subtracts the lines found from `missing`.
fn seek_to_tail(mut file: File, missing: &mut Option<usize>) -> io::Result<File> {
    let Some(requested) = missing else { return Ok(file) };
    let end = file.metadata()?.len();
    let (mut at, mut lines) = (end, 0);
    let mut block = vec![0; BLOCK as usize];
    while at > 0 {
        let length = at.min(BLOCK);
        at -= length;
        let Some(bytes) = block.get_mut(..length as usize) else { break };
        file.read_exact_at(bytes, at)?;
        for (index, _) in bytes.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n') {
            // The end of the line before the first requested one.
            if lines == *requested {
                file.seek(SeekFrom::Start(at + index as u64 + 1))?;
                *missing = Some(0);
                return Ok(file);
            }
            lines += 1;
        }
    }
    *missing = Some(*requested - lines);
    file.seek(SeekFrom::Start(0))?;
    Ok(file)
}

fn seek_in_compressed(mut file: File, missing: &mut Option<usize>) -> io::Result<RotatedLog> {
    let Some(requested) = missing else { return Ok(RotatedLog::Compressed(file, 0)) };
    let lines = count_lines(zstd::stream::read::Decoder::new(&mut file)?)?;
    file.seek(SeekFrom::Start(0))?;
    let skip = lines.saturating_sub(*requested);
    *missing = Some(requested.saturating_sub(lines));
    Ok(RotatedLog::Compressed(file, skip))
}

fn count_lines(mut from: impl Read) -> io::Result<usize> {
    let mut buffer = vec![0; BLOCK as usize];
    let mut lines = 0;
    loop {
        match from.read(&mut buffer)? {
            0 => return Ok(lines),
            length => lines += buffer.iter().take(length).filter(|byte| **byte == b'\n').count(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::file::LogWriter;
    use super::super::rotation::rotated_path;
    use super::*;
    use dhow_model::log::LogRotation;

    fn log(dir: &Path, compress: bool) -> LogWriter {
        let rotation = LogRotation { max_size: Some(1000), max_files: 4, compress };
        LogWriter::open(dir.join("log"), rotation, None).unwrap()
    }

    fn write(log: &mut LogWriter, numbers: std::ops::Range<u32>) {
        for number in numbers {
            log.write(OutputStream::Stdout, &[format!("{number}\n").as_bytes()]);
        }
    }

    fn read(reader: &mut LogReader) -> Vec<u32> {
        let mut numbers = Vec::new();
        reader
            .read(&mut |entry| {
                numbers.push(entry.text.trim().parse().unwrap());
                Ok(true)
            })
            .unwrap();
        numbers
    }

    #[test]
    fn the_last_lines_are_found_across_files() {
        for compress in [false, true] {
            let dir = tempfile::tempdir().unwrap();
            write(&mut log(dir.path(), compress), 0..40);
            let all = read(&mut LogReader::open(dir.path().join("log"), None).unwrap());
            assert!(
                all.len() > 20
                    && all.last() == Some(&39)
                    && all.windows(2).all(|pair| pair[0] + 1 == pair[1])
            );
            for tail in [0, 1, 5, 17, 1000] {
                let lines = read(&mut LogReader::open(dir.path().join("log"), Some(tail)).unwrap());
                assert_eq!(lines, all[all.len().saturating_sub(tail)..], "{tail} {compress}");
            }
        }
    }

    #[test]
    fn goes_on_over_turns() {
        for compress in [false, true] {
            let dir = tempfile::tempdir().unwrap();
            let mut log = log(dir.path(), compress);
            let mut reader = LogReader::open(dir.path().join("log"), None).unwrap();
            assert!(read(&mut reader).is_empty());
            write(&mut log, 0..3);
            assert_eq!(read(&mut reader), [0, 1, 2]);
            // Enough to rotate twice, so that the file in between has been compressed.
            write(&mut log, 3..40);
            assert!(rotated_path(&dir.path().join("log"), 2, if compress { ".zst" } else { "" }).exists());
            assert_eq!(read(&mut reader), (3..40).collect::<Vec<_>>(), "{compress}");
            assert!(read(&mut reader).is_empty());
        }
    }

    #[test]
    fn files_that_are_being_renumbered_are_read_once_each() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let numbered = |number| rotated_path(&path, number, "");
        write(&mut log(dir.path(), false), 0..30);
        let all = read(&mut LogReader::open(path.clone(), None).unwrap());
        assert_eq!(all, (0..30).collect::<Vec<_>>());
        // The writer has moved the second and is about to move the first.
        std::fs::rename(numbered(2), numbered(3)).unwrap();
        assert_eq!(read(&mut LogReader::open(path.clone(), None).unwrap()), all);
        // A reader that was at the first when the writer moved it meets it again.
        std::fs::hard_link(numbered(1), numbered(2)).unwrap();
        assert_eq!(read(&mut LogReader::open(path.clone(), None).unwrap()), all);
        assert_eq!(read(&mut LogReader::open(path.clone(), Some(25)).unwrap()), all[5..]);
        std::fs::rename(numbered(1), dir.path().join("first")).unwrap();
        std::fs::hard_link(&path, numbered(1)).unwrap();
        assert_eq!(read(&mut LogReader::open(path, None).unwrap()), all);
    }

    #[test]
    fn half_a_line_waits_and_a_torn_one_is_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        std::fs::write(&path, "{\"log\":\"torn\n{\"log\":\"1\\n\",\"stream\":\"stderr\",").unwrap();
        let mut reader = LogReader::open(path.clone(), None).unwrap();
        assert!(read(&mut reader).is_empty());
        let mut file = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
        io::Write::write_all(&mut file, b"\"time\":\"t\"}\n").unwrap();
        assert_eq!(read(&mut reader), [1]);
    }
}

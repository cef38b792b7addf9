//! The event log: `events/log`, one JSON object per line, preceded by `events/log.old`.
//!
//! Every process appends its own events, one write each, without a lock: O_APPEND writes do not overlap. A line
//! both starts and ends with a newline, so a torn one, left by a crash or a full disk, damages no other. When
//! the log exceeds [`ROTATE_SIZE`], the last writer renames it to the old log, under a lock. A reader keeps
//! both files open, because a writer that opened the log before the rename still appends to the old one.
//!
//! The log is best effort: an event that cannot be written is lost, and the operation succeeds all the same.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::Store;
use super::fs::{is_missing, make_private_dirs, with_dir};
use super::lock::{FileLock, LockMode};
use dhow_model::event::EngineEvent;

/// Bytes after which the log is rotated; both files together take about twice as much.
const ROTATE_SIZE: u64 = 1 << 20;
/// Maximum size of an event in bytes. Longer ones keep only [`ESSENTIAL_ATTRIBUTES`], since labels are
/// unlimited.
const MAX_EVENT_SIZE: usize = 64 << 10;
const ESSENTIAL_ATTRIBUTES: [&str; 8] =
    ["container", "driver", "execID", "exitCode", "image", "name", "oldName", "signal"];

impl Store {
    /// Appends `event` with the current time. Costs four system calls.
    pub fn record_event(&self, event: EngineEvent) {
        let time = i64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap_or_default();
        // Best effort; see the module documentation.
        let _ = encode_event(EngineEvent { time, ..event }).and_then(|line| self.append(&line));
    }

    fn append(&self, line: &[u8]) -> io::Result<()> {
        let path = self.event_records();
        let mut options = OpenOptions::new();
        options.append(true).create(true).mode(0o600);
        let mut file = with_dir(&self.events_dir(), || options.open(&path))?;
        file.write_all(line)?;
        let metadata = file.metadata()?;
        if metadata.len() < ROTATE_SIZE { Ok(()) } else { self.rotate(metadata.ino()) }
    }

    fn rotate(&self, inode: u64) -> io::Result<()> {
        // A concurrent writer is rotating it already.
        let Some(_lock) = FileLock::try_acquire(&self.plain_lock_path("events"), LockMode::Exclusive)? else {
            return Ok(());
        };
        let log = self.event_records();
        // Compared by inode: another process may have rotated the log since our write.
        if std::fs::metadata(&log)?.ino() == inode {
            std::fs::rename(&log, old_log_path(&log))
        } else {
            Ok(())
        }
    }

    /// A reader that starts with the oldest event kept.
    pub fn read_events(&self) -> EventReader {
        EventReader { log: self.event_records(), old: None, current: None }
    }

    /// The directory to watch (inotify) for new events; it is created if it does not exist.
    pub fn events_watch_dir(&self) -> io::Result<PathBuf> {
        make_private_dirs(&self.events_dir())?;
        Ok(self.events_dir())
    }

    fn event_records(&self) -> PathBuf {
        self.events_dir().join("log")
    }
}

fn old_log_path(log: &Path) -> PathBuf {
    log.with_extension("old")
}

fn encode_event(mut event: EngineEvent) -> io::Result<Vec<u8>> {
    let mut text = event_line(&event)?;
    if text.len() > MAX_EVENT_SIZE {
        event.attributes.retain(|name, value| {
            ESSENTIAL_ATTRIBUTES.contains(&name.as_str())
                && value.len() < MAX_EVENT_SIZE / ESSENTIAL_ATTRIBUTES.len()
        });
        // A quarter, since a character takes up to four bytes.
        event.action = event.action.chars().take(MAX_EVENT_SIZE / ESSENTIAL_ATTRIBUTES.len() / 4).collect();
        text = self::event_line(&event)?;
    }
    Ok(text)
}

fn event_line(event: &EngineEvent) -> io::Result<Vec<u8>> {
    // The leading newline ends a torn line of a crashed writer.
    let mut text = vec![b'\n'];
    serde_json::to_writer(&mut text, event)?;
    text.push(b'\n');
    Ok(text)
}

/// Reads events in the order in which they were written, while more are appended.
#[derive(Debug)]
pub struct EventReader {
    log: PathBuf,
    old: Option<EventFile>,
    current: Option<EventFile>,
}

impl EventReader {
    /// The events written since the last call.
    pub fn read(&mut self) -> io::Result<Vec<EngineEvent>> {
        let mut events = Vec::new();
        self.reopen_files()?;
        for tail in [&mut self.old, &mut self.current].into_iter().flatten() {
            tail.read(&mut events)?;
        }
        Ok(events)
    }

    /// Skips the events written so far.
    pub fn skip(&mut self) -> io::Result<()> {
        self.read().map(drop)
    }

    /// Opens the files currently at the two paths. A file that is already open keeps its read position, also
    /// after it has become the old log.
    fn reopen_files(&mut self) -> io::Result<()> {
        loop {
            let current = EventFile::open(&self.log)?;
            let old = EventFile::open(&old_log_path(&self.log))?;
            // Rotated between the two opens: try again, or its events would be read twice.
            if current
                .as_ref()
                .is_some_and(|current| old.as_ref().is_some_and(|old| old.is_same_file(current)))
            {
                continue;
            }
            let mut open_files: Vec<EventFile> =
                [self.old.take(), self.current.take()].into_iter().flatten().collect();
            let mut reuse_open = |opened: Option<EventFile>| {
                let opened = opened?;
                let at = open_files.iter().position(|file| file.is_same_file(&opened));
                Some(at.map_or(opened, |at| open_files.swap_remove(at)))
            };
            (self.old, self.current) = (reuse_open(old), reuse_open(current));
            return Ok(());
        }
    }
}

/// An open log file; its offset is the read position.
#[derive(Debug)]
struct EventFile {
    file: File,
    identity: (u64, u64),
    /// An incomplete last line.
    partial: Vec<u8>,
}

impl EventFile {
    fn open(path: &Path) -> io::Result<Option<Self>> {
        let file = match File::open(path) {
            Err(error) if is_missing(&error) => return Ok(None),
            other => other?,
        };
        let metadata = file.metadata()?;
        Ok(Some(Self { file, identity: (metadata.dev(), metadata.ino()), partial: Vec::new() }))
    }

    fn is_same_file(&self, other: &Self) -> bool {
        self.identity == other.identity
    }

    fn read(&mut self, events: &mut Vec<EngineEvent>) -> io::Result<()> {
        let mut text = std::mem::take(&mut self.partial);
        // Continues at the file offset, where the last read stopped.
        self.file.read_to_end(&mut text)?;
        let end = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        self.partial = text.split_off(end);
        let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        // A line that cannot be parsed was torn, or written by a later version.
        events.extend(lines.filter_map(|line| serde_json::from_slice::<EngineEvent>(line).ok()));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::store;
    use dhow_model::event::EventKind;

    fn event(id: &str) -> EngineEvent {
        EngineEvent::new(EventKind::Volume, "create", id)
    }

    fn ids(reader: &mut EventReader) -> Vec<String> {
        reader.read().unwrap().into_iter().map(|event| event.id).collect()
    }

    #[test]
    fn what_was_written_is_read_once() {
        let (_dir, store) = store();
        let mut reader = store.read_events();
        assert_eq!(ids(&mut reader), [""; 0]);
        store.record_event(event("a"));
        store.record_event(event("b").with("driver", "local"));
        let read = reader.read().unwrap();
        assert_eq!(read.len(), 2);
        assert_eq!(read[1].attributes["driver"], "local");
        assert!(read[0].time > 0 && read[0].time <= read[1].time);
        assert_eq!(ids(&mut reader), [""; 0]);
        store.record_event(event("c"));
        assert_eq!(ids(&mut reader), ["c"]);
    }

    #[test]
    fn a_torn_line_spoils_no_other() {
        let (_dir, store) = store();
        let mut reader = store.read_events();
        store.record_event(event("a"));
        store.append(b"\n{\"t\":1,\"k\":\"vol").unwrap();
        assert_eq!(ids(&mut reader), ["a"]);
        store.record_event(event("b"));
        assert_eq!(ids(&mut reader), ["b"]);
    }

    #[test]
    fn the_log_is_bounded_and_a_reader_survives_its_change() {
        let (_dir, store) = store();
        let mut reader = store.read_events();
        let padding = "x".repeat(10 << 10);
        let mut seen = Vec::new();
        for n in 0..300 {
            store.record_event(event(&n.to_string()).with("label", &padding));
            if n % 7 == 0 {
                seen.extend(ids(&mut reader));
            }
        }
        seen.extend(ids(&mut reader));
        assert_eq!(seen, (0..300).map(|n| n.to_string()).collect::<Vec<_>>());
        let size = |path: &Path| std::fs::metadata(path).unwrap().len();
        assert!(
            size(&store.event_records()) + size(&old_log_path(&store.event_records()))
                < 2 * ROTATE_SIZE + 64 * 1024
        );
        let kept = ids(&mut store.read_events());
        assert_eq!(kept.last().unwrap(), "299");
        assert!(kept.len() > 100 && kept.len() < 300);
    }

    #[test]
    fn endless_labels_are_left_out() {
        let (_dir, store) = store();
        store.record_event(event("a").with("long", "x".repeat(MAX_EVENT_SIZE)).with("name", "n"));
        let read = store.read_events().read().unwrap();
        assert_eq!(read[0].attributes, [("name".to_owned(), "n".to_owned())].into());
    }

    #[test]
    fn writers_do_not_disturb_one_another() {
        let (_dir, store) = store();
        std::thread::scope(|scope| {
            for writer in 0..4 {
                let store = &store;
                scope.spawn(move || {
                    (0..200).for_each(|n| store.record_event(event(&format!("{writer}-{n}"))))
                });
            }
        });
        assert_eq!(store.read_events().read().unwrap().len(), 800);
    }
}

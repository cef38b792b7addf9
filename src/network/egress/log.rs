//! `--egress-log FILE`: what a container resolved and connected to, one JSON object per line.
//!
//! ```text
//! {"time":"2026-01-01T00:00:00.000000Z","container":"web","kind":"dns","name":"example.org","type":"A","result":"answered"}
//! {"time":"2026-01-01T00:00:00.001000Z","container":"web","kind":"tcp","name":"example.org","address":"192.0.2.1:443","result":"reached"}
//! {"time":"2026-01-01T00:00:01.000000Z","container":"web","kind":"udp","address":"192.0.2.9:53","result":"denied"}
//! {"time":"2026-01-01T00:00:02.000000Z","container":"web","kind":"tcp","address":"192.0.2.9:80","result":"failed","error":"Connection refused (os error 111)"}
//! {"time":"2026-01-01T00:00:03.000000Z","result":"lost","lines":12}
//! ```
//!
//! A thread writes them, so that a slow disk or a pipe without a reader delays no packet. Records that do not
//! fit into its queue are counted and reported as lost.

use std::fs::File;
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};
use std::{io, thread};

use serde::Serialize;

/// Records that wait to be written.
const QUEUE_LENGTH: usize = 4096;
/// Stack size of the thread, in bytes.
const STACK: usize = 64 << 10;
/// How long to wait at the end for the last records.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// One event.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct EgressRecord {
    pub container: String,
    /// `dns`, `tcp`, `udp` or `icmp`.
    pub kind: &'static str,
    /// The queried name, or the name that led to the address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The queried record type.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub record: Option<String>,
    /// The destination, with its port if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// `reached`, `denied` or `failed`; for DNS `answered`, or the response code in capitals.
    pub result: &'static str,
    /// The error that the container got.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

#[derive(Serialize)]
struct TimestampedRecord<'a> {
    time: jiff::Timestamp,
    #[serde(flatten)]
    line: &'a EgressRecord,
}

#[derive(Serialize)]
struct LostRecords {
    time: jiff::Timestamp,
    result: &'static str,
    lines: u64,
}

/// An open log. Dropping the last reference writes what is queued.
#[derive(Debug)]
pub(crate) struct EgressLog {
    queue: Option<SyncSender<(SystemTime, EgressRecord)>>,
    lost: Arc<AtomicU64>,
    done: Mutex<Receiver<()>>,
}

impl EgressLog {
    /// Writes to `file` from now on.
    pub(crate) fn start(file: OwnedFd) -> io::Result<Arc<Self>> {
        let (queue, lines) = sync_channel::<(SystemTime, EgressRecord)>(QUEUE_LENGTH);
        let (ended, done) = sync_channel(1);
        let lost = Arc::new(AtomicU64::new(0));
        let lost_counter = Arc::clone(&lost);
        thread::Builder::new().name("egress-log".into()).stack_size(STACK).spawn(move || {
            write_records(&mut File::from(file), &lines, &lost_counter);
            // The receiver is gone if the end was not waited for.
            let _ = ended.send(());
        })?;
        Ok(Arc::new(Self { queue: Some(queue), lost, done: Mutex::new(done) }))
    }

    /// Queues `line` with the current time, without blocking.
    pub(crate) fn record(&self, line: EgressRecord) {
        if let Some(queue) = &self.queue
            && queue.try_send((SystemTime::now(), line)).is_err()
        {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Drop for EgressLog {
    fn drop(&mut self) {
        self.queue = None;
        if let Ok(done) = self.done.lock() {
            // Bounded: a file that blocks must not hold up the container's end.
            let _ = done.recv_timeout(FLUSH_TIMEOUT);
        }
    }
}

fn write_records(file: &mut File, lines: &Receiver<(SystemTime, EgressRecord)>, lost: &AtomicU64) {
    for (time, line) in lines {
        let time = jiff::Timestamp::try_from(time).unwrap_or_default();
        if write_line(file, &TimestampedRecord { time, line: &line }).is_err() {
            lost.fetch_add(1, Ordering::Relaxed);
        }
        report_lost(file, lost);
    }
    report_lost(file, lost);
}

fn report_lost(file: &mut File, lost: &AtomicU64) {
    let lines = lost.swap(0, Ordering::Relaxed);
    if lines > 0
        && write_line(file, &LostRecords { time: jiff::Timestamp::now(), result: "lost", lines }).is_err()
    {
        lost.fetch_add(lines, Ordering::Relaxed);
    }
}

/// Appends a line, with one write(2) if the file takes it whole.
fn write_line(file: &mut File, value: &impl Serialize) -> io::Result<()> {
    let mut text = serde_json::to_vec(value)?;
    text.push(b'\n');
    file.write_all(&text)
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader};

    use super::*;

    #[test]
    fn lines_are_written_before_the_end_and_lost_ones_counted() {
        let (reader, writer) = io::pipe().unwrap();
        let log = EgressLog::start(writer.into()).unwrap();
        let line = EgressRecord {
            container: "web".into(),
            kind: "udp",
            result: "denied",
            ..EgressRecord::default()
        };
        // More than the pipe and the queue can hold while nobody reads.
        let put = 20_000;
        for _ in 0..put {
            log.record(line.clone());
        }
        let reading = thread::spawn(move || {
            let lines: Vec<String> = BufReader::new(reader).lines().map(Result::unwrap).collect();
            lines
        });
        drop(log);
        let lines = reading.join().unwrap();
        let mut sum = 0;
        for line in &lines {
            let value: serde_json::Value = serde_json::from_str(line).unwrap();
            sum += match value["result"].as_str().unwrap() {
                "lost" => value["lines"].as_u64().unwrap(),
                "denied" => 1,
                other => panic!("{other}"),
            };
        }
        assert_eq!(sum, put);
        assert!(
            lines[0].contains("\"container\":\"web\",\"kind\":\"udp\",\"result\":\"denied\""),
            "{}",
            lines[0]
        );
    }
}

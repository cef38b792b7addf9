//! Reads a container's log back from the systemd journal, with journalctl(1).

use std::collections::BTreeMap;
use std::io::Read as _;
use std::process::{Child, ChildStdout, Command, Stdio};

use anyhow::{Context as _, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::retry_on_intr;
use serde_json::Value;

use super::LogQuery;
use dhow_error::{Failure, FailureKind};
use dhow_model::container::ContainerSpec;
use dhow_model::log::OutputStream;
use dhow_runtime::control::protocol;
use dhow_store::{ContainerDir, LogEntry};

/// How long to wait for more output after the container exited; journald may lag behind.
const QUIET: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

/// Calls `take` for each line of the container's log.
pub(crate) fn journal_logs(
    container: &ContainerDir,
    query: &LogQuery,
    take: &mut dyn FnMut(LogEntry) -> Result<()>,
) -> Result<()> {
    let supervisor = if query.follow { protocol::ControlClient::connect(container)? } else { None };
    // Nothing more is written by a container that does not run.
    let query = LogQuery { follow: supervisor.is_some(), ..query.clone() };
    let mut reader = JournalctlChild(spawn_journalctl(&arguments(container.spec(), &query))?);
    let Some(mut output) = reader.0.stdout.take() else { return Ok(()) };
    let mut text = Vec::new();
    loop {
        while let Some(end) = text.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = text.drain(..=end).collect();
            if let Some(entry) = parse_entry(&String::from_utf8_lossy(&line))
                && !query.pass(entry, take)?
            {
                return Ok(());
            }
        }
        let mut buffer = [0; 8192];
        let length =
            match supervisor.as_ref().map_or(Ok(true), |supervisor| await_more(&output, supervisor))? {
                true => output.read(&mut buffer).context("reading from journalctl")?,
                false => 0,
            };
        if length == 0 {
            return Ok(());
        }
        text.extend(buffer.iter().take(length));
    }
}

/// Waits for more output of journalctl; `false` if the container exited and nothing more came.
fn await_more(output: &ChildStdout, supervisor: &protocol::ControlClient) -> Result<bool> {
    let mut fds =
        [PollFd::new(output, PollFlags::IN), PollFd::from_borrowed_fd(supervisor.as_fd(), PollFlags::IN)];
    retry_on_intr(|| poll(&mut fds, None))?;
    if !fds[0].revents().is_empty() {
        return Ok(true);
    }
    // The supervisor closed its socket: the container has exited.
    let mut fds = [PollFd::new(output, PollFlags::IN)];
    Ok(retry_on_intr(|| poll(&mut fds, Some(&QUIET)))? > 0)
}

fn arguments(spec: &ContainerSpec, query: &LogQuery) -> Vec<String> {
    let mut arguments = vec![
        "--output=json".into(),
        "--no-pager".into(),
        "--quiet".into(),
        // The field that docker's journald driver writes, too.
        format!("CONTAINER_ID_FULL={}", spec.id),
    ];
    // journald's times are whole microseconds, so `since` is rounded up, and `until` down.
    let since =
        query.since.map(|time| time.as_microsecond() + i64::from(time.subsec_nanosecond() % 1000 > 0));
    let until = query.until.map(jiff::Timestamp::as_microsecond);
    arguments.extend(since.map(|time| format!("--since={}", seconds_since_1970(time))));
    arguments.extend(until.map(|time| format!("--until={}", seconds_since_1970(time))));
    match query.tail {
        Some(lines) => arguments.push(format!("--lines={lines}")),
        // --follow alone starts ten lines before the end (journalctl(1)).
        None if query.follow => arguments.push("--no-tail".into()),
        None => {}
    }
    if query.follow {
        arguments.push("--follow".into());
    }
    arguments
}

/// Microseconds since 1970 as seconds with a fraction (systemd.time(7)).
fn seconds_since_1970(microseconds: i64) -> String {
    // systemd knows no time before.
    let microseconds = microseconds.max(0);
    format!("@{}.{:06}", microseconds / 1_000_000, microseconds % 1_000_000)
}

fn spawn_journalctl(arguments: &[String]) -> Result<Child> {
    let mut command = Command::new("journalctl");
    // stderr is inherited: journalctl explains there what it may not read.
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
    command.spawn().map_err(|error| {
        Failure::new(FailureKind::Unsupported, format!("cannot run journalctl: {error}"))
            .hint("a log in the journal is read back by journalctl, a part of systemd")
            .into()
    })
}

/// A journalctl process that is killed with the command that reads from it.
struct JournalctlChild(Child);

impl Drop for JournalctlChild {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn parse_entry(line: &str) -> Option<LogEntry> {
    let fields: BTreeMap<String, Value> = serde_json::from_str(line).ok()?;
    let micros = fields.get("__REALTIME_TIMESTAMP")?.as_str()?.parse().ok()?;
    // The priority that was written: 3 (err) for stderr, 6 (info) for stdout.
    let stream = match fields.get("PRIORITY").and_then(Value::as_str) {
        Some("3") => OutputStream::Stderr,
        _ => OutputStream::Stdout,
    };
    Some(LogEntry {
        time: jiff::Timestamp::from_microsecond(micros).ok()?.to_string(),
        stream,
        text: message_text(fields.get("MESSAGE")?) + "\n",
        extras: BTreeMap::new(),
    })
}

/// A message that is not UTF-8 is an array of bytes.
fn message_text(message: &Value) -> String {
    match message {
        Value::String(text) => text.clone(),
        Value::Array(bytes) => {
            let bytes: Vec<u8> =
                bytes.iter().filter_map(Value::as_u64).filter_map(|byte| u8::try_from(byte).ok()).collect();
            String::from_utf8_lossy(&bytes).into_owned()
        }
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_journalctl_prints() {
        let read =
            parse_entry(r#"{"__REALTIME_TIMESTAMP":"1700000000000000","PRIORITY":"3","MESSAGE":[104,255]}"#)
                .unwrap();
        assert_eq!(read.text, "h\u{fffd}\n");
        assert_eq!((read.stream, read.time.as_str()), (OutputStream::Stderr, "2023-11-14T22:13:20Z"));
        assert!(parse_entry("-- boot --").is_none());
    }

    #[test]
    fn times_are_exact_to_the_microsecond() {
        let time = |text: &str| Some(text.parse().unwrap());
        let query = LogQuery {
            since: time("2023-11-14T22:13:20.000001001Z"),
            until: time("2023-11-14T22:13:20.999999999Z"),
            ..LogQuery::default()
        };
        let arguments = arguments(&ContainerSpec::default(), &query);
        let times: Vec<&String> = arguments.iter().filter(|text| text.contains("=@")).collect();
        assert_eq!(times, ["--since=@1700000000.000002", "--until=@1700000000.999999"]);
        assert_eq!(seconds_since_1970(-1), "@0.000000");
    }
}

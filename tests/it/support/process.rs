//! A child process with a time limit and captured output, killed with its process group.

use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

use super::netns::Netns;

/// How long [`Running::expect`] waits at most.
const EXPECTED: Duration = Duration::from_secs(60);

/// How a command ended and what it wrote.
#[derive(Clone, Debug)]
pub(crate) struct Output {
    /// The exit code; 128 and the signal's number where a signal ended it.
    pub(crate) code: i32,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
}

impl Output {
    /// Standard output as text, without the last line's end.
    pub(crate) fn out(&self) -> String {
        text(&self.stdout)
    }

    /// Standard error as text, without the last line's end.
    pub(crate) fn err(&self) -> String {
        text(&self.stderr)
    }

    /// Standard output's lines.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.out().lines().map(str::to_owned).collect()
    }

    /// Standard output as JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.stdout)
            .unwrap_or_else(|error| panic!("not JSON: {error}: {}", self.out()))
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim_end_matches('\n').to_owned()
}

/// The output so far.
#[derive(Default)]
struct Stream {
    bytes: Vec<u8>,
    ended: bool,
}

/// A stream that a thread reads to its end, and others can wait for.
#[derive(Clone, Default)]
struct Capture(Arc<(Mutex<Stream>, Condvar)>);

impl Capture {
    fn of(mut source: impl Read + Send + 'static) -> Self {
        let capture = Self::default();
        let writer = capture.clone();
        thread::spawn(move || {
            let mut buffer = [0; 1 << 16];
            loop {
                let count = source.read(&mut buffer).unwrap_or(0);
                let mut stream = writer.0.0.lock().unwrap();
                stream.bytes.extend_from_slice(&buffer[..count]);
                stream.ended = count == 0;
                writer.0.1.notify_all();
                if count == 0 {
                    return;
                }
            }
        });
        capture
    }

    /// Waits until `enough` is true of the output, the stream ends, or the deadline; returns whether it was enough.
    fn wait(&self, deadline: Instant, enough: impl Fn(&[u8]) -> bool) -> bool {
        let mut stream = self.0.0.lock().unwrap();
        loop {
            if enough(&stream.bytes) {
                return true;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if stream.ended || left.is_zero() {
                return false;
            }
            stream = self.0.1.wait_timeout(stream, left).unwrap().0;
        }
    }

    fn wait_for_end(&self, deadline: Instant) -> bool {
        self.wait(deadline, |_| false);
        self.0.0.lock().unwrap().ended
    }

    fn bytes(&self) -> Vec<u8> {
        self.0.0.lock().unwrap().bytes.clone()
    }
}

/// A started command, the leader of its own session. Killed with its process group when dropped before its end.
pub(crate) struct Running {
    pub(crate) child: Child,
    what: String,
    deadline: Instant,
    pidfd: OwnedFd,
    stdout: Option<Capture>,
    stderr: Option<Capture>,
    ended: bool,
}

impl Running {
    /// Starts `command`, feeding it `input`; `None` leaves its standard input as set.
    pub(crate) fn start(command: Command, input: Option<Vec<u8>>, limit: Duration) -> Self {
        Self::start_in(None, command, input, limit)
    }

    /// The same in a network namespace.
    pub(crate) fn start_in(
        place: Option<&Netns>,
        mut command: Command,
        input: Option<Vec<u8>>,
        limit: Duration,
    ) -> Self {
        let what = format!("{command:?}");
        if input.is_some() {
            command.stdin(Stdio::piped());
        }
        let spawned = match place {
            Some(place) => place.spawn(command),
            None => command.spawn(),
        };
        let mut child = spawned.unwrap_or_else(|error| panic!("cannot start {what}: {error}"));
        let pidfd = pidfd_open(pid_of(&child), PidfdFlags::empty()).expect("pidfd of a child");
        if let Some(bytes) = input {
            let mut pipe = child.stdin.take().expect("a pipe was asked for");
            // A command that ends without reading breaks the pipe, which is its right.
            thread::spawn(move || drop(pipe.write_all(&bytes)));
        }
        let stdout = child.stdout.take().map(Capture::of);
        let stderr = child.stderr.take().map(Capture::of);
        Self { child, what, deadline: Instant::now() + limit, pidfd, stdout, stderr, ended: false }
    }

    /// The process id.
    pub(crate) fn pid(&self) -> Pid {
        pid_of(&self.child)
    }

    /// Whether it has ended.
    pub(crate) fn has_ended(&self) -> bool {
        readable(self.pidfd.as_fd(), Instant::now())
    }

    /// Waits until standard output holds `needle`, and returns all of it so far.
    pub(crate) fn expect(&self, needle: &str) -> String {
        let stdout = self.stdout.as_ref().expect("a captured standard output");
        let deadline = self.deadline.min(Instant::now() + EXPECTED);
        let found = stdout.wait(deadline, |bytes| contains(bytes, needle.as_bytes()));
        let seen = text(&stdout.bytes());
        assert!(found, "{}: no {needle:?} in {seen:?}; stderr: {}", self.what, self.errors());
        seen
    }

    /// Sends a signal to the process, not to its group.
    pub(crate) fn signal(&self, signal: Signal) {
        rustix::process::pidfd_send_signal(&self.pidfd, signal).expect("signal to a child");
    }

    /// Waits for the end.
    pub(crate) fn wait(mut self) -> Output {
        if !readable(self.pidfd.as_fd(), self.deadline) {
            self.kill();
            panic!("{}: did not end in time; stderr: {}", self.what, self.errors());
        }
        let status = self.child.wait().expect("wait for a child");
        self.ended = true;
        for stream in [&self.stdout, &self.stderr].into_iter().flatten() {
            let ended = stream.wait_for_end(self.deadline);
            assert!(ended, "{}: ended, but something it started holds its output open", self.what);
        }
        let bytes = |stream: &Option<Capture>| stream.as_ref().map(Capture::bytes).unwrap_or_default();
        Output { code: code_of(status), stdout: bytes(&self.stdout), stderr: bytes(&self.stderr) }
    }

    fn errors(&self) -> String {
        self.stderr.as_ref().map(|stream| text(&stream.bytes())).unwrap_or_default()
    }

    /// Kills the process group.
    pub(crate) fn kill(&mut self) {
        // Failing means that they are gone already.
        let _ = kill_process_group(self.pid(), Signal::KILL);
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.ended = true;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.ended {
            self.kill();
        }
    }
}

fn pid_of(child: &Child) -> Pid {
    Pid::from_raw(i32::try_from(child.id()).expect("a pid")).expect("a pid")
}

/// The exit status as a shell reports it.
pub(crate) fn code_of(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}

/// Whether `fd` becomes readable (a pidfd: its process ends) before `deadline`.
pub(crate) fn readable(fd: BorrowedFd<'_>, deadline: Instant) -> bool {
    any_readable(&[fd], deadline)
}

/// Whether one of `fds` becomes readable before `deadline`.
pub(crate) fn any_readable(fds: &[BorrowedFd<'_>], deadline: Instant) -> bool {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: left.subsec_nanos().into() };
        let mut polled: Vec<_> = fds.iter().map(|fd| PollFd::from_borrowed_fd(*fd, PollFlags::IN)).collect();
        match poll(&mut polled, Some(&timeout)) {
            Ok(count) => return count > 0,
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => panic!("poll: {error}"),
        }
    }
}

/// Whether `needle` occurs in `bytes`.
pub(crate) fn contains(bytes: &[u8], needle: &[u8]) -> bool {
    // The search for a string is part of the optimised standard library, one written here would not be optimised: checks
    // for leaks search megabytes of mount tables.
    String::from_utf8_lossy(bytes).contains(&*String::from_utf8_lossy(needle))
}

/// Runs a program that prepares a test; it must succeed within ten minutes.
pub(crate) fn must_run(command: &mut Command) -> Output {
    let what = format!("{command:?}");
    let mut owned = std::mem::replace(command, Command::new("true"));
    owned.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = Running::start(owned, None, Duration::from_secs(600)).wait();
    assert_eq!(output.code, 0, "{what}: {}{}", output.out(), output.err());
    output
}

//! A job: a forked process that does slow work for a step, reports progress, and finally sends its result.
//!
//! # Protocol
//!
//! One packet socket; the first byte of a message is its type:
//!
//! | byte | direction | payload |
//! |---|---|---|
//! | `L` | job → runner | stream (1 or 2), then output |
//! | `S` | job → runner | JSON `(name, current, total, done)` |
//! | `R` | job → runner | a chunk of the JSON result |
//! | `E` | job → runner | end of the result |
//!
//! After `E` the job waits until the runner closes the socket. Until then it keeps its leases and locks, so
//! that the runner can take its own first.

pub(crate) mod runner;

use std::os::fd::BorrowedFd;

use anyhow::{Context as _, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;

use dhow_error::{Failure, FailureKind};
use dhow_model::progress::{LayerEvent, LayerProgress};
use dhow_sandbox::identity::{self, HostIdentity};
use dhow_sys::process::{self, ChildProcess, ForkSide};
use dhow_sys::signal;
use dhow_sys::socket::SeqpacketSocket;

/// Bytes of output or of a result per message, well below a socket's limit.
const CHUNK: usize = 16 << 10;

/// The user namespace that a job runs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JobUserns {
    /// The one the build was started in.
    Inherited,
    /// The account's, as its root: files of every owner can be created.
    Root,
}

/// A message from a job.
#[derive(Debug)]
pub(crate) enum JobMessage {
    /// Output: 1 for standard output, 2 for standard error.
    Log(u8, Vec<u8>),
    /// Progress of a part: name, bytes done, bytes in total, whether it is finished.
    Status(String, u64, u64, bool),
    /// The result or a [`Failure`], as JSON. The last message.
    Ended(Vec<u8>),
    /// A message that the runner does not act on.
    Ignored,
}

/// The job's end of the socket.
#[derive(Debug)]
pub(crate) struct JobReporter {
    socket: SeqpacketSocket,
}

impl JobReporter {
    /// Forwards output: `stream` is 1 or 2.
    pub(crate) fn log(&self, stream: u8, data: &[u8]) {
        for portion in data.chunks(CHUNK) {
            self.send(b'L', &[&[stream][..], portion].concat());
        }
    }

    /// Reports progress of the part `name`, in bytes; `total` is 0 if unknown.
    pub(crate) fn status(&self, name: &str, current: u64, total: u64, done: bool) {
        self.send(b'S', &serde_json::to_vec(&(name, current, total, done)).unwrap_or_default());
    }

    fn send(&self, kind: u8, payload: &[u8]) {
        // If the runner is gone this process is about to be killed, so errors do not matter.
        let _ = self.socket.send(&[&[kind][..], payload].concat(), &[]);
    }

    fn send_result<T: Serialize>(&self, result: &Result<T, Failure>) {
        for portion in serde_json::to_vec(result).unwrap_or_default().chunks(CHUNK) {
            self.send(b'R', portion);
        }
        self.send(b'E', &[]);
        // Returns when the runner has taken over the result and closes the socket.
        let _ = self.socket.receive();
    }
}

impl LayerProgress for JobReporter {
    fn event(&self, layer: &str, event: LayerEvent) {
        let part = |doing: &str| match doing {
            "" => format!("sha256:{layer}"),
            doing => format!("{doing} sha256:{layer}"),
        };
        match event {
            LayerEvent::Downloading { current, total } => self.status(&part(""), current, total, false),
            LayerEvent::DownloadComplete => self.status(&part(""), 0, 0, true),
            LayerEvent::Extracting { current, total } => {
                self.status(&part("extracting"), current, total, false);
            }
            LayerEvent::PullComplete => self.status(&part("extracting"), 0, 0, true),
            _ => {}
        }
    }

    fn line(&self, _text: &str) {}
}

/// The runner's end.
#[derive(Debug)]
pub(crate) struct BuildJob {
    child: ChildProcess,
    socket: SeqpacketSocket,
    result: Vec<u8>,
}

impl BuildJob {
    /// Forks and runs `work` in the child. The caller must have a single thread.
    pub(crate) fn start<T: Serialize, G>(
        userns: JobUserns,
        identity: &HostIdentity,
        work: impl FnOnce(&JobReporter) -> Result<(T, G)>,
    ) -> Result<Self> {
        let (runner_end, job_end) = SeqpacketSocket::pair()?;
        let runner = rustix::process::getpid();
        match process::fork().context("starting a process")? {
            ForkSide::Child => {
                // Or the job would hold the runner's end open itself and never see it closed.
                drop(runner_end);
                let reporter = JobReporter { socket: job_end };
                let outcome = set_up_child(userns, identity, runner).and_then(|()| work(&reporter));
                let (result, leases) = match outcome {
                    Ok((value, leases)) => (Ok(value), Some(leases)),
                    Err(error) => (Err(Failure::from_chain(&error)), None),
                };
                reporter.send_result(&result);
                // The leases are dropped only after the runner has closed the socket.
                drop(leases);
                process::exit_now(i32::from(result.is_err()))
            }
            ForkSide::Parent(child) => Ok(Self { child, socket: runner_end, result: Vec::new() }),
        }
    }

    /// Readable when a message is waiting.
    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// The next message. A closed socket without a result is reported as an interruption.
    pub(crate) fn receive(&mut self) -> Result<JobMessage> {
        let message = self.socket.receive()?.bytes;
        Ok(match message.split_first() {
            Some((b'L', [stream, data @ ..])) => JobMessage::Log(*stream, data.to_vec()),
            Some((b'S', json)) => match serde_json::from_slice(json) {
                Ok((name, current, total, done)) => JobMessage::Status(name, current, total, done),
                Err(_) => JobMessage::Ignored,
            },
            Some((b'R', portion)) => {
                self.result.extend_from_slice(portion);
                JobMessage::Ignored
            }
            Some((b'E', _)) => JobMessage::Ended(std::mem::take(&mut self.result)),
            Some(_) => JobMessage::Ignored,
            None => {
                // EOF without a result: the job was killed.
                let failure = Failure::new(FailureKind::Interrupted, "a process of the build was killed");
                JobMessage::Ended(serde_json::to_vec(&Err::<(), _>(failure)).unwrap_or_default())
            }
        })
    }

    pub(crate) fn signal(&self, signal: i32) {
        // A process that has already exited needs no signal.
        let _ = self.child.signal(signal);
    }

    /// Closes the socket, so that the job exits. The caller must reap the process.
    pub(crate) fn release(self) -> ChildProcess {
        self.child
    }
}

/// Parses a job's JSON result.
pub(crate) fn parse_result<T: DeserializeOwned>(json: &[u8]) -> Result<T> {
    match serde_json::from_slice::<Result<T, Failure>>(json) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(failure)) => Err(failure.into()),
        Err(error) => Err(Failure::new(
            FailureKind::Other,
            format!("a process of the build answered nonsense: {error}"),
        )
        .into()),
    }
}

/// Prepares the child: own process group, own user namespace if requested, dies with the runner.
fn set_up_child(userns: JobUserns, identity: &HostIdentity, runner: rustix::process::Pid) -> Result<()> {
    // In a process group of its own it does not receive Ctrl-C from the terminal: the runner decides what is
    // stopped.
    let _ = rustix::process::setpgid(None, None);
    // The runner's mask is inherited, but the job must react to SIGTERM.
    signal::set_mask(&signal::SignalSet::of(&[]))?;
    if userns == JobUserns::Root {
        identity::enter_userns(identity)?;
        if !rustix::process::geteuid().is_root() {
            // Without a mapping some files stay unreadable; the read then fails with its own error.
            let _ = identity::enter_single_id_userns();
        }
    }
    // Entering a user namespace clears PR_SET_PDEATHSIG, so it is set afterwards.
    process::die_with_parent()?;
    // The runner may have died before the death signal was set.
    let parent = rustix::process::getppid();
    if parent.is_some_and(|parent| parent != runner) {
        return Err(Failure::new(FailureKind::Interrupted, "interrupted").into());
    }
    Ok(())
}

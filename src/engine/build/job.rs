//! Work of a build that takes time: a forked process that tells how it gets on, then what came out.
//!
//! What it made is handed over safely: leases and locks that come with the result live in the job until the director,
//! who has read the result and taken his own, lets it go.

use std::os::fd::BorrowedFd;

use anyhow::{Context as _, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Failure, Kind};
use crate::model::progress::{LayerEvent, Progress};
use crate::sandbox::identity::{self, Identity};
use crate::sys::process::{self, Child, Side};
use crate::sys::signal;
use crate::sys::socket::Socket;

/// Bytes of output or of a result in one message, well below what a socket takes.
const PORTION: usize = 16 << 10;

/// Where a job works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// As the build was started.
    Here,
    /// In the account's user namespace as its root, where files of every owner can be made.
    Root,
}

/// What a job says.
#[derive(Debug)]
pub enum Said {
    /// Output: 1 for standard output, 2 for standard error.
    Log(u8, Vec<u8>),
    /// How far a part is: name, bytes done, bytes in all, whether it is finished.
    Status(String, u64, u64, bool),
    /// It has ended, with this result or a [`Failure`], as JSON.
    Ended(Vec<u8>),
    /// It said nothing that matters here.
    Nothing,
}

/// The job's side: what is said through it reaches the watcher.
#[derive(Debug)]
pub struct Reporter {
    socket: Socket,
}

impl Reporter {
    /// Passes output on: `stream` is 1 or 2.
    pub fn log(&self, stream: u8, data: &[u8]) {
        for portion in data.chunks(PORTION) {
            self.send(b'L', &[&[stream][..], portion].concat());
        }
    }

    /// Tells how far the part `name` is, in bytes; `total` is 0 where it is not known.
    pub fn status(&self, name: &str, current: u64, total: u64, done: bool) {
        self.send(b'S', &serde_json::to_vec(&(name, current, total, done)).unwrap_or_default());
    }

    fn send(&self, kind: u8, payload: &[u8]) {
        // Without a director this process is about to be killed.
        let _ = self.socket.send(&[&[kind][..], payload].concat(), &[]);
    }

    fn finish<T: Serialize>(&self, result: &Result<T, Failure>) {
        for portion in serde_json::to_vec(result).unwrap_or_default().chunks(PORTION) {
            self.send(b'R', portion);
        }
        self.send(b'E', &[]);
        // The director closes the connection when it has taken over what the result is about.
        let _ = self.socket.receive();
    }
}

impl Progress for Reporter {
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

/// The director's side.
#[derive(Debug)]
pub struct Job {
    child: Child,
    socket: Socket,
    result: Vec<u8>,
}

impl Job {
    /// Starts `work` in a process of its own. This process must have one thread.
    pub fn start<T: Serialize, G>(
        place: Place,
        identity: &Identity,
        work: impl FnOnce(&Reporter) -> Result<(T, G)>,
    ) -> Result<Self> {
        let (ours, theirs) = Socket::pair()?;
        let director = rustix::process::getpid();
        match process::fork().context("starting a process")? {
            Side::Child => {
                drop(ours);
                let reporter = Reporter { socket: theirs };
                let done = settle(place, identity, director).and_then(|()| work(&reporter));
                let (result, held) = match done {
                    Ok((value, held)) => (Ok(value), Some(held)),
                    Err(error) => (Err(Failure::of(&error)), None),
                };
                reporter.finish(&result);
                drop(held);
                process::exit_now(i32::from(result.is_err()))
            }
            Side::Parent(child) => Ok(Self { child, socket: ours, result: Vec::new() }),
        }
    }

    /// Becomes readable when the job says something.
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// The next thing that it says.
    pub fn hear(&mut self) -> Result<Said> {
        let message = self.socket.receive()?.bytes;
        Ok(match message.split_first() {
            Some((b'L', [stream, data @ ..])) => Said::Log(*stream, data.to_vec()),
            Some((b'S', json)) => match serde_json::from_slice(json) {
                Ok((name, current, total, done)) => Said::Status(name, current, total, done),
                Err(_) => Said::Nothing,
            },
            Some((b'R', portion)) => {
                self.result.extend_from_slice(portion);
                Said::Nothing
            }
            Some((b'E', _)) => Said::Ended(std::mem::take(&mut self.result)),
            Some(_) => Said::Nothing,
            None => {
                let failure = Failure::new(Kind::Interrupted, "a process of the build was killed");
                Said::Ended(serde_json::to_vec(&Err::<(), _>(failure)).unwrap_or_default())
            }
        })
    }

    /// Asks it to end, or makes it.
    pub fn stop(&self, signal: i32) {
        // One that has ended needs no signal.
        let _ = self.child.signal(signal);
    }

    /// Lets it go, once what it made is the director's; the process is to be waited for.
    pub fn release(self) -> Child {
        self.child
    }
}

/// What the result of a job, which comes as JSON, says.
pub fn outcome<T: DeserializeOwned>(said: &[u8]) -> Result<T> {
    match serde_json::from_slice::<Result<T, Failure>>(said) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(failure)) => Err(failure.into()),
        Err(error) => {
            Err(Failure::new(Kind::Other, format!("a process of the build answered nonsense: {error}"))
                .into())
        }
    }
}

/// Makes the new process one that ends with the director and that the terminal's keys do not reach.
fn settle(place: Place, identity: &Identity, director: rustix::process::Pid) -> Result<()> {
    // Leading a group of its own it is spared the terminal's signals: the director decides who ends and how.
    let _ = rustix::process::setpgid(None, None);
    signal::set_mask(&signal::Set::of(&[]))?;
    if place == Place::Root {
        identity::enter(identity)?;
        if !rustix::process::geteuid().is_root() {
            // What cannot be entered leaves what cannot be read, and reading says so.
            let _ = identity::enter_alone();
        }
    }
    // Entering another user namespace would have undone it.
    process::die_with_parent()?;
    let parent = rustix::process::getppid();
    if parent.is_some_and(|parent| parent != director) {
        return Err(Failure::new(Kind::Interrupted, "interrupted").into());
    }
    Ok(())
}

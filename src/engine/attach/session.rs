//! The event loop of an attached command: copies streams, forwards signals, and waits for the container to
//! exit.

use std::os::fd::BorrowedFd;

use anyhow::Result;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use super::relay::{Relay, Wants};
use super::terminal::UserTerminal;
use super::wire::{Order, Report};
use crate::error::{Failure, Kind};
use crate::model::detach_keys::DetachKeys;
use crate::sys::signal::SignalFd;

/// Number of interrupts after which the command gives up on a container that ignores them.
const PATIENCE: u32 = 3;

/// The other end of an attachment: a container through its supervisor, or a process that `exec` started in
/// one.
pub(crate) trait Peer {
    /// Readable when there is a report to receive.
    fn as_fd(&self) -> BorrowedFd<'_>;
    /// Whether it is running already and will send no `Started` report.
    fn has_started(&self) -> bool;
    /// Sends a request. If the peer is gone, the next report says so.
    fn order(&self, order: &Order);
    /// The next report; `None` if the peer is gone.
    fn report(&self) -> Result<Option<Report>>;
}

pub(crate) struct Options {
    /// The container has its own terminal.
    pub(crate) tty: bool,
    /// Forward signals to the container.
    pub(crate) sig_proxy: bool,
    /// Send keyboard input to the container's terminal.
    pub(crate) interactive: bool,
    /// The key sequence that detaches.
    pub(crate) detach_keys: DetachKeys,
}

/// How the attachment ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The container exited with this code.
    Ended(i32),
    /// The user detached; the container keeps running.
    Detached,
    /// The user gave up on a container that does not react; holds the signal.
    Abandoned(i32),
}

/// Serves the attachment until the container exits or the user detaches.
pub(crate) fn attend(
    peer: &dyn Peer,
    signals: &SignalFd,
    relays: Vec<Relay>,
    terminal: Option<UserTerminal>,
    options: Options,
) -> Result<Outcome> {
    let keys = KeyWatch { keys: options.detach_keys.0.clone(), matched: 0 };
    let mut session = Session {
        peer,
        signals,
        relays,
        terminal,
        options,
        keys,
        interrupts: 0,
        started: false,
        detached: false,
        ended: None,
    };
    session.run()
}

struct Session<'a> {
    peer: &'a dyn Peer,
    signals: &'a SignalFd,
    relays: Vec<Relay>,
    terminal: Option<UserTerminal>,
    options: Options,
    keys: KeyWatch,
    interrupts: u32,
    started: bool,
    detached: bool,
    ended: Option<i32>,
}

impl Session<'_> {
    fn run(&mut self) -> Result<Outcome> {
        if self.peer.has_started() {
            self.begin()?;
        }
        loop {
            if self.ended.is_none() {
                self.turn(true)?;
            }
            if self.detached {
                self.peer.order(&Order::Detach);
                return Ok(Outcome::Detached);
            }
            if self.interrupts >= PATIENCE {
                return Ok(Outcome::Abandoned(libc::SIGINT));
            }
            if let Some(code) = self.ended {
                // What is left of the output is in the pipes already: all of its writers are dead.
                while self.turn(false)? {}
                return Ok(Outcome::Ended(code));
            }
        }
    }

    /// One round of poll(2); without `wait` it only moves what is ready now. Returns whether any relay made
    /// progress.
    fn turn(&mut self, wait: bool) -> Result<bool> {
        let (ready, relays) = self.poll(wait)?;
        for index in &relays {
            self.step(*index);
        }
        if ready.signal && wait {
            self.pass_signals()?;
        }
        if ready.report && wait {
            self.take_report()?;
        }
        Ok(!relays.is_empty())
    }

    fn has_pending_output(&self) -> bool {
        self.relays.iter().any(|relay| relay.is_output() && matches!(relay.wants(), Some(Wants::Write(_))))
    }

    fn poll(&self, wait: bool) -> Result<(Ready, Vec<usize>)> {
        // After the exit only output matters, and neither of these would wake a wait for a slow terminal.
        let events = if wait { PollFlags::IN } else { PollFlags::empty() };
        let mut fds = vec![
            PollFd::from_borrowed_fd(self.peer.as_fd(), events),
            PollFd::from_borrowed_fd(self.signals.as_fd(), events),
        ];
        let mut indices = Vec::new();
        for (index, relay) in self.relays.iter().enumerate() {
            // Before the terminal is in raw mode, keys would be echoed, and a prompt would invite them. After
            // the exit only output is still relayed.
            let flows = if wait { self.started || !self.options.tty } else { relay.is_output() };
            let Some(wants) = relay.wants().filter(|_| flows) else { continue };
            indices.push(index);
            fds.push(match wants {
                Wants::Read(fd) => PollFd::from_borrowed_fd(fd, PollFlags::IN),
                Wants::Write(fd) => PollFd::from_borrowed_fd(fd, PollFlags::OUT),
            });
        }
        let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
        // A slow terminal is waited for even after the exit, or output would be lost.
        match poll(&mut fds, if wait || self.has_pending_output() { None } else { Some(&now) }) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        // POLLHUP and POLLERR count as well: the read that follows tells which it is.
        let happened = |fd: &PollFd<'_>| !fd.revents().is_empty();
        let ready = Ready { report: happened(&fds[0]), signal: happened(&fds[1]) };
        let moved = indices
            .into_iter()
            .zip(&fds[2..])
            .filter(|(_, fd)| happened(fd))
            .map(|(index, _)| index)
            .collect();
        Ok((ready, moved))
    }

    fn step(&mut self, index: usize) {
        let (keys, detached) = (&mut self.keys, &mut self.detached);
        if let Some(relay) = self.relays.get_mut(index) {
            match relay.is_output() || !self.options.tty {
                true => relay.step(|_| {}),
                false => relay.step(|bytes| *detached |= keys.filter(bytes)),
            }
        }
    }

    fn pass_signals(&mut self) -> Result<()> {
        while let Some(signal) = self.signals.next()? {
            match signal {
                // SIGTTIN and SIGTTOU are the job control of the command itself; SIGPIPE shows as a write
                // error.
                libc::SIGCHLD | libc::SIGPIPE | libc::SIGTTIN | libc::SIGTTOU => {}
                libc::SIGWINCH if self.options.tty => self.resize(),
                _ => self.forward(signal),
            }
        }
        Ok(())
    }

    fn forward(&mut self, signal: i32) {
        if !self.options.sig_proxy {
            // Without forwarding these end the command at once, as they would any program.
            self.interrupts +=
                if matches!(signal, libc::SIGINT | libc::SIGTERM | libc::SIGHUP) { PATIENCE } else { 0 };
            return;
        }
        if matches!(signal, libc::SIGINT | libc::SIGTERM) {
            self.interrupts += 1;
        }
        self.peer.order(&Order::Signal(signal));
    }

    fn resize(&self) {
        if let Some((rows, columns)) = self.terminal.as_ref().and_then(UserTerminal::size) {
            self.peer.order(&Order::Resize(rows, columns));
        }
    }

    fn begin(&mut self) -> Result<()> {
        self.started = true;
        if self.options.tty {
            self.resize();
            if let (Some(terminal), true) = (&mut self.terminal, self.options.interactive) {
                terminal.enter()?;
            }
        }
        Ok(())
    }

    fn take_report(&mut self) -> Result<()> {
        match self.peer.report()? {
            Some(Report::Started) => self.begin()?,
            Some(Report::Done) => {}
            Some(Report::Ended(code)) => self.ended = Some(code),
            Some(Report::Failed(failure)) => return Err(failure.into()),
            None => {
                // The container's first process has PR_SET_PDEATHSIG set: it is killed with the supervisor.
                return Err(Failure::new(
                    Kind::Other,
                    "the container's supervisor was killed, and the container with it",
                )
                .into());
            }
        }
        Ok(())
    }
}

struct Ready {
    report: bool,
    signal: bool,
}

/// Looks for the detach sequence in the keyboard input.
struct KeyWatch {
    keys: Vec<u8>,
    matched: usize,
}

impl KeyWatch {
    /// Holds back the beginning of a sequence and emits it again if it turns out not to be one. Returns
    /// whether the sequence is complete; what follows it is dropped.
    fn filter(&mut self, bytes: &mut Vec<u8>) -> bool {
        if self.keys.is_empty() {
            return false;
        }
        let typed = std::mem::take(bytes);
        for byte in typed {
            if byte != self.keys[self.matched] {
                bytes.extend(&self.keys[..self.matched]);
                self.matched = 0;
            }
            if byte != self.keys[self.matched] {
                bytes.push(byte);
                continue;
            }
            self.matched += 1;
            if self.matched == self.keys.len() {
                self.matched = 0;
                return true;
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watch(typed: &[&[u8]]) -> (Vec<u8>, bool) {
        let mut keys = KeyWatch { keys: DetachKeys::default().0, matched: 0 };
        let mut passed = Vec::new();
        for part in typed {
            let mut bytes = part.to_vec();
            let detached = keys.filter(&mut bytes);
            passed.extend(bytes);
            if detached {
                return (passed, true);
            }
        }
        (passed, false)
    }

    #[test]
    fn the_detach_sequence_is_found_across_reads_and_never_passed() {
        assert_eq!(watch(&[b"ab\x10\x11c"]), (b"ab".to_vec(), true));
        assert_eq!(watch(&[b"\x10", b"\x11"]), (Vec::new(), true));
        assert_eq!(watch(&[b"\x10x", b"\x11"]), (b"\x10x\x11".to_vec(), false));
        assert_eq!(watch(&[b"\x10\x10\x11"]), (b"\x10".to_vec(), true));
    }
}

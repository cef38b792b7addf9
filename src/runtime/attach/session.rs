//! The event loop of an attached command: copies streams, forwards signals, and waits for the container to
//! exit.

use anyhow::Result;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use super::relay::{RelayInterest, StreamRelay};
use super::terminal::UserTerminal;
use crate::control::protocol::{AttachPeer, ControlReport, ControlRequest};
use dhow_error::{Failure, FailureKind};
use dhow_model::detach_keys::DetachKeys;
use dhow_sys::signal::SignalFd;

/// How many times the user asks a container to end before the command gives up on it.
const MAX_INTERRUPTS: u32 = 3;

pub struct AttachOptions {
    /// The container has its own terminal.
    pub tty: bool,
    /// Forward signals to the container.
    pub sig_proxy: bool,
    /// Send keyboard input to the container's terminal.
    pub interactive: bool,
    /// The key sequence that detaches.
    pub detach_keys: DetachKeys,
}

/// How the attachment ended.
#[derive(Debug, PartialEq, Eq)]
pub enum AttachOutcome {
    /// The container exited with this code.
    Exited(i32),
    /// The user detached; the container keeps running.
    Detached,
    /// The command ends before the container; holds the signal that ended it.
    Abandoned(i32),
}

/// Serves the attachment until the container exits or the user detaches.
pub fn run_attached(
    peer: &dyn AttachPeer,
    signals: &SignalFd,
    relays: Vec<StreamRelay>,
    terminal: Option<UserTerminal>,
    options: AttachOptions,
) -> Result<AttachOutcome> {
    let keys = DetachKeyFilter { keys: options.detach_keys.0.clone(), matched: 0 };
    let mut session = AttachSession {
        peer,
        signals,
        relays,
        terminal,
        options,
        keys,
        interrupts: 0,
        abandoned: None,
        started: false,
        detached: false,
        ended: None,
    };
    session.run()
}

struct AttachSession<'a> {
    peer: &'a dyn AttachPeer,
    signals: &'a SignalFd,
    relays: Vec<StreamRelay>,
    terminal: Option<UserTerminal>,
    options: AttachOptions,
    keys: DetachKeyFilter,
    interrupts: u32,
    /// The signal that ends the command before the container.
    abandoned: Option<i32>,
    started: bool,
    detached: bool,
    ended: Option<i32>,
}

impl AttachSession<'_> {
    fn run(&mut self) -> Result<AttachOutcome> {
        if self.peer.has_started() {
            self.on_started()?;
        }
        loop {
            if self.ended.is_none() {
                self.poll_once(true)?;
            }
            if self.detached {
                self.peer.send_request(&ControlRequest::Detach);
                return Ok(AttachOutcome::Detached);
            }
            if let Some(signal) = self.abandoned {
                return Ok(AttachOutcome::Abandoned(signal));
            }
            if let Some(code) = self.ended {
                // What is left of the output is in the pipes already: all of its writers are dead.
                while self.poll_once(false)? {}
                return Ok(AttachOutcome::Exited(code));
            }
        }
    }

    /// One round of poll(2); without `wait` it only moves what is ready now. Returns whether any relay made
    /// progress.
    fn poll_once(&mut self, wait: bool) -> Result<bool> {
        let (ready, relays) = self.poll(wait)?;
        for index in &relays {
            self.step(*index);
        }
        if ready.signal && wait {
            self.handle_signals()?;
        }
        if ready.report && wait {
            self.handle_report()?;
        }
        Ok(!relays.is_empty())
    }

    fn has_pending_output(&self) -> bool {
        self.relays
            .iter()
            .any(|relay| relay.is_output() && matches!(relay.interest(), Some(RelayInterest::Write(_))))
    }

    fn poll(&self, wait: bool) -> Result<(PollReadiness, Vec<usize>)> {
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
            let Some(wants) = relay.interest().filter(|_| flows) else { continue };
            indices.push(index);
            fds.push(match wants {
                RelayInterest::Read(fd) => PollFd::from_borrowed_fd(fd, PollFlags::IN),
                RelayInterest::Write(fd) => PollFd::from_borrowed_fd(fd, PollFlags::OUT),
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
        let ready = PollReadiness { report: happened(&fds[0]), signal: happened(&fds[1]) };
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
                true => relay.transfer(|_| {}),
                false => relay.transfer(|bytes| *detached |= keys.filter(bytes)),
            }
        }
    }

    fn handle_signals(&mut self) -> Result<()> {
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
            if matches!(signal, libc::SIGINT | libc::SIGTERM | libc::SIGHUP | libc::SIGQUIT) {
                self.abandoned = Some(signal);
            }
            return;
        }
        if matches!(signal, libc::SIGINT | libc::SIGTERM) {
            self.interrupts += 1;
            if self.interrupts >= MAX_INTERRUPTS {
                self.abandoned = Some(signal);
            }
        }
        self.peer.send_request(&ControlRequest::Signal(signal));
    }

    fn resize(&self) {
        if let Some((rows, columns)) = self.terminal.as_ref().and_then(UserTerminal::size) {
            self.peer.send_request(&ControlRequest::Resize(rows, columns));
        }
    }

    fn on_started(&mut self) -> Result<()> {
        self.started = true;
        if self.options.tty {
            self.resize();
            if let (Some(terminal), true) = (&mut self.terminal, self.options.interactive) {
                terminal.enter_raw_mode()?;
            }
        }
        Ok(())
    }

    fn handle_report(&mut self) -> Result<()> {
        match self.peer.receive_report()? {
            Some(ControlReport::Started) => self.on_started()?,
            Some(ControlReport::Done) => {}
            Some(ControlReport::Ended(code)) => self.ended = Some(code),
            Some(ControlReport::Failed(failure)) => return Err(failure.into()),
            None => {
                // The container's first process has PR_SET_PDEATHSIG set: it is killed with the supervisor.
                return Err(Failure::new(
                    FailureKind::Other,
                    "the container's supervisor was killed, and the container with it",
                )
                .into());
            }
        }
        Ok(())
    }
}

struct PollReadiness {
    report: bool,
    signal: bool,
}

/// Looks for the detach sequence in the keyboard input.
struct DetachKeyFilter {
    keys: Vec<u8>,
    matched: usize,
}

impl DetachKeyFilter {
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
        let mut keys = DetachKeyFilter { keys: DetachKeys::default().0, matched: 0 };
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

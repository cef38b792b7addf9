//! A command on a pseudo-terminal.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Termios, Winsize, tcgetattr, tcsetwinsize};

use super::Account;
use super::account::is_root;
use super::process::{any_readable, code_of, contains, readable};

/// The user's side of a terminal, and the command on its other side, which is killed on drop.
pub(crate) struct Pty {
    master: File,
    /// Kept open so that the terminal survives the command, as a real one does.
    slave: File,
    child: Child,
    pidfd: OwnedFd,
    deadline: Instant,
    /// Everything written to the terminal since the last match.
    unread: Vec<u8>,
}

impl Pty {
    /// Starts `command` with a new controlling terminal.
    pub(crate) fn start(
        mut command: Command,
        account: &Account,
        limit: Duration,
        columns: u16,
        rows: u16,
    ) -> Self {
        let master =
            openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).expect("a terminal");
        grantpt(&master).expect("grantpt");
        unlockpt(&master).expect("unlockpt");
        let name = ptsname(&master, Vec::new()).expect("ptsname").into_string().expect("a name");
        let path = PathBuf::from(name);
        if is_root() {
            std::os::unix::fs::chown(&path, Some(account.uid), None).expect("chown of the terminal");
        }
        let noctty = rustix::fs::OFlags::NOCTTY.bits().cast_signed();
        let slave =
            OpenOptions::new().read(true).write(true).custom_flags(noctty).open(&path).expect("terminal");
        let side = || Stdio::from(slave.try_clone().expect("dup"));
        command.stdin(side()).stdout(side()).stderr(side());
        tcsetwinsize(&slave, size(columns, rows)).expect("window size");
        let child = command.spawn().expect("a command on a terminal");
        let pid = Pid::from_raw(child.id().cast_signed()).expect("a pid");
        let pidfd = pidfd_open(pid, PidfdFlags::empty()).expect("pidfd");
        let master = File::from(master);
        Self { master, slave, child, pidfd, deadline: Instant::now() + limit, unread: Vec::new() }
    }

    /// Types `text`.
    pub(crate) fn send(&mut self, text: impl AsRef<[u8]>) {
        self.master.write_all(text.as_ref()).expect("write to the terminal");
    }

    /// Waits until `needle` is displayed; returns the output up to and including it.
    pub(crate) fn expect(&mut self, needle: &str) -> String {
        loop {
            if let Some(at) = find(&self.unread, needle.as_bytes()) {
                let seen: Vec<u8> = self.unread.drain(..at + needle.len()).collect();
                return String::from_utf8_lossy(&seen).into_owned();
            }
            assert!(self.read(self.deadline), "no {needle:?} on the terminal: {:?}", self.shown());
        }
    }

    /// Reads available output, waiting for some until `deadline`.
    fn read(&mut self, deadline: Instant) -> bool {
        if !readable(self.master.as_fd(), deadline) {
            return false;
        }
        let mut buffer = [0; 4096];
        let count = self.master.read(&mut buffer).unwrap_or(0);
        self.unread.extend_from_slice(&buffer[..count]);
        count > 0
    }

    /// The output since the last match.
    pub(crate) fn shown(&self) -> String {
        String::from_utf8_lossy(&self.unread).into_owned()
    }

    /// Changes the window's size.
    pub(crate) fn resize(&self, columns: u16, rows: u16) {
        tcsetwinsize(&self.slave, size(columns, rows)).expect("window size");
    }

    /// The terminal's settings.
    pub(crate) fn settings(&self) -> Termios {
        tcgetattr(&self.slave).expect("terminal settings")
    }

    /// Sends a signal to the command.
    pub(crate) fn signal(&self, signal: Signal) {
        rustix::process::pidfd_send_signal(&self.pidfd, signal).expect("signal");
    }

    /// Waits for the command's end; returns its exit code and the output since the last match.
    pub(crate) fn wait(mut self) -> (i32, String) {
        let code = self.wait_for_end();
        (code, self.shown())
    }

    /// Waits for the command's end, keeping the terminal.
    pub(crate) fn wait_for_end(&mut self) -> i32 {
        // Read meanwhile: a full terminal would hold the command up.
        while !readable(self.pidfd.as_fd(), Instant::now()) {
            let fds = [self.pidfd.as_fd(), self.master.as_fd()];
            let waited = any_readable(&fds, self.deadline);
            assert!(waited, "the command on the terminal did not end: {:?}", self.shown());
            self.read(Instant::now());
        }
        let status = self.child.wait().expect("wait");
        while self.read(Instant::now()) {}
        code_of(status)
    }
}

impl Drop for Pty {
    fn drop(&mut self) {
        // Failing means that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn size(columns: u16, rows: u16) -> Winsize {
    Winsize { ws_col: columns, ws_row: rows, ws_xpixel: 0, ws_ypixel: 0 }
}

fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    contains(bytes, needle).then(|| bytes.windows(needle.len()).position(|window| window == needle))?
}

//! Pseudo-terminals and terminal settings: pty(7), termios(3), ioctl_tty(2).

use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::termios::{OptionalActions, Termios, Winsize};

/// `DEVPTS_SUPER_MAGIC` of `linux/magic.h`.
const DEVPTS: u64 = 0x1cd1;

/// Opens a new pseudo-terminal of the instance of devpts that is mounted at `devpts`. Returns both sides.
///
/// Whoever else may mount there cannot put another file in its place: anything but a devpts is refused (`ENOTTY`), and
/// so is what lies on top of its `ptmx` (`EXDEV`).
pub fn open_pair(devpts: BorrowedFd<'_>) -> io::Result<(OwnedFd, OwnedFd)> {
    if rustix::fs::fstatfs(devpts)?.f_type.cast_unsigned() != DEVPTS {
        return Err(rustix::io::Errno::NOTTY.into());
    }
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_XDEV | ResolveFlags::NO_SYMLINKS;
    let master = rustix::fs::openat2(devpts, "ptmx", flags, Mode::empty(), resolve)?;
    rustix::pty::unlockpt(&master)?;
    let peer =
        rustix::pty::OpenptFlags::RDWR | rustix::pty::OpenptFlags::NOCTTY | rustix::pty::OpenptFlags::CLOEXEC;
    let slave = rustix::pty::ioctl_tiocgptpeer(&master, peer)?;
    Ok((master, slave))
}

/// Starts a session and makes `terminal` its controlling terminal.
pub fn take_controlling(terminal: BorrowedFd<'_>) -> io::Result<()> {
    rustix::process::setsid()?;
    rustix::process::ioctl_tiocsctty(terminal)?;
    Ok(())
}

/// Whether `fd` is a terminal.
pub fn is_terminal(fd: BorrowedFd<'_>) -> bool {
    rustix::termios::isatty(fd)
}

/// Rows and columns of a terminal.
pub fn size(terminal: BorrowedFd<'_>) -> io::Result<Winsize> {
    Ok(rustix::termios::tcgetwinsize(terminal)?)
}

/// Sets the window size of a terminal, whose size in pixels is unknown.
pub fn set_rows_and_columns(terminal: BorrowedFd<'_>, rows: u16, columns: u16) -> io::Result<()> {
    set_size(terminal, Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 })
}

/// Sets rows and columns.
pub fn set_size(terminal: BorrowedFd<'_>, size: Winsize) -> io::Result<()> {
    Ok(rustix::termios::tcsetwinsize(terminal, size)?)
}

/// The settings of a terminal, to be put back later.
#[derive(Clone, Debug)]
pub struct Saved(Termios);

/// Reads the settings of `terminal`.
pub fn save(terminal: BorrowedFd<'_>) -> io::Result<Saved> {
    Ok(Saved(rustix::termios::tcgetattr(terminal)?))
}

impl Saved {
    /// Puts these settings back.
    pub fn restore(&self, terminal: BorrowedFd<'_>) -> io::Result<()> {
        Ok(rustix::termios::tcsetattr(terminal, OptionalActions::Drain, &self.0)?)
    }

    /// Puts `terminal` into raw mode.
    pub fn make_raw(&self, terminal: BorrowedFd<'_>) -> io::Result<()> {
        let mut raw = self.0.clone();
        raw.make_raw();
        Ok(rustix::termios::tcsetattr(terminal, OptionalActions::Drain, &raw)?)
    }
}

/// The process group in the foreground of `terminal` is the caller's.
pub fn in_foreground(terminal: BorrowedFd<'_>) -> bool {
    // SAFETY: tcgetpgrp takes a number; the descriptor is open.
    let foreground = unsafe { libc::tcgetpgrp(terminal.as_fd().as_raw_fd()) };
    foreground == rustix::process::getpgrp().as_raw_nonzero().get()
}

//! Pseudo-terminals and terminal settings: pty(7), termios(3), ioctl_tty(2).

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::termios::{OptionalActions, Termios, Winsize};

/// `DEVPTS_SUPER_MAGIC` of `linux/magic.h`.
const DEVPTS: u64 = 0x1cd1;

/// Opens a new pseudo-terminal on the devpts instance mounted at `devpts`. Returns master and slave side.
///
/// Whoever else can mount there cannot substitute another file: anything but a devpts is refused (`ENOTTY`), and so
/// is a mount on its `ptmx` (`EXDEV`).
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
    // By ioctl (Linux 4.13), not by path: nothing can be mounted over the slave in between.
    let slave = rustix::pty::ioctl_tiocgptpeer(&master, peer)?;
    Ok((master, slave))
}

/// Starts a session with `terminal` as its controlling terminal.
pub fn take_controlling(terminal: BorrowedFd<'_>) -> io::Result<()> {
    rustix::process::setsid()?;
    rustix::process::ioctl_tiocsctty(terminal)?;
    Ok(())
}

pub fn is_terminal(fd: BorrowedFd<'_>) -> bool {
    rustix::termios::isatty(fd)
}

pub fn size(terminal: BorrowedFd<'_>) -> io::Result<Winsize> {
    Ok(rustix::termios::tcgetwinsize(terminal)?)
}

/// Sets rows and columns, leaving the size in pixels unknown.
pub fn set_rows_and_columns(terminal: BorrowedFd<'_>, rows: u16, columns: u16) -> io::Result<()> {
    set_size(terminal, Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 })
}

pub fn set_size(terminal: BorrowedFd<'_>, size: Winsize) -> io::Result<()> {
    Ok(rustix::termios::tcsetwinsize(terminal, size)?)
}

/// Terminal settings, to be restored later.
#[derive(Clone, Debug)]
pub struct SavedTermios(Termios);

pub fn save_termios(terminal: BorrowedFd<'_>) -> io::Result<SavedTermios> {
    Ok(SavedTermios(rustix::termios::tcgetattr(terminal)?))
}

impl SavedTermios {
    pub fn restore(&self, terminal: BorrowedFd<'_>) -> io::Result<()> {
        Ok(rustix::termios::tcsetattr(terminal, OptionalActions::Drain, &self.0)?)
    }

    /// Puts `terminal` into raw mode, starting from these settings.
    pub fn make_raw(&self, terminal: BorrowedFd<'_>) -> io::Result<()> {
        let mut raw = self.0.clone();
        raw.make_raw();
        Ok(rustix::termios::tcsetattr(terminal, OptionalActions::Drain, &raw)?)
    }
}

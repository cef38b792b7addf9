//! The user's terminal while it is attached to a container that has a terminal of its own.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use anyhow::Result;

use dhow_sys::pty::{self, SavedTermios};

/// The terminal on standard input, in raw mode from [`UserTerminal::enter_raw_mode`] until it is dropped.
pub struct UserTerminal {
    fd: OwnedFd,
    saved: SavedTermios,
    raw: bool,
}

impl UserTerminal {
    /// `None` if `stdin` is not a terminal.
    pub fn of_stdin(stdin: BorrowedFd<'_>) -> Result<Option<Self>> {
        if !pty::is_terminal(stdin) {
            return Ok(None);
        }
        Ok(Some(Self { fd: stdin.try_clone_to_owned()?, saved: pty::save_termios(stdin)?, raw: false }))
    }

    /// A duplicate of the terminal and its saved settings: the supervisor restores them if the command is
    /// killed.
    pub fn duplicate(&self) -> Result<(OwnedFd, SavedTermios)> {
        Ok((self.fd.try_clone()?, self.saved.clone()))
    }

    /// Raw mode: no echo, no line editing, no signals from keys.
    pub(crate) fn enter_raw_mode(&mut self) -> Result<()> {
        self.saved.make_raw(self.fd.as_fd())?;
        self.raw = true;
        Ok(())
    }

    /// Rows and columns; `None` where the terminal does not know its size (a serial line reports 0).
    pub fn size(&self) -> Option<(u16, u16)> {
        let size = pty::size(self.fd.as_fd()).ok()?;
        (size.ws_row > 0 && size.ws_col > 0).then_some((size.ws_row, size.ws_col))
    }
}

impl Drop for UserTerminal {
    fn drop(&mut self) {
        if self.raw {
            // If the terminal itself is gone there is nothing left to restore.
            let _ = self.saved.restore(self.fd.as_fd());
        }
    }
}

//! The user's terminal while a container with a terminal of its own is attached.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use anyhow::Result;

use crate::sys::pty::{self, Saved};

/// The terminal behind standard input, in raw mode from [`UserTerminal::enter`] until it is dropped.
pub(crate) struct UserTerminal {
    fd: OwnedFd,
    saved: Saved,
    raw: bool,
}

impl UserTerminal {
    /// The terminal behind `stdin`, if there is one.
    pub(crate) fn behind(stdin: BorrowedFd<'_>) -> Result<Option<Self>> {
        if !pty::is_terminal(stdin) {
            return Ok(None);
        }
        Ok(Some(Self { fd: stdin.try_clone_to_owned()?, saved: pty::save(stdin)?, raw: false }))
    }

    /// A second hold on the terminal with the settings to put back, for the supervisor.
    pub(crate) fn spare(&self) -> Result<(OwnedFd, Saved)> {
        Ok((self.fd.try_clone()?, self.saved.clone()))
    }

    /// Passes every key on: no echo, no line editing, no signals from keys.
    pub(crate) fn enter(&mut self) -> Result<()> {
        self.saved.make_raw(self.fd.as_fd())?;
        self.raw = true;
        Ok(())
    }

    /// Rows and columns, where it has any.
    pub(crate) fn size(&self) -> Option<(u16, u16)> {
        let size = pty::size(self.fd.as_fd()).ok()?;
        (size.ws_row > 0 && size.ws_col > 0).then_some((size.ws_row, size.ws_col))
    }
}

impl Drop for UserTerminal {
    fn drop(&mut self) {
        if self.raw {
            // Nothing is left to do where the terminal itself is gone.
            let _ = self.saved.restore(self.fd.as_fd());
        }
    }
}

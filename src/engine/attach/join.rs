//! `attach`: attaches to a running container.

use std::os::fd::{AsFd as _, BorrowedFd};

use anyhow::Result;

use super::streams::{Streams, through_pipes};
use super::wire::Order;
use super::{UserTerminal, attend};
use crate::engine::control::{Contact, reach};
use crate::engine::start::{self, Attachment};
use crate::error::{Failure, Kind};
use crate::store::Store;
use crate::sys;
use crate::sys::signal::SignalFd;

/// Attaches to the container `text` (a name, an ID or a prefix of one) until it exits or the user detaches.
/// Returns the exit code of the command.
pub fn join(store: &Store, text: &str, attachment: Attachment) -> Result<i32> {
    let (container, command) = match reach(store.find_container(text)?)? {
        Contact::Supervisor(container, command) => (container, command),
        Contact::Nobody(_) => {
            let message = "You cannot attach to a stopped container, start it first";
            return Err(Failure::new(Kind::Conflict, message).into());
        }
    };
    let tty = container.spec().process.tty;
    let wanted = start::wanted(container.spec(), attachment.wanted);
    let Streams { ends, relays } = through_pipes(wanted)?;
    let stdin = std::io::stdin();
    if tty && wanted[0] && !sys::pty::is_terminal(stdin.as_fd()) {
        let message = "cannot attach stdin to a TTY-enabled container because stdin is not a terminal";
        return Err(Failure::new(Kind::Invalid, message).hint("--no-stdin attaches the output only").into());
    }
    let terminal = if tty { UserTerminal::behind(stdin.as_fd())? } else { None };
    let signals = SignalFd::blocking(&sys::signal::forwardable())?;
    // The supervisor gets duplicates; ours are closed below, or the command would never see end of file on
    // them.
    let fds: Vec<BorrowedFd<'_>> = ends.iter().flatten().map(|end| end.as_fd()).collect();
    command.order(&Order::Attach(wanted), &fds);
    drop(fds);
    drop(ends);
    let options = start::options(tty, Attachment { wanted, ..attachment });
    attend(&command, &signals, relays, terminal, options).map(|outcome| start::exit_code(&outcome))
}

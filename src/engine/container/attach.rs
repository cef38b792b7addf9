//! `attach`: attaches to a running container.

use std::os::fd::{AsFd as _, BorrowedFd};

use anyhow::Result;

use dhow_error::{Failure, FailureKind};
use dhow_runtime::attach::streams::{AttachStreams, piped_streams};
use dhow_runtime::attach::{
    AttachRequest, UserTerminal, attach_options, command_exit_code, effective_streams, run_attached,
};
use dhow_runtime::control::protocol::ControlRequest;
use dhow_runtime::control::{ContainerAccess, connect_or_lock};
use dhow_store::Store;
use dhow_sys::signal::SignalFd;

/// Attaches to the container `text` (a name, an ID or a prefix of one) until it exits or the user detaches.
/// Returns the exit code of the command.
pub fn attach(store: &Store, text: &str, attachment: AttachRequest) -> Result<i32> {
    let (container, supervisor) = match connect_or_lock(store.find_container(text)?)? {
        ContainerAccess::Supervised(container, supervisor) => (container, supervisor),
        ContainerAccess::Unsupervised(_) => {
            let message = "You cannot attach to a stopped container, start it first";
            return Err(Failure::new(FailureKind::Conflict, message).into());
        }
    };
    let tty = container.spec().process.tty;
    let streams = effective_streams(container.spec(), attachment.streams);
    let AttachStreams { ends, relays } = piped_streams(streams)?;
    let stdin = std::io::stdin();
    if tty && streams[0] && !dhow_sys::pty::is_terminal(stdin.as_fd()) {
        let message = "cannot attach stdin to a TTY-enabled container because stdin is not a terminal";
        return Err(Failure::new(FailureKind::Invalid, message)
            .hint("--no-stdin attaches the output only")
            .into());
    }
    let terminal = if tty { UserTerminal::of_stdin(stdin.as_fd())? } else { None };
    let signals = SignalFd::blocking(&dhow_sys::signal::forwardable())?;
    // The supervisor gets duplicates; ours are closed below, or the command would never see end of file on
    // them.
    let fds: Vec<BorrowedFd<'_>> = ends.iter().flatten().map(|end| end.as_fd()).collect();
    supervisor.send_request(&ControlRequest::Attach(streams), &fds);
    drop(fds);
    drop(ends);
    let options = attach_options(tty, AttachRequest { streams, ..attachment });
    run_attached(&supervisor, &signals, relays, terminal, options).map(|outcome| command_exit_code(&outcome))
}

//! The command's side of an attached container.
//!
//! A command that runs in the foreground (`run`, `start -a`, `attach`, `exec`) is attached to a container:
//!
//! ```text
//!  stdin, stdout, stderr ── StreamRelay ── pipes ── supervisor ── the container's stdio or terminal
//!  signals, window size  ── ControlRequest ───────▶ supervisor
//!  start, exit, failure  ◀─ ControlReport ───────── supervisor
//! ```
//!
//! # Parts
//!
//! - `streams` makes the pipes between the command's own stdio and the other side.
//! - `relay` copies one direction of one stream without blocking.
//! - `terminal` puts the user's terminal into raw mode and restores it.
//! - `session` is the loop over all of that, until the container exits or the user detaches.

pub mod relay;
pub(crate) mod session;
pub mod streams;
mod terminal;

use dhow_model::container::ContainerSpec;
use dhow_model::detach_keys::DetachKeys;

pub use session::{AttachOptions, AttachOutcome, run_attached};
pub use terminal::UserTerminal;

/// How a command attaches to a container.
#[derive(Clone, Debug, Default)]
pub struct AttachRequest {
    /// Which of standard input, output and error.
    pub streams: [bool; 3],
    /// Forward signals.
    pub sig_proxy: bool,
    /// The key sequence that detaches from a terminal.
    pub detach_keys: DetachKeys,
}

/// Without `-i` there is no input; a terminal has a single output stream.
pub fn effective_streams(spec: &ContainerSpec, [input, output, error]: [bool; 3]) -> [bool; 3] {
    let process = &spec.process;
    match process.tty {
        true => [input && process.interactive, output || error, false],
        false => [input && process.interactive, output, error],
    }
}

pub fn attach_options(tty: bool, attachment: AttachRequest) -> AttachOptions {
    AttachOptions {
        tty,
        sig_proxy: attachment.sig_proxy,
        interactive: attachment.streams[0],
        detach_keys: attachment.detach_keys,
    }
}

pub fn command_exit_code(outcome: &AttachOutcome) -> i32 {
    match outcome {
        AttachOutcome::Exited(code) => *code,
        AttachOutcome::Detached => 0,
        // As a shell reports a command that died of a signal.
        AttachOutcome::Abandoned(signal) => 128 + signal,
    }
}

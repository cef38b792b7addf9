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

mod join;
pub(crate) mod relay;
mod session;
pub(crate) mod streams;
mod terminal;
pub(crate) mod wire;

pub use join::attach;
pub(super) use session::{AttachOptions, AttachOutcome, AttachPeer, run_attached};
pub(super) use terminal::UserTerminal;

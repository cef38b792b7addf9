//! The command's side of an attached container: its streams, its terminal, its signals.

mod relay;
mod session;
mod streams;
mod terminal;
pub(crate) mod wire;

pub(super) use session::{Options, Outcome, attend};
pub(super) use streams::{Streams, prepare};
pub(super) use terminal::UserTerminal;

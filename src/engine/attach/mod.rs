//! The command's side of an attached container: its streams, its terminal, its signals.

mod join;
pub(crate) mod relay;
mod session;
pub(crate) mod streams;
mod terminal;
pub(crate) mod wire;

pub use join::join;
pub(super) use session::{Options, Outcome, Peer, attend};
pub(super) use terminal::UserTerminal;

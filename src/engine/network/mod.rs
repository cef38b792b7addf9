//! `network`: creates, lists and removes networks, and connects containers to them.

pub mod connect;
pub mod create;
pub mod disconnect;
pub(crate) mod inspect;
pub mod lookup;
pub mod ls;
pub mod prune;
pub mod rm;

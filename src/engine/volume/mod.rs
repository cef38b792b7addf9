//! `volume`: creates, lists, inspects and removes volumes.

pub mod create;
pub(crate) mod inspect;
pub mod ls;
pub mod prune;
pub mod rm;
pub(crate) mod usage;

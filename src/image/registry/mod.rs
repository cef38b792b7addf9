//! Registries: the client side of the distribution protocol.

pub mod challenge;
pub mod proxy;
pub mod text;

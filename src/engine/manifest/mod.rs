//! `manifest`: multi-platform manifest lists, put together locally and pushed to a registry.

pub mod annotate;
pub mod create;
pub mod inspect;
mod list;
pub mod push;
pub(crate) mod remote;
pub mod rm;

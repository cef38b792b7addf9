//! The use cases of dhow: what a command does, without its command line.
//!
//! `dhow X Y` is `cli/cmd/X/Y.rs` for flags and output, and here for the work. Verbs on containers stand on the
//! container runtime (create, plan, supervisor, control, attach, network), which nobody but them and the builder
//! uses; verbs on images stand on the image layer.

#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests make files of their own"))]

pub mod buildx;
pub mod container;
pub mod demo;
pub mod image;
pub mod manifest;
pub mod network;
pub mod prune_conditions;
pub mod registry;
pub mod system;
mod tree_size;
pub mod volume;

//! The use cases of dhow: what a command does, without its command line.
//!
//! `dhow X Y` is `cli/cmd/X/Y.rs` for flags and output, and `X/Y.rs` here for the work. A verb without a file here is in
//! the command line alone (`system prune` combines other verbs), or in the builder: `image build`, and `buildx` except
//! `imagetools`. Verbs on containers stand on the container runtime, verbs on images on the image layer, and all of them
//! on the store. What verbs of a noun share lies beside them (`lookup`, `usage`), what nouns share in this folder.

#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests make files of their own"))]

pub mod buildx;
pub mod container;
pub mod container_summary;
mod directory_watch;
mod filter_pattern;
pub mod image;
pub mod manifest;
pub mod network;
pub mod prune_conditions;
pub mod registry;
pub mod system;
mod tree_size;
pub mod volume;

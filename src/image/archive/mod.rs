//! Images as archives: what docker, podman, skopeo and buildkit write, and what they read.
//!
//! Reading goes through [`members`], which is filled in one of two ways: from a regular file by an index of offsets
//! ([`file`]), so that layers unpack side by side, or from a stream ([`stream`]), where layers unpack as they pass
//! because what lists them mostly comes last. [`docker`] and [`oci`] understand the two kinds of listing.

pub mod directory;
mod docker;
mod file;
mod layers;
pub mod layout;
mod members;
mod oci;
pub mod output;
pub mod read;
mod stream;
#[cfg(test)]
mod tests;
pub mod write;

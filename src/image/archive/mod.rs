//! Image archives, as written and read by docker, podman, skopeo and buildkit.
//!
//! Readers work on [`members`], filled in one of two ways: from a regular file by an index of offsets
//! ([`indexed`]), so that layers unpack in parallel, or from a stream ([`stream`]), where layers are unpacked
//! as they pass because the listing usually comes last. [`docker`] and [`oci`] parse the two kinds of
//! listing.

mod archived_image;
pub mod directory;
mod docker;
mod indexed;
mod layers;
pub mod layout;
pub mod load;
mod members;
mod oci;
pub mod output;
pub mod save;
mod stream;
#[cfg(test)]
mod tests;

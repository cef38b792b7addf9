//! OCI images: registries, archives, and unpacking and packing of layers.

#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests make files of their own"))]

pub mod archive;
pub mod changes;
pub mod commit_upper;
pub mod compress;
mod concurrent;
pub mod files;
#[cfg(any(test, feature = "testing"))]
#[allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a check fails by panicking")]
pub mod fuzz_checks;
pub mod hash;
pub mod manifest;
pub(crate) mod pack;
pub mod pull;
pub mod push;
pub mod registry;
pub mod snapshot;
pub mod tar;
mod tar_hash;
pub(crate) mod tar_split;
pub mod unpack;

/// Implements `Read::read` for a type that implements `BufRead`.
fn read_buffered(input: &mut impl std::io::BufRead, buffer: &mut [u8]) -> std::io::Result<usize> {
    let available = input.fill_buf()?;
    let amount = available.len().min(buffer.len());
    buffer[..amount].copy_from_slice(&available[..amount]);
    input.consume(amount);
    Ok(amount)
}

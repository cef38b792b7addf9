//! Trees of files to and from tar streams where there is no recipe: what `export`, `commit` and `cp` share.
//!
//! [`look`] describes a file as a member of an archive, [`pack`] writes a tree of them, [`extract`] makes one from a
//! stream that nobody vouches for.

pub mod extract;
pub mod look;
pub mod pack;

/// Attributes that mean something to overlayfs, to dhow or to the kernel's integrity checks: no archive sets them, and
/// none is told of them.
pub(crate) fn is_reserved(name: &[u8]) -> bool {
    let starts = |prefix: &[u8]| name.starts_with(prefix);
    name.is_empty()
        || name.contains(&0)
        || starts(b"user.overlay.")
        || starts(b"user.dhow.")
        || starts(b"trusted.")
        || (starts(b"security.") && name != b"security.capability")
}

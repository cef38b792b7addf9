//! File trees to and from tar streams without tar-split data, for `export`, `commit` and `cp`.
//!
//! [`inspect`] describes a file as a member of an archive, [`pack_tree`] writes a tree, [`extract`] creates
//! one from an untrusted stream.

pub mod extract;
pub mod inspect;
pub mod pack_tree;

/// Xattrs with a meaning for overlayfs, dhow or the kernel's integrity checks: archives neither set nor
/// contain them.
pub fn is_reserved(name: &[u8]) -> bool {
    let starts = |prefix: &[u8]| name.starts_with(prefix);
    name.is_empty()
        || name.contains(&0)
        || starts(b"user.overlay.")
        || starts(b"user.dhow.")
        || starts(b"trusted.")
        || (starts(b"security.") && name != b"security.capability")
}

//! The size of a file tree.

use std::collections::HashSet;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// Bytes of the files below `dir`; hard links count once, unreadable files not at all.
pub(crate) fn size_below(dir: &Path) -> u64 {
    let mut pending = vec![dir.to_path_buf()];
    let mut seen = HashSet::new();
    let mut sum = 0_u64;
    while let Some(dir) = pending.pop() {
        for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
            // Of a link itself: its target may be elsewhere, or a parent directory.
            match entry.metadata() {
                Ok(meta) if meta.is_dir() => pending.push(entry.path()),
                Ok(meta) if meta.is_file() && (meta.nlink() < 2 || seen.insert((meta.dev(), meta.ino()))) => {
                    sum = sum.saturating_add(meta.len());
                }
                _ => {}
            }
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_count_once() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("sub")).unwrap();
        std::fs::write(dir.path().join("sub/a"), "12345").unwrap();
        std::fs::hard_link(dir.path().join("sub/a"), dir.path().join("b")).unwrap();
        std::os::unix::fs::symlink("/", dir.path().join("link")).unwrap();
        assert_eq!(size_below(dir.path()), 5);
        assert_eq!(size_below(&dir.path().join("none")), 0);
    }
}

//! Small files of an image, read from its layers without mounting them.
//!
//! Used where the answer is needed before there is a container: with a single id, the id map depends on which user
//! `USER` names.

use std::os::fd::AsFd as _;
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags};

use dhow_model::digest::Digest;
use dhow_store::Store;
use dhow_sys::overlay::is_opaque;

/// Larger than any sane user database.
const MAX_FILE: u64 = 16 << 20;

/// The content of `directory/name` in the uppermost of `layers` (given lowest first) that has it. Empty if no
/// layer has it, a layer hides it, or it is not a regular file.
pub(crate) fn read_file(store: &Store, layers: &[Digest], directory: &str, name: &str) -> Vec<u8> {
    for layer in layers.iter().rev() {
        match look_up(&store.layer_tree(layer), directory, name) {
            LayerLookup::Found(content) => return content,
            LayerLookup::Hidden => return Vec::new(),
            LayerLookup::Nothing => {}
        }
    }
    Vec::new()
}

/// Whether any of `layers` has the directory `path`. An upper layer may hide it, so this is for hints only.
pub(crate) fn has_directory(store: &Store, layers: &[Digest], path: &str) -> bool {
    let has = |layer: &Digest| store.layer_tree(layer).join(path).is_dir();
    layers.iter().any(has)
}

#[derive(Debug, PartialEq, Eq)]
enum LayerLookup {
    Found(Vec<u8>),
    Hidden,
    Nothing,
}

fn look_up(tree: &Path, directory: &str, name: &str) -> LayerLookup {
    let Ok(root) = dhow_sys::fs::open_dir(tree) else { return LayerLookup::Hidden };
    let open = |path: &Path, flags| dhow_sys::fs::open_in_root(root.as_fd(), path, flags, Mode::empty());
    let directory = Path::new(directory);
    // O_PATH, because a whiteout or a FIFO may be in the directory's place.
    let Ok(found) = open(directory, OFlags::PATH) else { return LayerLookup::Nothing };
    // What is no directory hides that of the lower layers.
    if !dhow_sys::fs::file_type(found.as_fd()).is_ok_and(|kind| kind == FileType::Directory) {
        return LayerLookup::Hidden;
    }
    let file = directory.join(name);
    if let Ok(fd) = open(&file, OFlags::PATH | OFlags::NOFOLLOW) {
        return match dhow_sys::fs::file_type(fd.as_fd()) {
            // A whiteout: overlayfs marks a deleted file by a character device 0:0.
            Ok(FileType::CharacterDevice) => LayerLookup::Hidden,
            _ => LayerLookup::Found(
                dhow_sys::fs::read_in_root(root.as_fd(), &file, MAX_FILE).unwrap_or_default(),
            ),
        };
    }
    let opaque = open(directory, OFlags::RDONLY | OFlags::DIRECTORY).is_ok_and(|dir| is_opaque(&dir));
    if opaque { LayerLookup::Hidden } else { LayerLookup::Nothing }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dhow_sys::overlay::{make_whiteout, set_opaque};

    /// What a layer that `fill` makes says about `etc/passwd`.
    fn looked_up(fill: impl Fn(&Path)) -> LayerLookup {
        let tree = tempfile::tempdir().unwrap();
        fill(tree.path());
        look_up(tree.path(), "etc", "passwd")
    }

    #[test]
    fn an_upper_layer_hides_what_is_below() {
        let with_etc = |fill: &dyn Fn(&Path)| {
            looked_up(|tree| {
                std::fs::create_dir(tree.join("etc")).unwrap();
                fill(&tree.join("etc"));
            })
        };
        assert_eq!(looked_up(|_| ()), LayerLookup::Nothing);
        assert_eq!(with_etc(&|_| ()), LayerLookup::Nothing);
        let found = with_etc(&|etc| std::fs::write(etc.join("passwd"), "x").unwrap());
        assert_eq!(found, LayerLookup::Found(b"x".to_vec()));
        let open = |path: &Path| std::fs::File::open(path).unwrap();
        assert_eq!(with_etc(&|etc| make_whiteout(open(etc), "passwd").unwrap()), LayerLookup::Hidden);
        assert_eq!(looked_up(|tree| make_whiteout(open(tree), "etc").unwrap()), LayerLookup::Hidden);
        assert_eq!(looked_up(|tree| std::fs::write(tree.join("etc"), "").unwrap()), LayerLookup::Hidden);
        let fifo = |tree: &Path| {
            rustix::fs::mknodat(open(tree), "etc", FileType::Fifo, Mode::RWXU, 0).unwrap();
        };
        assert_eq!(looked_up(fifo), LayerLookup::Hidden);
        // Where the file system has no such attributes, no layer has any.
        let tree = tempfile::tempdir().unwrap();
        std::fs::create_dir(tree.path().join("etc")).unwrap();
        if set_opaque(open(&tree.path().join("etc"))).is_ok() {
            assert_eq!(look_up(tree.path(), "etc", "passwd"), LayerLookup::Hidden);
        }
    }
}

//! Small files of an image, read from its layers without mounting them.
//!
//! Used where the answer is needed before there is a container: with a single id, the id map depends on which user
//! `USER` names.

use std::os::fd::AsFd as _;
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags};

use dhow_model::digest::Digest;
use dhow_store::Store;

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

enum LayerLookup {
    Found(Vec<u8>),
    Hidden,
    Nothing,
}

fn look_up(tree: &Path, directory: &str, name: &str) -> LayerLookup {
    let Ok(root) = dhow_sys::fs::open_dir(tree) else { return LayerLookup::Hidden };
    let Ok(dir) = dhow_sys::fs::open_in_root(
        root.as_fd(),
        Path::new(directory),
        // O_NONBLOCK: the image may have a FIFO in the directory's place.
        OFlags::RDONLY | OFlags::NONBLOCK,
        Mode::empty(),
    ) else {
        return LayerLookup::Nothing;
    };
    let file = Path::new(directory).join(name);
    let opened =
        dhow_sys::fs::open_in_root(root.as_fd(), &file, OFlags::PATH | OFlags::NOFOLLOW, Mode::empty());
    if let Ok(fd) = opened {
        return match dhow_sys::fs::file_type(fd.as_fd()) {
            // A whiteout: overlayfs marks a deleted file by a character device 0:0.
            Ok(FileType::CharacterDevice) => LayerLookup::Hidden,
            _ => LayerLookup::Found(
                dhow_sys::fs::read_in_root(root.as_fd(), &file, MAX_FILE).unwrap_or_default(),
            ),
        };
    }
    // An opaque directory, or a whiteout or file in its place, hides what the lower layers have.
    let mut value = [0_u8; 4];
    let opaque = rustix::fs::fgetxattr(&dir, "user.overlay.opaque", &mut value[..]).is_ok();
    let is_dir = dhow_sys::fs::file_type(dir.as_fd()).is_ok_and(|kind| kind == FileType::Directory);
    if opaque || !is_dir { LayerLookup::Hidden } else { LayerLookup::Nothing }
}

//! Small files of an image read from its layers, without mounting anything.
//!
//! Used where an answer is needed before there is a container: with one id only, the id map already depends on who
//! `USER` is.

use std::os::fd::AsFd as _;
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags};

use crate::model::digest::Digest;
use crate::store::Store;
use crate::sys;

/// More than any user database that makes sense.
const MAX_FILE: u64 = 16 << 20;

/// The content of `directory/name` in the uppermost of `layers` (lowest first) that has it. Empty where none has it, a
/// layer hides it, or it is not a regular file.
pub(super) fn read(store: &Store, layers: &[Digest], directory: &str, name: &str) -> Vec<u8> {
    for layer in layers.iter().rev() {
        match look(&store.layer_tree(layer), directory, name) {
            Look::Found(content) => return content,
            Look::Hidden => return Vec::new(),
            Look::Nothing => {}
        }
    }
    Vec::new()
}

/// Whether any of `layers` has the directory `path`. A layer above may hide it: this is for hints only.
pub(super) fn has_directory(store: &Store, layers: &[Digest], path: &str) -> bool {
    let has = |layer: &Digest| store.layer_tree(layer).join(path).is_dir();
    layers.iter().any(has)
}

enum Look {
    Found(Vec<u8>),
    Hidden,
    Nothing,
}

fn look(tree: &Path, directory: &str, name: &str) -> Look {
    let Ok(root) = sys::fs::open_dir(tree) else { return Look::Hidden };
    let Ok(dir) = sys::fs::open_in_root(
        root.as_fd(),
        Path::new(directory),
        OFlags::RDONLY | OFlags::NONBLOCK,
        Mode::empty(),
    ) else {
        return Look::Nothing;
    };
    let file = Path::new(directory).join(name);
    let opened = sys::fs::open_in_root(root.as_fd(), &file, OFlags::PATH | OFlags::NOFOLLOW, Mode::empty());
    if let Ok(fd) = opened {
        return match sys::fs::file_type(fd.as_fd()) {
            // A whiteout.
            Ok(FileType::CharacterDevice) => Look::Hidden,
            _ => Look::Found(sys::fs::read_in_root(root.as_fd(), &file, MAX_FILE).unwrap_or_default()),
        };
    }
    // A directory that is a whiteout, a file, or opaque hides what layers below have.
    let mut value = [0_u8; 4];
    let opaque = rustix::fs::fgetxattr(&dir, "user.overlay.opaque", &mut value[..]).is_ok();
    let is_dir = sys::fs::file_type(dir.as_fd()).is_ok_and(|kind| kind == FileType::Directory);
    if opaque || !is_dir { Look::Hidden } else { Look::Nothing }
}

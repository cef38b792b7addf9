//! Where trees lie on the disk: each apart from the others. See [`super::layout`], "Placement".

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags};

use super::Store;
use crate::fs::with_dir;
use dhow_sys::inode_flags::{has_top_directory_flag, set_top_directory_flag};

/// Below the data root, the directories whose children are trees of their own.
const TREE_PARENTS: [&str; 5] = ["layers", "containers", "volumes", "cache/mounts", "trash"];

impl Store {
    /// Asks the file system to keep the trees of the store apart, creating the directories that hold them. Costs
    /// three system calls if that was done before. Failures are ignored: other file systems have their own ways
    /// to place files.
    pub fn spread_trees(&self) {
        // The last to get the flag, so it tells whether all have it.
        let Ok(last) = open_or_create(&self.tmp_dir()) else { return };
        if has_top_directory_flag(last.as_fd()).unwrap_or(true) {
            return;
        }
        let set = |name: &str| set_top_directory_flag(open_or_create(&self.root.join(name))?.as_fd());
        if TREE_PARENTS.iter().try_for_each(|name| set(name)).is_ok() {
            let _ = set_top_directory_flag(last.as_fd());
        }
    }
}

fn open_or_create(dir: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    with_dir(dir, || Ok(rustix::fs::open(dir, flags, Mode::empty())?))
}

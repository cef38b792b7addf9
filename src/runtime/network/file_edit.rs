//! Edits files of a running container, such as /etc/hosts, in place: programs may have them open, and they
//! are bind mounts.

use std::io::{Read as _, Seek as _, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::Path;

use anyhow::Result;
use rustix::fs::{Mode, OFlags};

use dhow_error::{Failure, FailureKind};
use dhow_sandbox::fs_helper::{FsHelperContext, FsTarget, PipeDirection, start_helper};

/// Limit on the file, in bytes.
const MAX_FILE: u64 = 1 << 20;

/// Replaces the text of the file `path` (relative to the root) by what `change` makes of it. `process` is a
/// pidfd of the container's first process.
pub(crate) fn edit_file(process: BorrowedFd<'_>, path: &str, change: impl Fn(&str) -> String) -> Result<()> {
    let helper =
        start_helper(FsTarget::Running(process), PipeDirection::Out, |context: FsHelperContext<'_>| {
            // O_NONBLOCK: the container may have put a FIFO there.
            let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NONBLOCK;
            let file =
                dhow_sys::fs::open_in_root(context.root.as_fd(), Path::new(path), flags, Mode::empty())?;
            let mut file = std::fs::File::from(file);
            let mut text = String::new();
            if !file.metadata()?.is_file()
                || std::io::Read::by_ref(&mut file).take(MAX_FILE).read_to_string(&mut text)? as u64
                    == MAX_FILE
            {
                return Err(
                    Failure::new(FailureKind::Invalid, format!("its /{path} is not a text file")).into()
                );
            }
            let changed = change(&text);
            file.rewind()?;
            // Not replaced by a new file: the bind mount would keep showing the old inode.
            file.set_len(0)?;
            file.write_all(changed.as_bytes())?;
            context.send(&())
        })?;
    helper.receive::<()>()?;
    helper.finish()
}

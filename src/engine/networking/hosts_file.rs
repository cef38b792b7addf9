//! Files of a container that runs, such as its /etc/hosts, changed in place: programs may have them open.

use std::io::{Read as _, Seek as _, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::Path;

use anyhow::Result;
use rustix::fs::{Mode, OFlags};

use crate::error::{Failure, Kind};
use crate::sandbox::visit::{Flow, Inside, Place, visit};
use crate::sys;

/// The longest file that is read, in bytes.
const LONGEST: u64 = 1 << 20;

/// Replaces the text of the file `path`, which is below the root, by what `change` makes of it. `process` is a pidfd of
/// the container's first process.
pub(in crate::engine) fn edit(
    process: BorrowedFd<'_>,
    path: &str,
    change: impl Fn(&str) -> String,
) -> Result<()> {
    let visitor = visit(Place::Running(process), Flow::Out, |inside: Inside<'_>| {
        let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = sys::fs::open_in_root(inside.root.as_fd(), Path::new(path), flags, Mode::empty())?;
        let mut file = std::fs::File::from(file);
        let mut text = String::new();
        if !file.metadata()?.is_file()
            || std::io::Read::by_ref(&mut file).take(LONGEST).read_to_string(&mut text)? as u64 == LONGEST
        {
            return Err(Failure::new(Kind::Invalid, format!("its /{path} is not a text file")).into());
        }
        let changed = change(&text);
        file.rewind()?;
        file.set_len(0)?;
        file.write_all(changed.as_bytes())?;
        inside.tell(&())
    })?;
    visitor.hear::<()>()?;
    visitor.finish()
}

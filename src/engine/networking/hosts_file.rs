//! The /etc/hosts of a container that runs, changed in place: programs may have it open.

use std::io::{Read as _, Seek as _, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::Path;

use anyhow::Result;
use rustix::fs::{Mode, OFlags};

use crate::error::{Failure, Kind};
use crate::sandbox::visit::{Flow, Inside, Place, visit};
use crate::sys;

/// The longest hosts file that is read, in bytes.
const LONGEST: u64 = 1 << 20;

/// Replaces its text by what `change` makes of it. `process` is a pidfd of the container's first process.
pub(in crate::engine) fn edit(process: BorrowedFd<'_>, change: impl Fn(&str) -> String) -> Result<()> {
    let mut visitor = visit(Place::Running(process), Flow::Out, |inside: Inside<'_>| {
        let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = sys::fs::open_in_root(inside.root.as_fd(), Path::new("etc/hosts"), flags, Mode::empty())?;
        let mut file = std::fs::File::from(file);
        let mut text = String::new();
        if !file.metadata()?.is_file()
            || std::io::Read::by_ref(&mut file).take(LONGEST).read_to_string(&mut text)? as u64 == LONGEST
        {
            return Err(Failure::new(Kind::Invalid, "its /etc/hosts is not a text file").into());
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

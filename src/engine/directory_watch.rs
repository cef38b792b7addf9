//! Waiting for changes of a log, with inotify(7).

use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};

/// A nonblocking inotify descriptor that becomes readable when a file in `dir` is written to, created or renamed. The
/// directory is watched rather than a file, since rotation replaces that.
pub(crate) fn watch_directory(dir: &Path) -> rustix::io::Result<OwnedFd> {
    let watch = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
    inotify::add_watch(&watch, dir, WatchFlags::MODIFY | WatchFlags::CREATE | WatchFlags::MOVED_TO)?;
    Ok(watch)
}

/// Discards the events that are pending: what changed is found by reading the log.
pub(crate) fn discard_events(watch: &OwnedFd) {
    let mut buffer = [0; 4096];
    while rustix::io::read(watch, &mut buffer[..]).is_ok_and(|length| length > 0) {}
}

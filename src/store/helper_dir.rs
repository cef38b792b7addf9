//! The directory of network helpers: a socket for each of the host's network namespaces that containers were
//! started from, and a lock that serialises starting a helper.

use std::path::PathBuf;

use anyhow::Context as _;

use super::Store;
use super::lock::{FileLock, LockMode};

impl Store {
    /// The directory of the helpers' sockets. It exists after the first [`Store::lock_helper_start`].
    pub fn helper_dir(&self) -> PathBuf {
        self.root().join("helpers")
    }

    /// Waits until no other process is starting the helper `name`.
    pub fn lock_helper_start(&self, name: &str) -> anyhow::Result<FileLock> {
        FileLock::acquire(&self.helper_dir().join(format!("{name}.lock")), LockMode::Exclusive)
            .context("cannot lock the start of the network helper")
    }
}

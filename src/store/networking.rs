//! Where the network helpers of the account are met: a socket for each network namespace of the host in which containers
//! were started, and a lock for who starts a helper.

use std::path::PathBuf;

use anyhow::Context as _;

use super::Store;
use super::lock::{Lock, Mode};

impl Store {
    /// The directory of the helpers' sockets. It exists once [`Store::lock_helper_start`] has been called.
    pub fn helper_dir(&self) -> PathBuf {
        self.root().join("helpers")
    }

    /// Waits until nobody else starts the helper called `name`.
    pub fn lock_helper_start(&self, name: &str) -> anyhow::Result<Lock> {
        Lock::acquire(&self.helper_dir().join(format!("{name}.lock")), Mode::Exclusive)
            .context("cannot lock the start of the network helper")
    }
}

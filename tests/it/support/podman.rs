//! Debian's podman, to exchange archives with.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use super::Dhow;
use super::process::must_run;

/// Debian's podman with a store of its own. Only for commands on images, which need no cgroups.
pub(crate) struct Podman {
    store: PathBuf,
}

impl Podman {
    /// An empty store.
    pub(crate) fn new(dhow: &Dhow) -> Self {
        let store = dhow.dir().join("podman");
        fs::create_dir_all(&store).unwrap();
        Self { store }
    }

    /// Runs a command that must succeed; returns its output.
    pub(crate) fn run(&self, args: &[&str]) -> String {
        let mut command = Command::new("podman");
        command.arg("--root").arg(self.store.join("root")).arg("--runroot").arg(self.store.join("run"));
        command
            .args(["--storage-driver", "vfs", "--cgroup-manager", "cgroupfs", "--log-level", "error"])
            .args(args);
        must_run(&mut command).out()
    }
}

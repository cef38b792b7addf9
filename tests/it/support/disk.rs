//! Disks for one test: mounts that end with it, and small images of ext4.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::account::is_root;
use super::process::must_run;
use super::{Dhow, have_programs, leave_out};

/// A mount that is removed with the test.
pub(crate) struct Mounted(pub(crate) PathBuf);

impl Mounted {
    pub(crate) fn new(at: &Path, options: &[&str]) -> Self {
        must_run(Command::new("mount").args(options).arg(at));
        Self(at.to_owned())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg(&self.0).status();
        if !unmounted.is_ok_and(|status| status.success()) {
            // Something still uses it: it goes when that does, and the test says what that is.
            let _ = Command::new("umount").arg("-l").arg(&self.0).status();
        }
    }
}

/// A small disk image, mounted below the test's directory.
pub(crate) struct Disk {
    at: Mounted,
}

impl Disk {
    /// `megabytes` of ext4, made with these options of mkfs, that the account can write to; leaves the test out if it
    /// cannot be mounted.
    pub(crate) fn mount(dhow: &Dhow, megabytes: u64, options: &[&str]) -> Option<Self> {
        if !is_root() {
            leave_out("a disk of the test's own needs root to mount it");
            return None;
        }
        have_programs(&["mkfs.ext4", "mount"]).then_some(())?;
        let file = dhow.dir().join("disk.ext4");
        fs::File::create(&file).unwrap().set_len(megabytes << 20).unwrap();
        must_run(Command::new("mkfs.ext4").args(["-q", "-m", "0"]).args(options).arg(&file));
        let at = Mounted::new(&dhow.make_dir("disk"), &["-o", "loop", file.to_str().unwrap()]);
        dhow.give(&at.0);
        Some(Self { at })
    }

    /// Where it is mounted.
    pub(crate) fn path(&self) -> &Path {
        &self.at.0
    }

    /// A data root on it.
    pub(crate) fn root(&self) -> PathBuf {
        self.at.0.join("root")
    }
}

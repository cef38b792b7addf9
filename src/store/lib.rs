//! The only writer below the data root: layers, images, containers, volumes, networks, their locks and their
//! removal.
//!
//! The disk format and the locking rules are documented in [`layout`].

#![allow(clippy::disallowed_methods, reason = "this crate is what the lint points to")]

pub mod atomic;
mod build_cache;
pub mod builders;
mod cache_mounts;
mod container_names;
mod container_scan;
pub(crate) mod containers;
pub mod event_records;
pub(crate) mod events;
mod failed_steps;
mod fs;
mod helper_dir;
pub(crate) mod image_names;
pub(crate) mod images;
pub(crate) mod layers;
pub(crate) mod layout;
mod leases;
mod listing_index;
pub mod lock;
mod log;
mod manifest_lists;
mod name_listing;
mod networks;
mod packed_blobs;
mod placement;
mod record_reader;
mod spec_edit;
mod step_dirs;
pub(crate) mod temp;
pub(crate) mod trash;
pub(crate) mod volumes;

use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use dhow_error::{Failure, unsupported};

pub use build_cache::StepRecord;
pub use cache_mounts::{CacheMountGuard, CacheSharing};
pub use container_scan::ScannedContainer;
pub use containers::{ContainerDir, LockedContainer, check_name, new_container_id};
pub use failed_steps::FailedState;
pub use image_names::NameRecord;
pub use images::{LockedImage, NewImage, StoredImage};
pub use layers::{LayerDraft, LayerLease, LayerSlot};
pub use leases::elect_default_route;
pub use log::{LogEntry, LogWriter};
pub use manifest_lists::{ListedManifest, ManifestList};
pub use packed_blobs::PackedBlob;
pub use step_dirs::write_new;
pub use temp::TempDir;
pub use trash::TrashedEntry;
pub use volumes::VolumeRecord;

use fs::{make_private_dirs, with_dir};

const FORMAT_VERSION: &str = "1\n";

/// The data root. Opening it reads one file; directories that hold records are created on first use.
#[derive(Clone, Debug)]
pub struct Store {
    root: PathBuf,
}

impl Store {
    /// Opens the store at `root`, creating it if it does not exist. Any other format version is refused.
    pub fn open(root: PathBuf) -> anyhow::Result<Store> {
        let store = Store { root };
        let path = store.root.join("version");
        match std::fs::read(&path) {
            Ok(text) if text == FORMAT_VERSION.as_bytes() => Ok(store),
            Ok(text) => Err(other_version(&store.root, &text).into()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                store.initialise(&path)?;
                Ok(store)
            }
            Err(error) => {
                Err(error).with_context(|| format!("cannot open the store `{}`", store.root.display()))
            }
        }
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Whether nobody has claimed `notice` (a single word) before; for messages that are shown once
    /// per store.
    pub fn claim_notice(&self, notice: &str) -> bool {
        // O_EXCL decides which of several processes shows the notice.
        with_dir(&self.root.join("said"), || std::fs::File::create_new(self.root.join("said").join(notice)))
            .is_ok()
    }

    fn initialise(&self, version: &Path) -> anyhow::Result<()> {
        // Create the trash now: every removal is a rename into it, and it must exist before the disk is full.
        make_private_dirs(&self.trash_dir())
            .and_then(|()| atomic::write(version, FORMAT_VERSION.as_bytes(), atomic::Durability::Synced))
            .with_context(|| format!("cannot create the store `{}`", self.root.display()))?;
        self.spread_trees();
        Ok(())
    }
}

fn other_version(root: &Path, text: &[u8]) -> Failure {
    let version = String::from_utf8_lossy(text);
    unsupported(format!(
        "the store `{}` has format `{}`; this dhow knows format {}",
        root.display(),
        version.trim().escape_debug(),
        FORMAT_VERSION.trim()
    ))
    .hint("use a newer dhow, or another store through DHOW_ROOT")
}

/// The current time as stored in records: RFC 3339, UTC.
fn timestamp_now() -> String {
    jiff::Timestamp::now().to_string()
}

/// Stores for a single test, also for the tests of other crates.
#[cfg(any(test, feature = "testing"))]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
pub mod scratch {
    use super::Store;

    /// An empty store in a temporary directory that is removed with the first value.
    pub fn store() -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().join("store")).unwrap();
        (dir, store)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn makes_itself_and_opens_again() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("a/b");
        Store::open(root.clone()).unwrap();
        assert_eq!(std::fs::read(root.join("version")).unwrap(), b"1\n");
        Store::open(root).unwrap();
    }

    #[test]
    fn a_first_time_comes_once() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().join("store")).unwrap();
        assert!(store.claim_notice("x"));
        assert!(!store.claim_notice("x"));
        assert!(store.claim_notice("y"));
    }

    #[test]
    fn refuses_a_later_format_by_name() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("version"), "2\n").unwrap();
        let error = Store::open(dir.path().into()).unwrap_err();
        assert!(error.to_string().contains("format `2`"), "{error}");
    }
}

//! `diff`: the paths that a container added, changed or deleted.

use std::path::Path;

use anyhow::{Context as _, Result};

use dhow_image::changes::{FileChange, changes};
use dhow_runtime::rootfs_view;
use dhow_store::Store;

/// The changes of the container `text`, running or not, sorted by path.
///
/// The process must be able to read files of every owner (see `userns`).
pub fn diff(store: &Store, text: &str) -> Result<Vec<FileChange>> {
    let container = store.find_container(text)?;
    let image = rootfs_view::container_image(store, container.spec(), "compare")?;
    let lower = rootfs_view::lower_dirs(store, &image.config.rootfs.diff_ids);
    let lower: Vec<&Path> = lower.iter().map(AsRef::as_ref).collect();
    changes(&container.upper(), &lower)
        .with_context(|| format!("cannot compare container {} with its image", container.spec().name))
}

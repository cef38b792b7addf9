//! The ids of a container's user, resolved in the image's layers before anything is mounted.

use std::os::fd::AsFd as _;

use anyhow::{Context as _, Result};

use crate::engine::image_files;
use crate::model::container::ContainerSpec;
use crate::model::digest::Digest;
use crate::sandbox::user::{Database, User};
use crate::store::Store;
use crate::sys;

/// Resolves the specification's user in the user database of the image or of the `--rootfs` directory.
pub(super) fn of(store: &Store, spec: &ContainerSpec, layers: &[Digest]) -> Result<User> {
    let asked = spec.process.user.as_deref().unwrap_or_default();
    let database = match &spec.rootfs {
        Some(dir) => Database::read(
            sys::fs::open_dir(dir).with_context(|| format!("opening `{}`", dir.display()))?.as_fd(),
        ),
        None => Database::of(
            &image_files::read(store, layers, "etc", "passwd"),
            &image_files::read(store, layers, "etc", "group"),
        ),
    };
    Ok(database.resolve(asked, &spec.process.groups)?)
}

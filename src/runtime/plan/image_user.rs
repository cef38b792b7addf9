//! The ids of a container's user, resolved in the image's layers before anything is mounted.

use std::os::fd::AsFd as _;

use anyhow::{Context as _, Result};

use crate::plan::layer_files;
use dhow_model::container::ContainerSpec;
use dhow_model::digest::Digest;
use dhow_sandbox::confine::user::{ProcessUser, UserDatabase};
use dhow_store::Store;

/// Resolves the specification's user in the user database of the image or of the `--rootfs` directory.
pub(crate) fn image_user(store: &Store, spec: &ContainerSpec, layers: &[Digest]) -> Result<ProcessUser> {
    let user = spec.process.user.as_deref().unwrap_or_default();
    let database = match &spec.rootfs {
        Some(dir) => UserDatabase::read(
            dhow_sys::fs::open_dir(dir).with_context(|| format!("opening `{}`", dir.display()))?.as_fd(),
        ),
        None => UserDatabase::from_files(
            &layer_files::read_file(store, layers, "etc", "passwd"),
            &layer_files::read_file(store, layers, "etc", "group"),
        ),
    };
    Ok(database.resolve(user, &spec.process.groups)?)
}

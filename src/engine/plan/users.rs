//! The ids of a container's user, resolved in the image's layers before anything is mounted.

use std::os::fd::AsFd as _;

use anyhow::{Context as _, Result};

use crate::engine::image_files;
use crate::model::container::ContainerSpec;
use crate::model::digest::Digest;
use crate::sandbox::user::{ProcessUser, UserDatabase};
use crate::store::Store;
use crate::sys;

/// Resolves the specification's user in the user database of the image or of the `--rootfs` directory.
pub(super) fn image_user(store: &Store, spec: &ContainerSpec, layers: &[Digest]) -> Result<ProcessUser> {
    let asked = spec.process.user.as_deref().unwrap_or_default();
    let database = match &spec.rootfs {
        Some(dir) => UserDatabase::read(
            sys::fs::open_dir(dir).with_context(|| format!("opening `{}`", dir.display()))?.as_fd(),
        ),
        None => UserDatabase::from_files(
            &image_files::read_file(store, layers, "etc", "passwd"),
            &image_files::read_file(store, layers, "etc", "group"),
        ),
    };
    Ok(database.resolve(asked, &spec.process.groups)?)
}

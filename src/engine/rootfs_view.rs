//! A container's file system seen from outside: what it is made of.

use anyhow::Result;

use crate::error::{not_found, unsupported};
use crate::model::container::ContainerSpec;
use crate::model::digest::Digest;
use crate::store::{Image, Store};

/// The image of a container; an error where a directory takes its place or it is gone.
pub(super) fn image(store: &Store, spec: &ContainerSpec, doing: &str) -> Result<Image> {
    let Some(image) = &spec.image else {
        let message = format!("cannot {doing} container {}: it has no image", spec.name);
        return Err(unsupported(message).hint("with --rootfs it changes that directory itself").into());
    };
    store.image(&image.id)?.ok_or_else(|| not_found(format!("No such image: {}", image.name)).into())
}

/// The layers below a container's own, the uppermost first.
pub(super) fn lower(store: &Store, layers: &[Digest]) -> Vec<std::path::PathBuf> {
    layers.iter().rev().map(|layer| store.layer_tree(layer)).collect()
}

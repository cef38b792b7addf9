//! A container's file system seen from outside: what it is made of, and how to get there.

use std::os::fd::{AsFd as _, OwnedFd};

use anyhow::{Context as _, Result};

use super::first_process::{self, FirstProcess};
use super::plan::visit::{Visit, layout};
use crate::error::{not_found, unsupported};
use crate::model::container::ContainerSpec;
use crate::model::digest::Digest;
use crate::sandbox::identity::Identity;
use crate::sandbox::visit::{self, Place};
use crate::store::{ContainerDir, Image, Store};

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

/// A container that can be visited.
pub(super) struct View<'a> {
    store: &'a Store,
    identity: &'a Identity,
    container: ContainerDir,
    state: State,
}

enum State {
    Running(FirstProcess),
    Stopped,
}

impl<'a> View<'a> {
    /// A view for reading. The process must not have entered a user namespace.
    pub(super) fn for_reading(
        store: &'a Store,
        container: ContainerDir,
        identity: &'a Identity,
    ) -> Result<Self> {
        let state = first_process::find(&container)?.map_or(State::Stopped, State::Running);
        Ok(Self { store, identity, container, state })
    }

    /// Its own files without what is mounted in it, as the root of a tree that nobody else sees.
    pub(super) fn own_tree(&self) -> Result<OwnedFd> {
        self.at(Visit::Bare, visit::own_tree)
    }

    fn at<T>(&self, kind: Visit, action: impl FnOnce(Place<'_>) -> Result<T>) -> Result<T> {
        let name = &self.container.spec().name;
        let layout = match &self.state {
            State::Running(process) => {
                return action(Place::Running(process.as_fd()))
                    .with_context(|| format!("cannot enter container {name}"));
            }
            State::Stopped => {
                let spec = self.container.spec();
                let layers = match &spec.image {
                    Some(_) => image(self.store, spec, "look into")?.config.rootfs.diff_ids,
                    None => Vec::new(),
                };
                layout(self.store, &self.container, &layers, self.identity, kind)?
            }
        };
        action(Place::Stopped(&layout, self.identity))
            .with_context(|| format!("cannot mount the file system of container {name}"))
    }
}

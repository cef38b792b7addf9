//! Access to a container's file system from outside, whether it runs or not.

use std::os::fd::{AsFd as _, OwnedFd};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use super::control::{Contact, reach};
use super::first_process::{self, FirstProcess};
use super::plan::visit::{Visit, layout};
use crate::error::{Failure, Kind, not_found, unsupported};
use crate::model::container::ContainerSpec;
use crate::model::digest::Digest;
use crate::sandbox::identity::Identity;
use crate::sandbox::visit::{self, Flow, Inside, Place, Visitor};
use crate::store::{ContainerDir, Image, LockedContainer, Store};

/// How long a container may be about to run, and the interval between checks.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(5);

/// The container's image. Fails if it has none (`--rootfs`) or the image is gone; `doing` completes the
/// message.
pub(super) fn image(store: &Store, spec: &ContainerSpec, doing: &str) -> Result<Image> {
    let Some(image) = &spec.image else {
        let message = format!("cannot {doing} container {}: it has no image", spec.name);
        return Err(unsupported(message).hint("with --rootfs it changes that directory itself").into());
    };
    store.image(&image.id)?.ok_or_else(|| not_found(format!("No such image: {}", image.name)).into())
}

/// The directories of the image's layers, uppermost first.
pub(super) fn lower(store: &Store, layers: &[Digest]) -> Vec<std::path::PathBuf> {
    layers.iter().rev().map(|layer| store.layer_tree(layer)).collect()
}

/// The first process of a container whose namespaces can still be joined.
fn inside(container: &ContainerDir) -> Result<Option<FirstProcess>> {
    match first_process::find(container)? {
        Some(process) if process.has_left()? => Ok(None),
        found => Ok(found),
    }
}

/// A container whose file system can be worked in.
pub(super) struct View<'a> {
    store: &'a Store,
    identity: &'a Identity,
    container: ContainerDir,
    running: Option<FirstProcess>,
    /// Keeps a stopped container from being started meanwhile.
    _held: Option<Box<LockedContainer>>,
}

impl<'a> View<'a> {
    /// For reading. The process must be outside any user namespace.
    pub(super) fn for_reading(
        store: &'a Store,
        container: ContainerDir,
        identity: &'a Identity,
    ) -> Result<Self> {
        let running = inside(&container)?;
        Ok(Self { store, identity, container, running, _held: None })
    }

    /// For writing. A stopped container stays locked as long as the view lives, so that nobody starts it: two
    /// mounts with the same upper directory would corrupt it (overlayfs.rst, "Sharing and copying layers").
    pub(super) fn for_writing(
        store: &'a Store,
        container: ContainerDir,
        identity: &'a Identity,
    ) -> Result<Self> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            // Stopped: locked from here on, until the view is dropped.
            if let Contact::Nobody(locked) = reach(container.clone())? {
                let container = (**locked).clone();
                return Ok(Self { store, identity, container, running: None, _held: Some(locked) });
            }
            // Supervised, and its process can be entered: work in its namespaces, where its mounts are.
            if let Some(process) = inside(&container)? {
                return Ok(Self { store, identity, container, running: Some(process), _held: None });
            }
            if Instant::now() > deadline {
                let name = &container.spec().name;
                let message = format!("container {name} is being started, or waits to be started again");
                return Err(Failure::new(Kind::InUse, message).hint("stop it, or try again").into());
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// Starts a helper process that does `work` in the file system.
    pub(super) fn visit(&self, flow: Flow, work: impl FnOnce(Inside<'_>) -> Result<()>) -> Result<Visitor> {
        let kind = if flow == Flow::In { Visit::Write } else { Visit::Read };
        self.at(kind, |place| visit::visit(place, flow, work))
    }

    /// The container's own files without its mounts, as a detached mount tree.
    pub(super) fn own_tree(&self) -> Result<OwnedFd> {
        self.at(Visit::Bare, visit::own_tree)
    }

    fn at<T>(&self, kind: Visit, action: impl FnOnce(Place<'_>) -> Result<T>) -> Result<T> {
        let name = &self.container.spec().name;
        if let Some(process) = &self.running {
            return action(Place::Running(process.as_fd()))
                .with_context(|| format!("cannot enter container {name}"));
        }
        let spec = self.container.spec();
        let layers = match &spec.image {
            Some(_) => image(self.store, spec, "look into")?.config.rootfs.diff_ids,
            None => Vec::new(),
        };
        let layout = layout(self.store, &self.container, &layers, self.identity, kind)?;
        action(Place::Stopped(&layout, self.identity))
            .with_context(|| format!("cannot mount the file system of container {name}"))
    }
}

//! Access to a container's file system from outside, whether it runs or not.

use std::os::fd::{AsFd as _, OwnedFd};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use super::control::{ContainerAccess, connect_or_lock};
use super::first_process::{self, FirstProcess};
use super::plan::rootfs_layout::{RootfsAccess, rootfs_layout};
use dhow_error::{Failure, FailureKind, not_found, unsupported};
use dhow_model::container::ContainerSpec;
use dhow_model::digest::Digest;
use dhow_sandbox::fs_helper::{self, FsHelper, FsHelperContext, FsTarget, PipeDirection};
use dhow_sandbox::identity::HostIdentity;
use dhow_store::{ContainerDir, LockedContainer, Store, StoredImage};

/// How long a container may be about to run, and the interval between checks.
const START_TIMEOUT: Duration = Duration::from_secs(10);
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// The container's image. Fails if it has none (`--rootfs`) or the image is gone; `doing` completes the
/// message.
pub fn container_image(store: &Store, spec: &ContainerSpec, doing: &str) -> Result<StoredImage> {
    let Some(image) = &spec.image else {
        let message = format!("cannot {doing} container {}: it has no image", spec.name);
        return Err(unsupported(message).hint("with --rootfs it changes that directory itself").into());
    };
    store.image(&image.id)?.ok_or_else(|| not_found(format!("No such image: {}", image.name)).into())
}

/// The directories of the image's layers, uppermost first.
pub fn lower_dirs(store: &Store, layers: &[Digest]) -> Vec<std::path::PathBuf> {
    layers.iter().rev().map(|layer| store.layer_tree(layer)).collect()
}

/// The first process of a container whose namespaces can still be joined.
fn reachable_process(container: &ContainerDir) -> Result<Option<FirstProcess>> {
    match first_process::find(container)? {
        Some(process) if process.has_left_namespaces()? => Ok(None),
        process => Ok(process),
    }
}

/// A container whose file system can be worked in.
pub struct RootfsView<'a> {
    store: &'a Store,
    identity: &'a HostIdentity,
    container: ContainerDir,
    running: Option<FirstProcess>,
    /// Keeps a stopped container from being started meanwhile.
    _lock: Option<Box<LockedContainer>>,
}

impl<'a> RootfsView<'a> {
    /// For reading. The process must be outside any user namespace.
    pub fn for_reading(
        store: &'a Store,
        container: ContainerDir,
        identity: &'a HostIdentity,
    ) -> Result<Self> {
        let running = reachable_process(&container)?;
        Ok(Self { store, identity, container, running, _lock: None })
    }

    /// For writing. A stopped container stays locked as long as the view lives, so that nobody starts it: two
    /// mounts with the same upper directory would corrupt it (overlayfs.rst, "Sharing and copying layers").
    pub fn for_writing(
        store: &'a Store,
        container: ContainerDir,
        identity: &'a HostIdentity,
    ) -> Result<Self> {
        let deadline = Instant::now() + START_TIMEOUT;
        loop {
            // Stopped: locked from here on, until the view is dropped.
            if let ContainerAccess::Unsupervised(locked) = connect_or_lock(container.clone())? {
                let container = (**locked).clone();
                return Ok(Self { store, identity, container, running: None, _lock: Some(locked) });
            }
            // Supervised, and its process can be entered: work in its namespaces, where its mounts are.
            if let Some(process) = reachable_process(&container)? {
                return Ok(Self { store, identity, container, running: Some(process), _lock: None });
            }
            if Instant::now() > deadline {
                let name = &container.spec().name;
                let message = format!("container {name} is being started, or waits to be started again");
                return Err(Failure::new(FailureKind::InUse, message).hint("stop it, or try again").into());
            }
            std::thread::sleep(POLL_INTERVAL);
        }
    }

    /// Starts a helper process that does `work` in the file system.
    pub fn spawn_helper(
        &self,
        flow: PipeDirection,
        work: impl FnOnce(FsHelperContext<'_>) -> Result<()>,
    ) -> Result<FsHelper> {
        let access = if flow == PipeDirection::In { RootfsAccess::Write } else { RootfsAccess::Read };
        self.with_rootfs(access, |target| fs_helper::start_helper(target, flow, work))
    }

    /// The container's own files without its mounts, as a detached mount tree.
    pub fn own_tree(&self) -> Result<OwnedFd> {
        self.with_rootfs(RootfsAccess::Bare, fs_helper::clone_root_tree)
    }

    fn with_rootfs<T>(
        &self,
        access: RootfsAccess,
        action: impl FnOnce(FsTarget<'_>) -> Result<T>,
    ) -> Result<T> {
        let name = &self.container.spec().name;
        if let Some(process) = &self.running {
            return action(FsTarget::Running(process.as_fd()))
                .with_context(|| format!("cannot enter container {name}"));
        }
        let spec = self.container.spec();
        let layers = match &spec.image {
            Some(_) => container_image(self.store, spec, "look into")?.config.rootfs.diff_ids,
            None => Vec::new(),
        };
        let layout = rootfs_layout(self.store, &self.container, &layers, self.identity, access)?;
        action(FsTarget::Stopped(&layout, self.identity))
            .with_context(|| format!("cannot mount the file system of container {name}"))
    }
}

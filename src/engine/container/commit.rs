//! `commit`: makes an image of a container's image and the container's changes.
//!
//! It costs as much as the changes: the image's layers are shared, and the new layer is a copy of the changed files.

use std::os::fd::OwnedFd;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::{pause, unpause};
use crate::image::tag::tag_name;
use dhow_error::{FailureKind, corrupt, kind_of, not_found};
use dhow_image::changes::changes;
use dhow_image::snapshot::snapshot;
use dhow_model::config_change;
use dhow_model::container::ContainerSpec;
use dhow_model::digest::Digest;
use dhow_model::event::EngineEvent;
use dhow_model::image::{HistoryEntry, ImageConfig, ImageRootFs, RunConfig};
use dhow_model::mount::MountSource;
use dhow_model::reference::ImageReference;
use dhow_runtime::rootfs_view;
use dhow_runtime::state::now_rfc3339;
use dhow_runtime::userns;
use dhow_sandbox::identity::HostIdentity;
use dhow_store::event_records;
use dhow_store::{ContainerDir, LayerLease, LayerSlot, NewImage, Store, StoredImage};
use dhow_sys::process::{ChildProcess, ForkSide};

#[derive(Clone, Debug)]
pub struct CommitRequest {
    /// The container, as the user named it.
    pub container: String,
    pub reference: Option<ImageReference>,
    pub author: String,
    pub message: String,
    /// Dockerfile instructions (`--change`).
    pub changes: Vec<String>,
    /// Pause the container meanwhile.
    pub pause: bool,
}

/// Creates the image and returns its ID. The process must be single-threaded and outside any user namespace.
pub fn commit(store: &Store, request: &CommitRequest, identity: &HostIdentity) -> Result<Digest> {
    let name = request.reference.clone().map(tag_name).transpose()?;
    let container = store.find_container(&request.container)?;
    let spec = container.spec();
    let image = rootfs_view::container_image(store, spec, "commit")?;
    let mut run = run_config(spec, &image.config);
    for change in &request.changes {
        config_change::apply(&mut run, change)?;
    }
    let metadata = CommitMetadata { request, run, name };
    // Paused before the fork below: the guard process must be a child of this one.
    let paused = if request.pause { PauseGuard::pause(store, &container)? } else { None };
    // As root of the namespace even with a single id: a container's files may deny access to their owner.
    let id = userns::run_in_root_child(identity, || {
        store.sweep()?;
        create_image(store, &container, &image, metadata, identity).or_else(|error| {
            // Whatever failed first: if the container is gone now, that is the reason to report.
            match store.container(&spec.id)? {
                Some(_) => Err(error),
                None => Err(not_found(format!("No such container: {}", request.container)).into()),
            }
        })
    })
    .with_context(|| format!("cannot commit container {}", spec.name))?;
    drop(paused);
    let event = EngineEvent::of_container(spec, "commit").with("comment", &request.message);
    store.record_event(event.with("imageID", id.as_str()));
    if let (Some(reference), Some(image)) = (&request.reference, store.image(&id)?) {
        event_records::image_event_with_name(store, "tag", &image, &reference.clone().or_latest().familiar());
    }
    Ok(id)
}

/// What is new besides the layer.
struct CommitMetadata<'a> {
    request: &'a CommitRequest,
    run: RunConfig,
    name: Option<ImageReference>,
}

/// Creates the layer, the configuration and the image. Runs where files of every owner can be created.
fn create_image(
    store: &Store,
    container: &ContainerDir,
    image: &StoredImage,
    metadata: CommitMetadata<'_>,
    identity: &HostIdentity,
) -> Result<Digest> {
    let diff_ids = &image.config.rootfs.diff_ids;
    // Leases keep the layers from being pruned until the image refers to them.
    let mut layers = diff_ids.iter().map(|layer| lease_layer(store, layer)).collect::<Result<Vec<_>>>()?;
    let lower = rootfs_view::lower_dirs(store, diff_ids);
    let lower: Vec<&Path> = lower.iter().map(AsRef::as_ref).collect();
    let upper = container.upper();
    let list = changes(&upper, &lower)?;
    if !list.is_empty() {
        let draft = store.begin_layer_without_digest()?;
        let record = snapshot(&upper, &list, &draft, userns::layer_ownership(identity))?;
        layers.push(draft.commit(record)?);
    }
    // A container that was removed meanwhile may have lost files before they were copied.
    if store.container(&container.spec().id)?.is_none() {
        return Err(not_found("it was removed").into());
    }
    let config = image_config(image, &metadata, container.spec(), &layers);
    let config = serde_json::to_vec(&config).context("writing a configuration")?;
    let names: Vec<(ImageReference, Option<Digest>)> =
        metadata.name.into_iter().map(|name| (name, None)).collect();
    store.put_image(&NewImage { config: &config, manifest: None, layers: &layers, names: &names })
}

fn lease_layer(store: &Store, diff_id: &Digest) -> Result<LayerLease> {
    match store.begin_layer(diff_id)? {
        LayerSlot::Present(lease) => Ok(lease),
        LayerSlot::Draft(_) => Err(corrupt(format!("layer {diff_id} of the container's image is gone"))
            .hint("pull or load the image again")
            .into()),
    }
}

fn image_config(
    image: &StoredImage,
    metadata: &CommitMetadata<'_>,
    spec: &ContainerSpec,
    layers: &[LayerLease],
) -> ImageConfig {
    let (parent, request) = (&image.config, metadata.request);
    let time = Some(now_rfc3339());
    let mut history = parent.history.clone();
    // If the image has no history, or not for all layers, the new entry must not be taken for an old layer's.
    let recorded = history.iter().filter(|entry| !entry.empty_layer).count();
    let missing = parent.rootfs.diff_ids.len().saturating_sub(recorded);
    history.extend(std::iter::repeat_n(
        HistoryEntry { created: parent.created.clone(), ..HistoryEntry::default() },
        missing,
    ));
    let process = &spec.process;
    history.push(HistoryEntry {
        created: time.clone(),
        created_by: process.command.iter().flatten().cloned().collect::<Vec<_>>().join(" "),
        author: request.author.clone(),
        comment: request.message.clone(),
        empty_layer: layers.len() == parent.rootfs.diff_ids.len(),
    });
    ImageConfig {
        created: time,
        author: request.author.clone(),
        architecture: parent.architecture.clone(),
        variant: parent.variant.clone(),
        os: parent.os.clone(),
        comment: request.message.clone(),
        config: metadata.run.clone(),
        rootfs: ImageRootFs {
            kind: "layers".into(),
            diff_ids: layers.iter().map(|layer| layer.diff_id.clone()).collect(),
        },
        history,
        ..ImageConfig::default()
    }
}

/// The container's settings, as defaults of an image.
fn run_config(spec: &ContainerSpec, image: &ImageConfig) -> RunConfig {
    let (process, parent) = (&spec.process, &image.config);
    let anonymous = spec
        .mounts
        .iter()
        .filter(|mount| matches!(mount.source, MountSource::Volume { anonymous: true, .. }));
    let mut volumes = parent.volumes.clone();
    volumes.extend(anonymous.map(|mount| (mount.target.clone(), serde_json::json!({}))));
    RunConfig {
        user: process.user.clone().unwrap_or_default(),
        exposed_ports: parent.exposed_ports.clone(),
        env: environment(spec, parent),
        entrypoint: process.entrypoint.clone(),
        cmd: process.command.clone(),
        args_escaped: false,
        volumes,
        working_dir: process.workdir.clone().unwrap_or_default(),
        labels: (!spec.labels.is_empty()).then(|| spec.labels.clone()),
        stop_signal: spec.stop_signal.clone().unwrap_or_default(),
        stop_timeout: spec.stop_timeout,
        healthcheck: (!spec.health.is_empty()).then(|| serde_json::json!(spec.health)),
        on_build: None,
        shell: parent.shell.clone(),
    }
}

/// The variables without `HOSTNAME` and `TERM`, which every container gets by itself.
fn environment(spec: &ContainerSpec, parent: &RunConfig) -> Vec<String> {
    let name = |entry: &str| entry.split('=').next().unwrap_or_default().to_owned();
    let is_automatic = |entry: &str| {
        let value = entry.split_once('=').map_or("", |(_, value)| value);
        match name(entry).as_str() {
            "HOSTNAME" => spec.hostname.as_deref() == Some(value),
            "TERM" => spec.process.tty && value == "xterm",
            _ => false,
        }
    };
    let of_image = |entry: &str| parent.env.iter().any(|variable| name(variable) == name(entry));
    spec.process.env.iter().filter(|entry| of_image(entry) || !is_automatic(entry)).cloned().collect()
}

/// Keeps a container paused until it is dropped, or until this process and its forks have ended, in whatever
/// way: a guard process waits for that and unpauses the container.
struct PauseGuard {
    guard: ChildProcess,
    /// The write end of a pipe; the guard reads from the other end.
    signal: Option<OwnedFd>,
}

impl PauseGuard {
    /// `None` if the container does not run or is paused already.
    fn pause(store: &Store, container: &ContainerDir) -> Result<Option<Self>> {
        let id = &container.spec().id;
        if !container.is_locked()? {
            return Ok(None);
        }
        let (theirs, ours) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
        let paused = match dhow_sys::process::fork()? {
            ForkSide::Child => {
                drop(ours);
                // Ctrl-C is for the command, not for the guard.
                let _ = rustix::process::setsid();
                let mut byte = [0_u8; 1];
                let read = rustix::io::retry_on_intr(|| rustix::io::read(&theirs, &mut byte));
                // A byte means "nothing to unpause"; end of file, including by our death, means "unpause".
                let done = read == Ok(1) || unpause::unpause(store, id).is_ok();
                dhow_sys::process::exit_now(i32::from(!done));
            }
            ForkSide::Parent(guard) => Self { guard, signal: Some(ours) },
        };
        drop(theirs);
        match pause::pause(store, id) {
            Ok(()) => Ok(Some(paused)),
            Err(error) => {
                paused.disarm()?;
                // Paused by somebody else, or exited meanwhile: either way it does not write.
                if kind_of(&error) == FailureKind::Conflict { Ok(None) } else { Err(error) }
            }
        }
    }

    /// Makes the guard exit without unpausing.
    fn disarm(&self) -> Result<()> {
        if let Some(signal) = &self.signal {
            rustix::io::write(signal, b"q")?;
        }
        Ok(())
    }
}

impl Drop for PauseGuard {
    fn drop(&mut self) {
        self.signal = None;
        // The container is unpaused once the guard has exited.
        let _ = self.guard.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_every_container_gets_stays_out() {
        let mut spec = ContainerSpec { hostname: Some("h".into()), ..Default::default() };
        spec.process.env = ["PATH=/bin", "A=1", "TERM=xterm", "HOSTNAME=h"].map(str::to_owned).into();
        let parent = RunConfig { env: vec!["PATH=/bin".into()], ..Default::default() };
        assert_eq!(environment(&spec, &parent), ["PATH=/bin", "A=1", "TERM=xterm"]);
        spec.process.tty = true;
        assert_eq!(environment(&spec, &parent), ["PATH=/bin", "A=1"]);
        let parent = RunConfig { env: vec!["HOSTNAME=x".into()], ..Default::default() };
        assert_eq!(environment(&spec, &parent), ["PATH=/bin", "A=1", "HOSTNAME=h"]);
    }
}

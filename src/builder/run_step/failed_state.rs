//! The file system that a failed step left: kept as an image for inspection, and restored by `--resume`.

use std::path::Path;

use anyhow::{Context as _, Result};

use super::{RunStep, StepContext};
use crate::layer_lease::lease_existing;
use dhow_error::not_found;
use dhow_image::changes::changes;
use dhow_image::snapshot::snapshot;
use dhow_model::digest::Digest;
use dhow_model::image::{ImageConfig, ImageRootFs, RunConfig};
use dhow_model::layer::LayerRecord;
use dhow_runtime::state::now_rfc3339;
use dhow_runtime::{rootfs_view, userns};
use dhow_store::{FailedState, LayerDraft, LayerLease, LockedContainer, NewImage};

/// The repository of these images.
const REPOSITORY: &str = "dhow.local/failed";

/// Creates an image of the step's layers and of what the step changed, if anything.
pub(crate) fn keep_failed_state(
    context: &StepContext<'_>,
    step: &RunStep,
    draft: LayerDraft,
    record: Option<LayerRecord>,
) -> Result<FailedState> {
    let store = context.store;
    let mut layers =
        step.layers.iter().map(|layer| lease_existing(store, layer)).collect::<Result<Vec<_>>>()?;
    let changed = record.map(|record| draft.commit(record)).transpose()?;
    let changed_id = changed.as_ref().map(|layer| layer.diff_id.clone());
    layers.extend(changed);
    let config =
        serde_json::to_vec(&failed_image_config(step, &layers)).context("writing a configuration")?;
    let digest = Digest::of(step.key.as_bytes());
    let name = format!("{REPOSITORY}:{}", digest.hex().get(..12).unwrap_or_default());
    let names = [(name.parse()?, None)];
    let image =
        store.put_image(&NewImage { config: &config, manifest: None, layers: &layers, names: &names })?;
    let state = FailedState {
        key: step.key.clone(),
        image,
        name,
        created: now_rfc3339(),
        about: step.title.clone(),
        layers: step.layers.clone(),
        changed: changed_id,
    };
    store.put_failed_state(&state)?;
    Ok(state)
}

/// The step's own configuration, so that a container of this image starts where the command ran.
fn failed_image_config(step: &RunStep, layers: &[LayerLease]) -> ImageConfig {
    ImageConfig {
        created: Some(now_rfc3339()),
        architecture: step.platform.architecture.clone(),
        variant: step.platform.variant.clone(),
        os: step.platform.os.clone(),
        comment: format!("left by a failed step: {}", step.title),
        config: RunConfig {
            user: step.user.clone(),
            env: step.env.clone(),
            working_dir: step.workdir.clone(),
            cmd: Some(vec!["/bin/sh".into()]),
            shell: step.config.config.shell.clone(),
            ..RunConfig::default()
        },
        rootfs: ImageRootFs {
            kind: "layers".into(),
            diff_ids: layers.iter().map(|layer| layer.diff_id.clone()).collect(),
        },
        ..ImageConfig::default()
    }
}

/// Moves what the failed step `key` changed into this step's upper directory. Consumes the failed state.
pub(crate) fn restore_failed_state(
    context: &StepContext<'_>,
    key: &str,
    container: &LockedContainer,
) -> Result<()> {
    let StepContext { store, identity, .. } = *context;
    let state = store.failed_state(key)?.ok_or_else(|| {
        not_found("the file system that the failed step left is gone").hint("build without --resume")
    })?;
    let Some(changed) = &state.changed else { return store.remove_failed_state(key) };
    userns::run_in_root_child(identity, || {
        // Lease the layer before its image goes, or a concurrent prune could remove it in between.
        let lease = lease_existing(store, changed)?;
        store.remove_failed_state(key)?;
        drop(lease);
        if store.take_layer_tree(changed, &container.upper())? {
            return Ok(());
        }
        // A container of the image still uses the layer: it keeps it, and the step works on a copy.
        let (tree, lower) = (store.layer_tree(changed), rootfs_view::lower_dirs(store, &state.layers));
        let lower: Vec<&Path> = lower.iter().map(AsRef::as_ref).collect();
        let copy = store.begin_layer_without_digest()?;
        snapshot(&tree, &changes(&tree, &lower)?, &copy, userns::layer_ownership(identity))?;
        copy.move_tree_to(&container.upper())
    })
    .context("cannot go on from what the failed step left")
}

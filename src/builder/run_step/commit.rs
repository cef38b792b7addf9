//! Commits a step whose command has exited: a layer, or a failed state.

use std::os::fd::AsFd as _;
use std::path::Path;

use anyhow::Result;

use super::process::ProcessExit;
use super::{RunOutcome, RunStep, StepContext, failed_state};
use dhow_image::commit_upper::{UpperCommit, commit_upper};
use dhow_model::layer::LayerRecord;
use dhow_runtime::{rootfs_view, userns};
use dhow_store::{LayerDraft, LockedContainer};

/// Makes a layer of what the step changed, or keeps it as a failed state.
pub(crate) fn commit_step(
    context: &StepContext<'_>,
    step: &RunStep,
    container: &LockedContainer,
    draft: LayerDraft,
    exit: ProcessExit,
) -> Result<RunOutcome> {
    let code = exit.ended.code();
    let record = upper_to_draft(context, step, container, &draft, &exit, code == 0)?;
    if code != 0 {
        // The command's failure matters more than a failure to keep its files.
        let kept = failed_state::keep_failed_state(context, step, draft, record).ok();
        return Ok(RunOutcome::Failed { code, out_of_memory: exit.out_of_memory, kept });
    }
    Ok(match record {
        Some(record) => RunOutcome::Layer(draft.commit(record)?),
        None => RunOutcome::Nothing,
    })
}

/// Moves the step's upper directory into the draft and removes the container's other files, in a user
/// namespace that can handle files of every owner.
fn upper_to_draft(
    context: &StepContext<'_>,
    step: &RunStep,
    container: &LockedContainer,
    draft: &LayerDraft,
    exit: &ProcessExit,
    succeeded: bool,
) -> Result<Option<LayerRecord>> {
    let StepContext { store, identity, request, .. } = *context;
    let lower = rootfs_view::lower_dirs(store, &step.layers);
    let lower: Vec<&Path> = lower.iter().map(AsRef::as_ref).collect();
    let work = || {
        draft.move_tree_from(&container.upper())?;
        let options = UpperCommit {
            lower: &lower,
            // A failed state keeps its original times.
            epoch: request.epoch.filter(|_| succeeded),
            identity: userns::layer_ownership(identity),
            owner_of_new: exit.single_owner,
            owners: None,
        };
        let record = commit_upper(draft, &options)?;
        store.clear_step_dir(container, draft)?;
        // The sweep belongs here, where files of every owner can be removed.
        store.sweep()?;
        Ok(record)
    };
    match identity.is_mapped() {
        // The ids of the files are mapped in the container's own user namespace.
        true => userns::run_in_userns(exit.user_namespace.as_fd(), work),
        false => userns::run_in_root_child(identity, work),
    }
}

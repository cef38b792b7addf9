//! Commits a step whose command has exited: a layer, or a failed state.

use std::os::fd::AsFd as _;
use std::path::Path;

use anyhow::Result;

use super::life::Ending;
use super::{RunOutcome, RunStep, StepContext, failure};
use crate::engine::{namespace, rootfs_view};
use crate::image::adopt::{Adoption, adopt};
use crate::model::layer::LayerRecord;
use crate::store::{LayerDraft, LockedContainer};

/// Makes a layer of what the step changed, or keeps it as a failed state.
pub(super) fn finish(
    context: &StepContext<'_>,
    step: &RunStep,
    held: &LockedContainer,
    draft: LayerDraft,
    ending: Ending,
) -> Result<RunOutcome> {
    let code = ending.ended.code();
    let record = take_over(context, step, held, &draft, &ending, code == 0)?;
    if code != 0 {
        // The command's failure matters more than a failure to keep its files.
        let kept = failure::keep(context, step, draft, record).ok();
        return Ok(RunOutcome::Failed { code, out_of_memory: ending.out_of_memory, kept });
    }
    Ok(match record {
        Some(record) => RunOutcome::Layer(draft.commit(record)?),
        None => RunOutcome::Nothing,
    })
}

/// Moves the step's upper directory into the draft and removes the container's other files, in a user
/// namespace that can handle files of every owner.
fn take_over(
    context: &StepContext<'_>,
    step: &RunStep,
    held: &LockedContainer,
    draft: &LayerDraft,
    ending: &Ending,
    good: bool,
) -> Result<Option<LayerRecord>> {
    let StepContext { store, identity, request, .. } = *context;
    let lower = rootfs_view::lower(store, &step.layers);
    let lower: Vec<&Path> = lower.iter().map(AsRef::as_ref).collect();
    let work = || {
        draft.take_tree(&held.upper())?;
        let how = Adoption {
            lower: &lower,
            // A failed state keeps its original times.
            epoch: request.epoch.filter(|_| good),
            identity: namespace::ownership(identity),
            owner_of_new: ending.alone,
            owners: None,
        };
        let record = adopt(draft, &how)?;
        store.clear_step(held, draft)?;
        // The sweep belongs here, where files of every owner can be removed.
        store.sweep()?;
        Ok(record)
    };
    match identity.is_mapped() {
        // The ids of the files are mapped in the container's own user namespace.
        true => namespace::in_child_there(ending.user_namespace.as_fd(), work),
        false => namespace::in_root_child(identity, work),
    }
}

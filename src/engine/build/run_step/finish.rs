//! What is left when the program has ended: a layer, or the state of a failure.

use std::os::fd::AsFd as _;
use std::path::Path;

use anyhow::Result;

use super::life::Ending;
use super::{RunOutcome, RunStep, StepContext, failure};
use crate::engine::{namespace, rootfs_view};
use crate::image::adopt::{Adoption, adopt};
use crate::model::layer::LayerRecord;
use crate::store::{LayerDraft, LockedContainer};

/// Makes a layer of what the step changed.
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
        // Why the program failed matters more than why its files could not be kept.
        let kept = failure::keep(context, step, draft, record).ok();
        return Ok(RunOutcome::Failed { code, out_of_memory: ending.out_of_memory, kept });
    }
    Ok(match record {
        Some(record) => RunOutcome::Layer(draft.commit(record)?),
        None => RunOutcome::Nothing,
    })
}

/// Makes the step's upper directory the tree of the draft, and removes what else there is, where files of every owner
/// can be handled.
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
            epoch: request.epoch.filter(|_| good),
            identity: namespace::ownership(identity),
            owner_of_new: ending.alone,
            owners: None,
        };
        let record = adopt(draft, &how)?;
        store.clear_step(held, draft)?;
        // Here what killed builds left can be removed whoever owns it, and only steps leave much.
        store.sweep()?;
        Ok(record)
    };
    match identity.is_mapped() {
        true => namespace::in_child_there(ending.user_namespace.as_fd(), work),
        false => namespace::in_root_child(identity, work),
    }
}

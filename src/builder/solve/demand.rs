//! Which stages are built. Without a remote cache all that the target needs. With one, a stage whose files are only read
//! by other steps is built once such a step is not found in the cache ([`super::definition`]); until then those steps
//! need nothing of it.

use anyhow::Result;

use super::definition::DefinitionKey;
use super::stage::StageId;
use super::{Solver, StageAdvance};
use crate::step::inputs::input_trees;
use dhow_build::context::CopySpec;
use dhow_build::plan::{InputTree, StagePlan};
use dhow_build::progress::StepId;

impl Solver<'_, '_, '_> {
    /// Demands the targets, and all other stages unless a remote cache may make them unnecessary. (What goes into a
    /// cache of `mode=max` is needed in any case.)
    pub(super) fn demand_stages(&mut self) {
        let plans = self.build.plans.iter().enumerate();
        let remote = self.build.remote_cache;
        self.demanded = match remote.has_entries() && !remote.exports_all() {
            true => plans.map(|(index, plan)| (index, plan.target)).collect(),
            false => self.stages.ids().into_iter().collect(),
        };
    }

    /// Demands the stages that the steps of a stage read, from the one at `index` on.
    pub(super) fn demand_inputs(&mut self, plan: usize, stage: &StagePlan, index: usize) {
        for step in stage.steps.iter().skip(index) {
            let stages = input_trees(&step.op).into_iter().filter_map(|(tree, _)| match tree {
                InputTree::Stage(input) => Some((plan, *input)),
                _ => None,
            });
            self.demanded.extend(stages);
        }
    }

    /// Reports the stages that were not needed, because what reads them was cached, as cached too.
    pub(super) fn report_skipped(&mut self) {
        for id in self.stages.ids() {
            if self.demanded.contains(&id) {
                continue;
            }
            let steps = self.step_ids.range((id.0, id.1, 0)..=(id.0, id.1, usize::MAX));
            let steps: Vec<StepId> =
                self.base_ids.get(&id).into_iter().chain(steps.map(|(_, step)| step)).copied().collect();
            for step in steps {
                self.runner.step_cached(step);
            }
        }
    }

    /// Looks up a step whose inputs are not there yet by its second key, unless they are being made.
    pub(super) fn find_by_definition(
        &mut self,
        stage_id: StageId,
        stage: &StagePlan,
        index: usize,
        id: StepId,
    ) -> Result<StageAdvance> {
        let Some(step) = stage.steps.get(index) else { return Ok(StageAdvance::Done) };
        let is_idle = |(tree, _): (&InputTree, CopySpec)| matches!(tree, InputTree::Stage(input) if !self.demanded.contains(&(stage_id.0, *input)));
        if !input_trees(&step.op).into_iter().any(is_idle) {
            return Ok(StageAdvance::Waiting);
        }
        let key = match self.definition_key(stage_id, stage, step)? {
            DefinitionKey::Pending => return Ok(StageAdvance::Waiting),
            DefinitionKey::Known(key) if !stage.no_cache => key,
            _ => {
                self.demand_inputs(stage_id.0, stage, index);
                return Ok(StageAdvance::Advanced);
            }
        };
        let result = match self.load_cached(&key)? {
            None if self.fetch_cached(id, step, &key)? => self.load_cached(&key)?,
            found => found,
        };
        match result {
            Some(result) => {
                self.runner.step_cached(id);
                self.finish_step(stage_id, stage, step, result, &key)?;
            }
            None => self.demand_inputs(stage_id.0, stage, index),
        }
        Ok(StageAdvance::Advanced)
    }
}

//! The second key of a step that reads other stages: it identifies them by their definition, the chain of their
//! steps, where the first key names their layers. So the step is found in a cache that holds its result and not
//! theirs (`--cache-to` in `mode=min`, inline caches), and those stages need not be built. BuildKit looks every step
//! up by its definition alone; here the layers below a step are part of both keys, so a result never comes to stand
//! on others than those it was made on.

use anyhow::Result;

use super::Solver;
use super::context_scan::ScannedFiles;
use super::stage::StageId;
use crate::step::inputs::input_trees;
use crate::step::run::request_key_input;
use dhow_build::cache_key::{self, KeyInputs, ParentChain};
use dhow_build::plan::{InputTree, Op, PlanStep, StagePlan};
use dhow_model::digest::Digest;

/// A key that is made of definitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum DefinitionKey {
    /// Files of a context are still being digested.
    Pending,
    /// There is none: something is downloaded, and only the download tells what it is.
    Absent,
    Known(Digest),
}

impl Solver<'_, '_, '_> {
    /// The second key of the next step of a stage; absent if it reads contexts of the host alone.
    pub(super) fn definition_key(
        &mut self,
        stage_id: StageId,
        stage: &StagePlan,
        step: &PlanStep,
    ) -> Result<DefinitionKey> {
        let is_layered = |tree: &InputTree| !self.is_host_context(tree);
        let layered = input_trees(&step.op).iter().any(|(tree, _)| is_layered(tree));
        if !layered || is_remote(&step.op) {
            return Ok(DefinitionKey::Absent);
        }
        for (tree, _) in input_trees(&step.op) {
            if let InputTree::Stage(input) = tree {
                self.define_stages((stage_id.0, *input))?;
            }
        }
        Ok(match self.defined_inputs(stage_id.0, step)? {
            Ok(inputs) => DefinitionKey::Known(self.step_key(stage_id, stage, step, &inputs)),
            Err(missing) => missing,
        })
    }

    fn is_host_context(&self, tree: &InputTree) -> bool {
        matches!(tree, InputTree::Context(name) if self.build.contexts.contains_key(name))
    }

    /// What identifies each input of a step, stages by their definition.
    fn defined_inputs(&self, plan: usize, step: &PlanStep) -> Result<Result<Vec<String>, DefinitionKey>> {
        let mut inputs = Vec::new();
        for (tree, spec) in input_trees(&step.op) {
            let input = match tree {
                InputTree::Stage(stage) => match self.definition((plan, *stage)) {
                    DefinitionKey::Known(digest) => format!("definition {digest}"),
                    missing => return Ok(Err(missing)),
                },
                InputTree::Context(name) if self.is_host_context(tree) => match self.scans.get(name, &spec) {
                    Some(Ok(ScannedFiles { digest, .. })) => format!("content {digest}"),
                    Some(Err(_)) => return Ok(Err(DefinitionKey::Absent)),
                    None => return Ok(Err(DefinitionKey::Pending)),
                },
                tree => match self.layers(plan, tree)? {
                    Some(layers) => cache_key::layers_input(&layers),
                    None => return Ok(Err(DefinitionKey::Absent)),
                },
            };
            inputs.push(input);
        }
        Ok(Ok(inputs))
    }

    fn definition(&self, stage_id: StageId) -> DefinitionKey {
        self.definitions.get(&stage_id).cloned().unwrap_or(DefinitionKey::Pending)
    }

    /// Defines a stage and those before it, as far as the files of contexts are digested.
    fn define_stages(&mut self, (plan, last): StageId) -> Result<()> {
        // In order and not by recursion, as a Dockerfile may have any number of stages: each needs earlier ones
        // alone.
        for stage in 0..=last {
            let id = (plan, stage);
            if self.definitions.contains_key(&id) {
                continue;
            }
            let Some(stage_plan) = self.stage(id) else { continue };
            match self.define(plan, stage_plan)? {
                // Another time.
                DefinitionKey::Pending => {}
                definition => drop(self.definitions.insert(id, definition)),
            }
        }
        Ok(())
    }

    /// The definition of a stage, its base and its steps, from those of earlier ones.
    fn define(&self, plan: usize, stage: &StagePlan) -> Result<DefinitionKey> {
        let base = match &stage.base {
            InputTree::Stage(below) => match self.definition((plan, *below)) {
                DefinitionKey::Known(digest) => format!("definition {digest}"),
                missing => return Ok(missing),
            },
            other => cache_key::layers_input(&self.layers(plan, other)?.unwrap_or_default()),
        };
        let mut last = Digest::of(base.as_bytes());
        for step in &stage.steps {
            if is_remote(&step.op) {
                return Ok(DefinitionKey::Absent);
            }
            let inputs = match self.defined_inputs(plan, step)? {
                Ok(inputs) => inputs,
                Err(missing) => return Ok(missing),
            };
            let parents = ParentChain { layers: vec![last], last_noop_run: None };
            let common =
                KeyInputs { parents: &parents, epoch: self.build.request.epoch, identity: self.ownership };
            last = match &step.op {
                Op::Run(run) => {
                    let request = request_key_input(self.build.request);
                    cache_key::run_key(common, run, &stage.platform, &inputs, &request)
                }
                // `--link` leaves the layers below out of its own key, but not out of the stage.
                Op::Copy(copy) => {
                    let key = cache_key::copy_key(common, copy, &inputs.join("\n"));
                    let below = parents.layers.first().map(Digest::as_str).unwrap_or_default();
                    Digest::of(format!("{below}\n{key}").as_bytes())
                }
                Op::Workdir(dir) => cache_key::workdir_key(common, dir),
            };
        }
        Ok(DefinitionKey::Known(last))
    }
}

/// Whether it has sources that are downloaded.
fn is_remote(op: &Op) -> bool {
    matches!(op, Op::Copy(copy) if copy.remote().next().is_some())
}

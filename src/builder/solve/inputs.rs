//! The inputs of a step: whether they are available, where their files are, and how they enter the cache key.

use anyhow::Result;

use super::Solver;
use super::context_scan::ScannedFiles;
use super::stage::StageId;
use crate::step::InputFiles;
use crate::step::inputs::input_trees;
use crate::step::run::request_key_input;
use dhow_build::cache_key::{self, KeyInputs, ParentChain};
use dhow_build::context::CopySpec;
use dhow_build::plan::{InputTree, Op, PlanStep, StagePlan};
use dhow_error::{Failure, FailureKind, not_found};
use dhow_model::digest::Digest;

impl<'a> Solver<'a, '_, '_> {
    /// The layers of a step's input; `None` if a stage is not done, or for a host directory.
    pub(super) fn layers(&self, plan: usize, tree: &InputTree) -> Result<Option<Vec<Digest>>> {
        Ok(match tree {
            InputTree::Scratch => Some(Vec::new()),
            InputTree::Stage(stage) => self
                .stages
                .get((plan, *stage))
                .filter(|stage| stage.done)
                .map(|stage| stage.chain.layers.clone()),
            InputTree::Image(image) => {
                let image = self.build.plans.get(plan).and_then(|plan| plan.images.get(*image));
                let base = image.and_then(|image| self.build.bases.get(image));
                let gone = || Failure::new(FailureKind::Other, "an image of the build was not looked up");
                Some(base.ok_or_else(gone)?.layers.clone())
            }
            InputTree::Context(name) => self.build.images.get(&(plan, name.clone())).cloned(),
        })
    }

    /// Whether all inputs of a step are available.
    pub(super) fn inputs_ready(&self, plan: usize, step: &PlanStep) -> Result<bool> {
        for (tree, spec) in input_trees(&step.op) {
            let ready = match tree {
                InputTree::Context(name) if self.build.contexts.contains_key(name) => {
                    self.scans.get(name, &spec).is_some()
                }
                // A context that does not exist counts as ready: computing the key then fails with its name.
                tree => self.layers(plan, tree)?.is_some() || matches!(tree, InputTree::Context(_)),
            };
            if !ready {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Where each input of a step is, in the order of [`InputFiles`].
    pub(super) fn input_files(&self, plan: usize, step: &PlanStep) -> Result<Vec<InputFiles<'a>>> {
        let files = |tree: &InputTree| -> Result<InputFiles<'a>> {
            if let InputTree::Context(name) = tree
                && let Some(context) = self.build.contexts.get(name)
            {
                return Ok(InputFiles::Host(context));
            }
            Ok(InputFiles::Layers(self.layers(plan, tree)?.unwrap_or_default()))
        };
        match &step.op {
            Op::Workdir(_) => Ok(Vec::new()),
            Op::Copy(copy) => Ok(vec![files(&copy.from)?]),
            Op::Run(run) => run.mounts.iter().map(|mount| files(&mount.from)).collect(),
        }
    }

    /// Identifies each input's files, for the key.
    pub(super) fn step_inputs(&self, plan: usize, step: &PlanStep) -> Result<Vec<String>> {
        let mut inputs = Vec::new();
        for (tree, spec) in input_trees(&step.op) {
            inputs.push(match tree {
                InputTree::Context(name) if self.build.contexts.contains_key(name) => {
                    self.context_input(name, &spec)?
                }
                tree => match self.layers(plan, tree)? {
                    Some(layers) => cache_key::layers_input(&layers),
                    None => {
                        let name = if let InputTree::Context(name) = tree { name.as_str() } else { "" };
                        return Err(no_context(name).into());
                    }
                },
            });
        }
        Ok(inputs)
    }

    /// The digest of a context's files, as it goes into a key.
    fn context_input(&self, name: &str, spec: &CopySpec) -> Result<String> {
        match self.scans.get(name, spec) {
            Some(Ok(ScannedFiles { digest, .. })) => Ok(format!("content {digest}")),
            Some(Err(failure)) => Err(failure.clone().into()),
            None => Err(no_context(name).into()),
        }
    }

    pub(super) fn step_key(
        &self,
        stage_id: StageId,
        stage: &StagePlan,
        step: &PlanStep,
        inputs: &[String],
    ) -> Digest {
        let empty = ParentChain::default();
        let parents = self.stages.get(stage_id).map_or(&empty, |progress| &progress.chain);
        let common = KeyInputs { parents, epoch: self.build.request.epoch, identity: self.ownership };
        match &step.op {
            Op::Run(run) => {
                let request = request_key_input(self.build.request);
                cache_key::run_key(common, run, &stage.platform, inputs, &request)
            }
            Op::Copy(copy) => cache_key::copy_key(common, copy, &inputs.join("\n")),
            Op::Workdir(dir) => cache_key::workdir_key(common, dir),
        }
    }
}

fn no_context(name: &str) -> Failure {
    not_found(format!("the build context \"{name}\" could not be found"))
}

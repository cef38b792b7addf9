//! The stages of a build while they are solved: what each has produced so far.

use std::collections::BTreeMap;

use crate::step::StepResult;
use crate::step::remote_sources::RemoteSource;
use dhow_build::cache_key::ParentChain;
use dhow_build::plan::{BuildPlan, InputTree};
use dhow_model::digest::Digest;
use dhow_store::TempDir;

/// Index of the plan, and of the stage within it.
pub(crate) type StageId = (usize, usize);

#[derive(Default)]
pub(crate) struct StageProgress {
    /// The layers so far, including those of the base.
    pub(crate) chain: ParentChain,
    /// Results of the completed steps, in order.
    pub(crate) results: Vec<StepResult>,
    /// The other keys that each may be looked up by.
    pub(super) other_keys: Vec<Vec<Digest>>,
    /// The base is available, and `chain` starts with it.
    pub(super) begun: bool,
    /// A job runs for the next step.
    pub(super) busy: bool,
    pub(super) done: bool,
    /// What the next step's URLs stand for, once known.
    pub(super) fetched: Option<Vec<RemoteSource>>,
    /// Where they are downloaded to.
    pub(super) fetch_dir: Option<TempDir>,
}

/// The needed stages of all plans.
#[derive(Default)]
pub(crate) struct Stages(BTreeMap<StageId, StageProgress>);

impl Stages {
    pub(super) fn add(&mut self, id: StageId) {
        self.0.insert(id, StageProgress::default());
    }

    pub(super) fn ids(&self) -> Vec<StageId> {
        self.0.keys().copied().collect()
    }

    pub(crate) fn get(&self, id: StageId) -> Option<&StageProgress> {
        self.0.get(&id)
    }

    pub(super) fn get_mut(&mut self, id: StageId) -> Option<&mut StageProgress> {
        self.0.get_mut(&id)
    }

    /// The results of the stages that the targets of `plans` are built on (`mode=min` of remote caches).
    pub(crate) fn target_results(&self, plans: &[BuildPlan]) -> Vec<StepResult> {
        let mut results = Vec::new();
        for (index, plan) in plans.iter().enumerate() {
            // From the target along the chain of `FROM`s.
            let mut next = Some(plan.target);
            while let Some(stage) = next {
                results.extend(self.results((index, stage)));
                next = match plan.stages.get(stage).and_then(Option::as_ref).map(|stage| &stage.base) {
                    Some(InputTree::Stage(below)) => Some(*below),
                    _ => None,
                };
            }
        }
        results
    }

    /// The results of all stages of `plans` (`mode=max`).
    pub(crate) fn all_results(&self, plans: &[BuildPlan]) -> Vec<StepResult> {
        let stages = plans
            .iter()
            .enumerate()
            .flat_map(|(index, plan)| plan.needed().map(move |(stage, _)| (index, stage)));
        stages.flat_map(|id| self.results(id)).collect()
    }

    /// Under all their keys.
    fn results(&self, id: StageId) -> impl Iterator<Item = StepResult> {
        self.get(id).into_iter().flat_map(|progress| {
            progress.results.iter().zip(&progress.other_keys).flat_map(|(result, others)| {
                let other = |key: &Digest| StepResult { key: key.clone(), ..result.clone() };
                [result.clone()].into_iter().chain(others.iter().map(other))
            })
        })
    }
}

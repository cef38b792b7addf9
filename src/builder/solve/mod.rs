//! The solver: runs the plans of all platforms and looks every step up in the cache before running it.
//!
//! # Scheduling
//!
//! Stages run concurrently unless one depends on another's result; the steps of a stage run in order.
//! [`Solver::solve`] advances every stage as far as possible; when none can advance it waits for a job. At
//! most `max_jobs` jobs run.
//!
//! # States of a stage
//!
//! ```text
//! waiting ──(base available)──▶ begun ──┬─(step cached)────────────┐
//!                                ▲      └─(job started)─▶ busy ────┤
//!                                └──────────(result applied)───────┘──(no step left)──▶ done
//! ```
//!
//! # A step
//!
//! 1. Its inputs must be available: files of contexts are digested ([`ContextScans`]), other stages must be
//!    done.
//! 2. Its cache key is computed and looked up in the store, then in the remote caches.
//! 3. Otherwise a job starts ([`super::step`]). The same step of another platform waits for it
//!    (`running_keys`).
//!    Where its inputs are stages that nothing else has demanded so far, it is looked up by its second key
//!    first ([`definition`]), and they are not built if it is found.
//! 4. An `ADD` with URLs takes two rounds: the first job finds out what the URLs stand for, which completes
//!    the key.
//!
//! # Invariant
//!
//! Every layer named by a [`StepResult`] is leased in `leases` until the build ends.

mod context_scan;
mod definition;
mod demand;
pub(crate) mod image_config;
mod inputs;
pub(crate) mod stage;

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;

use self::context_scan::ContextScans;
use self::definition::DefinitionKey;
use self::stage::{StageId, Stages};
use crate::job::runner::{FinishedJob, JobId, JobRunner};
use crate::load::HostContext;
use crate::prepare::base_images::BaseImages;
use crate::remote_cache::{RemoteCache, transfer};
use crate::request::BuildRequest;
use crate::run_step::{NetworkHelperKeepalive, StepContext};
use crate::solve_error;
use crate::step::inputs::input_trees;
use crate::step::{StepJob, StepOutcome, StepResult};
use dhow_build::cache_key::ParentChain;
use dhow_build::plan::{BuildPlan, InputTree, Op, PlanStep, StagePlan};
use dhow_build::progress::StepId;
use dhow_error::{Failure, FailureKind};
use dhow_model::digest::Digest;
use dhow_model::environment::Environment;
use dhow_model::layer::LayerOwnership;
use dhow_sandbox::identity::HostIdentity;
use dhow_store::{LayerLease, Store};

/// Everything that the solver reads and never changes.
#[derive(Clone, Copy)]
pub(crate) struct BuildInputs<'a> {
    pub store: &'a Store,
    pub environment: &'a Environment,
    pub request: &'a BuildRequest,
    pub(crate) plans: &'a [BuildPlan],
    pub bases: &'a BaseImages,
    pub contexts: &'a BTreeMap<String, HostContext>,
    /// Layers of named contexts that are images, by plan and name.
    pub images: &'a BTreeMap<(usize, String), Vec<Digest>>,
    pub(crate) remote_cache: &'a RemoteCache,
}

pub(crate) struct Solver<'a, 'd, 'w> {
    runner: &'d mut JobRunner<'w>,
    build: BuildInputs<'a>,
    identity: HostIdentity,
    ownership: LayerOwnership,
    stages: Stages,
    /// Steps of ops, and of the base images that stages start from.
    step_ids: BTreeMap<(usize, usize, usize), StepId>,
    base_ids: BTreeMap<StageId, StepId>,
    scans: ContextScans,
    /// Those that are known; see [`definition`].
    definitions: BTreeMap<StageId, DefinitionKey>,
    /// The stages whose files are needed.
    demanded: BTreeSet<StageId>,
    leases: BTreeMap<Digest, LayerLease>,
    jobs: BTreeMap<JobId, StageId>,
    /// Keys of running steps: the same step of another platform waits for the result.
    running_keys: BTreeSet<Digest>,
    /// Held from the first step that needs a network.
    helper_keepalive: Option<NetworkHelperKeepalive>,
    max_jobs: usize,
}

/// A step that is not in the cache.
struct ReadyStep<'s> {
    id: StepId,
    stage: &'s StagePlan,
    step: &'s PlanStep,
    key: Digest,
    /// Its inputs, as they go into the key.
    inputs: Vec<String>,
    ignore_cache: bool,
}

enum StageAdvance {
    Advanced,
    /// It depends on something that is not available yet.
    Waiting,
    Done,
}

impl<'a, 'd, 'w> Solver<'a, 'd, 'w> {
    pub(crate) fn new(runner: &'d mut JobRunner<'w>, build: BuildInputs<'a>) -> Self {
        let identity = runner.identity().clone();
        let ownership = runner.ownership();
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            runner,
            build,
            identity,
            ownership,
            stages: Stages::default(),
            step_ids: BTreeMap::new(),
            base_ids: BTreeMap::new(),
            scans: ContextScans::default(),
            definitions: BTreeMap::new(),
            demanded: BTreeSet::new(),
            leases: BTreeMap::new(),
            jobs: BTreeMap::new(),
            running_keys: BTreeSet::new(),
            helper_keepalive: None,
            max_jobs: cores.max(2),
        }
    }

    /// Runs all stages to their end.
    pub(crate) fn solve(&mut self) -> Result<()> {
        self.announce_steps();
        self.start_context_scans()?;
        self.demand_stages();
        loop {
            let mut advanced = false;
            let mut unfinished = false;
            let demanded = self.demanded.len();
            let stage_ids: Vec<StageId> = self.demanded.iter().copied().collect();
            for stage_id in stage_ids {
                if self.stages.get(stage_id).is_none_or(|progress| progress.done || progress.busy) {
                    unfinished |= self.stages.get(stage_id).is_some_and(|progress| progress.busy);
                    continue;
                }
                unfinished = true;
                match self.advance(stage_id)? {
                    StageAdvance::Advanced | StageAdvance::Done => advanced = true,
                    StageAdvance::Waiting => {}
                }
            }
            advanced |= self.demanded.len() != demanded;
            if !unfinished && !advanced {
                self.report_skipped();
                return Ok(());
            }
            // Every open stage waits for a job.
            if !advanced {
                let finished = self.runner.next_finished()?;
                self.job_finished(finished)?;
            }
        }
    }

    fn stage(&self, (plan, stage): StageId) -> Option<&'a StagePlan> {
        self.build.plans.get(plan)?.stages.get(stage)?.as_ref()
    }

    /// Announces all steps to the observer.
    fn announce_steps(&mut self) {
        for (plan_index, plan) in self.build.plans.iter().enumerate() {
            for (stage_index, stage) in plan.needed() {
                let stage_id = (plan_index, stage_index);
                let mut inputs = Vec::new();
                if let Some(title) = &stage.from_shown {
                    let id = self.runner.add_step(self.base_title(plan, stage, title), Vec::new());
                    self.base_ids.insert(stage_id, id);
                    inputs = vec![id];
                }
                for (index, step) in stage.steps.iter().enumerate() {
                    let id = self.runner.add_step(step.shown.clone(), inputs);
                    self.step_ids.insert((plan_index, stage_index, index), id);
                    inputs = vec![id];
                }
                self.stages.add(stage_id);
            }
        }
    }

    fn base_title(&self, plan: &BuildPlan, stage: &StagePlan, title: &str) -> String {
        let InputTree::Image(image) = stage.base else { return title.to_owned() };
        let base = plan.images.get(image).and_then(|image| self.build.bases.get(image));
        match (title.split_once("FROM "), base) {
            (Some((before, _)), Some(base)) => format!("{before}FROM {}", base.title),
            _ => title.to_owned(),
        }
    }

    /// Starts digesting the context files that steps copy or mount.
    fn start_context_scans(&mut self) -> Result<()> {
        for plan in self.build.plans {
            for (_, stage) in plan.needed() {
                for step in &stage.steps {
                    for (tree, spec) in input_trees(&step.op) {
                        if let InputTree::Context(name) = tree
                            && self.build.contexts.contains_key(name)
                        {
                            self.scans.request(name, spec);
                        }
                    }
                }
            }
        }
        let (store, contexts) = (self.build.store, self.build.contexts);
        self.scans.start(self.runner, store, contexts)
    }

    fn advance(&mut self, stage_id: StageId) -> Result<StageAdvance> {
        let Some(stage) = self.stage(stage_id) else { return Ok(StageAdvance::Done) };
        if !self.begin_stage(stage_id, stage)? {
            return Ok(StageAdvance::Waiting);
        }
        let Some(progress) = self.stages.get_mut(stage_id) else { return Ok(StageAdvance::Done) };
        let index = progress.results.len();
        let Some(step) = stage.steps.get(index) else {
            progress.done = true;
            return Ok(StageAdvance::Done);
        };
        let result = self.advance_step(stage_id, stage, step, index);
        result.map_err(|error| self.step_error(stage_id, index, error))
    }

    /// Sets a stage's base, once that is available.
    fn begin_stage(&mut self, stage_id: StageId, stage: &StagePlan) -> Result<bool> {
        if self.stages.get(stage_id).is_some_and(|progress| progress.begun) {
            return Ok(true);
        }
        let chain = match &stage.base {
            InputTree::Stage(base) => match self.stages.get((stage_id.0, *base)) {
                Some(base) if base.done => base.chain.clone(),
                _ => {
                    self.demanded.insert((stage_id.0, *base));
                    return Ok(false);
                }
            },
            other => ParentChain {
                layers: self.layers(stage_id.0, other)?.unwrap_or_default(),
                last_noop_run: None,
            },
        };
        // The image was resolved before the solver started, so `FROM` is always reported as cached.
        if let Some(id) = self.base_ids.get(&stage_id) {
            self.runner.step_cached(*id);
        }
        if let Some(progress) = self.stages.get_mut(stage_id) {
            progress.chain = chain;
            progress.begun = true;
        }
        Ok(true)
    }

    fn advance_step(
        &mut self,
        stage_id: StageId,
        stage: &StagePlan,
        step: &PlanStep,
        index: usize,
    ) -> Result<StageAdvance> {
        let Some(&id) = self.step_ids.get(&(stage_id.0, stage_id.1, index)) else {
            return Ok(StageAdvance::Done);
        };
        if !self.inputs_ready(stage_id.0, step)? {
            return self.find_by_definition(stage_id, stage, index, id);
        }
        let Some(progress) = self.stages.get(stage_id) else { return Ok(StageAdvance::Done) };
        let mut inputs = self.step_inputs(stage_id.0, step)?;
        inputs.extend(progress.fetched.iter().flatten().map(|fetched| fetched.input.clone()));
        let is_remote = matches!(&step.op, Op::Copy(copy) if copy.remote().next().is_some());
        // Until its URLs are resolved the key of an `ADD` is incomplete and must not be looked up.
        let unresolved = is_remote && progress.fetched.is_none();
        let key = self.step_key(stage_id, stage, step, &inputs);
        // Another platform runs the same step; its result will be found in the cache.
        if self.running_keys.contains(&key) {
            return Ok(StageAdvance::Waiting);
        }
        // WORKDIR depends on its inputs alone, so `--no-cache` does not apply to it.
        let ignore_cache = stage.no_cache && !matches!(step.op, Op::Workdir(_));
        let mut result = None;
        if !ignore_cache && !unresolved {
            result = match self.load_cached(&key)? {
                None if self.fetch_cached(id, step, &key)? => self.load_cached(&key)?,
                found => found,
            };
        }
        if let Some(result) = result {
            self.runner.step_cached(id);
            self.finish_step(stage_id, stage, step, result, &key)?;
            return Ok(StageAdvance::Advanced);
        }
        // What follows is made anew as well, most likely: its inputs can be made meanwhile.
        self.demand_inputs(stage_id.0, stage, index);
        if self.runner.running_jobs() >= self.max_jobs {
            return Ok(StageAdvance::Waiting);
        }
        self.start_job(stage_id, ReadyStep { id, stage, step, key, inputs, ignore_cache })?;
        Ok(StageAdvance::Advanced)
    }

    fn start_job(&mut self, stage_id: StageId, ready: ReadyStep<'_>) -> Result<()> {
        let files = self.input_files(stage_id.0, ready.step)?;
        let Some(progress) = self.stages.get(stage_id) else { return Ok(()) };
        let job = StepJob {
            context: StepContext {
                store: self.build.store,
                identity: &self.identity,
                environment: self.build.environment,
                request: self.build.request,
            },
            ownership: self.ownership,
            id: ready.id,
            stage: ready.stage,
            step: ready.step,
            key: ready.key.clone(),
            inputs: ready.inputs,
            files,
            chain: progress.chain.clone(),
            parents: progress.results.last().map(|last| last.key.clone()).into_iter().collect(),
            ignore_cache: ready.ignore_cache,
            fetched: progress.fetched.clone(),
        };
        let started = job.start(self.runner, &mut self.helper_keepalive)?;
        self.jobs.insert(started.job, stage_id);
        self.running_keys.insert(ready.key);
        if let Some(progress) = self.stages.get_mut(stage_id) {
            progress.busy = true;
            // Kept until the step is done, since a later job copies from it.
            progress.fetch_dir = started.fetch_dir.or(progress.fetch_dir.take());
        }
        Ok(())
    }

    /// Fetches the result for a key from a remote cache into the store. False if there is none.
    fn fetch_cached(&mut self, id: StepId, step: &PlanStep, key: &Digest) -> Result<bool> {
        let BuildInputs { remote_cache, store, .. } = self.build;
        transfer::fetch_result(self.runner, remote_cache, store, id, &step.shown, key)
    }

    /// Looks a key up in the store; its layer is leased from then on.
    fn load_cached(&mut self, key: &Digest) -> Result<Option<StepResult>> {
        let Some((key, record)) = self.build.store.step(key)? else { return Ok(None) };
        // The layer was pruned, or its owners are stored in the other mode: a cache miss.
        if let Some(layer) = &record.layer
            && !self.hold_layer(layer)?
        {
            return Ok(None);
        }
        let result =
            StepResult { key: key.clone(), layer: record.layer.clone(), created: record.created.clone() };
        self.build.store.record_step_use(&key, record)?;
        Ok(Some(result))
    }

    /// Leases a layer until the build ends. False if it is gone or its owners are stored differently.
    fn hold_layer(&mut self, layer: &Digest) -> Result<bool> {
        if self.leases.contains_key(layer) {
            return Ok(true);
        }
        match self.build.store.lease_layer(layer)? {
            Some(lease) => {
                let fits = lease.identity == self.ownership;
                if fits {
                    self.leases.insert(layer.clone(), lease);
                }
                Ok(fits)
            }
            None => Ok(false),
        }
    }

    /// Applies a result; `found_by` is the key that the step was looked up by.
    fn finish_step(
        &mut self,
        stage_id: StageId,
        stage: &StagePlan,
        step: &PlanStep,
        result: StepResult,
        found_by: &Digest,
    ) -> Result<()> {
        let definition_key = match self.definition_key(stage_id, stage, step)? {
            DefinitionKey::Known(key) => Some(key),
            _ => None,
        };
        if let Some(progress) = self.stages.get_mut(stage_id) {
            // The second key, if there is one: whichever key it was found by, later steps have the same keys.
            let key = definition_key.as_ref().unwrap_or(&result.key);
            progress.chain.push(key, result.layer.as_ref(), matches!(step.op, Op::Run(_)));
            progress.results.push(result);
            progress.other_keys.push([found_by.clone()].into_iter().chain(definition_key).collect());
            progress.fetched = None;
            progress.fetch_dir = None;
            progress.busy = false;
        }
        Ok(())
    }

    /// Applies the result of a finished job.
    fn job_finished(&mut self, finished: FinishedJob) -> Result<()> {
        let Some(stage_id) = self.jobs.remove(&finished.id) else {
            // Not a step's job, so it is a context scan.
            return self.scans.job_finished(self.runner, finished);
        };
        let index = self.stages.get(stage_id).map_or(0, |progress| progress.results.len());
        let outcome: Result<StepOutcome> = finished.outcome();
        let id = finished.step;
        // Apply first, release afterwards: the job holds the leases on its layer.
        let applied = outcome.and_then(|outcome| self.apply_outcome(stage_id, index, id, outcome));
        self.runner.release(finished);
        applied.map_err(|error| self.step_error(stage_id, index, error))
    }

    fn apply_outcome(
        &mut self,
        stage_id: StageId,
        index: usize,
        id: StepId,
        outcome: StepOutcome,
    ) -> Result<()> {
        let Some(stage) = self.stage(stage_id) else { return Ok(()) };
        let Some(step) = stage.steps.get(index) else { return Ok(()) };
        match outcome {
            StepOutcome::Completed { initial_key, result, cached } => {
                self.running_keys.remove(&initial_key);
                if let Some(layer) = &result.layer
                    && !self.hold_layer(layer)?
                {
                    let message = format!("layer {layer} was removed while it was used");
                    return Err(Failure::new(FailureKind::NotFound, message).into());
                }
                if cached {
                    self.runner.step_cached(id);
                } else {
                    self.runner.step_completed(id);
                }
                self.finish_step(stage_id, stage, step, result, &initial_key)?;
            }
            StepOutcome::Fetched { initial_key, fetched } => {
                self.running_keys.remove(&initial_key);
                if let Some(progress) = self.stages.get_mut(stage_id) {
                    progress.fetched = Some(fetched);
                    progress.busy = false;
                }
            }
            StepOutcome::Failed { message, hint } => {
                return Err(Failure::new(FailureKind::Other, message).hint(hint).into());
            }
        }
        Ok(())
    }

    /// Reports a failed step, and adds its lines to the error.
    fn step_error(&mut self, stage_id: StageId, index: usize, error: anyhow::Error) -> anyhow::Error {
        let step = self.stage(stage_id).and_then(|stage| stage.steps.get(index));
        if let (Some(step), Some(&id)) = (step, self.step_ids.get(&(stage_id.0, stage_id.1, index))) {
            // It may have failed before its job was started.
            self.runner.step_started(id);
            self.runner.step_failed(id, solve_error::one_line(&error));
            return Failure::from_chain(&error).at(step.lines.clone()).into();
        }
        error
    }

    /// The results of all stages, and the leases on their layers.
    pub(crate) fn into_results(self) -> (Stages, BTreeMap<Digest, LayerLease>) {
        (self.stages, self.leases)
    }
}

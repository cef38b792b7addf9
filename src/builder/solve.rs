//! The solver: runs the plans of all platforms and looks every step up in the cache before running it.
//!
//! # Scheduling
//!
//! Stages run concurrently unless one depends on another's result; the steps of a stage run in order. [`Solver::solve`]
//! advances every stage as far as possible; when none can advance it waits for a job. At most `max_jobs` jobs run.
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
//! 1. Its inputs must be available: files of contexts are digested ([`ContextScans`]), other stages must be done.
//! 2. Its cache key is computed and looked up in the store, then in the remote caches.
//! 3. Otherwise a job starts ([`super::step`]). The same step of another platform waits for it (`running_keys`).
//! 4. An `ADD` with URLs goes round twice: the first job finds out what the URLs stand for, which completes the key.
//!
//! # Invariant
//!
//! Every layer named by a [`StepResult`] is leased in `leases` until the build ends.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;

use super::base_images::BaseImages;
use super::context_scan::{ContextScans, ScannedFiles};
use super::job_runner::{FinishedJob, JobId, JobRunner};
use super::load::HostContext;
use super::remote_cache::RemoteCache;
use super::remote_sources::RemoteSource;
use super::request::BuildRequest;
use super::run_step::NetworkHelperLease;
use super::solve_error;
use super::step::{StepOutcome, StepOutput};
use dhow_build::cache_key::{self, KeyInputs, ParentChain};
use dhow_build::context::CopySpec;
use dhow_build::plan::{BuildPlan, InputTree, Op, PlanStep, StagePlan};
use dhow_build::progress::StepId;
use dhow_error::{Failure, FailureKind, not_found};
use dhow_model::digest::Digest;
use dhow_model::environment::Environment;
use dhow_model::layer;
use dhow_store::{LayerLease, Store, TempDir};

/// Index of the plan, and of the stage within it.
pub(crate) type StageId = (usize, usize);

#[derive(Clone, Debug)]
pub(crate) struct StepResult {
    pub key: Digest,
    /// `None` if the step changed no file.
    pub layer: Option<Digest>,
    /// RFC 3339.
    pub created: String,
}

#[derive(Default)]
pub(crate) struct StageProgress {
    /// The layers so far, including those of the base.
    pub chain: ParentChain,
    /// Results of the completed steps, in order.
    pub results: Vec<StepResult>,
    begun: bool,
    busy: bool,
    done: bool,
    /// What the next step's URLs stand for, once known.
    pub fetched: Option<Vec<RemoteSource>>,
    /// Where they are downloaded to.
    pub(crate) fetch_dir: Option<TempDir>,
}

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
    pub epoch: Option<i64>,
    pub(crate) remote_cache: &'a RemoteCache,
}

pub(crate) struct Solver<'a, 'd, 'w> {
    pub runner: &'d mut JobRunner<'w>,
    pub build: BuildInputs<'a>,
    pub ownership: layer::LayerOwnership,
    stages: BTreeMap<StageId, StageProgress>,
    /// Steps of ops, and of the base images that stages start from.
    step_ids: BTreeMap<(usize, usize, usize), StepId>,
    base_ids: BTreeMap<StageId, StepId>,
    pub(crate) scans: ContextScans,
    leases: BTreeMap<Digest, LayerLease>,
    jobs: BTreeMap<JobId, StageId>,
    /// Keys of running steps: the same step of another platform waits for the result.
    running_keys: BTreeSet<Digest>,
    /// Held from the first step that needs a network.
    pub(crate) helper_lease: Option<NetworkHelperLease>,
    max_jobs: usize,
}

enum StageAdvance {
    Advanced,
    /// It depends on something that is not available yet.
    Waiting,
    Done,
}

impl<'a, 'd, 'w> Solver<'a, 'd, 'w> {
    pub(crate) fn new(runner: &'d mut JobRunner<'w>, build: BuildInputs<'a>) -> Self {
        let ownership = runner.ownership();
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            runner,
            build,
            ownership,
            stages: BTreeMap::new(),
            step_ids: BTreeMap::new(),
            base_ids: BTreeMap::new(),
            scans: ContextScans::default(),
            leases: BTreeMap::new(),
            jobs: BTreeMap::new(),
            running_keys: BTreeSet::new(),
            helper_lease: None,
            max_jobs: cores.max(2),
        }
    }

    /// Runs all stages to their end.
    pub(crate) fn solve(&mut self) -> Result<()> {
        self.announce_steps();
        self.start_context_scans()?;
        loop {
            let mut moved = false;
            let mut open = false;
            let places: Vec<StageId> = self.stages.keys().copied().collect();
            for place in places {
                if self.stages.get(&place).is_none_or(|progress| progress.done || progress.busy) {
                    open |= self.stages.get(&place).is_some_and(|progress| progress.busy);
                    continue;
                }
                open = true;
                match self.advance(place)? {
                    StageAdvance::Advanced | StageAdvance::Done => moved = true,
                    StageAdvance::Waiting => {}
                }
            }
            if !open {
                return Ok(());
            }
            // Every open stage waits for a job.
            if !moved {
                let finished = self.runner.next_finished()?;
                self.job_finished(finished)?;
            }
        }
    }

    pub(crate) fn stage_progress(&self, place: StageId) -> Option<&StageProgress> {
        self.stages.get(&place)
    }

    pub(crate) fn stage_progress_mut(&mut self, place: StageId) -> Option<&mut StageProgress> {
        self.stages.get_mut(&place)
    }

    /// The part that all cache keys share.
    pub(crate) fn common<'c>(&self, chain: &'c ParentChain) -> KeyInputs<'c> {
        KeyInputs { parents: chain, epoch: self.build.epoch, identity: self.ownership }
    }

    fn stage(&self, (plan, stage): StageId) -> Option<&'a StagePlan> {
        self.build.plans.get(plan)?.stages.get(stage)?.as_ref()
    }

    /// Announces all steps to the watcher.
    fn announce_steps(&mut self) {
        for (plan_index, plan) in self.build.plans.iter().enumerate() {
            for (stage_index, stage) in plan.needed() {
                let place = (plan_index, stage_index);
                let mut inputs = Vec::new();
                if let Some(shown) = &stage.from_shown {
                    let id = self.runner.add_step(self.base_title(plan, stage, shown), Vec::new());
                    self.base_ids.insert(place, id);
                    inputs = vec![id];
                }
                for (index, step) in stage.steps.iter().enumerate() {
                    let id = self.runner.add_step(step.shown.clone(), inputs);
                    self.step_ids.insert((plan_index, stage_index, index), id);
                    inputs = vec![id];
                }
                self.stages.insert(place, StageProgress::default());
            }
        }
    }

    fn base_title(&self, plan: &BuildPlan, stage: &StagePlan, shown: &str) -> String {
        let InputTree::Image(image) = stage.base else { return shown.to_owned() };
        let base = plan.images.get(image).and_then(|image| self.build.bases.get(image));
        match (shown.split_once("FROM "), base) {
            (Some((before, _)), Some(base)) => format!("{before}FROM {}", base.title),
            _ => shown.to_owned(),
        }
    }

    /// Starts digesting the context files that steps copy or mount.
    fn start_context_scans(&mut self) -> Result<()> {
        for plan in self.build.plans {
            for (_, stage) in plan.needed() {
                for step in &stage.steps {
                    for (tree, spec) in super::context_scan::input_specs(&step.op) {
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

    fn advance(&mut self, place: StageId) -> Result<StageAdvance> {
        let Some(stage) = self.stage(place) else { return Ok(StageAdvance::Done) };
        if !self.begin_stage(place, stage)? {
            return Ok(StageAdvance::Waiting);
        }
        let Some(progress) = self.stages.get_mut(&place) else { return Ok(StageAdvance::Done) };
        let index = progress.results.len();
        let Some(step) = stage.steps.get(index) else {
            progress.done = true;
            return Ok(StageAdvance::Done);
        };
        let moved = self.advance_step(place, stage, step, index);
        moved.map_err(|error| self.step_error(place, index, error))
    }

    /// Sets a stage's base, once that is available.
    fn begin_stage(&mut self, place: StageId, stage: &StagePlan) -> Result<bool> {
        if self.stages.get(&place).is_some_and(|progress| progress.begun) {
            return Ok(true);
        }
        let chain = match &stage.base {
            InputTree::Stage(base) => match self.stages.get(&(place.0, *base)) {
                Some(base) if base.done => base.chain.clone(),
                _ => return Ok(false),
            },
            other => {
                ParentChain { layers: self.layers(place.0, other)?.unwrap_or_default(), last_noop_run: None }
            }
        };
        // The image was resolved before the solver started, so `FROM` is always reported as cached.
        if let Some(id) = self.base_ids.get(&place) {
            self.runner.step_cached(*id);
        }
        if let Some(progress) = self.stages.get_mut(&place) {
            progress.chain = chain;
            progress.begun = true;
        }
        Ok(true)
    }

    /// The layers of a step's input; `None` if a stage is not done, or for a host directory.
    pub(crate) fn layers(&self, plan: usize, tree: &InputTree) -> Result<Option<Vec<Digest>>> {
        Ok(match tree {
            InputTree::Scratch => Some(Vec::new()),
            InputTree::Stage(stage) => self
                .stages
                .get(&(plan, *stage))
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
    fn inputs_ready(&self, plan: usize, step: &PlanStep) -> Result<bool> {
        for (tree, spec) in super::context_scan::input_trees(&step.op) {
            let ready = match (tree, spec) {
                (InputTree::Context(name), Some(spec)) if self.build.contexts.contains_key(name) => {
                    self.scans.get(name, &spec).is_some()
                }
                (tree, _) => self.layers(plan, tree)?.is_some() || matches!(tree, InputTree::Context(_)),
            };
            if !ready {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The digest of a context's files, as it goes into a key.
    pub(crate) fn context_input(&self, name: &str, spec: &CopySpec) -> Result<String> {
        match self.scans.get(name, spec) {
            Some(Ok(ScannedFiles { digest, .. })) => Ok(format!("content {digest}")),
            Some(Err(failure)) => Err(failure.clone().into()),
            None => Err(not_found(format!("the build context \"{name}\" could not be found")).into()),
        }
    }

    fn advance_step(
        &mut self,
        place: StageId,
        stage: &StagePlan,
        step: &PlanStep,
        index: usize,
    ) -> Result<StageAdvance> {
        if !self.inputs_ready(place.0, step)? {
            return Ok(StageAdvance::Waiting);
        }
        let Some(&id) = self.step_ids.get(&(place.0, place.1, index)) else { return Ok(StageAdvance::Done) };
        let Some(progress) = self.stages.get(&place) else { return Ok(StageAdvance::Done) };
        let mut inputs = self.step_inputs(place.0, step)?;
        inputs.extend(progress.fetched.iter().flatten().map(|fetched| fetched.input.clone()));
        let elsewhere = matches!(&step.op, Op::Copy(copy) if copy.remote().next().is_some());
        // Until its URLs are resolved the key of an `ADD` is incomplete and must not be looked up.
        let unknown = elsewhere && progress.fetched.is_none();
        let key = self.step_key(place, stage, step, &inputs);
        // Another platform runs the same step; its result will be found in the cache.
        if self.running_keys.contains(&key) {
            return Ok(StageAdvance::Waiting);
        }
        // WORKDIR depends on its inputs alone, so `--no-cache` does not apply to it.
        let fresh = stage.no_cache && !matches!(step.op, Op::Workdir(_));
        let mut result = None;
        if !fresh && !unknown {
            result = match self.load_cached(&key)? {
                None => super::cache_transfer::fetch_result(self, id, step, &key)?,
                found => found,
            };
        }
        if let Some(result) = result {
            self.runner.step_cached(id);
            self.finish_step(place, step, result);
            return Ok(StageAdvance::Advanced);
        }
        if self.runner.running_jobs() >= self.max_jobs {
            return Ok(StageAdvance::Waiting);
        }
        let token = super::step::start_step(
            self,
            place,
            stage,
            step,
            super::step::StepStart { id, key: &key, inputs, ignore_cache: fresh },
        )?;
        self.jobs.insert(token, place);
        self.running_keys.insert(key);
        if let Some(progress) = self.stages.get_mut(&place) {
            progress.busy = true;
        }
        Ok(StageAdvance::Advanced)
    }

    /// Identifies each input's files, for the key.
    fn step_inputs(&self, plan: usize, step: &PlanStep) -> Result<Vec<String>> {
        let mut inputs = Vec::new();
        for (tree, spec) in super::context_scan::input_trees(&step.op) {
            inputs.push(match (tree, spec) {
                (InputTree::Context(name), Some(spec)) if self.build.contexts.contains_key(name) => {
                    self.context_input(name, &spec)?
                }
                (tree, _) => match self.layers(plan, tree)? {
                    Some(layers) => cache_key::layers_input(&layers),
                    None => {
                        let name = if let InputTree::Context(name) = tree { name.as_str() } else { "" };
                        let message = format!("the build context \"{name}\" could not be found");
                        return Err(not_found(message).into());
                    }
                },
            });
        }
        Ok(inputs)
    }

    fn step_key(&self, place: StageId, stage: &StagePlan, step: &PlanStep, inputs: &[String]) -> Digest {
        let empty = ParentChain::default();
        let chain = self.stages.get(&place).map_or(&empty, |progress| &progress.chain);
        let common = self.common(chain);
        match &step.op {
            Op::Run(run) => cache_key::run_key(
                common,
                run,
                &stage.platform,
                inputs,
                &super::step::request_key_input(self.build.request),
            ),
            Op::Copy(copy) => cache_key::copy_key(common, copy, &inputs.join("\n")),
            Op::Workdir(dir) => cache_key::workdir_key(common, dir),
        }
    }

    /// Looks a key up in the store; its layer is leased from then on.
    pub(crate) fn load_cached(&mut self, key: &Digest) -> Result<Option<StepResult>> {
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

    fn finish_step(&mut self, place: StageId, step: &PlanStep, result: StepResult) {
        if let Some(progress) = self.stages.get_mut(&place) {
            progress.chain.push(&result.key, result.layer.as_ref(), matches!(step.op, Op::Run(_)));
            progress.results.push(result);
            progress.fetched = None;
            progress.fetch_dir = None;
            progress.busy = false;
        }
    }

    /// Applies the result of a finished job.
    fn job_finished(&mut self, finished: FinishedJob) -> Result<()> {
        let Some(place) = self.jobs.remove(&finished.id) else {
            // Not a step's job, so it is a context scan.
            return self.scans.job_finished(self.runner, finished);
        };
        let index = self.stages.get(&place).map_or(0, |progress| progress.results.len());
        let outcome: Result<StepOutcome> = finished.outcome();
        let id = finished.step;
        // Apply first, release afterwards: the job holds the leases on its layer.
        let taken = outcome.and_then(|outcome| self.apply_outcome(place, index, id, outcome));
        self.runner.release(finished);
        taken.map_err(|error| self.step_error(place, index, error))
    }

    fn apply_outcome(
        &mut self,
        place: StageId,
        index: usize,
        id: StepId,
        outcome: StepOutcome,
    ) -> Result<()> {
        let step = self.stage(place).and_then(|stage| stage.steps.get(index));
        let Some(step) = step else { return Ok(()) };
        match outcome {
            StepOutcome::Completed(StepOutput { initial_key: began, key, layer, created, cached }) => {
                self.running_keys.remove(&began);
                if let Some(layer) = &layer
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
                self.finish_step(place, step, StepResult { key, layer, created });
            }
            StepOutcome::Fetched { began, fetched } => {
                self.running_keys.remove(&began);
                if let Some(progress) = self.stages.get_mut(&place) {
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
    fn step_error(&mut self, place: StageId, index: usize, error: anyhow::Error) -> anyhow::Error {
        let step = self.stage(place).and_then(|stage| stage.steps.get(index));
        if let (Some(step), Some(&id)) = (step, self.step_ids.get(&(place.0, place.1, index))) {
            // It may have failed before its job was started.
            self.runner.step_started(id);
            self.runner.step_failed(id, solve_error::one_line(&error));
            return Failure::from_chain(&error).at(step.lines.clone()).into();
        }
        error
    }

    /// The leases on all layers of the results, for the exporters.
    pub(crate) fn into_leases(self) -> BTreeMap<Digest, LayerLease> {
        self.leases
    }
}

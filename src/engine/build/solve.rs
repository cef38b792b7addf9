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

use super::bases::Bases;
use super::director::{Director, Finished, Token};
use super::fetch::Fetched;
use super::load::HostContext;
use super::remote_cache::RemoteCache;
use super::report;
use super::request::BuildRequest;
use super::run_step::NetworkKeeper;
use super::selections::{Selected, Selections};
use super::step::{Made, Outcome};
use crate::build::context::CopySpec;
use crate::build::key::{self, Chain, Common};
use crate::build::plan::{Op, Plan, StagePlan, Step, Tree};
use crate::build::progress::StepId;
use crate::error::{Failure, Kind, not_found};
use crate::model::digest::Digest;
use crate::model::environment::Environment;
use crate::model::layer;
use crate::store::{LayerLease, Store, TempDir};

/// Index of the plan, and of the stage within it.
pub(super) type Place = (usize, usize);

#[derive(Clone, Debug)]
pub(super) struct Done {
    pub key: Digest,
    /// `None` if the step changed no file.
    pub layer: Option<Digest>,
    /// RFC 3339.
    pub created: String,
}

#[derive(Default)]
pub(super) struct Progress {
    /// The layers so far, including those of the base.
    pub chain: Chain,
    /// Results of the completed steps, in order.
    pub results: Vec<Done>,
    begun: bool,
    busy: bool,
    done: bool,
    /// What the next step's URLs stand for, once known.
    pub fetched: Option<Vec<Fetched>>,
    /// Where they are downloaded to.
    pub temp: Option<TempDir>,
}

/// Everything that the solver reads and never changes.
#[derive(Clone, Copy)]
pub(super) struct Matter<'a> {
    pub store: &'a Store,
    pub environment: &'a Environment,
    pub request: &'a BuildRequest,
    pub plans: &'a [Plan],
    pub bases: &'a Bases,
    pub contexts: &'a BTreeMap<String, HostContext>,
    /// Layers of named contexts that are images, by plan and name.
    pub images: &'a BTreeMap<(usize, String), Vec<Digest>>,
    pub epoch: Option<i64>,
    pub remote: &'a RemoteCache,
}

pub(super) struct Solver<'a, 'd, 'w> {
    pub director: &'d mut Director<'w>,
    pub matter: Matter<'a>,
    pub ownership: layer::Identity,
    stages: BTreeMap<Place, Progress>,
    /// Steps of ops, and of the base images that stages start from.
    ids: BTreeMap<(usize, usize, usize), StepId>,
    froms: BTreeMap<Place, StepId>,
    pub selections: Selections,
    leases: BTreeMap<Digest, LayerLease>,
    jobs: BTreeMap<Token, Place>,
    /// Keys of running steps: the same step of another platform waits for the result.
    running: BTreeSet<Digest>,
    /// Held from the first step that needs a network.
    pub keeper: Option<NetworkKeeper>,
    limit: usize,
}

enum Advance {
    Moved,
    /// It depends on something that is not available yet.
    Waits,
    Done,
}

impl<'a, 'd, 'w> Solver<'a, 'd, 'w> {
    pub(super) fn new(director: &'d mut Director<'w>, matter: Matter<'a>) -> Self {
        let ownership = director.ownership();
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            director,
            matter,
            ownership,
            stages: BTreeMap::new(),
            ids: BTreeMap::new(),
            froms: BTreeMap::new(),
            selections: Selections::default(),
            leases: BTreeMap::new(),
            jobs: BTreeMap::new(),
            running: BTreeSet::new(),
            keeper: None,
            limit: cores.max(2),
        }
    }

    /// Runs all stages to their end.
    pub(super) fn solve(&mut self) -> Result<()> {
        self.announce();
        self.select()?;
        loop {
            let mut moved = false;
            let mut open = false;
            let places: Vec<Place> = self.stages.keys().copied().collect();
            for place in places {
                if self.stages.get(&place).is_none_or(|progress| progress.done || progress.busy) {
                    open |= self.stages.get(&place).is_some_and(|progress| progress.busy);
                    continue;
                }
                open = true;
                match self.advance(place)? {
                    Advance::Moved | Advance::Done => moved = true,
                    Advance::Waits => {}
                }
            }
            if !open {
                return Ok(());
            }
            // Every open stage waits for a job.
            if !moved {
                let finished = self.director.next()?;
                self.hear(finished)?;
            }
        }
    }

    pub(super) fn progress(&self, place: Place) -> Option<&Progress> {
        self.stages.get(&place)
    }

    pub(super) fn progress_mut(&mut self, place: Place) -> Option<&mut Progress> {
        self.stages.get_mut(&place)
    }

    /// The part that all cache keys share.
    pub(super) fn common<'c>(&self, chain: &'c Chain) -> Common<'c> {
        Common { chain, epoch: self.matter.epoch, identity: self.ownership }
    }

    fn stage(&self, (plan, stage): Place) -> Option<&'a StagePlan> {
        self.matter.plans.get(plan)?.stages.get(stage)?.as_ref()
    }

    /// Announces all steps to the watcher.
    fn announce(&mut self) {
        for (plan_index, plan) in self.matter.plans.iter().enumerate() {
            for (stage_index, stage) in plan.needed() {
                let place = (plan_index, stage_index);
                let mut inputs = Vec::new();
                if let Some(shown) = &stage.from_shown {
                    let id = self.director.step(self.base_text(plan, stage, shown), Vec::new());
                    self.froms.insert(place, id);
                    inputs = vec![id];
                }
                for (index, step) in stage.steps.iter().enumerate() {
                    let id = self.director.step(step.shown.clone(), inputs);
                    self.ids.insert((plan_index, stage_index, index), id);
                    inputs = vec![id];
                }
                self.stages.insert(place, Progress::default());
            }
        }
    }

    fn base_text(&self, plan: &Plan, stage: &StagePlan, shown: &str) -> String {
        let Tree::Image(image) = stage.base else { return shown.to_owned() };
        let base = plan.images.get(image).and_then(|image| self.matter.bases.get(image));
        match (shown.split_once("FROM "), base) {
            (Some((before, _)), Some(base)) => format!("{before}FROM {}", base.shown),
            _ => shown.to_owned(),
        }
    }

    /// Starts digesting the context files that steps copy or mount.
    fn select(&mut self) -> Result<()> {
        for plan in self.matter.plans {
            for (_, stage) in plan.needed() {
                for step in &stage.steps {
                    for (tree, spec) in super::selections::of(&step.op) {
                        if let Tree::Context(name) = tree
                            && self.matter.contexts.contains_key(name)
                        {
                            self.selections.want(name, spec);
                        }
                    }
                }
            }
        }
        let (store, contexts) = (self.matter.store, self.matter.contexts);
        self.selections.start(self.director, store, contexts)
    }

    fn advance(&mut self, place: Place) -> Result<Advance> {
        let Some(stage) = self.stage(place) else { return Ok(Advance::Done) };
        if !self.begin(place, stage)? {
            return Ok(Advance::Waits);
        }
        let Some(progress) = self.stages.get_mut(&place) else { return Ok(Advance::Done) };
        let index = progress.results.len();
        let Some(step) = stage.steps.get(index) else {
            progress.done = true;
            return Ok(Advance::Done);
        };
        let moved = self.step(place, stage, step, index);
        moved.map_err(|error| self.fail(place, index, error))
    }

    /// Sets a stage's base, once that is available.
    fn begin(&mut self, place: Place, stage: &StagePlan) -> Result<bool> {
        if self.stages.get(&place).is_some_and(|progress| progress.begun) {
            return Ok(true);
        }
        let chain = match &stage.base {
            Tree::Stage(base) => match self.stages.get(&(place.0, *base)) {
                Some(base) if base.done => base.chain.clone(),
                _ => return Ok(false),
            },
            other => Chain { layers: self.layers(place.0, other)?.unwrap_or_default(), silent: None },
        };
        // The image was resolved before the solver started, so `FROM` is always reported as cached.
        if let Some(id) = self.froms.get(&place) {
            self.director.cached(*id);
        }
        if let Some(progress) = self.stages.get_mut(&place) {
            progress.chain = chain;
            progress.begun = true;
        }
        Ok(true)
    }

    /// The layers of a step's input; `None` if a stage is not done, or for a host directory.
    pub(super) fn layers(&self, plan: usize, tree: &Tree) -> Result<Option<Vec<Digest>>> {
        Ok(match tree {
            Tree::Scratch => Some(Vec::new()),
            Tree::Stage(stage) => self
                .stages
                .get(&(plan, *stage))
                .filter(|stage| stage.done)
                .map(|stage| stage.chain.layers.clone()),
            Tree::Image(image) => {
                let image = self.matter.plans.get(plan).and_then(|plan| plan.images.get(*image));
                let base = image.and_then(|image| self.matter.bases.get(image));
                let gone = || Failure::new(Kind::Other, "an image of the build was not looked up");
                Some(base.ok_or_else(gone)?.layers.clone())
            }
            Tree::Context(name) => self.matter.images.get(&(plan, name.clone())).cloned(),
        })
    }

    /// Whether all inputs of a step are available.
    fn is_ready(&self, plan: usize, step: &Step) -> Result<bool> {
        for (tree, spec) in super::selections::trees(&step.op) {
            let ready = match (tree, spec) {
                (Tree::Context(name), Some(spec)) if self.matter.contexts.contains_key(name) => {
                    self.selections.get(name, &spec).is_some()
                }
                (tree, _) => self.layers(plan, tree)?.is_some() || matches!(tree, Tree::Context(_)),
            };
            if !ready {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The digest of a context's files, as it goes into a key.
    pub(super) fn selected(&self, name: &str, spec: &CopySpec) -> Result<String> {
        match self.selections.get(name, spec) {
            Some(Ok(Selected { digest, .. })) => Ok(format!("content {digest}")),
            Some(Err(failure)) => Err(failure.clone().into()),
            None => Err(not_found(format!("the build context \"{name}\" could not be found")).into()),
        }
    }

    fn step(&mut self, place: Place, stage: &StagePlan, step: &Step, index: usize) -> Result<Advance> {
        if !self.is_ready(place.0, step)? {
            return Ok(Advance::Waits);
        }
        let Some(&id) = self.ids.get(&(place.0, place.1, index)) else { return Ok(Advance::Done) };
        let Some(progress) = self.stages.get(&place) else { return Ok(Advance::Done) };
        let mut inputs = self.inputs(place.0, step)?;
        inputs.extend(progress.fetched.iter().flatten().map(|fetched| fetched.input.clone()));
        let elsewhere = matches!(&step.op, Op::Copy(copy) if copy.remote().next().is_some());
        // Until its URLs are resolved the key of an `ADD` is incomplete and must not be looked up.
        let unknown = elsewhere && progress.fetched.is_none();
        let key = self.key(place, stage, step, &inputs);
        // Another platform runs the same step; its result will be found in the cache.
        if self.running.contains(&key) {
            return Ok(Advance::Waits);
        }
        // WORKDIR depends on its inputs alone, so `--no-cache` does not apply to it.
        let fresh = stage.no_cache && !matches!(step.op, Op::Workdir(_));
        let mut result = None;
        if !fresh && !unknown {
            result = match self.remembered(&key)? {
                None => super::elsewhere::bring(self, id, step, &key)?,
                found => found,
            };
        }
        if let Some(result) = result {
            self.director.cached(id);
            self.finish(place, step, result);
            return Ok(Advance::Moved);
        }
        if self.director.busy() >= self.limit {
            return Ok(Advance::Waits);
        }
        let token = super::step::start(
            self,
            place,
            stage,
            step,
            super::step::Begun { id, key: &key, inputs, fresh },
        )?;
        self.jobs.insert(token, place);
        self.running.insert(key);
        if let Some(progress) = self.stages.get_mut(&place) {
            progress.busy = true;
        }
        Ok(Advance::Moved)
    }

    /// Identifies each input's files, for the key.
    fn inputs(&self, plan: usize, step: &Step) -> Result<Vec<String>> {
        let mut inputs = Vec::new();
        for (tree, spec) in super::selections::trees(&step.op) {
            inputs.push(match (tree, spec) {
                (Tree::Context(name), Some(spec)) if self.matter.contexts.contains_key(name) => {
                    self.selected(name, &spec)?
                }
                (tree, _) => match self.layers(plan, tree)? {
                    Some(layers) => key::files(&layers),
                    None => {
                        let name = if let Tree::Context(name) = tree { name.as_str() } else { "" };
                        let message = format!("the build context \"{name}\" could not be found");
                        return Err(not_found(message).into());
                    }
                },
            });
        }
        Ok(inputs)
    }

    fn key(&self, place: Place, stage: &StagePlan, step: &Step, inputs: &[String]) -> Digest {
        let empty = Chain::default();
        let chain = self.stages.get(&place).map_or(&empty, |progress| &progress.chain);
        let common = self.common(chain);
        match &step.op {
            Op::Run(run) => key::run(
                common,
                run,
                &stage.platform,
                inputs,
                &super::step::surroundings(self.matter.request),
            ),
            Op::Copy(copy) => key::copy(common, copy, &inputs.join("\n")),
            Op::Workdir(dir) => key::workdir(common, dir),
        }
    }

    /// Looks a key up in the store; its layer is leased from then on.
    pub(super) fn remembered(&mut self, key: &Digest) -> Result<Option<Done>> {
        let Some((key, record)) = self.matter.store.step(key)? else { return Ok(None) };
        // The layer was pruned, or its owners are stored in the other mode: a cache miss.
        if let Some(layer) = &record.layer
            && !self.hold(layer)?
        {
            return Ok(None);
        }
        let result = Done { key: key.clone(), layer: record.layer.clone(), created: record.created.clone() };
        self.matter.store.used_step(&key, record)?;
        Ok(Some(result))
    }

    /// Leases a layer until the build ends. False if it is gone or its owners are stored differently.
    fn hold(&mut self, layer: &Digest) -> Result<bool> {
        if self.leases.contains_key(layer) {
            return Ok(true);
        }
        match self.matter.store.lease_layer(layer)? {
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

    fn finish(&mut self, place: Place, step: &Step, result: Done) {
        if let Some(progress) = self.stages.get_mut(&place) {
            progress.chain.push(&result.key, result.layer.as_ref(), matches!(step.op, Op::Run(_)));
            progress.results.push(result);
            progress.fetched = None;
            progress.temp = None;
            progress.busy = false;
        }
    }

    /// Applies the result of a finished job.
    fn hear(&mut self, finished: Finished) -> Result<()> {
        let Some(place) = self.jobs.remove(&finished.token) else {
            // Not a step's job, so it is a context scan.
            return self.selections.hear(self.director, finished);
        };
        let index = self.stages.get(&place).map_or(0, |progress| progress.results.len());
        let outcome: Result<Outcome> = finished.outcome();
        let id = finished.step;
        // Apply first, release afterwards: the job holds the leases on its layer.
        let taken = outcome.and_then(|outcome| self.take(place, index, id, outcome));
        self.director.release(finished);
        taken.map_err(|error| self.fail(place, index, error))
    }

    fn take(&mut self, place: Place, index: usize, id: StepId, outcome: Outcome) -> Result<()> {
        let step = self.stage(place).and_then(|stage| stage.steps.get(index));
        let Some(step) = step else { return Ok(()) };
        match outcome {
            Outcome::Made(Made { began, key, layer, created, cached }) => {
                self.running.remove(&began);
                if let Some(layer) = &layer
                    && !self.hold(layer)?
                {
                    let message = format!("layer {layer} was removed while it was used");
                    return Err(Failure::new(Kind::NotFound, message).into());
                }
                if cached {
                    self.director.cached(id);
                } else {
                    self.director.done(id);
                }
                self.finish(place, step, Done { key, layer, created });
            }
            Outcome::Fetched { began, fetched } => {
                self.running.remove(&began);
                if let Some(progress) = self.stages.get_mut(&place) {
                    progress.fetched = Some(fetched);
                    progress.busy = false;
                }
            }
            Outcome::Failed { message, hint } => {
                return Err(Failure::new(Kind::Other, message).hint(hint).into());
            }
        }
        Ok(())
    }

    /// Reports a failed step, and adds its lines to the error.
    fn fail(&mut self, place: Place, index: usize, error: anyhow::Error) -> anyhow::Error {
        let step = self.stage(place).and_then(|stage| stage.steps.get(index));
        if let (Some(step), Some(&id)) = (step, self.ids.get(&(place.0, place.1, index))) {
            // It may have failed before its job was started.
            self.director.started(id);
            self.director.failed(id, report::one_line(&error));
            return Failure::of(&error).at(step.lines.clone()).into();
        }
        error
    }

    /// The leases on all layers of the results, for the exporters.
    pub(super) fn into_leases(self) -> BTreeMap<Digest, LayerLease> {
        self.leases
    }
}

//! Steps as jobs: each runs `COPY`, `ADD`, `WORKDIR` or `RUN` and records the result in the build cache.
//!
//! The solver computes a step's cache key, finds no result, and hands the inputs over as a [`StepJob`]. A job
//! of a `COPY`, `ADD` or `WORKDIR` ([`copy`]) runs as root of the account's user namespace, since it creates
//! files of any owner. A job of a `RUN` ([`run`]) starts in the user's namespace and creates a container in
//! it ([`crate::run_step`]).
//!
//! # Keys
//!
//! A step starts with its *initial* key. A copy from another stage or image learns in the job what the copied
//! files contain, so its result is recorded under a key of the content, and the initial key becomes an alias
//! ([`StepRecord::same_as`]). A copy from a context is recorded under what was copied, which differs from the
//! initial key if files changed meanwhile.
//!
//! # Leases
//!
//! A job returns the lease of the layer it created or found along with the [`StepOutcome`]; see
//! [`crate::job`].

pub(crate) mod copy;
pub(crate) mod inputs;
pub(crate) mod remote_sources;
pub(crate) mod run;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use self::remote_sources::{RemoteSource, fetch_sources};
use crate::job::JobUserns;
use crate::job::runner::{JobId, JobRunner};
use crate::load::HostContext;
use crate::run_step::{NetworkHelperKeepalive, StepContext};
use dhow_build::cache_key::ParentChain;
use dhow_build::plan::{CopyOp, InputTree, Op, PlanStep, StagePlan};
use dhow_build::progress::StepId;
use dhow_model::digest::Digest;
use dhow_model::layer::LayerOwnership;
use dhow_store::{LayerLease, StepRecord, TempDir};

/// What a step produced, as it stands in the build cache.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StepResult {
    /// The key that the result is recorded under.
    pub key: Digest,
    /// `None` if the step changed no file.
    pub layer: Option<Digest>,
    /// RFC 3339.
    pub created: String,
}

/// The outcome of a step's job. `initial_key` is the key that the solver started it with.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum StepOutcome {
    Completed {
        initial_key: Digest,
        result: StepResult,
        /// Found in the cache by content, not made.
        cached: bool,
    },
    /// The URLs of an `ADD` are resolved or downloaded; the solver looks the step up again with the completed
    /// key.
    Fetched { initial_key: Digest, fetched: Vec<RemoteSource> },
    /// The command failed.
    Failed {
        /// Worded as BuildKit does.
        message: String,
        /// How to inspect the files, and how to resume.
        hint: String,
    },
}

/// The files of one input.
pub(crate) enum InputFiles<'a> {
    Host(&'a HostContext),
    /// Lowest first.
    Layers(Vec<Digest>),
}

/// Everything that a step's job needs.
pub(crate) struct StepJob<'a> {
    pub(crate) context: StepContext<'a>,
    pub(crate) ownership: LayerOwnership,
    pub(crate) id: StepId,
    pub(crate) stage: &'a StagePlan,
    pub(crate) step: &'a PlanStep,
    pub(crate) key: Digest,
    /// Its inputs, as they go into the key.
    pub(crate) inputs: Vec<String>,
    /// One entry for a copy, one for each mount of a RUN, none for WORKDIR.
    pub(crate) files: Vec<InputFiles<'a>>,
    /// The layers that the step is based on.
    pub(crate) chain: ParentChain,
    /// The keys of the steps before it.
    pub(crate) parents: Vec<Digest>,
    /// Run it even if the cache has a result.
    pub(crate) ignore_cache: bool,
    /// What its URLs stand for, once they are resolved.
    pub(crate) fetched: Option<Vec<RemoteSource>>,
}

pub(crate) struct StartedStep {
    pub(crate) job: JobId,
    /// Where the job downloads to.
    pub(crate) fetch_dir: Option<TempDir>,
}

/// What a job returns: the outcome, and the lease of its layer.
type StepDone = (StepOutcome, Option<LayerLease>);

impl StepJob<'_> {
    /// Starts the job. `helper` is the lease that all RUN steps with a network share.
    pub(crate) fn start(
        self,
        runner: &mut JobRunner<'_>,
        helper: &mut Option<NetworkHelperKeepalive>,
    ) -> Result<StartedStep> {
        let (id, step) = (self.id, self.step);
        let job = match &step.op {
            Op::Workdir(dir) => runner.start_job(id, JobUserns::Root, |_| self.workdir(dir))?,
            Op::Copy(copy) if self.needs_fetch(copy) => return self.start_fetch(copy, runner),
            Op::Copy(copy) => runner.start_job(id, JobUserns::Root, |_| self.copy(copy))?,
            Op::Run(run) => self.start_run(run, runner, helper)?,
        };
        Ok(StartedStep { job, fetch_dir: None })
    }

    /// Whether a remote source of a copy still has to be downloaded.
    fn needs_fetch(&self, copy: &CopyOp) -> bool {
        let is_downloaded = |sources: &Vec<RemoteSource>| sources.iter().all(|source| source.downloaded);
        copy.remote().next().is_some() && !self.fetched.as_ref().is_some_and(is_downloaded)
    }

    fn start_fetch(self, copy: &CopyOp, runner: &mut JobRunner<'_>) -> Result<StartedStep> {
        // The first round only resolves. The second follows a cache miss and downloads; `--no-cache` does so at
        // once.
        let download = self.ignore_cache || self.fetched.is_some();
        let StepContext { store, environment, .. } = self.context;
        let fetch_dir = store.temp_dir()?;
        let into = fetch_dir.path().to_owned();
        let job = runner.start_job(self.id, JobUserns::Inherited, |_| {
            let fetched = fetch_sources(store, environment, copy, &into, download)?;
            Ok((StepOutcome::Fetched { initial_key: self.key, fetched }, ()))
        })?;
        Ok(StartedStep { job, fetch_dir: Some(fetch_dir) })
    }

    /// `SOURCE_DATE_EPOCH`.
    fn epoch(&self) -> Option<i64> {
        self.context.request.epoch
    }

    /// Records the result in the build cache.
    fn record_result(&self, key: Digest, lease: Option<LayerLease>) -> Result<StepDone> {
        let layer = lease.as_ref().map(|lease| lease.diff_id.clone());
        let size = lease.as_ref().map_or(0, |lease| lease.size);
        let record = StepRecord {
            parents: self.parents.clone(),
            ..StepRecord::new(layer.clone(), size, self.step.shown.clone())
        };
        self.context.store.put_step(&key, &record)?;
        // Not for contexts: if one changed during the copy, the initial key does not describe the result.
        if matches!(&self.step.op, Op::Copy(op) if !matches!(op.from, InputTree::Context(_))) {
            self.alias_key(&key)?;
        }
        let result = StepResult { key, layer, created: record.created };
        Ok((StepOutcome::Completed { initial_key: self.key.clone(), result, cached: false }, lease))
    }

    /// Records the initial key as an alias of `key`.
    fn alias_key(&self, key: &Digest) -> Result<()> {
        if *key == self.key {
            return Ok(());
        }
        let alias = StepRecord { same_as: Some(key.clone()), ..StepRecord::new(None, 0, "") };
        self.context.store.put_step(&self.key, &alias)
    }
}

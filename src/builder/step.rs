//! Runs one step in a job: `COPY`, `ADD`, `WORKDIR` and `RUN`, and records the result in the build cache.

use std::path::{Path, PathBuf};

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::context_scan;
use super::job::{JobReporter, JobUserns as Where};
use super::job_runner::JobId;
use super::remote_sources::{RemoteSource, fetch_sources};
use super::request::BuildRequest;
use super::run_step::{MountFrom, NetworkHelperLease, RunOutcome, RunStep, StepContext, StepMount, run_step};
use super::solve::{Solver, StageId};
use super::sources::tar::ArchiveUnpacker;
use dhow_build::cache_key::{self, KeyInputs, ParentChain};
use dhow_build::context::{
    ArchiveExtractor, CopySpec, LayerWriter, NoUnpack, SourceTree, StatCache, UnstoredOwners, copy_here_docs,
    copy_selected, scan_source,
};
use dhow_build::dockerignore::IgnoreFile;
use dhow_build::go_format;
use dhow_build::plan::{CopyOp, InputTree, Op, PlanStep, RunNetwork, RunOp, StagePlan, WorkdirOp};
use dhow_build::progress::StepId;
use dhow_build::run_mount::RunMountKind as MountKind;
use dhow_image::commit_upper::{UpperCommit, commit_upper};
use dhow_model::digest::Digest;
use dhow_model::environment::Environment;
use dhow_model::layer::LayerOwnership;
use dhow_store::{LayerDraft, LayerLease, StepRecord, Store};

/// The result of a completed job.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct StepOutput {
    /// The key that the solver started the step with.
    pub(crate) initial_key: Digest,
    /// The key that the result is recorded under. It differs where the content is known only in the job.
    pub key: Digest,
    pub layer: Option<Digest>,
    /// RFC 3339.
    pub created: String,
    /// Found in the cache by content, not made.
    pub cached: bool,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum StepOutcome {
    Completed(StepOutput),
    /// The URLs of an `ADD` are resolved or downloaded; the solver looks the step up again with the completed
    /// key.
    Fetched {
        began: Digest,
        fetched: Vec<RemoteSource>,
    },
    /// The command failed.
    Failed {
        /// Worded as BuildKit does.
        message: String,
        /// How to inspect the files, and how to resume.
        hint: String,
    },
}

/// Options of the request that affect every RUN step, for their keys. Empty if all have their defaults, so
/// that the key is that of a build without them.
pub(crate) fn request_key_input(request: &BuildRequest) -> String {
    let network = match request.network.as_str() {
        "" | "default" => "",
        other => other,
    };
    let ulimits: Vec<String> =
        request.ulimits.iter().map(|limit| format!("{}={}:{}", limit.name, limit.soft, limit.hard)).collect();
    if network.is_empty() && request.add_hosts.is_empty() && request.shm_size.is_none() && ulimits.is_empty()
    {
        return String::new();
    }
    format!("{network}|{}|{:?}|{}", request.add_hosts.join(","), request.shm_size, ulimits.join(","))
}

pub(crate) struct StepStart<'a> {
    pub id: StepId,
    pub key: &'a Digest,
    /// Its inputs, as they go into the key.
    pub inputs: Vec<String>,
    /// Run it even if the cache has a result.
    pub(crate) ignore_cache: bool,
}

/// A step's inputs, moved into its job.
struct StepJob<'a> {
    store: &'a Store,
    environment: &'a Environment,
    step: &'a PlanStep,
    key: Digest,
    inputs: Vec<String>,
    chain: &'a ParentChain,
    epoch: Option<i64>,
    identity: LayerOwnership,
    parents: Vec<Digest>,
    ignore_cache: bool,
    fetched: Vec<RemoteSource>,
}

/// Starts a step's job.
pub(crate) fn start_step(
    solver: &mut Solver<'_, '_, '_>,
    place: StageId,
    stage: &StagePlan,
    step: &PlanStep,
    begun: StepStart<'_>,
) -> Result<JobId> {
    let Some(progress) = solver.stage_progress(place) else { anyhow::bail!("a stage is not known") };
    let chain = progress.chain.clone();
    let fetched = progress.fetched.clone();
    let id = begun.id;
    let work = StepJob {
        store: solver.build.store,
        environment: solver.build.environment,
        step,
        key: begun.key.clone(),
        inputs: begun.inputs,
        chain: &chain,
        epoch: solver.build.epoch,
        identity: solver.ownership,
        parents: progress.results.last().map(|last| last.key.clone()).into_iter().collect(),
        ignore_cache: begun.ignore_cache,
        fetched: fetched.clone().unwrap_or_default(),
    };
    match &step.op {
        Op::Workdir(dir) => solver.runner.start_job(id, Where::Root, |_| work.workdir(dir)),
        Op::Copy(op) if needs_fetch(op, fetched.as_deref()) => {
            // The first round only resolves. The second follows a cache miss and downloads; `--no-cache` does
            // so at once.
            let bring = begun.ignore_cache || fetched.is_some();
            let temp = solver.build.store.temp_dir()?;
            let into = temp.path().to_owned();
            if let Some(progress) = solver.stage_progress_mut(place) {
                // The solver keeps it until the step is done, since a later job copies from it.
                progress.fetch_dir = Some(temp);
            }
            solver.runner.start_job(id, Where::Inherited, |_| {
                let fetched = fetch_sources(work.store, work.environment, op, &into, bring)?;
                Ok((StepOutcome::Fetched { began: work.key, fetched }, ()))
            })
        }
        Op::Copy(op) => {
            let layers = solver.layers(place.0, &op.from)?;
            let host = match &op.from {
                InputTree::Context(name) => solver.build.contexts.get(name),
                _ => None,
            };
            solver.runner.start_job(id, Where::Root, |_| match host {
                Some(context) => work.copy(op, &context.source, Some((&context.dir, context.persistent))),
                None => {
                    let trees = layer_trees(work.store, &layers.unwrap_or_default());
                    work.copy(op, &SourceTree::layers(&trees)?, None)
                }
            })
        }
        Op::Run(op) => start_run(solver, place, stage, op, id, work),
    }
}

/// Whether a remote source of a copy still has to be downloaded.
fn needs_fetch(op: &CopyOp, fetched: Option<&[RemoteSource]>) -> bool {
    op.remote().next().is_some() && !fetched.is_some_and(|all| all.iter().all(|one| one.downloaded))
}

/// The directories of layers, uppermost first.
fn layer_trees(store: &Store, layers: &[Digest]) -> Vec<PathBuf> {
    layers.iter().rev().map(|layer| store.layer_tree(layer)).collect()
}

impl StepJob<'_> {
    fn common(&self) -> KeyInputs<'_> {
        KeyInputs { parents: self.chain, epoch: self.epoch, identity: self.identity }
    }

    fn workdir(&self, op: &WorkdirOp) -> Result<(StepOutcome, Option<LayerLease>)> {
        let lowers = layer_trees(self.store, &self.chain.layers);
        let draft = self.store.begin_layer_without_digest()?;
        let mut target = LayerWriter::open(&draft.tree(), &lowers, self.identity, self.epoch)?;
        let owner = match op.user.as_str() {
            // Needs no lookup in the image's /etc/passwd.
            "" | "root" | "0" | "0:0" | "root:root" => (0, 0),
            user => target.owner(user)?,
        };
        let made = target.make_dirs(&op.path, owner)?;
        let owners = target.finish()?;
        // An existing directory changes nothing, so there is no layer.
        let lease = if made { self.commit_layer(draft, &lowers, &owners)? } else { None };
        self.record_result(self.key.clone(), lease)
    }

    fn copy(
        &self,
        op: &CopyOp,
        source: &SourceTree,
        host: Option<(&Path, bool)>,
    ) -> Result<(StepOutcome, Option<LayerLease>)> {
        let spec = context_scan::copy_spec(op);
        let mut cache = match host {
            Some((dir, true)) => StatCache::parse(&self.store.context_files(dir)),
            _ => StatCache::default(),
        };
        let has_files = op.local().next().is_some();
        if host.is_none() && has_files {
            // The same files may come from other layers, so look the copy up again by content.
            let scanned = scan_source(source, &spec, &mut cache)?;
            let key = cache_key::copy_key(self.common(), op, &format!("content {}", scanned.digest));
            if !self.ignore_cache
                && let Some(found) = self.find_by_content(&key)?
            {
                return Ok(found);
            }
        }
        // `COPY --link` is independent of the layers below, unless an owner's name must be looked up in them.
        let lowers = if op.link && !op.names_owner() {
            Vec::new()
        } else {
            layer_trees(self.store, &self.chain.layers)
        };
        let draft = self.store.begin_layer_without_digest()?;
        let mut target = LayerWriter::open(&draft.tree(), &lowers, self.identity, self.epoch)?;
        let mut key = self.key.clone();
        for fetched in &self.fetched {
            let source = SourceTree::directory(&fetched.dir, IgnoreFile::none())?;
            let spec = CopySpec {
                sources: vec![fetched.path.clone()],
                here_docs: Vec::new(),
                unpack: op.unpack.unwrap_or(false),
                exclude: if fetched.path == "/" { spec.exclude.clone() } else { Vec::new() },
                ..spec.clone()
            };
            with_unpacker(&spec, |unpack| {
                copy_selected(&source, &spec, &mut target, &mut StatCache::default(), unpack)
            })?;
        }
        if has_files {
            let copied =
                with_unpacker(&spec, |unpack| copy_selected(source, &spec, &mut target, &mut cache, unpack))?;
            // Files may have changed since they were scanned: the key is that of what was copied.
            let mut inputs = self.inputs.clone();
            if let Some(first) = inputs.first_mut() {
                *first = format!("content {}", copied.digest);
            }
            key = cache_key::copy_key(self.common(), op, &inputs.join("\n"));
        }
        if !spec.here_docs.is_empty() {
            copy_here_docs(&spec, &mut target)?;
        }
        let owners = target.finish()?;
        let lease = self.commit_layer(draft, &lowers, &owners)?;
        self.record_result(key, lease)
    }

    /// Looks the cache up by content, which only the job can compute.
    fn find_by_content(&self, key: &Digest) -> Result<Option<(StepOutcome, Option<LayerLease>)>> {
        let Some((key, record)) = self.store.step(key)? else { return Ok(None) };
        let lease = match &record.layer {
            Some(layer) => match self.store.lease_layer(layer)? {
                Some(lease) if lease.identity == self.identity => Some(lease),
                _ => return Ok(None),
            },
            None => None,
        };
        // So that next time the solver finds the result without reading any file.
        self.alias_key(&key)?;
        let made = StepOutput {
            initial_key: self.key.clone(),
            key: key.clone(),
            layer: record.layer.clone(),
            created: record.created.clone(),
            cached: true,
        };
        self.store.record_step_use(&key, record)?;
        Ok(Some((StepOutcome::Completed(made), lease)))
    }

    /// Records the initial key as an alias of `key`.
    fn alias_key(&self, key: &Digest) -> Result<()> {
        if *key == self.key {
            return Ok(());
        }
        let alias = StepRecord { same_as: Some(key.clone()), ..StepRecord::new(None, 0, "") };
        self.store.put_step(&self.key, &alias)
    }

    fn commit_layer(
        &self,
        draft: LayerDraft,
        lowers: &[PathBuf],
        owners: &UnstoredOwners,
    ) -> Result<Option<LayerLease>> {
        let lower: Vec<&Path> = lowers.iter().map(PathBuf::as_path).collect();
        let how = UpperCommit {
            lower: &lower,
            epoch: self.epoch,
            identity: self.identity,
            owner_of_new: None,
            owners: Some(owners),
        };
        match commit_upper(&draft, &how)? {
            Some(record) => Ok(Some(draft.commit(record)?)),
            None => Ok(None),
        }
    }

    fn record_result(
        &self,
        key: Digest,
        lease: Option<LayerLease>,
    ) -> Result<(StepOutcome, Option<LayerLease>)> {
        let layer = lease.as_ref().map(|lease| lease.diff_id.clone());
        let size = lease.as_ref().map_or(0, |lease| lease.size);
        let record = StepRecord {
            parents: self.parents.clone(),
            ..StepRecord::new(layer.clone(), size, self.step.shown.clone())
        };
        self.store.put_step(&key, &record)?;
        // Not for contexts: if one changed during the copy, the initial key does not describe the result.
        if matches!(&self.step.op, Op::Copy(op) if !matches!(op.from, InputTree::Context(_))) {
            self.alias_key(&key)?;
        }
        let created = record.created;
        Ok((
            StepOutcome::Completed(StepOutput {
                initial_key: self.key.clone(),
                key,
                layer,
                created,
                cached: false,
            }),
            lease,
        ))
    }
}

fn start_run(
    solver: &mut Solver<'_, '_, '_>,
    place: StageId,
    stage: &StagePlan,
    op: &RunOp,
    id: StepId,
    work: StepJob<'_>,
) -> Result<JobId> {
    let mut mounts = Vec::with_capacity(op.mounts.len());
    for mount in &op.mounts {
        let from = match (mount.mount.kind, &mount.from) {
            (MountKind::Cache, InputTree::Scratch) => MountFrom::Nothing,
            (MountKind::Bind | MountKind::Cache, tree) => {
                mount_from(solver, place.0, tree, &mount.mount.source)?
            }
            _ => MountFrom::Nothing,
        };
        mounts.push(StepMount { mount: mount.mount.clone(), from });
    }
    let resume =
        match solver.build.request.resume && solver.build.store.failed_state(work.key.as_str())?.is_some() {
            true => Some(work.key.as_str().to_owned()),
            false => None,
        };
    let step = RunStep {
        layers: work.chain.layers.clone(),
        platform: stage.platform.clone(),
        // Proxies reach the command but are not part of the key.
        env: op.env.iter().chain(&op.hidden_env).cloned().collect(),
        workdir: op.workdir.clone(),
        user: op.user.clone(),
        command: op.command.clone(),
        mounts,
        network: match op.network {
            RunNetwork::Default => None,
            RunNetwork::None => Some("none".into()),
            RunNetwork::Host => Some("host".into()),
        },
        insecure: op.insecure,
        devices: op.devices.clone(),
        resume,
        key: work.key.as_str().to_owned(),
        title: work.step.shown.clone(),
        config: super::image_config::config_before_run(stage, op, &work.chain.layers),
    };
    let identity = solver.runner.identity().clone();
    let (store, environment, request) = (solver.build.store, solver.build.environment, solver.build.request);
    let context = || StepContext { store, identity: &identity, environment, request };
    // Each step's supervisor would otherwise start, and stop, a network helper of its own.
    if solver.helper_lease.is_none() && step.needs_network(request) {
        solver.helper_lease = Some(NetworkHelperLease::acquire(&context())?);
    }
    solver.runner.start_job(id, Where::Inherited, |reporter: &JobReporter| {
        let context = context();
        let ended = run_step(&context, &step, &mut |stream, data| reporter.log(stream, data))?;
        match ended {
            RunOutcome::Layer(lease) => work.record_result(work.key.clone(), Some(lease)),
            RunOutcome::Nothing => work.record_result(work.key.clone(), None),
            RunOutcome::Failed { code, out_of_memory, kept } => {
                let words = go_format::quoted(&op.command.args.join(" "));
                let memory = if out_of_memory { ": cannot allocate memory" } else { "" };
                let message =
                    format!("process {words} did not complete successfully: exit code: {code}{memory}");
                let hint = kept.map_or_else(String::new, |kept| super::solve_error::resume_hint(&kept.name));
                Ok((StepOutcome::Failed { message, hint }, None))
            }
        }
    })
}

/// Calls `copy` with an unpacker, if archives are to be unpacked.
fn with_unpacker<T>(spec: &CopySpec, copy: impl FnOnce(&mut dyn ArchiveExtractor) -> Result<T>) -> Result<T> {
    if spec.unpack { copy(&mut ArchiveUnpacker) } else { copy(&mut NoUnpack) }
}

fn mount_from(solver: &Solver<'_, '_, '_>, plan: usize, tree: &InputTree, source: &str) -> Result<MountFrom> {
    if let InputTree::Context(name) = tree
        && let Some(context) = solver.build.contexts.get(name)
    {
        let hidden = context.source.ignored_paths(source)?;
        return Ok(MountFrom::Directory { path: context.dir.clone(), hidden });
    }
    Ok(MountFrom::Layers(solver.layers(plan, tree)?.unwrap_or_default()))
}

//! Builds images from a Dockerfile and its contexts.
//!
//! # Terms
//!
//! - A *step* is BuildKit's vertex: one `RUN`, `COPY`, `ADD` or `WORKDIR`, or an internal task such as
//!   loading the context. Steps have a [`StepId`](dhow_build::progress::StepId) and report progress.
//! - An *op* ([`dhow_build::plan::Op`]) is what a step does, with all variables expanded.
//! - A *job* ([`job`]) is a forked process that does slow work for a step; [`job::runner`] starts and polls
//!   jobs.
//! - The *solver* ([`solve`]) schedules the steps of all stages and looks each one up in the cache first.
//! - A *cache key* ([`dhow_build::cache_key`]) is a digest of everything that a step's result depends on,
//!   never of a time.
//! - An *exporter* ([`export`]) turns the result into an image, an archive or a directory.
//!
//! # Phases
//!
//! 1. [`load`] fetches the contexts and reads the Dockerfile.
//! 2. [`prepare`] resolves base images and makes one [`BuildPlan`] per platform.
//! 3. [`remote_cache`] imports the records of `--cache-from`.
//! 4. [`solve`] runs the plans; [`step`] runs one step, [`run_step`] its container if it is a `RUN`.
//! 5. [`export`] runs the exporters, then [`remote_cache`] writes `--cache-to`.
//!
//! Entry points besides [`build()`]: [`bake`] turns targets of bake files into build requests, [`buildflags`]
//! parses the values of flags, [`prune`] lists and prunes the build cache.
//!
//! # Invariants
//!
//! The build process itself stays single-threaded and outside any user namespace, because it forks the jobs.
//! Every layer that a result refers to is leased until the exporters are done.

#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests make files of their own"))]

pub mod bake;
pub mod buildflags;
mod entitlements;
mod export;
mod job;
mod layer_lease;
mod load;
mod prepare;
pub mod prune;
mod remote_cache;
pub mod request;
mod run_step;
mod solve;
mod solve_error;
mod sources;
mod step;
mod subrequest;

use anyhow::Result;
use serde_json::json;

use self::export::capture::{capture_provenance, new_build_ref};
use self::export::{ExporterSet, PlatformResult};
use self::job::runner::JobRunner;
use self::load::{BuildSources, SourceLoader};
use self::prepare::PreparedBuild;
use self::remote_cache::RemoteCache;
use self::remote_cache::transfer::{export_caches, import_caches};
use self::request::{BuildRequest, BuildResult};
use self::solve::image_config::{ResultImage, root_tree};
use self::solve::{BuildInputs, Solver};
use dhow_build::ast::Dockerfile;
use dhow_build::plan::{BuildPlan, InputTree};
use dhow_build::progress::BuildObserver;
use dhow_model::environment::Environment;
use dhow_model::image::ImageConfig;
use dhow_runtime::create::BuiltInImage;
use dhow_runtime::state::now_rfc3339;
use dhow_runtime::userns;
use dhow_store::Store;

/// Runs a build. The caller must have a single thread and must not be in a user namespace that it created.
/// SIGINT, SIGTERM and SIGHUP are blocked until the build ends.
pub fn build(
    store: &Store,
    request: &BuildRequest,
    environment: &Environment,
    built_in: &dyn BuiltInImage,
    observer: &mut dyn BuildObserver,
) -> Result<BuildResult> {
    let resolved_request;
    store.spread_trees();
    if store.has_leftovers() {
        sweep_leftovers(store, environment);
    }
    let mut runner = JobRunner::begin(environment, observer)?;
    let result = match load::oci_layout::load_layouts(&mut runner, store, request) {
        Ok(loaded) => {
            resolved_request = loaded;
            BuildRun { store, request: &resolved_request, environment, built_in, runner: &mut runner }.run()
        }
        Err(error) => Err(solve_error::report_failure(&mut runner, "", b"", error)),
    };
    runner.shut_down()?;
    if result.is_err() && store.has_leftovers() {
        // An interrupted build leaves containers and drafts behind.
        sweep_leftovers(store, environment);
    }
    result
}

/// Removes what earlier builds left behind, whoever owns it. Failures are ignored: the next command tries
/// again.
fn sweep_leftovers(store: &Store, environment: &Environment) {
    let _ = userns::run_in_root_child(&userns::probe_identity(environment), || store.sweep());
}

struct BuildRun<'a, 'd, 'w> {
    store: &'a Store,
    request: &'a BuildRequest,
    environment: &'a Environment,
    built_in: &'a dyn BuiltInImage,
    runner: &'d mut JobRunner<'w>,
}

impl<'w> BuildRun<'_, '_, 'w> {
    fn run(mut self) -> Result<BuildResult> {
        let loaded = self.source_loader().load();
        let mut loaded = loaded.map_err(|error| solve_error::report_failure(self.runner, "", b"", error))?;
        let result = self.solve_and_export(&mut loaded);
        let definition = &loaded.definition;
        result.map_err(|error| {
            solve_error::report_failure(self.runner, &definition.name, &definition.text, error)
        })
    }

    fn source_loader(&mut self) -> SourceLoader<'_, 'w> {
        SourceLoader {
            runner: self.runner,
            store: self.store,
            request: self.request,
            environment: self.environment,
        }
    }

    fn solve_and_export(&mut self, loaded: &mut BuildSources) -> Result<BuildResult> {
        if let Some(result) = self.run_subrequest(loaded)? {
            return Ok(result);
        }
        let dockerfile = self.parse_definition(&loaded.definition.text)?;
        let Some(epoch) = self.declared_epoch(&dockerfile)? else {
            return self.build_file(loaded, &dockerfile);
        };
        let request = BuildRequest { epoch: Some(epoch), ..self.request.clone() };
        let BuildRun { store, environment, built_in, .. } = *self;
        BuildRun { store, request: &request, environment, built_in, runner: self.runner }
            .build_file(loaded, &dockerfile)
    }

    fn build_file(&mut self, loaded: &mut BuildSources, dockerfile: &Dockerfile) -> Result<BuildResult> {
        let started = now_rfc3339();
        let exports = ExporterSet::prepare(self.environment, self.request)?;
        let mut remote = RemoteCache::prepare(self.environment, self.request)?;
        self.report_frontend(dockerfile);
        let prepared = self.prepare(loaded, dockerfile)?;
        entitlements::check_entitlements(&prepared.plans, self.request)?;
        if let Some(plan) = prepared.plans.first() {
            import_caches(self.runner, &mut remote, &plan.platform)?;
        }
        let inputs = BuildInputs {
            store: self.store,
            environment: self.environment,
            request: self.request,
            plans: &prepared.plans,
            bases: &prepared.bases,
            contexts: &loaded.contexts,
            images: &prepared.images,
            remote_cache: &remote,
        };
        let mut solver = Solver::new(self.runner, inputs);
        solver.solve()?;
        let (stages, leases) = solver.into_results();
        let target_results = stages.target_results(&prepared.plans);
        let all_results = stages.all_results(&prepared.plans);
        // `BUILDKIT_INLINE_CACHE` is the older way to request an inline cache.
        let inline = self.request.is_arg_set("BUILDKIT_INLINE_CACHE") || remote.is_inline();
        let mut outputs = Vec::with_capacity(prepared.plans.len());
        for (index, plan) in prepared.plans.iter().enumerate() {
            let image = ResultImage {
                index,
                plan,
                stages: &stages,
                base: self.base_config(index, plan, &prepared),
                epoch: self.request.epoch,
                implicit: self.request.platforms.is_empty(),
            };
            let layers = image.layers();
            let inline = inline.then(|| remote_cache::inline_cache(&target_results, &layers)).transpose()?;
            outputs.push(PlatformResult {
                platform: plan.platform.clone(),
                config: image.config(inline),
                layers,
                capture: capture_provenance(self.request, loaded, plan, &prepared.bases, &started),
            });
        }
        let result = export::job::run_exports(self.runner, self.store, &exports, &outputs);
        let result = result.and_then(|result| {
            export_caches(self.runner, self.store, &remote, &target_results, &all_results)?;
            Ok(result)
        });
        // Until here no other process could prune the layers; now images refer to them.
        drop(leases);
        let mut result = result?;
        result.metadata.insert("buildx.build.ref".into(), json!(new_build_ref()));
        Ok(result)
    }

    /// The configuration of the base image of a plan's result.
    fn base_config<'p>(
        &self,
        index: usize,
        plan: &BuildPlan,
        prepared: &'p PreparedBuild,
    ) -> Option<&'p ImageConfig> {
        match root_tree(plan, plan.target)? {
            InputTree::Image(image) => Some(&prepared.bases.get(plan.images.get(*image)?)?.config),
            InputTree::Context(name) if prepared.images.contains_key(&(index, name.clone())) => {
                let image = self.context_image(name, &plan.platform)?;
                Some(&prepared.bases.get(&image)?.config)
            }
            _ => None,
        }
    }

    /// Reports that a `# syntax=` frontend is not run. BuildKit's own frontend is what dhow implements
    /// itself.
    fn report_frontend(&mut self, dockerfile: &Dockerfile) {
        let argument = self.request.args.get("BUILDKIT_SYNTAX").cloned();
        let directive = dockerfile.directives.syntax.as_ref().map(|(name, _)| name.clone());
        let Some(name) = argument.or(directive) else { return };
        let supported = ["docker/dockerfile", "docker.io/docker/dockerfile", "docker/dockerfile-upstream"];
        if supported.iter().any(|image| name == *image || name.starts_with(&format!("{image}:"))) {
            return;
        }
        let step = self.runner.add_step(format!("[internal] resolve frontend {name}"), Vec::new());
        self.runner.step_started(step);
        self.runner
            .log(step, "this frontend is not run: the Dockerfile is read as docker/dockerfile reads it\n");
        self.runner.step_completed(step);
    }
}

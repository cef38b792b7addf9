//! Builds images from a Dockerfile and its contexts.
//!
//! # Terms
//!
//! - A *step* is BuildKit's vertex: one `RUN`, `COPY`, `ADD` or `WORKDIR`, or an internal task such as loading the
//!   context. Steps have a [`StepId`](dhow_build::progress::StepId) and report progress.
//! - An *op* ([`dhow_build::plan::Op`]) is what a step does, with all variables expanded.
//! - A *job* ([`job`]) is a forked process that does slow work for a step; the [`job_runner`] starts and polls jobs.
//! - The *solver* ([`solve`]) schedules the steps of all stages and looks each one up in the cache first.
//! - A *cache key* ([`dhow_build::key`]) is a digest of everything that a step's result depends on, never of a time.
//! - An *exporter* ([`export`]) turns the result into an image, an archive or a directory.
//!
//! # Phases
//!
//! [`load`] fetches the contexts and reads the Dockerfile. [`prepare`] resolves base images and makes one
//! [`Plan`] per platform. [`solve`] runs the plans, importing remote caches first. [`export_job`] runs the
//! exporters, then [`cache_transfer`] writes the remote caches.
//!
//! # Invariants
//!
//! The build process itself stays single-threaded and outside any user namespace, because it forks the jobs.
//! Every layer that a result refers to is leased until the exporters are done.

pub mod bake;
mod base_images;
pub mod buildflags;
mod cache_transfer;
mod capture;
mod context_scan;
pub(crate) mod export;
mod export_job;
mod image_config;
pub(crate) mod job;
mod job_runner;
mod load;
mod prepare;
pub mod prune;
pub(crate) mod remote_cache;
mod remote_context;
mod remote_sources;
pub mod request;
pub(crate) mod run_step;
mod solve;
mod solve_error;
pub(crate) mod sources;
mod step;
mod subrequest;

use anyhow::Result;
use serde_json::json;

use self::export::{ExporterSet, PlatformResult};
use self::image_config::ResultImage;
use self::job_runner::JobRunner;
use self::load::BuildSources;
use self::prepare::PreparedBuild;
use self::remote_cache::RemoteCache;
use self::request::{BuildRequest, BuildResult};
use self::solve::{BuildInputs, Solver};
use dhow_build::dockerfile::ast::Dockerfile;
use dhow_build::dockerfile::parse;
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
    watcher: &mut dyn BuildObserver,
) -> Result<BuildResult> {
    let request_of_images;
    if store.has_leftovers() {
        sweep_leftovers(store, environment);
    }
    let mut director = JobRunner::begin(environment, watcher)?;
    let built = match sources::oci_layout::load_layouts(&mut director, store, request) {
        Ok(loaded) => {
            request_of_images = loaded;
            BuildRun { store, request: &request_of_images, environment, built_in, runner: &mut director }
                .run()
        }
        Err(error) => Err(solve_error::report_failure(&mut director, "", b"", error)),
    };
    director.shut_down()?;
    if built.is_err() && store.has_leftovers() {
        // An interrupted build leaves containers and drafts behind.
        sweep_leftovers(store, environment);
    }
    built
}

/// Removes what earlier builds left behind, whoever owns it. Failures are ignored: the next command tries
/// again.
fn sweep_leftovers(store: &Store, environment: &Environment) {
    let _ = userns::run_in_root_child(&userns::probe_identity(environment), || store.sweep());
}

struct BuildRun<'a, 'd> {
    store: &'a Store,
    request: &'a BuildRequest,
    environment: &'a Environment,
    built_in: &'a dyn BuiltInImage,
    runner: &'d mut JobRunner<'a>,
}

impl<'a> BuildRun<'a, '_> {
    fn run(mut self) -> Result<BuildResult> {
        let loaded = load::load_sources(self.runner, self.store, self.request, self.environment);
        let mut loaded = loaded.map_err(|error| solve_error::report_failure(self.runner, "", b"", error))?;
        let built = self.solve_and_export(&mut loaded);
        let definition = &loaded.definition;
        built.map_err(|error| {
            solve_error::report_failure(self.runner, &definition.name, &definition.text, error)
        })
    }

    fn solve_and_export(&mut self, loaded: &mut BuildSources) -> Result<BuildResult> {
        let started = now_rfc3339();
        if let Some(built) = self.run_subrequest(loaded)? {
            return Ok(built);
        }
        let exports = ExporterSet::prepare(self.environment, self.request)?;
        let mut remote = RemoteCache::prepare(self.environment, self.request)?;
        let dockerfile = parse(&loaded.definition.text)?;
        self.report_frontend(&dockerfile);
        let prepared = self.prepare(loaded, &dockerfile)?;
        if let Some(plan) = prepared.plans.first() {
            cache_transfer::import_caches(self.runner, &mut remote, &plan.platform)?;
        }
        let matter = BuildInputs {
            store: self.store,
            environment: self.environment,
            request: self.request,
            plans: &prepared.plans,
            bases: &prepared.bases,
            contexts: &loaded.contexts,
            images: &prepared.images,
            epoch: self.request.epoch,
            remote_cache: &remote,
        };
        let bases: Vec<_> = (0..)
            .zip(&prepared.plans)
            .map(|(index, plan)| self.base_config(index, plan, &prepared))
            .collect();
        let inline_asked = self.wants_inline_cache() || remote.is_inline();
        let mut solver = Solver::new(self.runner, matter);
        solver.solve()?;
        let mut outputs = Vec::with_capacity(prepared.plans.len());
        for ((index, plan), base) in prepared.plans.iter().enumerate().zip(bases) {
            let finished = ResultImage {
                plan,
                progress: &|stage| solver.stage_progress((index, stage)),
                base,
                epoch: self.request.epoch,
                implicit: self.request.platforms.is_empty(),
            };
            let inline = if inline_asked {
                Some(remote_cache::inline_cache(
                    &cache_transfer::export_records(&solver, &prepared.plans, false),
                    &finished.layers(),
                )?)
            } else {
                None
            };
            outputs.push(PlatformResult {
                platform: plan.platform.clone(),
                config: finished.config(inline),
                layers: finished.layers(),
                capture: capture::capture_provenance(self.request, loaded, plan, &prepared.bases, &started),
            });
        }
        // Layers stay leased until the exporters have registered them in images.
        let result = cache_transfer::export_records(&solver, &prepared.plans, false);
        let all = cache_transfer::export_records(&solver, &prepared.plans, true);
        let leases = solver.into_leases();
        let built = export_job::run_exports(self.runner, self.store, &exports, &outputs).and_then(|built| {
            cache_transfer::export_caches(self.runner, self.store, &remote, &result, &all).map(|()| built)
        });
        drop(leases);
        let mut built = built?;
        built.metadata.insert("buildx.build.ref".into(), json!(capture::new_build_ref()));
        Ok(built)
    }

    /// `BUILDKIT_INLINE_CACHE`, the older way to request an inline cache.
    fn wants_inline_cache(&self) -> bool {
        let given = self.request.args.get("BUILDKIT_INLINE_CACHE");
        given.is_some_and(|value| matches!(value.as_str(), "1" | "true"))
    }

    /// The configuration of the base image of a plan's result.
    fn base_config<'p>(
        &self,
        index: usize,
        plan: &BuildPlan,
        prepared: &'p PreparedBuild,
    ) -> Option<&'p ImageConfig> {
        match image_config::root_tree(plan, plan.target)? {
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
        let given = self.request.args.get("BUILDKIT_SYNTAX").cloned();
        let written = dockerfile.directives.syntax.as_ref().map(|(name, _)| name.clone());
        let Some(name) = given.or(written) else { return };
        let known = ["docker/dockerfile", "docker.io/docker/dockerfile", "docker/dockerfile-upstream"];
        if known.iter().any(|known| name == *known || name.starts_with(&format!("{known}:"))) {
            return;
        }
        let step = self.runner.add_step(format!("[internal] resolve frontend {name}"), Vec::new());
        self.runner.step_started(step);
        self.runner
            .log(step, "this frontend is not run: the Dockerfile is read as docker/dockerfile reads it\n");
        self.runner.step_completed(step);
    }
}

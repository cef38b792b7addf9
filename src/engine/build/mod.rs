//! `build`: an image from a Dockerfile and its contexts.
//!
//! One process directs ([`director`]); what takes time is done by jobs ([`job`]). First the Dockerfile and its contexts
//! are loaded and the base images found, then everything is planned ([`crate::build::plan`]), then done ([`solve`]).

mod answer;
pub mod ask;
pub mod bake;
mod bases;
mod director;
mod elsewhere;
pub mod export;
mod facts;
mod fetch;
mod finish;
pub mod job;
mod load;
mod output;
mod prepare;
pub mod prune;
mod remote;
pub mod remote_cache;
mod report;
pub mod request;
pub mod run_step;
mod selections;
mod solve;
pub mod sources;
mod step;

use anyhow::Result;
use serde_json::json;

use self::director::Director;
use self::export::{Exports, Output};
use self::finish::Finished;
use self::load::Loaded;
use self::prepare::Prepared;
use self::remote_cache::RemoteCache;
use self::request::{BuildRequest, Built};
use self::solve::{Matter, Solver};
use crate::build::dockerfile::ast::Dockerfile;
use crate::build::dockerfile::parse;
use crate::build::plan::{Plan, Tree};
use crate::build::progress::Watcher;
use crate::engine::namespace;
use crate::engine::state::now;
use crate::model::environment::Environment;
use crate::model::image::ImageConfig;
use crate::store::Store;

/// Builds what was asked for. This process must have one thread and be in no user namespace of its own making; signals
/// that ask for an end are blocked until it is done.
pub fn build(
    store: &Store,
    request: &BuildRequest,
    environment: &Environment,
    watcher: &mut dyn Watcher,
) -> Result<Built> {
    let request_of_images;
    if store.has_leftovers() {
        sweep(store, environment);
    }
    let mut director = Director::begin(environment, watcher)?;
    let built = match sources::layout::loaded(&mut director, store, request) {
        Ok(loaded) => {
            request_of_images = loaded;
            Build { store, request: &request_of_images, environment, director: &mut director }.run()
        }
        Err(error) => Err(report::failed(&mut director, "", b"", error)),
    };
    director.end()?;
    if built.is_err() && store.has_leftovers() {
        // Whoever was stopped left something unfinished.
        sweep(store, environment);
    }
    built
}

/// Removes what was left unfinished, whoever owns it. What cannot be removed now is by the next command.
fn sweep(store: &Store, environment: &Environment) {
    let _ = namespace::in_root_child(&namespace::identity(environment), || store.sweep());
}

/// One build.
struct Build<'a, 'd> {
    store: &'a Store,
    request: &'a BuildRequest,
    environment: &'a Environment,
    director: &'d mut Director<'a>,
}

impl<'a> Build<'a, '_> {
    fn run(mut self) -> Result<Built> {
        let loaded = load::load(self.director, self.store, self.request, self.environment);
        let mut loaded = loaded.map_err(|error| report::failed(self.director, "", b"", error))?;
        let built = self.build(&mut loaded);
        let definition = &loaded.definition;
        built.map_err(|error| report::failed(self.director, &definition.name, &definition.text, error))
    }

    fn build(&mut self, loaded: &mut Loaded) -> Result<Built> {
        let started = now();
        if let Some(built) = self.answer(loaded)? {
            return Ok(built);
        }
        let exports = Exports::prepare(self.environment, self.request)?;
        let mut remote = RemoteCache::prepare(self.environment, self.request)?;
        let dockerfile = parse(&loaded.definition.text)?;
        self.say_of_frontend(&dockerfile);
        let prepared = self.prepare(loaded, &dockerfile)?;
        if let Some(plan) = prepared.plans.first() {
            elsewhere::import(self.director, &mut remote, &plan.platform)?;
        }
        let matter = Matter {
            store: self.store,
            environment: self.environment,
            request: self.request,
            plans: &prepared.plans,
            bases: &prepared.bases,
            contexts: &loaded.contexts,
            images: &prepared.images,
            epoch: self.request.epoch,
            remote: &remote,
        };
        let bases: Vec<_> =
            (0..).zip(&prepared.plans).map(|(index, plan)| self.base_of(index, plan, &prepared)).collect();
        let inline_asked = self.is_inline() || remote.is_inline();
        let mut solver = Solver::new(self.director, matter);
        solver.solve()?;
        let mut outputs = Vec::with_capacity(prepared.plans.len());
        for ((index, plan), base) in prepared.plans.iter().enumerate().zip(bases) {
            let finished = Finished {
                plan,
                progress: &|stage| solver.progress((index, stage)),
                base,
                epoch: self.request.epoch,
                implicit: self.request.platforms.is_empty(),
            };
            let inline = if inline_asked {
                Some(remote_cache::inline(
                    &elsewhere::entries(&solver, &prepared.plans, false),
                    &finished.layers(),
                )?)
            } else {
                None
            };
            outputs.push(Output {
                platform: plan.platform.clone(),
                config: finished.config(inline),
                layers: finished.layers(),
                facts: facts::facts(self.request, loaded, plan, &prepared.bases, &started),
            });
        }
        // They stay where they are until the images have them.
        let result = elsewhere::entries(&solver, &prepared.plans, false);
        let all = elsewhere::entries(&solver, &prepared.plans, true);
        let leases = solver.into_leases();
        let built = output::export(self.director, self.store, &exports, &outputs).and_then(|built| {
            elsewhere::export(self.director, self.store, &remote, &result, &all).map(|()| built)
        });
        drop(leases);
        let mut built = built?;
        built.metadata.insert("buildx.build.ref".into(), json!(facts::reference()));
        Ok(built)
    }

    /// The older way of asking for a cache in the image.
    fn is_inline(&self) -> bool {
        let given = self.request.args.get("BUILDKIT_INLINE_CACHE");
        given.is_some_and(|value| matches!(value.as_str(), "1" | "true"))
    }

    /// The configuration of the image that a plan's result stands on.
    fn base_of<'p>(&self, index: usize, plan: &Plan, prepared: &'p Prepared) -> Option<&'p ImageConfig> {
        match finish::root_image(plan, plan.target)? {
            Tree::Image(image) => Some(&prepared.bases.get(plan.images.get(*image)?)?.config),
            Tree::Context(name) if prepared.images.contains_key(&(index, name.clone())) => {
                let image = self.context_image(name, &plan.platform)?;
                Some(&prepared.bases.get(&image)?.config)
            }
            _ => None,
        }
    }

    /// The Dockerfile may ask for a program that reads it. BuildKit's own is what this one does; others are not run.
    fn say_of_frontend(&mut self, dockerfile: &Dockerfile) {
        let given = self.request.args.get("BUILDKIT_SYNTAX").cloned();
        let written = dockerfile.directives.syntax.as_ref().map(|(name, _)| name.clone());
        let Some(name) = given.or(written) else { return };
        let known = ["docker/dockerfile", "docker.io/docker/dockerfile", "docker/dockerfile-upstream"];
        if known.iter().any(|known| name == *known || name.starts_with(&format!("{known}:"))) {
            return;
        }
        let step = self.director.step(format!("[internal] resolve frontend {name}"), Vec::new());
        self.director.started(step);
        self.director
            .log(step, "this frontend is not run: the Dockerfile is read as docker/dockerfile reads it\n");
        self.director.done(step);
    }
}

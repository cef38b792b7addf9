//! `build`: an image from a Dockerfile and its contexts.
//!
//! One process directs ([`director`]); what takes time is done by jobs ([`job`]). First the Dockerfile and its contexts
//! are loaded and the base images found, then everything is planned ([`crate::build::plan`]), then done ([`solve`]).

pub mod ask;
mod bases;
mod director;
pub mod export;
mod finish;
pub mod job;
mod load;
mod output;
pub mod prune;
mod remote;
mod report;
pub mod request;
pub mod run_step;
mod selections;
mod solve;
mod step;

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;

use self::bases::{Bases, Look};
use self::director::Director;
use self::export::provenance::Facts;
use self::export::{Exports, Output};
use self::finish::Finished;
use self::load::Loaded;
use self::request::{BuildRequest, Built, ContextSource};
use self::solve::{Matter, Solver};
use crate::build::arguments;
use crate::build::dockerfile::ast::Dockerfile;
use crate::build::dockerfile::parse;
use crate::build::evaluate::{Known, evaluate};
use crate::build::graph::{Graph, Surroundings};
use crate::build::plan::{Plan, Tree};
use crate::build::progress::Watcher;
use crate::model::environment::Environment;
use crate::model::image::ImageConfig;
use crate::model::platform::Platform;
use crate::store::Store;

/// Builds what was asked for. This process must have one thread and be in no user namespace of its own making; signals
/// that ask for an end are blocked until it is done.
pub fn build(
    store: &Store,
    request: &BuildRequest,
    environment: &Environment,
    watcher: &mut dyn Watcher,
) -> Result<Built> {
    let mut director = Director::begin(environment, watcher)?;
    let built = Build { store, request, environment, director: &mut director }.run();
    director.end()?;
    if built.is_err() {
        // Whoever was stopped may have left something unfinished.
        store.sweep()?;
    }
    built
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
        let exports = Exports::prepare(self.environment, self.request)?;
        let dockerfile = parse(&loaded.definition.text)?;
        let mut bases = Bases::default();
        let images = self.named_contexts(loaded)?;
        let platforms = self.platforms();
        let mut plans = Vec::with_capacity(platforms.len());
        for platform in &platforms {
            plans.push(self.plan(&dockerfile, platform, &images, &mut bases)?);
        }
        let no_layers = BTreeMap::new();
        let matter = Matter {
            store: self.store,
            environment: self.environment,
            request: self.request,
            plans: &plans,
            bases: &bases,
            contexts: &loaded.contexts,
            images: &no_layers,
            epoch: self.request.epoch,
        };
        let mut solver = Solver::new(self.director, matter);
        solver.solve()?;
        let mut outputs = Vec::with_capacity(plans.len());
        for (index, plan) in plans.iter().enumerate() {
            let base = match finish::root_image(plan, plan.target) {
                Some(Tree::Image(image)) => plan.images.get(*image).and_then(|image| bases.get(image)),
                _ => None,
            };
            let finished = Finished {
                plan,
                progress: &|stage| solver.progress((index, stage)),
                base: base.map(|base| &base.config),
                epoch: self.request.epoch,
                implicit: self.request.platforms.is_empty(),
            };
            outputs.push(Output {
                platform: plan.platform.clone(),
                config: finished.config(None),
                layers: finished.layers(),
                facts: Facts::default(),
            });
        }
        // They stay where they are until the images have them.
        let leases = solver.into_leases();
        let built = output::export(self.director, self.store, &exports, &outputs);
        drop(leases);
        built
    }

    /// The names of contexts that stand for images.
    fn named_contexts(&mut self, loaded: &mut Loaded) -> Result<BTreeMap<String, String>> {
        let mut images = BTreeMap::new();
        for (name, source) in &self.request.contexts {
            match source {
                ContextSource::Image(image) => {
                    images.insert(name.clone(), image.clone());
                }
                other => loaded.add(self.director, self.store, name, other, self.environment)?,
            }
        }
        Ok(images)
    }

    fn platforms(&self) -> Vec<Platform> {
        match self.request.platforms.as_slice() {
            [] => vec![Platform::host()],
            platforms => platforms.to_vec(),
        }
    }

    fn plan(
        &mut self,
        dockerfile: &Dockerfile,
        platform: &Platform,
        images: &BTreeMap<String, String>,
        bases: &mut Bases,
    ) -> Result<Plan> {
        let request = self.request;
        let target = request.target.as_deref();
        let target_name = target.map_or_else(
            || dockerfile.stages.last().and_then(|stage| stage.name.clone()).unwrap_or_default(),
            str::to_owned,
        );
        let automatic = arguments::platform(&Platform::host(), platform, &target_name);
        let globals = arguments::global(dockerfile, &automatic, &request.args)?;
        let contexts: BTreeSet<String> = request.contexts.keys().cloned().collect();
        let around = Surroundings { globals: &globals, platform, contexts: &contexts, target };
        let mut graph = Graph::new(dockerfile, around)?;
        let look = Look {
            store: self.store,
            environment: self.environment,
            pull: request.pull,
            several: request.platforms.len() > 1,
            implicit: request.platforms.is_empty(),
        };
        loop {
            let needed = graph.needed_images();
            let wanted: Vec<_> = needed.iter().filter_map(|image| graph.images.get(*image)).collect();
            bases.find(self.director, look, &wanted)?;
            let found = graph.images.clone();
            let triggers = |image: usize| {
                let base = bases.get(found.get(image)?)?;
                Some(base.config.config.on_build.clone().unwrap_or_default())
            };
            if !graph.add_triggers(&triggers)? {
                break;
            }
        }
        let _ = images;
        let no_cache = |name: &str| {
            request.no_cache || request.no_cache_filter.iter().any(|filter| filter.eq_ignore_ascii_case(name))
        };
        let found = graph.images.clone();
        let image = |image: usize| -> Option<&ImageConfig> { Some(&bases.get(found.get(image)?)?.config) };
        let known = Known {
            globals: &globals,
            given: &request.args,
            image: &image,
            context: &|_| None,
            labels: &request.labels,
            several: request.platforms.len() > 1,
            no_cache: &no_cache,
        };
        Ok(evaluate(&graph, platform, &known)?)
    }
}

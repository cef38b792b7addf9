//! From the Dockerfile to one plan per platform: resolves base images, adds their ONBUILD triggers, expands
//! variables.

pub(crate) mod base_images;

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;

use self::base_images::{BaseImage, BaseImages, BaseLookup};
use crate::BuildRun;
use crate::load::BuildSources;
use crate::request::ContextSource;
use dhow_build::arguments;
use dhow_build::ast::Dockerfile;
use dhow_build::check::{self, CheckOptions};
use dhow_build::evaluate::{EvaluationInputs, evaluate_graph};
use dhow_build::graph::{GraphInputs, StageGraph};
use dhow_build::plan::{BuildPlan, ImageInput};
use dhow_build::progress::{BuildEvent, CheckWarning};
use dhow_model::digest::Digest;
use dhow_model::image::ImageConfig;
use dhow_model::platform::Platform;

pub(crate) struct PreparedBuild {
    /// One for each platform.
    pub(crate) plans: Vec<BuildPlan>,
    pub bases: BaseImages,
    /// The layers of named contexts that are images, by plan and name.
    pub images: BTreeMap<(usize, String), Vec<Digest>>,
}

impl BuildRun<'_, '_> {
    pub(crate) fn prepare(
        &mut self,
        loaded: &mut BuildSources,
        dockerfile: &Dockerfile,
    ) -> Result<PreparedBuild> {
        let mut prepared =
            PreparedBuild { plans: Vec::new(), bases: BaseImages::default(), images: BTreeMap::new() };
        for (index, platform) in self.platforms().iter().enumerate() {
            let (graph, globals) = self.graph(dockerfile, platform, &mut prepared.bases)?;
            self.load_named_contexts(index, platform, &graph, loaded, &mut prepared)?;
            // Once, not for each platform.
            if index == 0 {
                let warnings = self.warnings(dockerfile, platform, loaded, Some(&prepared.bases), false)?;
                let options = self.check_options(dockerfile)?;
                let violation = check::violation_error(&warnings, &options);
                for warning in warnings {
                    self.runner.event(BuildEvent::Warning(warning));
                }
                if let Some(failure) = violation {
                    return Err(failure.into());
                }
            }
            let plan = self.plan(&graph, platform, &globals, &prepared)?;
            prepared.plans.push(plan);
        }
        Ok(prepared)
    }

    /// The target platforms without repetitions; the host's if none were requested.
    pub(crate) fn platforms(&self) -> Vec<Platform> {
        let mut platforms: Vec<Platform> = Vec::new();
        for platform in &self.request.platforms {
            if !platforms.contains(platform) {
                platforms.push(platform.clone());
            }
        }
        if platforms.is_empty() {
            platforms.push(Platform::host());
        }
        platforms
    }

    fn is_multi_platform(&self) -> bool {
        self.platforms().len() > 1
    }

    fn base_lookup(&self) -> BaseLookup<'_> {
        BaseLookup {
            store: self.store,
            environment: self.environment,
            built_in: self.built_in,
            pull: self.request.pull,
            multi_platform: self.is_multi_platform(),
            default_platform: self.request.platforms.is_empty(),
        }
    }

    /// The graph of stages, with the ONBUILD triggers of their bases, and the variables that `FROM` sees.
    fn graph(
        &mut self,
        dockerfile: &Dockerfile,
        platform: &Platform,
        bases: &mut BaseImages,
    ) -> Result<(StageGraph, BTreeMap<String, String>)> {
        let request = self.request;
        let target = request.target.as_deref();
        let last = || dockerfile.stages.last().and_then(|stage| stage.name.clone()).unwrap_or_default();
        let target_name = target.map_or_else(last, str::to_owned);
        let automatic = arguments::platform_args(&Platform::host(), platform, &target_name);
        let globals = arguments::global_args(dockerfile, &automatic, &request.args)?;
        let contexts: BTreeSet<String> = request.contexts.keys().cloned().collect();
        let inputs = GraphInputs { globals: &globals, platform, contexts: &contexts, target };
        let mut graph = StageGraph::new(dockerfile, inputs)?;
        // ONBUILD triggers may need further images, so repeat until none are added.
        loop {
            let needed = graph.needed_images();
            let images = graph.images.clone();
            let needed_images: Vec<&ImageInput> =
                needed.iter().filter_map(|image| images.get(*image)).collect();
            let lookup = BaseLookup {
                environment: self.environment,
                built_in: self.built_in,
                store: self.store,
                ..self.base_lookup()
            };
            bases.resolve(self.runner, lookup, &needed_images)?;
            let triggers = |image: usize| {
                let base = bases.get(images.get(image)?)?;
                Some(base.config.config.on_build.clone().unwrap_or_default())
            };
            if !graph.add_triggers(&triggers)? {
                return Ok((graph, globals));
            }
        }
    }

    /// Loads the named contexts that the graph needs, unless they are loaded already.
    fn load_named_contexts(
        &mut self,
        plan: usize,
        platform: &Platform,
        graph: &StageGraph,
        loaded: &mut BuildSources,
        prepared: &mut PreparedBuild,
    ) -> Result<()> {
        for name in graph.needed_contexts() {
            let Some(source) = self.request.contexts.get(&name) else { continue };
            match source {
                ContextSource::Image(_) => {
                    let Some(image) = self.context_image(&name, platform) else { continue };
                    let lookup = BaseLookup {
                        environment: self.environment,
                        built_in: self.built_in,
                        store: self.store,
                        ..self.base_lookup()
                    };
                    prepared.bases.resolve(self.runner, lookup, &[&image])?;
                    let layers = prepared.bases.get(&image).map(|base| base.layers.clone());
                    prepared.images.insert((plan, name), layers.unwrap_or_default());
                }
                // Loaded for an earlier platform.
                _ if loaded.contexts.contains_key(&name) => {}
                other => self.source_loader().add_context(loaded, &name, other)?,
            }
        }
        Ok(())
    }

    /// The image of a named context; `None` if it is not an image.
    pub(crate) fn context_image(&self, name: &str, platform: &Platform) -> Option<ImageInput> {
        let image = match self.request.contexts.get(name)? {
            ContextSource::Image(image) => image.clone(),
            _ => return None,
        };
        Some(ImageInput { name: image, platform: platform.clone(), stage: None, lines: 0..=0 })
    }

    fn plan(
        &self,
        graph: &StageGraph,
        platform: &Platform,
        globals: &BTreeMap<String, String>,
        prepared: &PreparedBuild,
    ) -> Result<BuildPlan> {
        let request = self.request;
        let bases = &prepared.bases;
        let image = |image: usize| Some(&bases.get(graph.images.get(image)?)?.config);
        let context = |name: &str| -> Option<&ImageConfig> {
            Some(&bases.get(&self.context_image(name, platform)?)?.config)
        };
        let no_cache = |name: &str| {
            let named = |filter: &String| filter.eq_ignore_ascii_case(name);
            request.no_cache || request.no_cache_filter.iter().any(named)
        };
        let inputs = EvaluationInputs {
            globals,
            build_args: &request.args,
            image: &image,
            context: &context,
            labels: &request.labels,
            multi_platform: self.is_multi_platform(),
            no_cache: &no_cache,
        };
        Ok(evaluate_graph(graph, platform, &inputs)?)
    }

    pub(crate) fn check_options(&self, dockerfile: &Dockerfile) -> Result<CheckOptions> {
        let argument = self.request.args.get("BUILDKIT_DOCKERFILE_CHECK").map(String::as_str);
        Ok(CheckOptions::for_build(dockerfile, argument)?)
    }

    /// The build rules that the Dockerfile breaks (`--check`).
    pub(crate) fn warnings(
        &self,
        dockerfile: &Dockerfile,
        platform: &Platform,
        loaded: &BuildSources,
        bases: Option<&BaseImages>,
        all_stages: bool,
    ) -> Result<Vec<CheckWarning>> {
        let base_environment = |name: &str| {
            let base: &BaseImage = bases?.by_name(name)?;
            let pair = |entry: &String| {
                entry.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()))
            };
            Some(base.config.config.env.iter().filter_map(pair).collect())
        };
        let ignore = loaded.contexts.get("").map(|context| &context.ignore);
        let ignored = |path: &str| ignore.is_some_and(|ignore| crate::load::is_ignored(ignore, path));
        // With exceptions, a directory may be ignored although some file in it is copied.
        let is_plain = ignore.is_some_and(|ignore| !ignore.file().is_empty() && !ignore.has_exceptions());
        let inputs = check::CheckInputs {
            target: self.request.target.as_deref(),
            all_stages,
            given: &self.request.args,
            build: &Platform::host(),
            platform,
            base_environment: &base_environment,
            ignored: is_plain.then_some(&ignored),
        };
        Ok(check::check(dockerfile, &self.check_options(dockerfile)?, &inputs))
    }
}

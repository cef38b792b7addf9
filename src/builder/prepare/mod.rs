//! From the Dockerfile to one plan per platform: resolves base images, adds their ONBUILD triggers, expands
//! variables.

pub(crate) mod base_images;
mod checks;

use std::collections::BTreeMap;

use anyhow::Result;

use self::base_images::{BaseImages, BaseLookup};
use crate::BuildRun;
use crate::buildflags::args::{EPOCH, parse_epoch_value};
use crate::load::BuildSources;
use crate::request::ContextSource;
use dhow_build::arguments;
use dhow_build::ast::Dockerfile;
use dhow_build::check;
use dhow_build::evaluate::{EvaluationInputs, evaluate_graph};
use dhow_build::graph::{GraphInputs, StageGraph};
use dhow_build::plan::{BuildPlan, ImageInput, InputTree};
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

impl<'a> BuildRun<'a, '_, '_> {
    pub(crate) fn prepare(
        &mut self,
        loaded: &mut BuildSources,
        dockerfile: &Dockerfile,
    ) -> Result<PreparedBuild> {
        let mut prepared =
            PreparedBuild { plans: Vec::new(), bases: BaseImages::default(), images: BTreeMap::new() };
        let options = self.check_options(dockerfile)?;
        for (index, platform) in self.platforms().iter().enumerate() {
            // The warnings are shown once, not for each platform.
            let mut warnings = Vec::new();
            if index == 0 {
                let bases = &prepared.bases;
                warnings = self.with_check_inputs(platform, loaded, bases, false, |inputs| {
                    check::check_file(dockerfile, &options, inputs)
                });
                self.show_warnings(&warnings);
            }
            let (mut graph, globals) = self.graph(dockerfile, platform, false)?;
            self.fetch_inputs(index, platform, &mut graph, loaded, &mut prepared)?;
            if index == 0 {
                let bases = &prepared.bases;
                let of_stages = self.with_check_inputs(platform, loaded, bases, false, |inputs| {
                    check::check_stages(dockerfile, &options, inputs)
                });
                self.show_warnings(&of_stages);
                warnings.extend(of_stages);
            }
            prepared.plans.push(self.plan(&graph, platform, &globals, &prepared.bases)?);
            if let Some(violation) = check::violation_error(&warnings, &options) {
                return Err(violation.into());
            }
        }
        Ok(prepared)
    }

    /// Expands all stages as a build does, and returns what it would refuse, with the images in the store;
    /// nothing is fetched. What may depend on images that are not there is not refused.
    pub(crate) fn evaluate_locally(
        &mut self,
        dockerfile: &Dockerfile,
        platform: &Platform,
    ) -> (BaseImages, Result<()>) {
        let mut bases = BaseImages::default();
        let evaluated = self.evaluate_with_local(dockerfile, platform, &mut bases);
        (bases, evaluated)
    }

    fn evaluate_with_local(
        &mut self,
        dockerfile: &Dockerfile,
        platform: &Platform,
        bases: &mut BaseImages,
    ) -> Result<()> {
        let (mut graph, globals) = self.graph(dockerfile, platform, self.request.target.is_none())?;
        loop {
            let contexts = graph.needed_contexts();
            let contexts = contexts.iter().filter_map(|name| self.context_image(name, platform));
            let needed = graph.needed_images();
            let images = needed.iter().filter_map(|image| graph.images.get(*image).cloned());
            let images: Vec<ImageInput> = images.chain(contexts).collect();
            bases.look_up(self.runner, self.base_lookup(), &images)?;
            let known = graph.images.clone();
            let triggers = |tree: &InputTree| self.triggers(tree, &known, platform, bases);
            if !graph.add_triggers(&triggers)? {
                break;
            }
        }
        self.plan(&graph, platform, &globals, bases).map(drop)
    }

    fn graph(
        &self,
        dockerfile: &Dockerfile,
        platform: &Platform,
        every_stage: bool,
    ) -> Result<(StageGraph, BTreeMap<String, String>)> {
        let globals = self.globals(dockerfile, platform)?;
        let inputs = GraphInputs {
            globals: &globals,
            platform,
            contexts: &self.request.contexts.keys().cloned().collect(),
            target: self.request.target.as_deref(),
            every_stage,
        };
        Ok((StageGraph::new(dockerfile, inputs)?, globals))
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

    fn base_lookup(&self) -> BaseLookup<'a> {
        BaseLookup {
            store: self.store,
            environment: self.environment,
            built_in: self.built_in,
            pull: self.request.pull,
            multi_platform: self.is_multi_platform(),
            default_platform: self.request.platforms.is_empty(),
        }
    }

    /// The variables that `FROM` sees.
    fn globals(&self, dockerfile: &Dockerfile, platform: &Platform) -> Result<BTreeMap<String, String>> {
        let last = || dockerfile.stages.last().and_then(|stage| stage.name.clone()).unwrap_or_default();
        let target = self.request.target.clone().unwrap_or_else(last);
        let automatic = arguments::platform_args(&Platform::host(), platform, &target);
        Ok(arguments::global_args(dockerfile, &automatic, &self.request.args)?)
    }

    /// The epoch that the Dockerfile sets for itself with a global `ARG SOURCE_DATE_EPOCH=…`; `None` if the request
    /// says something about it.
    pub(crate) fn declared_epoch(&self, dockerfile: &Dockerfile) -> Result<Option<i64>> {
        if self.request.epoch.is_some() || self.request.args.contains_key(EPOCH) {
            return Ok(None);
        }
        let platform = self.platforms().into_iter().next().unwrap_or_else(Platform::host);
        match self.globals(dockerfile, &platform)?.get(EPOCH) {
            Some(value) => Ok(parse_epoch_value(value)?),
            None => Ok(None),
        }
    }

    /// Fetches the images and named contexts that the graph needs, and adds the ONBUILD triggers of its bases.
    fn fetch_inputs(
        &mut self,
        plan: usize,
        platform: &Platform,
        graph: &mut StageGraph,
        loaded: &mut BuildSources,
        prepared: &mut PreparedBuild,
    ) -> Result<()> {
        // Triggers may need further images, so repeat until none are added.
        loop {
            let images = graph.images.clone();
            let needed = graph.needed_images();
            let needed: Vec<&ImageInput> = needed.iter().filter_map(|image| images.get(*image)).collect();
            let lookup = self.base_lookup();
            prepared.bases.resolve(self.runner, lookup, &needed)?;
            self.load_named_contexts(plan, platform, graph, loaded, prepared)?;
            let bases = &prepared.bases;
            let triggers = |tree: &InputTree| self.triggers(tree, &images, platform, bases);
            if !graph.add_triggers(&triggers)? {
                return Ok(());
            }
        }
    }

    /// The ONBUILD triggers of a base; `None` if it is not known yet.
    fn triggers(
        &self,
        base: &InputTree,
        images: &[ImageInput],
        platform: &Platform,
        bases: &BaseImages,
    ) -> Option<Vec<String>> {
        let image = match base {
            InputTree::Image(image) => images.get(*image).cloned(),
            InputTree::Context(name) => self.context_image(name, platform),
            _ => None,
        };
        // A context of files has none.
        let Some(image) = image else { return Some(Vec::new()) };
        Some(bases.get(&image)?.config.config.on_build.clone().unwrap_or_default())
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
                    let lookup = self.base_lookup();
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
        bases: &BaseImages,
    ) -> Result<BuildPlan> {
        let request = self.request;
        let image = |image: usize| Some(&bases.get(graph.images.get(image)?)?.config);
        let context = |name: &str| -> Option<&ImageConfig> {
            Some(&bases.get(&self.context_image(name, platform)?)?.config)
        };
        let unknown = |base: &InputTree| match base {
            InputTree::Image(image) => {
                graph.images.get(*image).is_some_and(|image| bases.get(image).is_none())
            }
            InputTree::Context(name) => {
                self.context_image(name, platform).is_some_and(|image| bases.get(&image).is_none())
            }
            _ => false,
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
            unknown: &unknown,
            labels: &request.labels,
            multi_platform: self.is_multi_platform(),
            no_cache: &no_cache,
        };
        Ok(evaluate_graph(graph, platform, &inputs)?)
    }
}

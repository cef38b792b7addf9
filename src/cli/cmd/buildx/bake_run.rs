//! Runs `bake`: builds the targets one after another, dependencies first, so that what they have in common is
//! built once and comes from the cache afterwards.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::build_run;
use crate::flags::build::{
    CallFormat, check_entitlement, check_output, check_tags, parse_each, parse_platforms,
    with_default_provenance,
};
use crate::frame::command::{CommandContext, CommandResult};
use crate::frame::docker_config;
use crate::output::progress::build::{BuildDisplay, ProgressMode};
use dhow_builder::bake::ResolvedTargets;
use dhow_builder::buildflags::ClientEnv;
use dhow_builder::request::{BuildRequest, BuildResult, CallFunc, ContextSource, OptionsEntry};
use dhow_engine::image::demo::DemoImage;
use dhow_error::{invalid, unsupported};
use dhow_store::Store;

/// The targets to build, and how builds are shown and their results printed.
pub(crate) struct BakeOptions<'a> {
    pub(crate) resolved: &'a ResolvedTargets,
    /// Environment and working directory that the targets' paths and variables refer to.
    pub(crate) invocation_env: &'a ClientEnv,
    /// Entitlements granted with `--allow`.
    pub(crate) allow: &'a [String],
    /// What `--call` asks for: a build, or an analysis of the Dockerfile.
    pub(crate) call: CallFunc,
    /// How the result of `--call` is printed.
    pub(crate) format: CallFormat,
    pub(crate) mode: ProgressMode,
    /// The file named by `--metadata-file`.
    pub(crate) metadata: Option<&'a str>,
    /// Whether warnings are explained.
    pub(crate) verbose: bool,
}

/// A target with all its options parsed and checked.
struct PreparedTarget {
    name: String,
    request: BuildRequest,
}

/// Builds all targets in order of dependency; stops at the first failure.
pub(crate) fn run_bake(context: &CommandContext, store: &Store, options: &BakeOptions<'_>) -> CommandResult {
    // Everything that can be refused is refused before the first build.
    let prepared = options
        .resolved
        .build_order()?
        .into_iter()
        .map(|name| prepare_target(name, context, options))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let mut display = build_run::open_display(context, options.mode, &options.invocation_env.environment)?;
    let mut run = BakeRun { store, options, images: BTreeMap::new(), built: Vec::new() };
    let several = prepared.len() > 1;
    for target in prepared {
        if let Err(error) = run.build(target, several, &mut display) {
            display.finish(options.verbose);
            return Ok(build_run::report_failure(context, &display, &error, options.verbose));
        }
    }
    display.finish(options.verbose);
    run.print_results()
}

/// Parses and checks a target's options; errors name the target.
fn prepare_target(
    name: String,
    context: &CommandContext,
    options: &BakeOptions<'_>,
) -> anyhow::Result<PreparedTarget> {
    let target = options.resolved.targets.get(&name);
    let target = target.ok_or_else(|| invalid(format!("failed to find target {name}")))?;
    let named = |why: anyhow::Error| why.context(format!("target {name}"));
    let mut request = target.request(options.invocation_env).map_err(|why| named(why.into()))?;
    // Values of bake files are checked like those of flags.
    request.tags = check_tags(&request.tags).map_err(|why| named(why.into()))?;
    request.outputs.iter().try_for_each(check_output).map_err(|why| named(why.into()))?;
    if request.platforms.is_empty() {
        request.platforms = parse_platforms(&[])?;
    }
    request.attests =
        with_default_provenance(std::mem::take(&mut request.attests), &options.invocation_env.environment);
    request.allow.extend(parse_each(options.allow, check_entitlement)?);
    request.call = options.call;
    docker_config::add_proxy_args(&mut request.args, context);
    if matches!(request.context, ContextSource::Target(_)) {
        let why = unsupported("a target as the main context is not possible here")
            .hint("contexts = { name = \"target:…\" } and COPY --from=name");
        return Err(named(why.into()));
    }
    Ok(PreparedTarget { name, request })
}

/// The builds so far.
struct BakeRun<'a> {
    store: &'a Store,
    options: &'a BakeOptions<'a>,
    /// Image IDs of targets that others use as a context, by target name.
    images: BTreeMap<String, String>,
    /// Results of the targets that were asked for, in build order.
    built: Vec<(String, BuildRequest, BuildResult)>,
}

impl BakeRun<'_> {
    fn build(
        &mut self,
        target: PreparedTarget,
        several: bool,
        display: &mut BuildDisplay,
    ) -> anyhow::Result<()> {
        let PreparedTarget { name, mut request } = target;
        for source in request.contexts.values_mut() {
            if let ContextSource::Target(other) = source {
                *source = ContextSource::Image(self.base_image(other)?);
            }
        }
        let build_name = several.then_some(name.as_str());
        let requested = self.options.resolved.requested.contains(&name);
        // Another target needs this one as a single image in the store. If its own outputs are different, it
        // is built a second time for them, from the cache.
        if self.options.call == CallFunc::Build
            && self.is_used_as_context(&name)
            && !(requested && exports_to_store_only(&request))
        {
            let built = self.build_target(&base_build(&request), build_name, display)?;
            if let Some(id) = &built.image {
                self.images.insert(name.clone(), id.to_string());
            }
            if !requested {
                return Ok(());
            }
        }
        if requested {
            let built = self.build_target(&request, build_name, display)?;
            if let Some(id) = built.image.as_ref().filter(|_| exports_to_store_only(&request)) {
                self.images.insert(name.clone(), id.to_string());
            }
            self.built.push((name, request, built));
        }
        Ok(())
    }

    fn build_target(
        &self,
        request: &BuildRequest,
        build_name: Option<&str>,
        display: &mut BuildDisplay,
    ) -> anyhow::Result<BuildResult> {
        display.begin_build(build_name);
        dhow_builder::build(
            self.store,
            request,
            &self.options.invocation_env.environment,
            &DemoImage,
            display,
        )
    }

    fn is_used_as_context(&self, name: &str) -> bool {
        let link = format!("target:{name}");
        self.options.resolved.targets.values().any(|target| target.has_context(&link))
    }

    fn base_image(&self, target: &str) -> anyhow::Result<String> {
        if self.options.call != CallFunc::Build {
            // No image is needed, since only the Dockerfile is analysed.
            return Ok("scratch".into());
        }
        self.images.get(target).cloned().ok_or_else(|| {
            unsupported(format!("target {target} makes no single image that others could stand on"))
                .hint("it is built for several platforms; name one with --set")
                .into()
        })
    }

    /// Writes the metadata file and prints the results of `--call`; returns the exit code.
    fn print_results(&self) -> CommandResult {
        if let Some(path) = self.options.metadata {
            let pairs = self.built.iter();
            let metadata: Map<String, Value> =
                pairs.map(|(name, _, built)| (name.clone(), Value::Object(built.metadata.clone()))).collect();
            build_run::write_metadata(path, &metadata)?;
        }
        let mut code = 0;
        if self.options.call != CallFunc::Build {
            for (_, request, built) in &self.built {
                code = build_run::print_call_result(request, self.options.format, built)?.max(code);
            }
        }
        Ok(code)
    }
}

/// Whether a build's only outputs are images in the store.
fn exports_to_store_only(request: &BuildRequest) -> bool {
    let stored = |output: &OptionsEntry| output.kind == "docker" && !output.attributes.contains_key("dest");
    request.outputs.iter().all(stored)
}

/// The same build with an image in the store as its only output, as the base of other targets.
fn base_build(request: &BuildRequest) -> BuildRequest {
    let disabled = BTreeMap::from([("disabled".to_owned(), "true".to_owned())]);
    // No cache export and no provenance either: nobody asked for them on the intermediate image.
    BuildRequest {
        outputs: Vec::new(),
        tags: Vec::new(),
        cache_to: Vec::new(),
        attests: vec![OptionsEntry { kind: "provenance".into(), attributes: disabled }],
        ..request.clone()
    }
}

//! Runs `bake`: builds the targets one after another, dependencies first, so that what they have in common is
//! built once and comes from the cache afterwards.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::building;
use super::entry::{Context, Outcome};
use super::flags::build::{Format, check_output, each, entitlement, platforms, tags, with_default};
use super::progress::build::{Display, Mode};
use super::settings;
use crate::engine::build;
use crate::engine::build::ask::Surroundings;
use crate::engine::build::bake::Resolved;
use crate::engine::build::request::{BuildRequest, Built, Call, ContextSource, Typed};
use crate::error::{invalid, unsupported};
use crate::store::Store;

/// The targets to build, and how builds are shown and their results printed.
pub(crate) struct Order<'a> {
    pub(crate) resolved: &'a Resolved,
    /// Environment and working directory that the targets' paths and variables refer to.
    pub(crate) around: &'a Surroundings,
    /// Entitlements granted with `--allow`.
    pub(crate) allow: &'a [String],
    /// What `--call` asks for: a build, or an analysis of the Dockerfile.
    pub(crate) call: Call,
    /// How the result of `--call` is printed.
    pub(crate) format: Format,
    pub(crate) mode: Mode,
    /// The file named by `--metadata-file`.
    pub(crate) metadata: Option<&'a str>,
    /// Whether warnings are explained.
    pub(crate) verbose: bool,
}

/// A target with all its options parsed and checked.
struct Ready {
    name: String,
    request: BuildRequest,
}

/// Builds all targets in order of dependency; stops at the first failure.
pub(crate) fn run(context: &Context, store: &Store, order: &Order<'_>) -> Outcome {
    // Everything that can be refused is refused before the first build.
    let ready = order
        .resolved
        .order()?
        .into_iter()
        .map(|name| prepare(name, context, order))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let mut display = building::display(context, order.mode, &order.around.environment)?;
    let mut baking = Baking { store, order, images: BTreeMap::new(), built: Vec::new() };
    let several = ready.len() > 1;
    for target in ready {
        if let Err(error) = baking.build(target, several, &mut display) {
            display.finish(order.verbose);
            return Ok(building::failed(context, &display, &error, order.verbose));
        }
    }
    display.finish(order.verbose);
    baking.answer()
}

/// Parses and checks a target's options; errors name the target.
fn prepare(name: String, context: &Context, order: &Order<'_>) -> anyhow::Result<Ready> {
    let target = order.resolved.targets.get(&name);
    let target = target.ok_or_else(|| invalid(format!("failed to find target {name}")))?;
    let named = |why: anyhow::Error| why.context(format!("target {name}"));
    let mut request = target.request(order.around).map_err(|why| named(why.into()))?;
    request.tags = tags(&request.tags).map_err(|why| named(why.into()))?;
    request.outputs.iter().try_for_each(check_output).map_err(|why| named(why.into()))?;
    if request.platforms.is_empty() {
        request.platforms = platforms(&[])?;
    }
    request.attests = with_default(std::mem::take(&mut request.attests), &order.around.environment);
    request.allow.extend(each(order.allow, entitlement)?);
    request.call = order.call;
    settings::add_proxies(&mut request.args, context);
    if matches!(request.context, ContextSource::Target(_)) {
        let why = unsupported("a target as the main context is not possible here")
            .hint("contexts = { name = \"target:…\" } and COPY --from=name");
        return Err(named(why.into()));
    }
    Ok(Ready { name, request })
}

/// The builds so far.
struct Baking<'a> {
    store: &'a Store,
    order: &'a Order<'a>,
    /// Image IDs of targets that others use as a context, by target name.
    images: BTreeMap<String, String>,
    /// Results of the targets that were asked for, in build order.
    built: Vec<(String, BuildRequest, Built)>,
}

impl Baking<'_> {
    fn build(&mut self, target: Ready, several: bool, display: &mut Display) -> anyhow::Result<()> {
        let Ready { name, mut request } = target;
        for source in request.contexts.values_mut() {
            if let ContextSource::Target(other) = source {
                *source = ContextSource::Image(self.image(other)?);
            }
        }
        let shown = several.then_some(name.as_str());
        let wanted = self.order.resolved.wanted.contains(&name);
        // Another target needs this one as a single image in the store. If its own outputs are different, it
        // is built a second time for them, from the cache.
        if self.order.call == Call::Build && self.is_context(&name) && !(wanted && is_stored(&request)) {
            let built = self.one(&inner(&request), shown, display)?;
            if let Some(id) = &built.image {
                self.images.insert(name.clone(), id.to_string());
            }
            if !wanted {
                return Ok(());
            }
        }
        if wanted {
            let built = self.one(&request, shown, display)?;
            if let Some(id) = built.image.as_ref().filter(|_| is_stored(&request)) {
                self.images.insert(name.clone(), id.to_string());
            }
            self.built.push((name, request, built));
        }
        Ok(())
    }

    fn one(
        &self,
        request: &BuildRequest,
        shown: Option<&str>,
        display: &mut Display,
    ) -> anyhow::Result<Built> {
        display.begin(shown);
        build::build(self.store, request, &self.order.around.environment, display)
    }

    fn is_context(&self, name: &str) -> bool {
        let link = format!("target:{name}");
        self.order.resolved.targets.values().any(|target| target.stands_on(&link))
    }

    fn image(&self, target: &str) -> anyhow::Result<String> {
        if self.order.call != Call::Build {
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
    fn answer(&self) -> Outcome {
        if let Some(path) = self.order.metadata {
            let pairs = self.built.iter();
            let all: Map<String, Value> =
                pairs.map(|(name, _, built)| (name.clone(), Value::Object(built.metadata.clone()))).collect();
            building::write_metadata(path, &all)?;
        }
        let mut code = 0;
        if self.order.call != Call::Build {
            for (_, request, built) in &self.built {
                code = building::answer(request, self.order.format, built)?.max(code);
            }
        }
        Ok(code)
    }
}

/// Whether a build's only outputs are images in the store.
fn is_stored(request: &BuildRequest) -> bool {
    let stored = |output: &Typed| output.kind == "docker" && !output.attributes.contains_key("dest");
    request.outputs.iter().all(stored)
}

/// The same build with an image in the store as its only output, as the base of other targets.
fn inner(request: &BuildRequest) -> BuildRequest {
    let disabled = BTreeMap::from([("disabled".to_owned(), "true".to_owned())]);
    // No cache export and no provenance either: nobody asked for them on the intermediate image.
    BuildRequest {
        outputs: Vec::new(),
        tags: Vec::new(),
        cache_to: Vec::new(),
        attests: vec![Typed { kind: "provenance".into(), attributes: disabled }],
        ..request.clone()
    }
}

//! Several builds in one go, as `bake` carries them out: one after another, each behind those that it stands on, so that
//! what they have in common is built once and then taken from the cache.

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

/// What is to be built, and how it is shown and answered.
pub(crate) struct Order<'a> {
    /// The targets.
    pub(crate) resolved: &'a Resolved,
    /// Where their texts are read.
    pub(crate) around: &'a Surroundings,
    /// Rights that are allowed.
    pub(crate) allow: &'a [String],
    /// What to do instead of building.
    pub(crate) call: Call,
    /// How the answer of that is printed.
    pub(crate) format: Format,
    /// How it is shown.
    pub(crate) mode: Mode,
    /// The file for what came out.
    pub(crate) metadata: Option<&'a str>,
    /// Whether warnings are explained.
    pub(crate) verbose: bool,
}

/// A target that is ready to be built.
struct Ready {
    name: String,
    request: BuildRequest,
}

/// Builds all targets.
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

/// Reads everything that a target says.
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

/// What was built so far.
struct Baking<'a> {
    store: &'a Store,
    order: &'a Order<'a>,
    /// Images of targets that others stand on.
    images: BTreeMap<String, String>,
    /// What came of the targets that were asked for.
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
            // Only the Dockerfile is looked at, and what a context holds does not matter.
            return Ok("scratch".into());
        }
        self.images.get(target).cloned().ok_or_else(|| {
            unsupported(format!("target {target} makes no single image that others could stand on"))
                .hint("it is built for several platforms; name one with --set")
                .into()
        })
    }

    /// What is printed and written at the end.
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

/// Whether all that comes of a build is an image in the store.
fn is_stored(request: &BuildRequest) -> bool {
    let stored = |output: &Typed| output.kind == "docker" && !output.attributes.contains_key("dest");
    request.outputs.iter().all(stored)
}

/// The same build with an image in the store as its only result, for others to stand on.
fn inner(request: &BuildRequest) -> BuildRequest {
    let disabled = BTreeMap::from([("disabled".to_owned(), "true".to_owned())]);
    BuildRequest {
        outputs: Vec::new(),
        tags: Vec::new(),
        cache_to: Vec::new(),
        attests: vec![Typed { kind: "provenance".into(), attributes: disabled }],
        ..request.clone()
    }
}

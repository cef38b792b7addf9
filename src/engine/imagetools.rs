//! `buildx imagetools`: indexes on registries, made of what is there and copied from one to another.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};

use super::manifest::{fetch, platform, read};
use super::push::Target;
use crate::error::{Failure, Kind, invalid};
use crate::image::manifest::{Descriptor, Manifest};
use crate::image::push::Ready;
use crate::image::push::assemble::index;
use crate::image::push::copy::{Route, entry_of};
use crate::image::registry::repository::{RawManifest, Repository, Which};
use crate::model::environment::Environment;
use crate::model::platform::Platform;
use crate::model::reference::{DEFAULT_TAG, Reference};

/// What to make.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// Names that it gets.
    pub tags: Vec<Reference>,
    /// What it is made of: names, digests (of the first tag's repository), or descriptors as JSON.
    pub sources: Vec<String>,
    /// Add to what the first tag stands for.
    pub append: bool,
    /// An index even of a single image.
    pub prefer_index: bool,
    /// Only these platforms.
    pub platforms: Vec<Platform>,
    /// Annotations of the index.
    pub annotations: BTreeMap<String, String>,
}

/// Something that goes into the index, and where it is.
struct Source {
    repository: Repository,
    registry: String,
    raw: RawManifest,
}

/// What was put together, and how it gets to where it belongs.
pub struct Made {
    sources: Vec<Source>,
    entries: Vec<(usize, Descriptor)>,
    ready: Ready,
}

impl Made {
    /// The manifest or index.
    pub fn text(&self) -> &[u8] {
        &self.ready.text
    }

    /// Its digest.
    pub fn digest(&self) -> String {
        self.ready.descriptor.digest.to_string()
    }
}

/// Reads the sources and makes the index.
pub fn make(environment: &Environment, request: &Request) -> Result<Made> {
    let mut sources = Vec::new();
    let mut wanted: Vec<(Reference, Option<Descriptor>)> = Vec::new();
    if request.append {
        let first = first(request)?;
        wanted.push((first.clone(), None));
    }
    for text in &request.sources {
        wanted.push(meant(request, text)?);
    }
    if wanted.is_empty() {
        return Err(invalid("no sources specified").into());
    }
    let mut entries = Vec::new();
    for (reference, said) in wanted {
        let remote = fetch(environment, &reference, false)
            .with_context(|| format!("cannot read {}", reference.familiar()))?;
        let registry = reference.registry().to_owned();
        let (at, mut found) = (sources.len(), entries_of(&remote.repository, &remote.raw)?);
        if let (Some(said), [only]) = (said, found.as_mut_slice()) {
            only.annotations.extend(said.annotations);
            only.platform = said.platform.or(only.platform.take());
        }
        for entry in found {
            entries.retain(|(_, known): &(usize, Descriptor)| known.digest != entry.digest);
            entries.push((at, entry));
        }
        sources.push(Source { repository: remote.repository, registry, raw: remote.raw });
    }
    narrow(&mut entries, &request.platforms)?;
    let ready = ready(request, &sources, &entries)?;
    Ok(Made { sources, entries, ready })
}

fn first(request: &Request) -> Result<&Reference, Failure> {
    request
        .tags
        .first()
        .ok_or_else(|| invalid("can't push with no tags specified, please set --tag or --dry-run"))
}

/// What one source means.
fn meant(request: &Request, text: &str) -> Result<(Reference, Option<Descriptor>)> {
    if text.trim_start().starts_with('{') {
        let said: Descriptor = serde_json::from_str(text)
            .map_err(|error| invalid(format!("failed to parse source as a descriptor: {error}")))?;
        return Ok((first(request)?.with_digest(said.digest.clone()), Some(said)));
    }
    if let Ok(digest) = text.parse() {
        return Ok((first(request)?.with_digest(digest), None));
    }
    Ok((text.parse::<Reference>()?.or_latest(), None))
}

/// What an index has, or a manifest as an index would have it.
fn entries_of(repository: &Repository, raw: &RawManifest) -> Result<Vec<Descriptor>> {
    if let Manifest::Index(index) = Manifest::parse(&raw.text, &raw.media_type)? {
        return Ok(index.manifests);
    }
    let mut entry = entry_of(raw);
    entry.platform = platform(repository, raw)?;
    Ok(vec![entry])
}

/// Leaves the entries for `platforms`, with what is attested about them.
fn narrow(entries: &mut Vec<(usize, Descriptor)>, platforms: &[Platform]) -> Result<()> {
    if platforms.is_empty() {
        return Ok(());
    }
    let fits = |entry: &Descriptor| {
        let offered = entry.platform.as_ref().map(crate::image::manifest::DescribedPlatform::model);
        offered.is_some_and(|offered| platforms.iter().any(|wanted| wanted.rank(&offered).is_some()))
    };
    let kept: Vec<String> =
        entries.iter().filter(|(_, entry)| fits(entry)).map(|(_, entry)| entry.digest.to_string()).collect();
    if kept.is_empty() {
        let message = "none of the sources is for the platforms that were asked for";
        return Err(Failure::new(Kind::NotFound, message).into());
    }
    let about = |entry: &Descriptor| {
        entry.annotations.get("vnd.docker.reference.digest").is_some_and(|digest| kept.contains(digest))
    };
    entries.retain(|(_, entry)| fits(entry) || about(entry));
    Ok(())
}

fn ready(request: &Request, sources: &[Source], entries: &[(usize, Descriptor)]) -> Result<Ready> {
    let as_it_is = request.annotations.is_empty() && request.platforms.is_empty();
    if let ([source], true) = (sources, as_it_is) {
        let is_index =
            matches!(Manifest::parse(&source.raw.text, &source.raw.media_type)?, Manifest::Index(_));
        if is_index || !request.prefer_index {
            let descriptor = entry_of(&source.raw);
            return Ok(Ready { text: source.raw.text.clone(), descriptor, layers: Vec::new() });
        }
    }
    let entries: Vec<Descriptor> = entries.iter().map(|(_, entry)| entry.clone()).collect();
    index(&entries, &request.annotations)
}

/// Brings everything to the repositories of the tags, and names it so.
pub fn push(
    environment: &Environment,
    request: &Request,
    made: &Made,
    say: &mut dyn FnMut(&str) -> Result<()>,
) -> Result<()> {
    first(request)?;
    for tag in &request.tags {
        let to = Target::find(environment, tag)?.open()?;
        let doing = || format!("cannot push {}", tag.familiar());
        for (at, entry) in &made.entries {
            let Some(source) = made.sources.get(*at) else { continue };
            let raw = match source.raw.digest == entry.digest {
                true => source.raw.clone(),
                false => source.repository.manifest(&Which::Digest(&entry.digest), entry.digest.as_str())?,
            };
            let same_registry = source.registry == tag.registry();
            Route { from: &source.repository, to: &to, same_registry }.manifest(&raw).with_context(doing)?;
        }
        let which = Which::Tag(tag.tag().unwrap_or(DEFAULT_TAG));
        to.put_manifest(&which, &made.ready.descriptor.media_type, &made.ready.text).with_context(doing)?;
        say(&format!("pushing {} to {tag}", made.digest()))?;
    }
    Ok(())
}

/// What a registry has under a name.
pub struct Inspected {
    /// The name.
    pub reference: Reference,
    /// Its manifest or index.
    pub raw: RawManifest,
    /// The entries, if it is an index.
    pub entries: Option<Vec<Descriptor>>,
    /// Configurations of its images, by platform.
    pub configs: Vec<(Option<String>, serde_json::Value)>,
}

/// Looks at a name; `deeply` at the configurations too.
pub fn inspect(environment: &Environment, reference: &Reference, deeply: bool) -> Result<Inspected> {
    let remote = fetch(environment, reference, false)?;
    let mut configs = Vec::new();
    let entries = match Manifest::parse(&remote.raw.text, &remote.raw.media_type)? {
        Manifest::Index(index) => Some(index.manifests),
        Manifest::Image(_) => None,
    };
    if deeply {
        let images = entries
            .iter()
            .flatten()
            .filter(|entry| entry.platform.as_ref().is_none_or(|platform| platform.os != "unknown"));
        for entry in images {
            let raw = read(&remote.repository, &reference.with_digest(entry.digest.clone()))?;
            let platform = entry.platform.as_ref().map(|platform| platform.model().to_string());
            configs.push((platform, config(&remote.repository, &raw)?));
        }
        if entries.is_none() {
            configs.push((None, config(&remote.repository, &remote.raw)?));
        }
    }
    Ok(Inspected { reference: reference.clone(), raw: remote.raw, entries, configs })
}

fn config(repository: &Repository, raw: &RawManifest) -> Result<serde_json::Value> {
    const LIMIT: u64 = 8 << 20;
    let Manifest::Image(image) = Manifest::parse(&raw.text, &raw.media_type)? else {
        return Ok(serde_json::Value::Null);
    };
    Ok(serde_json::from_slice(&repository.small_blob(&image.config, LIMIT)?)?)
}

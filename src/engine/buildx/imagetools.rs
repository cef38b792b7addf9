//! `buildx imagetools`: builds indexes on registries from images that are there, copying between registries
//! where necessary.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};

use crate::manifest::remote::{CONFIG_LIMIT, fetch_manifest, image_platform, read_manifest};
use dhow_error::{Failure, FailureKind, invalid};
use dhow_image::manifest::{Descriptor, Manifest};
use dhow_image::push::ReadyManifest;
use dhow_image::push::assemble::build_index;
use dhow_image::push::copy::{RepositoryCopy, descriptor_of};
use dhow_image::registry::push_target::PushTarget;
use dhow_image::registry::repository::{ManifestRef, RawManifest, Repository};
use dhow_model::environment::Environment;
use dhow_model::platform::Platform;
use dhow_model::reference::{DEFAULT_TAG, ImageReference};

#[derive(Clone, Debug, Default)]
pub struct ImagetoolsRequest {
    pub tags: Vec<ImageReference>,
    /// Names, digests (in the first tag's repository), or descriptors as JSON.
    pub sources: Vec<String>,
    /// Append to the index that the first tag refers to.
    pub append: bool,
    /// Make an index even of a single image.
    pub prefer_index: bool,
    /// Keep only these platforms.
    pub platforms: Vec<Platform>,
    /// Annotations of the index.
    pub annotations: BTreeMap<String, String>,
}

/// A manifest or index that entries come from, with the repository to copy them from.
struct IndexSource {
    repository: Repository,
    registry: String,
    raw: RawManifest,
}

/// An index that is ready to be pushed, and where its entries come from.
pub struct AssembledIndex {
    sources: Vec<IndexSource>,
    entries: Vec<(usize, Descriptor)>,
    ready: ReadyManifest,
}

impl AssembledIndex {
    /// The JSON of the manifest or index.
    pub fn text(&self) -> &[u8] {
        &self.ready.text
    }

    pub fn digest(&self) -> String {
        self.ready.descriptor.digest.to_string()
    }
}

/// Fetches the sources and assembles the index.
pub fn assemble_index(environment: &Environment, request: &ImagetoolsRequest) -> Result<AssembledIndex> {
    let mut sources = Vec::new();
    let mut named: Vec<(ImageReference, Option<Descriptor>)> = Vec::new();
    if request.append {
        let first = first_tag(request)?;
        named.push((first.clone(), None));
    }
    for text in &request.sources {
        named.push(parse_source(request, text)?);
    }
    if named.is_empty() {
        return Err(invalid("no sources specified").into());
    }
    let mut entries = Vec::new();
    for (reference, descriptor) in named {
        let remote = fetch_manifest(environment, &reference, false)
            .with_context(|| format!("cannot read {}", reference.familiar()))?;
        let registry = reference.registry().to_owned();
        let (position, mut source_entries) = (sources.len(), entries_of(&remote.repository, &remote.raw)?);
        // A source given as a descriptor may annotate its image and say its platform.
        if let (Some(descriptor), [only]) = (descriptor, source_entries.as_mut_slice()) {
            only.annotations.extend(descriptor.annotations);
            only.platform = descriptor.platform.or(only.platform.take());
        }
        for entry in source_entries {
            // A later source replaces an equal entry of an earlier one.
            entries.retain(|(_, other): &(usize, Descriptor)| other.digest != entry.digest);
            entries.push((position, entry));
        }
        sources.push(IndexSource { repository: remote.repository, registry, raw: remote.raw });
    }
    retain_platforms(&mut entries, &request.platforms)?;
    let ready = assemble(request, &sources, &entries)?;
    Ok(AssembledIndex { sources, entries, ready })
}

fn first_tag(request: &ImagetoolsRequest) -> Result<&ImageReference, Failure> {
    request
        .tags
        .first()
        .ok_or_else(|| invalid("can't push with no tags specified, please set --tag or --dry-run"))
}

/// The reference of one source, and its descriptor if it was given as JSON.
fn parse_source(request: &ImagetoolsRequest, text: &str) -> Result<(ImageReference, Option<Descriptor>)> {
    if text.trim_start().starts_with('{') {
        let descriptor: Descriptor = serde_json::from_str(text)
            .map_err(|error| invalid(format!("failed to parse source as a descriptor: {error}")))?;
        return Ok((first_tag(request)?.with_digest(descriptor.digest.clone()), Some(descriptor)));
    }
    if let Ok(digest) = text.parse() {
        return Ok((first_tag(request)?.with_digest(digest), None));
    }
    Ok((text.parse::<ImageReference>()?.or_latest(), None))
}

/// The entries of an index, or the one entry that a manifest would have in an index.
fn entries_of(repository: &Repository, raw: &RawManifest) -> Result<Vec<Descriptor>> {
    if let Manifest::Index(index) = Manifest::parse(&raw.text, &raw.media_type)? {
        return Ok(index.manifests);
    }
    let mut entry = descriptor_of(raw);
    entry.platform = image_platform(repository, raw)?;
    Ok(vec![entry])
}

/// Keeps the entries for `platforms`, and their attestations.
fn retain_platforms(entries: &mut Vec<(usize, Descriptor)>, platforms: &[Platform]) -> Result<()> {
    if platforms.is_empty() {
        return Ok(());
    }
    let fits = |entry: &Descriptor| {
        let offered = entry.platform.as_ref().map(dhow_image::manifest::DescriptorPlatform::to_platform);
        offered.is_some_and(|offered| platforms.iter().any(|platform| platform.rank(&offered).is_some()))
    };
    let digests: Vec<String> =
        entries.iter().filter(|(_, entry)| fits(entry)).map(|(_, entry)| entry.digest.to_string()).collect();
    if digests.is_empty() {
        let message = "none of the sources is for the platforms that were asked for";
        return Err(Failure::new(FailureKind::NotFound, message).into());
    }
    // BuildKit attaches attestations as entries that name their image's digest in this annotation.
    let attests = |entry: &Descriptor| {
        entry.annotations.get("vnd.docker.reference.digest").is_some_and(|digest| digests.contains(digest))
    };
    entries.retain(|(_, entry)| fits(entry) || attests(entry));
    Ok(())
}

fn assemble(
    request: &ImagetoolsRequest,
    sources: &[IndexSource],
    entries: &[(usize, Descriptor)],
) -> Result<ReadyManifest> {
    // A single source that is not changed in any way keeps its bytes and so its digest.
    let unchanged = request.annotations.is_empty() && request.platforms.is_empty();
    if let ([source], true) = (sources, unchanged) {
        let is_index =
            matches!(Manifest::parse(&source.raw.text, &source.raw.media_type)?, Manifest::Index(_));
        if is_index || !request.prefer_index {
            let descriptor = descriptor_of(&source.raw);
            return Ok(ReadyManifest { text: source.raw.text.clone(), descriptor, layers: Vec::new() });
        }
    }
    let entries: Vec<Descriptor> = entries.iter().map(|(_, entry)| entry.clone()).collect();
    build_index(&entries, &request.annotations)
}

/// Copies everything to the tags' repositories, then pushes the index under each tag.
pub fn push(
    environment: &Environment,
    request: &ImagetoolsRequest,
    index: &AssembledIndex,
    say: &mut dyn FnMut(&str) -> Result<()>,
) -> Result<()> {
    first_tag(request)?;
    for tag in &request.tags {
        let to = PushTarget::resolve(environment, tag)?.open()?;
        let doing = || format!("cannot push {}", tag.familiar());
        // The index last: a registry refuses one whose entries it does not have.
        for (position, entry) in &index.entries {
            let Some(source) = index.sources.get(*position) else { continue };
            let raw = match source.raw.digest == entry.digest {
                true => source.raw.clone(),
                false => {
                    source.repository.manifest(&ManifestRef::Digest(&entry.digest), entry.digest.as_str())?
                }
            };
            let same_registry = source.registry == tag.registry();
            RepositoryCopy { from: &source.repository, to: &to, same_registry }
                .copy_manifest(&raw)
                .with_context(doing)?;
        }
        let tag_ref = ManifestRef::Tag(tag.tag().unwrap_or(DEFAULT_TAG));
        to.put_manifest(&tag_ref, &index.ready.descriptor.media_type, &index.ready.text)
            .with_context(doing)?;
        say(&format!("pushing {} to {tag}", index.digest()))?;
    }
    Ok(())
}

/// What a registry has under a name.
pub struct RegistryInspection {
    pub reference: ImageReference,
    pub raw: RawManifest,
    /// The entries, if it is an index.
    pub entries: Option<Vec<Descriptor>>,
    /// The configurations of its images, by platform.
    pub configs: Vec<(Option<String>, serde_json::Value)>,
}

/// Fetches what a name refers to; `deeply` with the images' configurations.
pub fn inspect(
    environment: &Environment,
    reference: &ImageReference,
    deeply: bool,
) -> Result<RegistryInspection> {
    let remote = fetch_manifest(environment, reference, false)?;
    let mut configs = Vec::new();
    let entries = match Manifest::parse(&remote.raw.text, &remote.raw.media_type)? {
        Manifest::Index(index) => Some(index.manifests),
        Manifest::Image(_) => None,
    };
    if deeply {
        // The platform unknown/unknown marks an attestation, which has no configuration of an image.
        let images = entries
            .iter()
            .flatten()
            .filter(|entry| entry.platform.as_ref().is_none_or(|platform| platform.os != "unknown"));
        for entry in images {
            let raw = read_manifest(&remote.repository, &reference.with_digest(entry.digest.clone()))?;
            let platform = entry.platform.as_ref().map(|platform| platform.to_platform().to_string());
            configs.push((platform, image_config(&remote.repository, &raw)?));
        }
        if entries.is_none() {
            configs.push((None, image_config(&remote.repository, &remote.raw)?));
        }
    }
    Ok(RegistryInspection { reference: reference.clone(), raw: remote.raw, entries, configs })
}

fn image_config(repository: &Repository, raw: &RawManifest) -> Result<serde_json::Value> {
    let Manifest::Image(image) = Manifest::parse(&raw.text, &raw.media_type)? else {
        return Ok(serde_json::Value::Null);
    };
    Ok(serde_json::from_slice(&repository.small_blob(&image.config, CONFIG_LIMIT)?)?)
}

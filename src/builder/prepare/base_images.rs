//! The images that a build starts from or copies from: found in the store, or pulled.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};

use crate::job::JobUserns;
use crate::job::runner::{JobId, JobRunner};
use dhow_build::evaluate::full_image_name;
use dhow_build::plan::ImageInput;
use dhow_build::progress::StepId;
use dhow_error::{Failure, FailureKind, kind_of};
use dhow_image::pull::request::{self, PullRequest};
use dhow_model::digest::Digest;
use dhow_model::environment::Environment;
use dhow_model::image::ImageConfig;
use dhow_model::platform::Platform;
use dhow_model::reference::ImageReference;
use dhow_runtime::create::BuiltInImage;
use dhow_store::{LayerLease, Store, StoredImage};

/// The fewest digits that are taken for an image ID instead of a name.
const ID_DIGITS: usize = 12;

/// An image in the store, leased while this value lives.
pub(crate) struct BaseImage {
    pub config: ImageConfig,
    /// Diff IDs, lowest first.
    pub layers: Vec<Digest>,
    /// The full name as it is displayed, with the digest of its manifest if known.
    pub title: String,
    /// For the provenance: its name, if it has one, and the digest of its manifest or index.
    pub(crate) material: Option<(ImageReference, Digest)>,
    _leases: Vec<LayerLease>,
}

/// Name and platform.
pub(crate) type BaseKey = (String, String);

/// The images of a build, for all its platforms.
#[derive(Default)]
pub(crate) struct BaseImages {
    resolved: BTreeMap<BaseKey, BaseImage>,
}

/// How images are looked up.
#[derive(Clone, Copy)]
pub(crate) struct BaseLookup<'a> {
    pub store: &'a Store,
    pub environment: &'a Environment,
    pub built_in: &'a dyn BuiltInImage,
    /// Ask the registry even if the image is in the store (`--pull`).
    pub pull: bool,
    /// The build is for several platforms, so step titles name them.
    pub multi_platform: bool,
    /// No `--platform` was given: an image that exists only for another platform is accepted.
    pub default_platform: bool,
}

pub(crate) fn base_key(image: &ImageInput) -> BaseKey {
    (image.name.clone(), image.platform.to_string())
}

impl BaseImages {
    /// An image that [`BaseImages::resolve`] has resolved.
    pub(crate) fn get(&self, image: &ImageInput) -> Option<&BaseImage> {
        self.resolved.get(&base_key(image))
    }

    /// An image by name, for any platform.
    pub(crate) fn by_name(&self, name: &str) -> Option<&BaseImage> {
        self.resolved.iter().find(|((known, _), _)| known == name).map(|(_, base)| base)
    }

    /// Takes those of `images` that are in the store.
    pub(crate) fn look_up(
        &mut self,
        runner: &mut JobRunner<'_>,
        lookup: BaseLookup<'_>,
        images: &[ImageInput],
    ) -> Result<()> {
        for image in images {
            if !self.resolved.contains_key(&base_key(image))
                && let Some(stored) = find_local(lookup, image, runner)?
            {
                self.resolved.insert(base_key(image), open_base(lookup.store, &stored, image)?);
            }
        }
        Ok(())
    }

    /// Resolves those of `images` that are not resolved yet; pulls run concurrently.
    pub(crate) fn resolve(
        &mut self,
        runner: &mut JobRunner<'_>,
        lookup: BaseLookup<'_>,
        images: &[&ImageInput],
    ) -> Result<()> {
        let mut pulls: Vec<(JobId, StepId, &ImageInput)> = Vec::new();
        for image in images {
            if self.resolved.contains_key(&base_key(image))
                || pulls.iter().any(|(_, _, known)| base_key(known) == base_key(image))
            {
                continue;
            }
            let step = runner.add_step(step_title(image, lookup.multi_platform), Vec::new());
            runner.step_started(step);
            // An ID names local content, so there is nothing to pull.
            let local =
                if lookup.pull && !is_id(&image.name) { None } else { find_local(lookup, image, runner)? };
            match local {
                Some(stored) => {
                    let base = open_base(lookup.store, &stored, image);
                    let base = runner.complete_step(step, base).map_err(|error| at_lines(error, image))?;
                    self.resolved.insert(base_key(image), base);
                }
                None => {
                    let job = start_pull(runner, lookup, image, step)
                        .map_err(|error| at_lines(resolve_error(error, image), image));
                    match job {
                        Ok(job) => pulls.push((job, step, image)),
                        Err(error) => {
                            runner.step_failed(step, format!("{error:#}"));
                            return Err(error);
                        }
                    }
                }
            }
        }
        // Only now, so that all pulls run at once.
        for (job, step, image) in pulls {
            let finished = runner.wait_for(job)?;
            let pulled: Result<Digest> = finished.outcome();
            let base = pulled.and_then(|id| {
                let gone = || Failure::new(FailureKind::NotFound, "the image was removed while it was used");
                open_base(lookup.store, &lookup.store.image(&id)?.ok_or_else(gone)?, image)
            });
            runner.release(finished);
            let base = base.map_err(|error| at_lines(resolve_error(error, image), image));
            let base = runner.complete_step(step, base)?;
            self.resolved.insert(base_key(image), base);
        }
        Ok(())
    }
}

fn step_title(image: &ImageInput, multi_platform: bool) -> String {
    let platform = if multi_platform { format!("{} ", image.platform) } else { String::new() };
    let name = if is_id(&image.name) { image.name.clone() } else { full_image_name(&image.name) };
    format!("[{platform}internal] load metadata for {name}")
}

/// Adds the lines of the `FROM` or `--from` to an error.
fn at_lines(error: anyhow::Error, image: &ImageInput) -> anyhow::Error {
    Failure::from_chain(&error).at(image.lines.clone()).into()
}

/// Words a failed lookup as BuildKit does.
fn resolve_error(error: anyhow::Error, image: &ImageInput) -> anyhow::Error {
    if kind_of(&error) == FailureKind::Interrupted {
        return error;
    }
    let full = full_image_name(&image.name);
    error.context(format!("{}: failed to resolve source metadata for {full}", image.name))
}

fn is_id(name: &str) -> bool {
    let digits = name.strip_prefix("sha256:").unwrap_or(name);
    digits.len() >= ID_DIGITS && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The image that the name refers to in the store, if it fits the platform.
fn find_local(
    lookup: BaseLookup<'_>,
    image: &ImageInput,
    runner: &mut JobRunner<'_>,
) -> Result<Option<StoredImage>> {
    if lookup.built_in.is_named(&image.name) {
        return Ok(Some(lookup.built_in.ensure(lookup.store, runner.identity())?));
    }
    let record = match image.name.parse::<ImageReference>() {
        Ok(reference) => lookup.store.name(&reference.or_latest())?,
        Err(_) => None,
    };
    let Some(record) = record else {
        if !is_id(&image.name) {
            return Ok(None);
        }
        return match lookup.store.find_image(&image.name) {
            Ok(stored) => Ok(Some(stored)),
            Err(error) if kind_of(&error) == FailureKind::NotFound => Ok(None),
            Err(error) => Err(error),
        };
    };
    let mut best: Option<(u32, StoredImage)> = None;
    for id in record.ids() {
        let Some(stored) = lookup.store.image(id)? else { continue };
        // Without `--platform` an image for another platform is better than none.
        let rank = image.platform.rank(&platform_of(&stored.config)).or(lookup.default_platform.then_some(0));
        if let Some(rank) = rank
            && best.as_ref().is_none_or(|(known, _)| *known < rank)
        {
            best = Some((rank, stored));
        }
    }
    Ok(best.map(|(_, stored)| stored))
}

pub(crate) fn platform_of(config: &ImageConfig) -> Platform {
    Platform {
        os: if config.os.is_empty() { "linux".into() } else { config.os.clone() },
        architecture: config.architecture.clone(),
        variant: config.variant.clone(),
    }
}

fn start_pull(
    runner: &mut JobRunner<'_>,
    lookup: BaseLookup<'_>,
    image: &ImageInput,
    step: StepId,
) -> Result<JobId> {
    let reference: ImageReference = image.name.parse::<ImageReference>()?.or_latest();
    // Without an explicit platform the registry's only image is accepted, whatever it is for.
    let platform =
        (!lookup.default_platform || image.platform != Platform::host()).then(|| image.platform.clone());
    let request = PullRequest { reference, all_tags: false, platform };
    let prepared = request::prepare(lookup.environment, request)?;
    for warning in &prepared.warnings {
        runner.log(step, &format!("{warning}\n"));
    }
    let store = lookup.store.clone();
    let ownership = runner.ownership();
    runner.start_job(step, JobUserns::Root, move |reporter| {
        let pulled = request::fetch(&store, &prepared, ownership, reporter)?;
        let first = pulled.into_iter().next().context("nothing was pulled")?;
        // Sent along with the result, so that the layers are held until the runner has its own leases.
        let leases = leases(&store, &first.id)?;
        Ok((first.id, leases))
    })
}

fn leases(store: &Store, id: &Digest) -> Result<Vec<LayerLease>> {
    let gone =
        || Failure::new(FailureKind::NotFound, format!("image {} was removed while it was used", id.short()));
    let image = store.image(id)?.ok_or_else(gone)?;
    let diff_ids = &image.config.rootfs.diff_ids;
    diff_ids.iter().map(|layer| Ok(store.lease_layer(layer)?.ok_or_else(gone)?)).collect()
}

fn open_base(store: &Store, image: &StoredImage, input: &ImageInput) -> Result<BaseImage> {
    let leases = leases(store, &image.id)?;
    let named = input.name.parse::<ImageReference>().ok().map(ImageReference::or_latest);
    let digest = match &named {
        Some(reference) => store.name(reference)?.and_then(|record| record.digest),
        None => None,
    };
    let full = full_image_name(&input.name);
    let title = match &digest {
        Some(digest) if !full.contains('@') => format!("{full}@{digest}"),
        _ => full,
    };
    let material = named.map(|name| (name, digest.unwrap_or_else(|| image.id.clone())));
    Ok(BaseImage {
        config: image.config.clone(),
        layers: image.config.rootfs.diff_ids.clone(),
        title,
        material,
        _leases: leases,
    })
}

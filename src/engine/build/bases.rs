//! The images that a build starts from or copies from: found in the store, or pulled.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};

use super::director::{Director, Token};
use super::job::Place;
use crate::build::evaluate::full_name;
use crate::build::plan::ImageUse;
use crate::build::progress::StepId;
use crate::engine::demo;
use crate::engine::pull::{self, PullRequest};
use crate::error::{Failure, Kind, kind_of};
use crate::model::digest::Digest;
use crate::model::environment::Environment;
use crate::model::image::ImageConfig;
use crate::model::platform::Platform;
use crate::model::reference::Reference;
use crate::store::{Image, LayerLease, Store};

/// The fewest digits that are taken for an image ID instead of a name.
const ID_DIGITS: usize = 12;

/// An image in the store, leased while this value lives.
pub(super) struct Base {
    pub config: ImageConfig,
    /// Diff IDs, lowest first.
    pub layers: Vec<Digest>,
    /// The full name as it is displayed, with the digest of its manifest if known.
    pub shown: String,
    /// For the provenance: its name, if it has one, and the digest of its manifest or index.
    pub material: Option<(Reference, Digest)>,
    _leases: Vec<LayerLease>,
}

/// Name and platform.
pub(super) type Key = (String, String);

/// The images of a build, for all its platforms.
#[derive(Default)]
pub(super) struct Bases {
    found: BTreeMap<Key, Base>,
}

/// How images are looked up.
#[derive(Clone, Copy)]
pub(super) struct Look<'a> {
    pub store: &'a Store,
    pub environment: &'a Environment,
    /// Ask the registry even if the image is in the store (`--pull`).
    pub pull: bool,
    /// The build is for several platforms, so step titles name them.
    pub several: bool,
    /// No `--platform` was given: an image that exists only for another platform is accepted.
    pub implicit: bool,
}

pub(super) fn key(image: &ImageUse) -> Key {
    (image.name.clone(), image.platform.to_string())
}

impl Bases {
    /// An image that [`BaseImages::resolve`] has resolved.
    pub(super) fn get(&self, image: &ImageUse) -> Option<&Base> {
        self.found.get(&key(image))
    }

    /// An image by name, for any platform.
    pub(super) fn named(&self, name: &str) -> Option<&Base> {
        self.found.iter().find(|((known, _), _)| known == name).map(|(_, base)| base)
    }

    /// Resolves those of `wanted` that are not resolved yet; pulls run concurrently.
    pub(super) fn find(
        &mut self,
        director: &mut Director<'_>,
        look: Look<'_>,
        wanted: &[&ImageUse],
    ) -> Result<()> {
        let mut pulls: Vec<(Token, StepId, &ImageUse)> = Vec::new();
        for image in wanted {
            if self.found.contains_key(&key(image))
                || pulls.iter().any(|(_, _, known)| key(known) == key(image))
            {
                continue;
            }
            let step = director.step(load_text(image, look.several), Vec::new());
            director.started(step);
            // An ID names local content, so there is nothing to pull.
            let here = if look.pull && !is_id(&image.name) { None } else { local(look, image, director)? };
            match here {
                Some(found) => {
                    let base = base(look.store, &found, image);
                    let base = director.closing(step, base).map_err(|error| at(error, image))?;
                    self.found.insert(key(image), base);
                }
                None => {
                    let token = start_pull(director, look, image, step)
                        .map_err(|error| at(unresolved(error, image), image));
                    match token {
                        Ok(token) => pulls.push((token, step, image)),
                        Err(error) => {
                            director.failed(step, format!("{error:#}"));
                            return Err(error);
                        }
                    }
                }
            }
        }
        for (token, step, image) in pulls {
            let finished = director.wait_for(token)?;
            let pulled: Result<Digest> = finished.outcome();
            let found = pulled.and_then(|id| {
                let gone = || Failure::new(Kind::NotFound, "the image was removed while it was used");
                base(look.store, &look.store.image(&id)?.ok_or_else(gone)?, image)
            });
            director.release(finished);
            let found = found.map_err(|error| at(unresolved(error, image), image));
            let found = director.closing(step, found)?;
            self.found.insert(key(image), found);
        }
        Ok(())
    }
}

fn load_text(image: &ImageUse, several: bool) -> String {
    let platform = if several { format!("{} ", image.platform) } else { String::new() };
    let name = if is_id(&image.name) { image.name.clone() } else { full_name(&image.name) };
    format!("[{platform}internal] load metadata for {name}")
}

/// Adds the lines of the `FROM` or `--from` to an error.
fn at(error: anyhow::Error, image: &ImageUse) -> anyhow::Error {
    Failure::of(&error).at(image.lines.clone()).into()
}

/// Words a failed lookup as BuildKit does.
fn unresolved(error: anyhow::Error, image: &ImageUse) -> anyhow::Error {
    if kind_of(&error) == Kind::Interrupted {
        return error;
    }
    let full = full_name(&image.name);
    error.context(format!("{}: failed to resolve source metadata for {full}", image.name))
}

fn is_id(name: &str) -> bool {
    let digits = name.strip_prefix("sha256:").unwrap_or(name);
    digits.len() >= ID_DIGITS && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The image that the name refers to in the store, if it fits the platform.
fn local(look: Look<'_>, image: &ImageUse, director: &mut Director<'_>) -> Result<Option<Image>> {
    if demo::is_demo(&image.name) {
        return Ok(Some(demo::ensure(look.store, director.identity())?));
    }
    let named = match image.name.parse::<Reference>() {
        Ok(reference) => look.store.name(&reference.or_latest())?,
        Err(_) => None,
    };
    let Some(named) = named else {
        if !is_id(&image.name) {
            return Ok(None);
        }
        return match look.store.find_image(&image.name) {
            Ok(found) => Ok(Some(found)),
            Err(error) if kind_of(&error) == Kind::NotFound => Ok(None),
            Err(error) => Err(error),
        };
    };
    let mut best: Option<(u32, Image)> = None;
    for id in named.ids() {
        let Some(found) = look.store.image(id)? else { continue };
        let rank = image.platform.rank(&platform_of(&found.config)).or(look.implicit.then_some(0));
        if let Some(rank) = rank
            && best.as_ref().is_none_or(|(known, _)| *known < rank)
        {
            best = Some((rank, found));
        }
    }
    Ok(best.map(|(_, found)| found))
}

pub(super) fn platform_of(config: &ImageConfig) -> Platform {
    Platform {
        os: if config.os.is_empty() { "linux".into() } else { config.os.clone() },
        architecture: config.architecture.clone(),
        variant: config.variant.clone(),
    }
}

fn start_pull(director: &mut Director<'_>, look: Look<'_>, image: &ImageUse, step: StepId) -> Result<Token> {
    let reference: Reference = image.name.parse::<Reference>()?.or_latest();
    // Without an explicit platform the registry's only image is accepted, whatever it is for.
    let platform = (!look.implicit || image.platform != Platform::host()).then(|| image.platform.clone());
    let request = PullRequest { reference, all_tags: false, platform };
    let prepared = pull::prepare(look.environment, request)?;
    for warning in &prepared.warnings {
        director.log(step, &format!("{warning}\n"));
    }
    let store = look.store.clone();
    let ownership = director.ownership();
    director.start(step, Place::Root, move |reporter| {
        let pulled = pull::fetch(&store, &prepared, ownership, reporter)?;
        let first = pulled.into_iter().next().context("nothing was pulled")?;
        // Sent along with the result, so that the layers are held until the runner has its own leases.
        let leases = leases(&store, &first.id)?;
        Ok((first.id, leases))
    })
}

fn leases(store: &Store, id: &Digest) -> Result<Vec<LayerLease>> {
    let gone = || Failure::new(Kind::NotFound, format!("image {} was removed while it was used", id.short()));
    let image = store.image(id)?.ok_or_else(gone)?;
    let diff_ids = &image.config.rootfs.diff_ids;
    diff_ids.iter().map(|layer| Ok(store.lease_layer(layer)?.ok_or_else(gone)?)).collect()
}

fn base(store: &Store, image: &Image, wanted: &ImageUse) -> Result<Base> {
    let leases = leases(store, &image.id)?;
    let named = wanted.name.parse::<Reference>().ok().map(Reference::or_latest);
    let digest = match &named {
        Some(reference) => store.name(reference)?.and_then(|record| record.digest),
        None => None,
    };
    let full = full_name(&wanted.name);
    let shown = match &digest {
        Some(digest) if !full.contains('@') => format!("{full}@{digest}"),
        _ => full,
    };
    let material = named.map(|name| (name, digest.unwrap_or_else(|| image.id.clone())));
    Ok(Base {
        config: image.config.clone(),
        layers: image.config.rootfs.diff_ids.clone(),
        shown,
        material,
        _leases: leases,
    })
}

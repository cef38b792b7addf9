//! Remote caches, `--cache-from` and `--cache-to`: step results on a registry, in a directory, or inside an image.
//!
//! The format is BuildKit's (`application/vnd.buildkit.cacheconfig.v0`): a manifest whose layers are those of the
//! results, and whose config lists records, each with a step's cache key and the layer it produced. The keys are
//! dhow's own, so dhow and BuildKit find nothing in each other's caches, but can copy them.
//!
//! # Life of a remote cache
//!
//! 1. [`RemoteCache::prepare`] parses the options and finds credentials, as the user.
//! 2. [`RemoteCache::import`] reads the records of one source, in a job; [`RemoteCache::add_imported`] adds them to the
//!    index. No layer is downloaded yet.
//! 3. [`RemoteCache::get`] looks a key up; [`RemoteCache::fetch_layer`] downloads the layer of a hit.
//! 4. [`RemoteCache::export`] writes the results to every target.

mod config;
pub(super) mod local;
pub mod options;

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

pub use self::config::inline;
use self::config::{Found, manifest, read};
use self::local::Directory;
use self::options::{Kind, Wanted};
use super::request::BuildRequest;
use crate::engine::push::Target;
use crate::error::not_found;
use crate::image::archive::layout::Layout;
use crate::image::manifest::Descriptor;
use crate::image::pull::Puller;
use crate::image::push::Pusher;
use crate::image::registry::repository::Which;
use crate::model::digest::Digest;
use crate::model::environment::Environment;
use crate::model::layer;
use crate::model::platform::Platform;
use crate::model::progress::Progress;
use crate::model::reference::DEFAULT_TAG;
use crate::store::Store;

/// A result to export.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    pub key: Digest,
    pub layer: Option<Digest>,
    /// RFC 3339.
    pub created: String,
}

/// A result in a remote cache.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remote {
    /// `None` if the step changed no file.
    pub layer: Option<RemoteLayer>,
    /// RFC 3339.
    pub created: String,
}

/// A layer in a remote cache.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoteLayer {
    pub diff_id: Digest,
    /// Index of the `--cache-from`.
    pub source: usize,
    pub descriptor: Descriptor,
}

/// The records of one `--cache-from`, and problems that do not stop the build.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Imported {
    /// By cache key.
    pub entries: Vec<(Digest, Remote)>,
    pub warnings: Vec<String>,
}

/// The remote caches of a build.
#[derive(Debug, Default)]
pub struct RemoteCache {
    from: Vec<(Wanted, Option<Target>)>,
    to: Vec<(Wanted, Option<Target>)>,
    entries: BTreeMap<Digest, Remote>,
}

impl RemoteCache {
    /// Parses the options and finds registries and credentials. Unsupported types are refused by name.
    pub fn prepare(environment: &Environment, request: &BuildRequest) -> Result<Self> {
        let mut cache = Self::default();
        for typed in &request.cache_from {
            let wanted = Wanted::read(typed, false)?;
            let target = target(environment, &wanted)?;
            cache.from.push((wanted, target));
        }
        for typed in &request.cache_to {
            let wanted = Wanted::read(typed, true)?;
            let target = target(environment, &wanted)?;
            cache.to.push((wanted, target));
        }
        Ok(cache)
    }

    /// Whether a cache is to be written anywhere but into the image.
    pub fn has_targets(&self) -> bool {
        self.to.iter().any(|(wanted, _)| wanted.kind != Kind::Inline)
    }

    /// Whether the image is to hold an inline cache.
    pub fn is_inline(&self) -> bool {
        self.to.iter().any(|(wanted, _)| wanted.kind == Kind::Inline)
    }

    /// The step title for each `--cache-from`.
    pub fn titles(&self) -> Vec<String> {
        self.from
            .iter()
            .map(|(wanted, _)| format!("importing cache manifest from {}", wanted.name()))
            .collect()
    }

    /// Reads the records of one `--cache-from`, without layers. Called in a job.
    pub fn import(&self, source: usize, platform: &Platform) -> Imported {
        let Some((wanted, target)) = self.from.get(source) else { return Imported::default() };
        match look(source, wanted, target.as_ref(), platform) {
            Ok(entries) => Imported { entries, warnings: Vec::new() },
            // As in BuildKit, a cache that cannot be read (it may not exist yet) does not stop the build.
            Err(error) => Imported {
                entries: Vec::new(),
                warnings: vec![format!("cannot import the cache {}: {error:#}", wanted.name())],
            },
        }
    }

    /// Adds the result of [`RemoteCache::import`]. If sources have the same key, the first one wins.
    pub fn take(&mut self, imported: Imported) {
        for (key, remote) in imported.entries {
            self.entries.entry(key).or_insert(remote);
        }
    }

    pub fn find(&self, key: &Digest) -> Option<&Remote> {
        self.entries.get(key)
    }

    /// Downloads a layer into the store. Called in a job that can create files of every owner.
    pub fn fetch(
        &self,
        store: &Store,
        layer: &RemoteLayer,
        identity: layer::Identity,
        progress: &dyn Progress,
    ) -> Result<crate::store::LayerLease> {
        let gone = || not_found("the cache is not known any more");
        let (wanted, target) = self.from.get(layer.source).ok_or_else(gone)?;
        match (&wanted.kind, target) {
            (Kind::Local(dir), _) => Directory::new(dir).layer(store, layer, identity, progress),
            (_, Some(target)) => {
                let repository = target.open_to_read()?;
                let puller = Puller {
                    store,
                    repository: &repository,
                    registry: target.reference.registry(),
                    identity,
                    platform: &Platform::host(),
                    progress,
                };
                puller.single_layer(&layer.descriptor, &layer.diff_id)
            }
            _ => Err(gone().into()),
        }
    }

    /// Writes the caches: `result` holds the results that the targets are built on (`mode=min`), `all` those
    /// of every step (`mode=max`). Called in a job that can read files of every owner. `say` gets progress
    /// lines.
    pub fn export(
        &self,
        store: &Store,
        result: &[Entry],
        all: &[Entry],
        say: &mut dyn FnMut(&str),
        progress: &dyn Progress,
    ) -> Result<()> {
        for (wanted, target) in &self.to {
            if wanted.kind == Kind::Inline {
                continue;
            }
            let entries = if wanted.max { all } else { result };
            let done = write(store, wanted, target.as_ref(), entries, say, progress)
                .with_context(|| format!("error writing the cache {}", wanted.name()));
            match done {
                Err(error) if wanted.ignore_error => say(&format!("{error:#}")),
                other => other?,
            }
        }
        Ok(())
    }
}

fn target(environment: &Environment, wanted: &Wanted) -> Result<Option<Target>> {
    let Kind::Registry(reference) = &wanted.kind else { return Ok(None) };
    let target = Target::find(environment, reference)?;
    Ok(Some(if wanted.insecure { target.insecure() } else { target }))
}

fn look(
    source: usize,
    wanted: &Wanted,
    target: Option<&Target>,
    platform: &Platform,
) -> Result<Vec<(Digest, Remote)>> {
    let found = match (&wanted.kind, target) {
        (Kind::Local(dir), _) => {
            let directory = Directory::new(dir);
            let (text, media_type) = directory.manifest(wanted.tag.as_deref(), wanted.digest.as_ref())?;
            read(&text, &media_type, platform, &|descriptor, _| directory.blob(descriptor))?
        }
        (_, Some(target)) => {
            let repository = target.open_to_read()?;
            let reference = &target.reference;
            let which = match reference.digest() {
                Some(digest) => Which::Digest(digest),
                None => Which::Tag(reference.tag().unwrap_or(DEFAULT_TAG)),
            };
            let raw = repository.manifest(&which, &reference.familiar())?;
            read(&raw.text, &raw.media_type, platform, &|descriptor, is_manifest| match is_manifest {
                true => Ok(repository.manifest(&Which::Digest(&descriptor.digest), "")?.text),
                false => repository.small_blob(descriptor, config::LIMIT),
            })?
        }
        _ => Vec::new(),
    };
    let remote = |Found { key, layer, created }: Found| {
        let layer = layer.map(|(diff_id, descriptor)| RemoteLayer { diff_id, source, descriptor });
        (key, Remote { layer, created })
    };
    Ok(found.into_iter().map(remote).collect())
}

fn write(
    store: &Store,
    wanted: &Wanted,
    target: Option<&Target>,
    entries: &[Entry],
    say: &mut dyn FnMut(&str),
    progress: &dyn Progress,
) -> Result<()> {
    say("preparing build cache for export");
    match (&wanted.kind, target) {
        (Kind::Local(dir), _) => {
            let mut layout = Layout::new(store, wanted.form.compression, true, progress)?;
            let ready = manifest(&mut layout, entries, wanted.image_manifest)?;
            layout.finish_tagged(&ready, wanted.tag.as_deref().unwrap_or(DEFAULT_TAG))?;
            super::export::make_dirs(dir)?;
            say(&format!("writing cache manifest {}", ready.descriptor.digest));
            layout.write_to_dir(dir)
        }
        (_, Some(target)) => {
            let repository = target.open()?;
            let mut form = wanted.form;
            form.oci = Some(true);
            let registry = target.reference.registry();
            let mut pusher = Pusher { store, repository: &repository, registry, form, progress };
            let ready = manifest(&mut pusher, entries, wanted.image_manifest)?;
            say(&format!("writing cache manifest {}", ready.descriptor.digest));
            let tag = target.reference.tag().unwrap_or(DEFAULT_TAG);
            Pusher::manifest(&pusher, &Which::Tag(tag), &ready)
        }
        _ => Ok(()),
    }
}

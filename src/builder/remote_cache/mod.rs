//! Remote caches, `--cache-from` and `--cache-to`: step results on a registry, in a directory, or inside an
//! image.
//!
//! The format is BuildKit's (`application/vnd.buildkit.cacheconfig.v0`): a manifest whose layers are those of
//! the results, and whose config lists records, each with a step's cache key and the layer it produced. The
//! keys are dhow's own, so dhow and BuildKit find nothing in each other's caches, but can copy them.
//!
//! # Life of a remote cache
//!
//! 1. [`RemoteCache::prepare`] parses the options and finds credentials, as the user.
//! 2. [`RemoteCache::import`] reads the records of one source, in a job; [`RemoteCache::add_imported`] adds
//!    them to the index. No layer is downloaded yet.
//! 3. [`RemoteCache::get`] looks a key up; [`RemoteCache::fetch_layer`] downloads the layer of a hit.
//! 4. [`RemoteCache::export`] writes the results to every target.

mod config;
pub(crate) mod local;
pub(crate) mod options;
pub(crate) mod transfer;

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

pub(crate) use self::config::inline_cache;
use self::config::{ImportedRecord, read_records, write_manifest};
use self::local::LocalCache;
use self::options::{CacheBackend, CacheOptions};
use crate::request::BuildRequest;
use crate::step::StepResult;
use dhow_error::not_found;
use dhow_image::archive::layout::OciLayout;
use dhow_image::manifest::Descriptor;
use dhow_image::pull::ImagePuller;
use dhow_image::push::ImagePusher;
use dhow_image::registry::push_target::PushTarget;
use dhow_image::registry::repository::ManifestRef;
use dhow_model::digest::Digest;
use dhow_model::environment::Environment;
use dhow_model::layer;
use dhow_model::platform::Platform;
use dhow_model::progress::LayerProgress;
use dhow_model::reference::DEFAULT_TAG;
use dhow_store::Store;

/// A result in a remote cache.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RemoteResult {
    /// `None` if the step changed no file.
    pub layer: Option<RemoteLayer>,
    /// RFC 3339.
    pub created: String,
}

/// A layer in a remote cache.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RemoteLayer {
    pub diff_id: Digest,
    /// Index of the `--cache-from`.
    pub source: usize,
    pub descriptor: Descriptor,
}

/// The records of one `--cache-from`, and problems that do not stop the build.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ImportedCache {
    /// By cache key.
    pub entries: Vec<(Digest, RemoteResult)>,
    pub warnings: Vec<String>,
}

/// The remote caches of a build.
#[derive(Debug, Default)]
pub(crate) struct RemoteCache {
    from: Vec<(CacheOptions, Option<PushTarget>)>,
    to: Vec<(CacheOptions, Option<PushTarget>)>,
    entries: BTreeMap<Digest, RemoteResult>,
}

impl RemoteCache {
    /// Parses the options and finds registries and credentials. Unsupported types are refused by name.
    pub(crate) fn prepare(environment: &Environment, request: &BuildRequest) -> Result<Self> {
        let mut cache = Self::default();
        for entry in &request.cache_from {
            let options = CacheOptions::parse(entry, false)?;
            let target = push_target(environment, &options)?;
            cache.from.push((options, target));
        }
        for entry in &request.cache_to {
            let options = CacheOptions::parse(entry, true)?;
            let target = push_target(environment, &options)?;
            cache.to.push((options, target));
        }
        Ok(cache)
    }

    /// Whether a cache is to be written anywhere but into the image.
    pub(crate) fn has_exports(&self) -> bool {
        self.to.iter().any(|(options, _)| options.kind != CacheBackend::Inline)
    }

    /// Whether the results of all steps are to be written somewhere.
    pub(crate) fn exports_all(&self) -> bool {
        self.to.iter().any(|(options, _)| options.max)
    }

    /// Whether the image is to hold an inline cache.
    pub(crate) fn is_inline(&self) -> bool {
        self.to.iter().any(|(options, _)| options.kind == CacheBackend::Inline)
    }

    /// The step title for each `--cache-from`.
    pub(crate) fn step_titles(&self) -> Vec<String> {
        self.from
            .iter()
            .map(|(options, _)| format!("importing cache manifest from {}", options.name()))
            .collect()
    }

    /// Reads the records of one `--cache-from`, without layers. Called in a job.
    pub(crate) fn import(&self, source: usize, platform: &Platform) -> ImportedCache {
        let Some((options, target)) = self.from.get(source) else { return ImportedCache::default() };
        match import_records(source, options, target.as_ref(), platform) {
            Ok(entries) => ImportedCache { entries, warnings: Vec::new() },
            // As in BuildKit, a cache that cannot be read (it may not exist yet) does not stop the build.
            Err(error) => ImportedCache {
                entries: Vec::new(),
                warnings: vec![format!("cannot import the cache {}: {error:#}", options.name())],
            },
        }
    }

    /// Adds the result of [`RemoteCache::import`]. If sources have the same key, the first one wins.
    pub(crate) fn add_imported(&mut self, imported: ImportedCache) {
        for (key, remote) in imported.entries {
            self.entries.entry(key).or_insert(remote);
        }
    }

    /// Whether any result was imported.
    pub(crate) fn has_entries(&self) -> bool {
        !self.entries.is_empty()
    }

    pub(crate) fn get(&self, key: &Digest) -> Option<&RemoteResult> {
        self.entries.get(key)
    }

    /// Downloads a layer into the store. Called in a job that can create files of every owner.
    pub(crate) fn fetch_layer(
        &self,
        store: &Store,
        layer: &RemoteLayer,
        identity: layer::LayerOwnership,
        progress: &dyn LayerProgress,
    ) -> Result<dhow_store::LayerLease> {
        let gone = || not_found("the cache is not known any more");
        let (options, target) = self.from.get(layer.source).ok_or_else(gone)?;
        match (&options.kind, target) {
            (CacheBackend::Local(dir), _) => LocalCache::new(dir).layer(store, layer, identity, progress),
            (_, Some(target)) => {
                let repository = target.open_to_read()?;
                let puller = ImagePuller {
                    store,
                    repository: &repository,
                    registry: target.reference.registry(),
                    identity,
                    platform: &Platform::host(),
                    progress,
                };
                puller.fetch_single_layer(&layer.descriptor, &layer.diff_id)
            }
            _ => Err(gone().into()),
        }
    }

    /// Writes the caches: `target_results` for `mode=min`, `all_results`, those of every step, for `mode=max`.
    /// Called in a job that can read files of every owner. `report` gets progress lines.
    pub(crate) fn export(
        &self,
        store: &Store,
        target_results: &[StepResult],
        all_results: &[StepResult],
        report: &mut dyn FnMut(&str),
        progress: &dyn LayerProgress,
    ) -> Result<()> {
        for (options, target) in &self.to {
            if options.kind == CacheBackend::Inline {
                continue;
            }
            let entries = if options.max { all_results } else { target_results };
            let written = write_cache(store, options, target.as_ref(), entries, report, progress)
                .with_context(|| format!("error writing the cache {}", options.name()));
            match written {
                Err(error) if options.ignore_error => report(&format!("{error:#}")),
                other => other?,
            }
        }
        Ok(())
    }
}

fn push_target(environment: &Environment, options: &CacheOptions) -> Result<Option<PushTarget>> {
    let CacheBackend::Registry(reference) = &options.kind else { return Ok(None) };
    let target = PushTarget::resolve(environment, reference)?;
    Ok(Some(if options.insecure { target.insecure() } else { target }))
}

fn import_records(
    source: usize,
    options: &CacheOptions,
    target: Option<&PushTarget>,
    platform: &Platform,
) -> Result<Vec<(Digest, RemoteResult)>> {
    let records =
        match (&options.kind, target) {
            (CacheBackend::Local(dir), _) => {
                let directory = LocalCache::new(dir);
                let (text, media_type) =
                    directory.manifest(options.tag.as_deref(), options.digest.as_ref())?;
                read_records(&text, &media_type, platform, &|descriptor, _| directory.blob(descriptor))?
            }
            (_, Some(target)) => {
                let repository = target.open_to_read()?;
                let reference = &target.reference;
                let manifest = match reference.digest() {
                    Some(digest) => ManifestRef::Digest(digest),
                    None => ManifestRef::Tag(reference.tag().unwrap_or(DEFAULT_TAG)),
                };
                let raw = repository.manifest(&manifest, &reference.familiar())?;
                read_records(&raw.text, &raw.media_type, platform, &|descriptor, is_manifest| {
                    match is_manifest {
                        true => Ok(repository.manifest(&ManifestRef::Digest(&descriptor.digest), "")?.text),
                        false => repository.small_blob(descriptor, config::CONFIG_LIMIT),
                    }
                })?
            }
            _ => Vec::new(),
        };
    let remote = |ImportedRecord { key, layer, created }: ImportedRecord| {
        let layer = layer.map(|(diff_id, descriptor)| RemoteLayer { diff_id, source, descriptor });
        (key, RemoteResult { layer, created })
    };
    Ok(records.into_iter().map(remote).collect())
}

fn write_cache(
    store: &Store,
    options: &CacheOptions,
    target: Option<&PushTarget>,
    entries: &[StepResult],
    report: &mut dyn FnMut(&str),
    progress: &dyn LayerProgress,
) -> Result<()> {
    report("preparing build cache for export");
    match (&options.kind, target) {
        (CacheBackend::Local(dir), _) => {
            let mut layout = OciLayout::new(store, options.form.compression, true, progress)?;
            let ready = write_manifest(&mut layout, entries, options.image_manifest)?;
            layout.write_index_for_tag(&ready, options.tag.as_deref().unwrap_or(DEFAULT_TAG))?;
            crate::export::make_dirs(dir)?;
            report(&format!("writing cache manifest {}", ready.descriptor.digest));
            layout.write_to_dir(dir)
        }
        (_, Some(target)) => {
            let repository = target.open()?;
            let mut form = options.form;
            // Caches exist with OCI media types only.
            form.oci = Some(true);
            let registry = target.reference.registry();
            let mut pusher = ImagePusher { store, repository: &repository, registry, form, progress };
            let ready = write_manifest(&mut pusher, entries, options.image_manifest)?;
            report(&format!("writing cache manifest {}", ready.descriptor.digest));
            let tag = target.reference.tag().unwrap_or(DEFAULT_TAG);
            ImagePusher::push_manifest(&pusher, &ManifestRef::Tag(tag), &ready)
        }
        _ => Ok(()),
    }
}

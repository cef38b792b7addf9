//! Pulls an image: manifest, configuration, then the layers in parallel.
//!
//! A layer is unpacked while it is downloaded; compressed data never touches the disk. Layers that the store
//! has, or that another process is creating, are not downloaded.

pub mod request;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};

use super::concurrent::run_concurrently;
use super::manifest::{Descriptor, ImageManifest, Manifest};
use super::registry::repository::{ManifestRef, RawManifest, Repository};
use super::unpack::{UnpackLimits, UnpackOptions, unpack_layer};
use dhow_error::{Failure, FailureKind, corrupt, invalid, unsupported};
use dhow_model::digest::Digest;
use dhow_model::image::ImageConfig;
use dhow_model::layer::{LayerOwnership, LayerSource};
use dhow_model::platform::Platform;
use dhow_model::progress::{LayerEvent, LayerProgress};
use dhow_model::reference::ImageReference;
use dhow_store::{LayerLease, LayerSlot, NewImage, Store};

/// More would not be faster: unpacking is limited by the CPU.
const MAX_CONCURRENT_FETCHES: usize = 4;
/// In bytes; the limit of other engines.
const CONFIG_LIMIT: u64 = 8 << 20;
/// Maximum nesting of indexes.
const MAX_INDEX_DEPTH: usize = 3;

pub struct ImagePuller<'a> {
    pub store: &'a Store,
    pub repository: &'a Repository,
    /// The registry by the name the user knows.
    pub registry: &'a str,
    pub identity: LayerOwnership,
    /// The requested platform, for multi-platform images.
    pub platform: &'a Platform,
    pub progress: &'a dyn LayerProgress,
}

#[derive(Clone, Debug)]
pub struct PulledImage {
    pub id: Digest,
    /// The digest the name refers to: that of the index, if there is one.
    pub digest: Digest,
    pub config: ImageConfig,
}

/// An image's manifest, resolved for one platform.
#[derive(Debug)]
pub struct ResolvedImage {
    /// The digest of the requested manifest or index.
    digest: Digest,
    raw: RawManifest,
    manifest: ImageManifest,
}

struct PullLayer<'a> {
    descriptor: &'a Descriptor,
    diff_id: &'a Digest,
}

impl ImagePuller<'_> {
    /// Resolves the image's manifest for the platform. `name` is used in messages.
    pub fn resolve(&self, reference: &ManifestRef<'_>, name: &str) -> Result<ResolvedImage> {
        let mut raw = self.repository.manifest(reference, name)?;
        let digest = raw.digest.clone();
        for _ in 0..MAX_INDEX_DEPTH {
            match Manifest::parse(&raw.text, &raw.media_type)? {
                Manifest::Image(manifest) => return Ok(ResolvedImage { digest, raw, manifest }),
                Manifest::Index(index) => {
                    let entry = index.select(self.platform)?;
                    raw = self.repository.manifest(&ManifestRef::Digest(&entry.digest), name)?;
                    // The digest was verified when the manifest was fetched; a wrong size still means a
                    // broken index.
                    if raw.text.len() as u64 != entry.size {
                        return Err(corrupt(format!(
                            "the manifest {} does not have the {} bytes that its index says",
                            entry.digest, entry.size
                        ))
                        .into());
                    }
                }
            }
        }
        Err(invalid("indexes lie in indexes too deeply").into())
    }

    /// Downloads the missing parts of a resolved image and stores it as `name`.
    pub fn fetch(&self, resolved: &ResolvedImage, name: &ImageReference) -> Result<PulledImage> {
        let (raw_config, config) = self.config(&resolved.manifest.config)?;
        // Before the layers, which cost the most.
        check_system(&config)?;
        let diff_ids = &config.rootfs.diff_ids;
        let layers = &resolved.manifest.layers;
        if diff_ids.len() != layers.len() {
            return Err(corrupt(format!(
                "the manifest has {} layers and the configuration {}",
                layers.len(),
                diff_ids.len()
            ))
            .into());
        }
        let layers: Vec<PullLayer<'_>> = layers
            .iter()
            .zip(diff_ids)
            .map(|(descriptor, diff_id)| PullLayer { descriptor, diff_id })
            .collect();
        let leases = self.fetch_layers(&layers)?;
        let digest = resolved.digest.clone();
        let id = self.store.put_image(&NewImage {
            config: &raw_config,
            manifest: Some(&resolved.raw.text),
            layers: &leases,
            names: &[(name.clone(), Some(digest.clone()))],
        })?;
        Ok(PulledImage { id, digest, config })
    }

    /// Downloads a single layer that belongs to no image, unless the store has it.
    pub fn fetch_single_layer(&self, descriptor: &Descriptor, diff_id: &Digest) -> Result<LayerLease> {
        self.fetch_layer(&PullLayer { descriptor, diff_id })
    }

    /// The configuration, from the store if it is there.
    fn config(&self, descriptor: &Descriptor) -> Result<(Vec<u8>, ImageConfig)> {
        if let Some(image) = self.store.image(&descriptor.digest)? {
            return Ok((image.raw_config, image.config));
        }
        let raw =
            self.repository.small_blob(descriptor, CONFIG_LIMIT).context("the image's configuration")?;
        let config = serde_json::from_slice(&raw).map_err(|error| {
            invalid(format!("the image's configuration is malformed: {}", error.to_string().escape_debug()))
        })?;
        Ok((raw, config))
    }

    /// Leases for all layers, in order, downloading the missing ones. The first failure cancels the others.
    fn fetch_layers(&self, layers: &[PullLayer<'_>]) -> Result<Vec<LayerLease>> {
        let (mut leases, missing) = self.split_present(layers)?;
        for layer in missing.iter().skip(MAX_CONCURRENT_FETCHES) {
            self.progress.event(layer.descriptor.digest.short(), LayerEvent::Waiting);
        }
        let (fetched, failure) = run_concurrently(
            MAX_CONCURRENT_FETCHES,
            &missing,
            |layer| self.fetch_layer(layer),
            || self.repository.cancel_transfers(),
        );
        if let Some(error) = failure {
            return Err(error);
        }
        leases.extend(fetched);
        self.leases_in_order(layers, leases)
    }

    /// Leases for the layers in the store, and the missing layers, each once.
    fn split_present<'l>(
        &self,
        layers: &'l [PullLayer<'l>],
    ) -> Result<(Vec<LayerLease>, Vec<&'l PullLayer<'l>>)> {
        let mut seen = BTreeSet::new();
        let mut leases = Vec::new();
        let mut missing = Vec::new();
        for layer in layers.iter().filter(|layer| seen.insert(layer.diff_id)) {
            let present = self.store.layer(layer.diff_id)?.is_some();
            if present && let LayerSlot::Present(lease) = self.store.begin_layer(layer.diff_id)? {
                self.store.add_layer_source(layer.diff_id, self.source(layer))?;
                self.progress.event(layer.descriptor.digest.short(), LayerEvent::AlreadyExists);
                leases.push(lease);
            } else {
                self.progress.event(layer.descriptor.digest.short(), LayerEvent::PullingFsLayer);
                missing.push(layer);
            }
        }
        Ok((leases, missing))
    }

    /// One lease for each layer of the image, which may contain the same layer twice.
    fn leases_in_order(&self, layers: &[PullLayer<'_>], leases: Vec<LayerLease>) -> Result<Vec<LayerLease>> {
        let mut leases: Vec<Option<LayerLease>> = leases.into_iter().map(Some).collect();
        let mut take = |diff_id: &Digest| {
            leases
                .iter_mut()
                .find(|slot| slot.as_ref().is_some_and(|lease| lease.diff_id == *diff_id))?
                .take()
        };
        layers
            .iter()
            .map(|layer| match take(layer.diff_id) {
                Some(lease) => Ok(lease),
                // The second occurrence of a layer needs a lease of its own.
                None => match self.store.begin_layer(layer.diff_id)? {
                    LayerSlot::Present(lease) => Ok(lease),
                    LayerSlot::Draft(_) => {
                        Err(corrupt(format!("layer {} has vanished", layer.diff_id)).into())
                    }
                },
            })
            .collect()
    }

    fn fetch_layer(&self, layer: &PullLayer<'_>) -> Result<LayerLease> {
        let label = layer.descriptor.digest.short();
        self.progress.event(label, LayerEvent::Waiting);
        match self.store.begin_layer(layer.diff_id)? {
            LayerSlot::Present(lease) => {
                self.store.add_layer_source(layer.diff_id, self.source(layer))?;
                self.progress.event(label, LayerEvent::AlreadyExists);
                Ok(lease)
            }
            LayerSlot::Draft(draft) => {
                let steps =
                    PullProgress { progress: self.progress, label, downloaded: AtomicBool::new(false) };
                let notice = |event| steps.downloading(event);
                let mut blob = self.repository.blob(layer.descriptor, &notice);
                let options = UnpackOptions {
                    identity: self.identity,
                    limits: UnpackLimits::default(),
                    label: label.to_owned(),
                    compressed_size: layer.descriptor.size,
                };
                let unpacked = unpack_layer(&mut blob, &draft, &options, &steps);
                // If the download failed, unpacking fails only as a consequence.
                if let Some(failure) = blob.take_failure() {
                    return Err(failure.context(format!("cannot download layer {label}")));
                }
                let mut record = unpacked?;
                blob.finish().with_context(|| format!("cannot download layer {label}"))?;
                // Lets a later push mount the blob instead of uploading it.
                record.sources = vec![self.source(layer)];
                let lease = draft.commit(record)?;
                self.progress.event(label, LayerEvent::PullComplete);
                Ok(lease)
            }
        }
    }

    fn source(&self, layer: &PullLayer<'_>) -> LayerSource {
        LayerSource {
            registry: self.registry.to_owned(),
            repository: self.repository.endpoint().repository.clone(),
            digest: layer.descriptor.digest.clone(),
            size: layer.descriptor.size,
            media_type: layer.descriptor.media_type.clone(),
        }
    }
}

/// Hides progress of unpacking until the download is complete, although the two overlap.
struct PullProgress<'a> {
    progress: &'a dyn LayerProgress,
    label: &'a str,
    downloaded: AtomicBool,
}

impl PullProgress<'_> {
    fn downloading(&self, event: LayerEvent) {
        if event == LayerEvent::DownloadComplete {
            self.downloaded.store(true, Ordering::Relaxed);
        }
        self.progress.event(self.label, event);
    }
}

impl LayerProgress for PullProgress<'_> {
    fn event(&self, layer: &str, event: LayerEvent) {
        if self.downloaded.load(Ordering::Relaxed) {
            self.progress.event(layer, event);
        }
    }

    fn line(&self, text: &str) {
        self.progress.line(text);
    }
}

fn check_system(config: &ImageConfig) -> Result<()> {
    if config.os.is_empty() || config.os == "linux" {
        return Ok(());
    }
    Err(unsupported(format!(
        "the image is for `{}`; dhow runs images for Linux only",
        config.os.escape_debug()
    ))
    .into())
}

/// Tries the repositories in turn, skipping failed mirrors; the last error is returned.
pub(crate) fn try_repositories<T>(
    repositories: impl IntoIterator<Item = Result<Repository>>,
    request: impl Fn(&Repository) -> Result<T>,
) -> Result<(Repository, T)> {
    let mut last_error = None;
    for repository in repositories {
        let result = repository.and_then(|repository| {
            let result = request(&repository)?;
            Ok((repository, result))
        });
        match result {
            Ok(result) => return Ok(result),
            Err(error) => last_error = Some(error),
        }
    }
    Err(last_error
        .unwrap_or_else(|| Failure::new(FailureKind::NotFound, "no registry is configured for it").into()))
}

//! Pushes an image: missing layers in parallel, the configuration, and the manifest.
//!
//! The store has no compressed layers, so a layer is compressed while it is uploaded. If the registry already
//! has a blob of it, in this repository or in another one that the store has recorded, nothing is uploaded. A
//! pulled image keeps its manifest if each layer can be provided with exactly the bytes that the manifest
//! names.

pub mod assemble;
pub mod copy;
mod upload_layer;

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use serde_json::json;

use self::upload_layer::LayerUpload;
use super::compress::{Compression, convert_media_type};
use super::concurrent::run_concurrently;
use super::manifest::{
    DOCKER_CONFIG, DOCKER_MANIFEST, Descriptor, ImageManifest, Manifest, OCI_CONFIG, OCI_MANIFEST,
};
use super::registry::repository::{ManifestRef, Repository};
use super::registry::upload::{BlobMount, UploadOutcome};
use dhow_error::{Failure, FailureKind, corrupt, unsupported};
use dhow_model::digest::Digest;
use dhow_model::layer::{LayerRecord, LayerSource};
use dhow_model::progress::{LayerEvent, LayerProgress};
use dhow_store::{PackedBlob, Store};

const MAX_CONCURRENT_UPLOADS: usize = 4;
/// Maximum number of existing blobs per layer to look for on the registry.
const MAX_CANDIDATES: usize = 6;

/// How images are stored on a registry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PushFormat {
    /// For layers that have no blob yet.
    pub compression: Compression,
    /// Recompress all layers, ignoring existing blobs.
    pub force: bool,
    /// Use OCI media types rather than docker's; `None` keeps those of the image.
    pub oci: Option<bool>,
}

/// The parts of an image to be stored in a registry or layout.
#[derive(Clone, Copy, Debug)]
pub struct ImageParts<'a> {
    /// Exact bytes of the configuration.
    pub config: &'a [u8],
    /// Diff IDs, lowest first.
    pub layers: &'a [Digest],
    /// Exact bytes of the manifest it was pulled by.
    pub manifest: Option<&'a [u8]>,
    /// Annotations of the manifest.
    pub annotations: &'a BTreeMap<String, String>,
}

/// A manifest whose blobs are all stored.
#[derive(Clone, Debug)]
pub struct ReadyManifest {
    /// Exact bytes.
    pub text: Vec<u8>,
    /// Its descriptor, without a platform.
    pub descriptor: Descriptor,
    pub layers: Vec<Descriptor>,
}

impl ReadyManifest {
    /// Serialises `value` as a manifest.
    pub fn new(media_type: &str, value: &serde_json::Value, layers: Vec<Descriptor>) -> Result<Self> {
        Ok(Self::of_text(media_type, serde_json::to_vec(value).context("writing a manifest")?, layers))
    }

    fn of_text(media_type: &str, text: Vec<u8>, layers: Vec<Descriptor>) -> Self {
        let descriptor = Descriptor::plain(media_type, Digest::of(&text), text.len() as u64);
        Self { text, descriptor, layers }
    }
}

pub struct ImagePusher<'a> {
    pub store: &'a Store,
    pub repository: &'a Repository,
    /// The registry by the name the user knows.
    pub registry: &'a str,
    pub form: PushFormat,
    pub progress: &'a dyn LayerProgress,
}

/// A layer with what the store knows about it.
struct PushLayer<'a> {
    diff_id: &'a Digest,
    record: LayerRecord,
    packed: Vec<PackedBlob>,
}

/// How to provide the original blob of a layer.
enum OriginalBlob {
    /// The repository has it.
    Present,
    /// Compressing the layer with these settings gives the same bytes.
    Recompress(Descriptor, Compression),
    /// Cannot be reproduced.
    Unavailable(Descriptor),
}

impl ImagePusher<'_> {
    /// Uploads the missing parts of an image. The caller pushes the returned manifest.
    pub(crate) fn push_image(&self, parts: &ImageParts<'_>) -> Result<ReadyManifest> {
        let layers = self.load_layers(parts.layers)?;
        for layer in layers.iter().rev() {
            self.progress.event(layer.diff_id.short(), LayerEvent::Preparing);
        }
        for layer in layers.iter().rev().skip(MAX_CONCURRENT_UPLOADS) {
            self.progress.event(layer.diff_id.short(), LayerEvent::Waiting);
        }
        let original = self.original_manifest(parts)?;
        if let Some((manifest, media_type)) = &original
            && let Some(text) = parts.manifest
            && self.restore_original_blobs(manifest, &layers, parts)?
        {
            self.push_blob(&manifest.config.digest, parts.config)?;
            return Ok(ReadyManifest::of_text(media_type, text.to_vec(), manifest.layers.clone()));
        }
        let oci = self.use_oci_types(original.as_ref().map(|(_, media_type)| media_type.as_str()))?;
        let blobs = self.for_each(&layers, |layer| self.push_layer(layer, oci))?;
        let index_of = |diff_id: &Digest| layers.iter().position(|layer| layer.diff_id == diff_id);
        let descriptors: Vec<Descriptor> =
            parts.layers.iter().filter_map(|diff_id| blobs.get(index_of(diff_id)?).cloned()).collect();
        self.push_blob(&Digest::of(parts.config), parts.config)?;
        build_manifest(parts.config, &descriptors, parts.annotations, oci)
    }

    /// Uploads layers with OCI media types; `diff_ids` has no duplicates.
    pub(crate) fn push_layers(&self, diff_ids: &[Digest]) -> Result<Vec<Descriptor>> {
        let layers = self.load_layers(diff_ids)?;
        self.for_each(&layers, |layer| self.push_layer(layer, true))
    }

    /// The layers, each once, with what the store knows about them.
    fn load_layers<'l>(&self, diff_ids: &'l [Digest]) -> Result<Vec<PushLayer<'l>>> {
        let mut layers: Vec<PushLayer<'l>> = Vec::new();
        for diff_id in diff_ids {
            if layers.iter().any(|layer| layer.diff_id == diff_id) {
                continue;
            }
            let record = self.store.layer(diff_id)?.ok_or_else(|| {
                corrupt(format!("its layer {diff_id} is not in the store"))
                    .hint("remove the image and pull or load it again")
            })?;
            layers.push(PushLayer { diff_id, record, packed: self.store.packed_blobs(diff_id)? });
        }
        Ok(layers)
    }

    /// The image's existing manifest, if it fits the requested format.
    fn original_manifest(&self, parts: &ImageParts<'_>) -> Result<Option<(ImageManifest, String)>> {
        let Some(text) = parts.manifest else { return Ok(None) };
        let Manifest::Image(manifest) = Manifest::parse(text, "")? else { return Ok(None) };
        #[derive(serde::Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct MediaTypeProbe {
            #[serde(default)]
            media_type: String,
        }
        let declared =
            serde_json::from_slice::<MediaTypeProbe>(text).map(|probe| probe.media_type).unwrap_or_default();
        // `mediaType` is optional in OCI manifests.
        let media_type = if declared.is_empty() { OCI_MANIFEST.to_owned() } else { declared };
        let fits = manifest.config.digest == Digest::of(parts.config)
            && manifest.layers.len() == parts.layers.len()
            && parts.annotations.is_empty()
            && !self.form.force
            && self.form.oci.is_none_or(|oci| oci == (media_type == OCI_MANIFEST));
        Ok(fits.then_some((manifest, media_type)))
    }

    /// Whether to use OCI media types; `original` is the media type of the image's existing manifest.
    fn use_oci_types(&self, original: Option<&str>) -> Result<bool> {
        let zstd = matches!(self.form.compression, Compression::Zstd(_));
        if zstd && self.form.oci == Some(false) {
            return Err(unsupported("docker's manifests know no layers compressed by zstd")
                .hint("leave the format out, or ask for OCI's")
                .into());
        }
        Ok(self.form.oci.unwrap_or(zstd || original == Some(OCI_MANIFEST)))
    }

    /// Makes the registry have every blob that `manifest` names. Returns `false`, with a message, if that is
    /// impossible.
    fn restore_original_blobs(
        &self,
        manifest: &ImageManifest,
        layers: &[PushLayer<'_>],
        parts: &ImageParts<'_>,
    ) -> Result<bool> {
        let original_blob = |layer: &PushLayer<'_>| {
            let at = parts.layers.iter().position(|diff_id| diff_id == layer.diff_id)?;
            manifest.layers.get(at).cloned()
        };
        let originals = self.for_each(layers, |layer| {
            let Some(blob) = original_blob(layer) else {
                return Err(corrupt("a layer is not in the manifest").into());
            };
            self.locate_original(layer, blob)
        })?;
        if let Some(OriginalBlob::Unavailable(blob)) =
            originals.iter().find(|original| matches!(original, OriginalBlob::Unavailable(_)))
        {
            self.progress.line(&format!(
                "The manifest will be a new one: {} does not have the blob {} of the image as it was pulled, and the layer cannot be compressed to the same bytes again",
                self.registry,
                blob.digest.short()
            ));
            return Ok(false);
        }
        let pairs: Vec<(&PushLayer<'_>, &OriginalBlob)> = layers.iter().zip(&originals).collect();
        let reproduced = self.for_each(&pairs, |(layer, original)| match original {
            OriginalBlob::Present | OriginalBlob::Unavailable(_) => Ok(true),
            OriginalBlob::Recompress(blob, compression) => {
                Ok(self.upload_layer(layer, *compression, &blob.media_type)?.digest == blob.digest)
            }
        })?;
        Ok(reproduced.into_iter().all(|reproduced| reproduced))
    }

    /// Determines how to provide the blob that a manifest names.
    fn locate_original(&self, layer: &PushLayer<'_>, blob: Descriptor) -> Result<OriginalBlob> {
        if self.ensure_existing(layer, &blob)? {
            return Ok(OriginalBlob::Present);
        }
        // The blob is the plain tar stream, which the store can always regenerate.
        if blob.digest == *layer.diff_id {
            return Ok(OriginalBlob::Recompress(blob, Compression::None));
        }
        let recorded = layer.packed.iter().find(|packed| packed.digest == blob.digest);
        let compression = recorded.and_then(|packed| packed.compression.parse::<Compression>().ok());
        Ok(match compression {
            Some(compression) => OriginalBlob::Recompress(blob, compression),
            None => OriginalBlob::Unavailable(blob),
        })
    }

    /// Whether the repository has the blob already, or could mount it from another repository of the
    /// registry.
    fn ensure_existing(&self, layer: &PushLayer<'_>, blob: &Descriptor) -> Result<bool> {
        let label = layer.diff_id.short();
        if self.repository.blob_size(&blob.digest)?.is_some() {
            self.record_source(layer, blob)?;
            self.progress.event(label, LayerEvent::LayerExists);
            return Ok(true);
        }
        let own_repository = &self.repository.endpoint().repository;
        let mountable = layer.record.sources.iter().filter(|source| {
            source.registry == self.registry
                && source.digest == blob.digest
                && source.repository != *own_repository
        });
        for source in mountable {
            let notice = |event| self.progress.event(label, event);
            match self.repository.mount_blob(&blob.digest, &source.repository, &notice) {
                Ok(BlobMount::Done) => {
                    self.record_source(layer, blob)?;
                    self.progress.event(label, LayerEvent::MountedFrom(source.repository.clone()));
                    return Ok(true);
                }
                Ok(BlobMount::Refused(upload)) => upload.cancel(),
                // The user may not read that repository; whether they may push shows later.
                Err(error) if dhow_error::kind_of(&error) == FailureKind::Denied => {}
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }

    /// An existing blob of the layer, else a newly uploaded one.
    fn push_layer(&self, layer: &PushLayer<'_>, oci: bool) -> Result<Descriptor> {
        for blob in self.candidates(layer, oci) {
            if self.ensure_existing(layer, &blob)? {
                return Ok(blob);
            }
        }
        let media_type = self.form.compression.media_type(oci);
        self.upload_layer(layer, self.form.compression, media_type)
    }

    /// Blobs that may exist on the registry, oldest first, so that the choice is stable.
    fn candidates(&self, layer: &PushLayer<'_>, oci: bool) -> Vec<Descriptor> {
        let mut blobs: Vec<Descriptor> = Vec::new();
        let mut add = |digest: &Digest, size: u64, media_type: String| {
            // As in `use_oci_types`, docker's manifests take no zstd.
            if (oci || !media_type.ends_with("zstd")) && blobs.iter().all(|blob| blob.digest != *digest) {
                blobs.push(Descriptor::plain(&media_type, digest.clone(), size));
            }
        };
        if !self.form.force {
            for source in &layer.record.sources {
                add(&source.digest, source.size, convert_media_type(&source.media_type, oci));
            }
        }
        // A blob recorded without its location may still be on the registry, from an earlier push.
        let compression = self.form.compression;
        let requested = compression.to_string();
        for packed in layer.packed.iter().filter(|packed| packed.compression == requested) {
            add(&packed.digest, packed.size, compression.media_type(oci).to_owned());
        }
        // If there are many, the newest are the most likely to exist.
        let surplus = blobs.len().saturating_sub(MAX_CANDIDATES);
        blobs.drain(..surplus);
        blobs
    }

    fn upload_layer(
        &self,
        layer: &PushLayer<'_>,
        compression: Compression,
        media_type: &str,
    ) -> Result<Descriptor> {
        let label = layer.diff_id.short();
        let notice = |event| self.progress.event(label, event);
        notice(LayerEvent::Pushing { current: 0, total: layer.record.tar_size });
        let upload = LayerUpload {
            store: self.store,
            repository: self.repository,
            diff_id: layer.diff_id,
            tar_size: layer.record.tar_size,
            compression,
            notice: &notice,
        };
        let uploaded = upload.upload().with_context(|| format!("cannot push layer {label}"))?;
        let blob = Descriptor::plain(media_type, uploaded.digest.clone(), uploaded.size);
        let packed =
            PackedBlob { compression: compression.to_string(), digest: uploaded.digest, size: uploaded.size };
        self.store.add_packed_blob(layer.diff_id, packed)?;
        self.record_source(layer, &blob)?;
        notice(if uploaded.existed { LayerEvent::LayerExists } else { LayerEvent::Pushed });
        Ok(blob)
    }

    fn record_source(&self, layer: &PushLayer<'_>, blob: &Descriptor) -> Result<()> {
        let source = LayerSource {
            registry: self.registry.to_owned(),
            repository: self.repository.endpoint().repository.clone(),
            digest: blob.digest.clone(),
            size: blob.size,
            media_type: blob.media_type.clone(),
        };
        self.store.add_layer_source(layer.diff_id, source)
    }

    /// Uploads a blob from memory unless it exists.
    pub(crate) fn push_blob(&self, digest: &Digest, content: &[u8]) -> Result<()> {
        const ROUNDS: u32 = 3;
        let content = Arc::new(content.to_vec());
        for _ in 0..ROUNDS {
            if self.repository.blob_size(digest)?.is_some() {
                return Ok(());
            }
            let upload = self.repository.begin_upload(&|_| {})?;
            // A lost upload cannot be resumed, so the next round starts a new one.
            if upload.finish(digest, &content, &|_| {})? == UploadOutcome::Accepted {
                return Ok(());
            }
        }
        Err(Failure::new(FailureKind::Network, format!("{} does not take {digest}", self.repository)).into())
    }

    /// Pushes a manifest under `reference`.
    pub fn push_manifest(&self, reference: &ManifestRef<'_>, ready: &ReadyManifest) -> Result<()> {
        self.repository.put_manifest(reference, &ready.descriptor.media_type, &ready.text)
    }

    /// Runs `work` for all items, several at a time; results in item order. The first failure cancels the
    /// others.
    fn for_each<T: Sync, R: Send>(
        &self,
        items: &[T],
        work: impl Fn(&T) -> Result<R> + Sync,
    ) -> Result<Vec<R>> {
        // Topmost layer first, as docker does.
        let topmost_first: Vec<&T> = items.iter().rev().collect();
        let (mut results, error) = run_concurrently(
            MAX_CONCURRENT_UPLOADS,
            &topmost_first,
            |item| work(item),
            || self.repository.cancel_transfers(),
        );
        results.reverse();
        error.map_or(Ok(results), Err)
    }
}

/// Builds the manifest of an image with these blobs.
pub(crate) fn build_manifest(
    config: &[u8],
    layers: &[Descriptor],
    annotations: &BTreeMap<String, String>,
    oci: bool,
) -> Result<ReadyManifest> {
    let (manifest_type, config_type) =
        if oci { (OCI_MANIFEST, OCI_CONFIG) } else { (DOCKER_MANIFEST, DOCKER_CONFIG) };
    let config = Descriptor::plain(config_type, Digest::of(config), config.len() as u64);
    let mut manifest =
        json!({"schemaVersion": 2, "mediaType": manifest_type, "config": config, "layers": layers});
    // Docker manifests have no annotations.
    if oci && !annotations.is_empty() {
        manifest["annotations"] = json!(annotations);
    }
    ReadyManifest::new(manifest_type, &manifest, layers.to_vec())
}

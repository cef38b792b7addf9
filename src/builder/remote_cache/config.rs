//! BuildKit's cache config (`cache/remotecache/v1/spec.go`), and the manifests that carry it.

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::step::StepResult;
use dhow_error::{Failure, corrupt, invalid};
use dhow_image::manifest::{Descriptor, ImageIndex, ImageManifest, OCI_INDEX, OCI_MANIFEST};
use dhow_image::push::ReadyManifest;
use dhow_image::push::assemble::ManifestSink;
use dhow_model::digest::Digest;
use dhow_model::image::ImageConfig;
use dhow_model::platform::Platform;

/// The media type of a cache config.
pub(crate) const CACHE_CONFIG: &str = "application/vnd.buildkit.cacheconfig.v0";
/// The key of the inline cache in an image configuration.
const INLINE: &str = "moby.buildkit.cache.v0";
/// containerd's annotation for the digest of an uncompressed blob.
const UNCOMPRESSED: &str = "containerd.io/uncompressed";
/// The largest cache config, in bytes.
pub(super) const CONFIG_LIMIT: u64 = 16 << 20;

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct CacheConfig {
    layers: Vec<CacheLayer>,
    records: Vec<CacheRecord>,
}

#[derive(Serialize, Deserialize)]
struct CacheLayer {
    blob: Digest,
    #[serde(default = "no_parent")]
    parent: i64,
}

fn no_parent() -> i64 {
    -1
}

#[derive(Serialize, Deserialize)]
struct CacheRecord {
    digest: Digest,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    results: Vec<CacheResult>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct CacheResult {
    layer: usize,
    #[serde(default)]
    created_at: String,
}

/// A record to import, with its layer's diff ID and blob.
pub(crate) struct ImportedRecord {
    pub key: Digest,
    pub layer: Option<(Digest, Descriptor)>,
    pub created: String,
}

/// Fetches the content of a descriptor. The flag says whether it is a manifest.
type FetchBlob<'a> = &'a dyn Fn(&Descriptor, bool) -> Result<Vec<u8>>;

/// Reads the records of a cache manifest, or of an image with an inline cache.
pub(crate) fn read_records(
    text: &[u8],
    media_type: &str,
    platform: &Platform,
    fetch: FetchBlob<'_>,
) -> Result<Vec<ImportedRecord>> {
    let damaged = |error: serde_json::Error| invalid(format!("the manifest is malformed: {error}"));
    let value: Value = serde_json::from_slice(text).map_err(damaged)?;
    if value.get("manifests").is_some() {
        let index: ImageIndex = serde_json::from_value(value).map_err(damaged)?;
        // BuildKit's older format: an index that lists the config next to the layers.
        let (configs, layers): (Vec<_>, Vec<_>) =
            index.manifests.iter().cloned().partition(|entry| entry.media_type == CACHE_CONFIG);
        if let Some(config) = configs.first() {
            return parse_records(&fetch(config, false)?, &layers);
        }
        let entry = index.select(platform)?;
        return read_records(&fetch(entry, true)?, &entry.media_type, platform, fetch);
    }
    let manifest: ImageManifest = serde_json::from_value(value)
        .map_err(damaged)
        .with_context(|| format!("it is not a cache but `{}`", media_type.escape_debug()))?;
    let config = fetch(&manifest.config, false)?;
    match manifest.config.media_type.as_str() {
        CACHE_CONFIG => parse_records(&config, &manifest.layers),
        _ => inline_records(&config, &manifest.layers),
    }
}

fn parse_records(config: &[u8], blobs: &[Descriptor]) -> Result<Vec<ImportedRecord>> {
    let config: CacheConfig = serde_json::from_slice(config)
        .map_err(|error| invalid(format!("the cache's configuration is malformed: {error}")))?;
    let layer = |index: usize| -> Option<(Digest, Descriptor)> {
        let blob = blobs
            .iter()
            .find(|blob| Some(&blob.digest) == config.layers.get(index).map(|layer| &layer.blob))?;
        Some((blob.annotations.get(UNCOMPRESSED)?.parse().ok()?, blob.clone()))
    };
    Ok(importable_records(config.records, &layer))
}

/// The records of an inline cache. Their layers are those of the image, by index.
fn inline_records(config: &[u8], blobs: &[Descriptor]) -> Result<Vec<ImportedRecord>> {
    let malformed =
        |error: serde_json::Error| invalid(format!("the image's configuration is malformed: {error}"));
    let value: Value = serde_json::from_slice(config).map_err(malformed)?;
    let Some(text) = value.get(INLINE).and_then(Value::as_str) else { return Ok(Vec::new()) };
    let decoded = STANDARD.decode(text).map_err(|_| corrupt("the image's cache is not base64"))?;
    let records: Vec<CacheRecord> = serde_json::from_slice(&decoded)
        .map_err(|error| invalid(format!("the image's cache is malformed: {error}")))?;
    let image: ImageConfig = serde_json::from_value(value).map_err(malformed)?;
    let layer = |index: usize| Some((image.rootfs.diff_ids.get(index)?.clone(), blobs.get(index)?.clone()));
    Ok(importable_records(records, &layer))
}

fn importable_records(
    records: Vec<CacheRecord>,
    layer: &dyn Fn(usize) -> Option<(Digest, Descriptor)>,
) -> Vec<ImportedRecord> {
    let import = |record: CacheRecord| match record.results.first() {
        // A step that changed no file.
        None => Some(ImportedRecord { key: record.digest, layer: None, created: String::new() }),
        // A record whose layer is missing is useless.
        Some(result) => Some(ImportedRecord {
            layer: Some(layer(result.layer)?),
            created: result.created_at.clone(),
            key: record.digest,
        }),
    };
    records.into_iter().filter_map(import).collect()
}

/// Writes the layers of `entries` and the cache config to `sink`. Returns the cache manifest, which the
/// caller writes.
pub(crate) fn write_manifest(
    sink: &mut dyn ManifestSink,
    entries: &[StepResult],
    image_manifest: bool,
) -> Result<ReadyManifest> {
    let mut diff_ids: Vec<Digest> = Vec::new();
    for layer in entries.iter().filter_map(|entry| entry.layer.as_ref()) {
        if !diff_ids.contains(layer) {
            diff_ids.push(layer.clone());
        }
    }
    let mut blobs = sink.layers(&diff_ids)?;
    for (blob, diff_id) in blobs.iter_mut().zip(&diff_ids) {
        blob.annotations.insert(UNCOMPRESSED.into(), diff_id.to_string());
    }
    let config = CacheConfig {
        // A result is a single layer, so no layer has a parent.
        layers: blobs.iter().map(|blob| CacheLayer { blob: blob.digest.clone(), parent: -1 }).collect(),
        records: to_records(entries, &diff_ids),
    };
    let config = serde_json::to_vec(&config)?;
    let digest = Digest::of(&config);
    sink.bytes(&digest, &config)?;
    let config = Descriptor::plain(CACHE_CONFIG, digest, config.len() as u64);
    if image_manifest {
        let value = json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": blobs});
        return ReadyManifest::new(OCI_MANIFEST, &value, blobs);
    }
    let entries: Vec<&Descriptor> = blobs.iter().chain([&config]).collect();
    let value = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries});
    ReadyManifest::new(OCI_INDEX, &value, blobs)
}

fn to_records(entries: &[StepResult], layers: &[Digest]) -> Vec<CacheRecord> {
    let mut records: Vec<CacheRecord> = Vec::new();
    for entry in entries {
        if records.iter().any(|known| known.digest == entry.key) {
            continue;
        }
        let at = entry.layer.as_ref().map(|layer| layers.iter().position(|known| known == layer));
        let results = match at {
            None => Vec::new(),
            Some(Some(layer)) => vec![CacheResult { layer, created_at: entry.created.clone() }],
            Some(None) => continue,
        };
        records.push(CacheRecord { digest: entry.key.clone(), results });
    }
    // Sorted, so that the same steps give the same cache in whatever order they finished.
    records.sort_by(|a, b| a.digest.cmp(&b.digest));
    records
}

/// The value under [`INLINE`]: those of `entries` whose layers the image has.
pub(crate) fn inline_cache(entries: &[StepResult], layers: &[Digest]) -> Result<Value, Failure> {
    let text = serde_json::to_vec(&to_records(entries, layers))
        .map_err(|error| invalid(format!("cannot write the cache: {error}")))?;
    Ok(Value::String(STANDARD.encode(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries() -> Vec<StepResult> {
        let entry = |key: &[u8], layer: Option<&[u8]>| StepResult {
            key: Digest::of(key),
            layer: layer.map(Digest::of),
            created: "2020-01-01T00:00:00Z".into(),
        };
        vec![entry(b"1", Some(b"a")), entry(b"2", None), entry(b"3", Some(b"b")), entry(b"4", Some(b"a"))]
    }

    /// Compresses nothing, keeps everything.
    #[derive(Default)]
    struct Memory(Vec<(Digest, Vec<u8>)>);

    impl ManifestSink for Memory {
        fn image(&mut self, _: &dhow_image::push::ImageParts<'_>) -> Result<ReadyManifest> {
            unreachable!("a cache is no image")
        }

        fn layers(&mut self, diff_ids: &[Digest]) -> Result<Vec<Descriptor>> {
            Ok(diff_ids
                .iter()
                .map(|it| Descriptor::plain("layer", Digest::of(it.as_str().as_bytes()), 1))
                .collect())
        }

        fn bytes(&mut self, digest: &Digest, content: &[u8]) -> Result<()> {
            self.0.push((digest.clone(), content.to_vec()));
            Ok(())
        }

        fn manifest(&mut self, _: &ReadyManifest) -> Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        for image_manifest in [true, false] {
            let mut memory = Memory::default();
            let ready = write_manifest(&mut memory, &entries(), image_manifest).unwrap();
            let fetch = |descriptor: &Descriptor, _: bool| {
                Ok(memory.0.iter().find(|(digest, _)| *digest == descriptor.digest).unwrap().1.clone())
            };
            let mut found =
                read_records(&ready.text, &ready.descriptor.media_type, &Platform::host(), &fetch).unwrap();
            found.sort_by_key(|found| entries().iter().position(|entry| entry.key == found.key));
            assert_eq!(found.len(), 4);
            for (found, entry) in found.iter().zip(entries()) {
                assert_eq!(found.layer.as_ref().map(|(diff_id, _)| diff_id), entry.layer.as_ref());
            }
        }
    }

    #[test]
    fn an_image_holds_the_steps_of_its_layers() {
        let layers = [Digest::of(b"a")];
        let inline = inline_cache(&entries(), &layers).unwrap();
        let config = json!({INLINE: inline, "rootfs": {"type": "layers", "diff_ids": layers}});
        let blobs = [Descriptor::plain("x", Digest::of(b"blob"), 4)];
        let found = inline_records(config.to_string().as_bytes(), &blobs).unwrap();
        assert_eq!(found.len(), 3);
        assert_eq!(found.iter().filter(|found| found.layer.is_some()).count(), 2);
        assert!(inline_records(b"{}", &blobs).unwrap().is_empty());
        let broken = json!({INLINE: "%"}).to_string();
        assert!(inline_records(broken.as_bytes(), &blobs).is_err());
    }
}

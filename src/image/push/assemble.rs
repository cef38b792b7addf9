//! Assembles what a tag points to: a manifest, or an index of several with their attestations.

use std::collections::BTreeMap;

use anyhow::Result;
use serde_json::{Value, json};

use super::{ImageParts, ImagePusher, ReadyManifest, build_manifest};
use crate::manifest::{DOCKER_LIST, Descriptor, DescriptorPlatform, OCI_INDEX};
use crate::registry::repository::ManifestRef;
use dhow_model::digest::Digest;
use dhow_model::platform::Platform;

/// Media type of an in-toto statement.
const STATEMENT: &str = "application/vnd.in-toto+json";

/// The destination of manifests and blobs: a registry or an OCI layout.
pub trait ManifestSink {
    /// Stores everything that an image's manifest refers to.
    fn image(&mut self, parts: &ImageParts<'_>) -> Result<ReadyManifest>;
    /// Stores layers (no duplicates) with OCI media types.
    fn layers(&mut self, diff_ids: &[Digest]) -> Result<Vec<Descriptor>>;
    /// Stores a blob from memory.
    fn bytes(&mut self, digest: &Digest, content: &[u8]) -> Result<()>;
    /// Stores a manifest under its digest.
    fn manifest(&mut self, ready: &ReadyManifest) -> Result<()>;
}

impl ManifestSink for ImagePusher<'_> {
    fn image(&mut self, parts: &ImageParts<'_>) -> Result<ReadyManifest> {
        ImagePusher::push_image(self, parts)
    }

    fn layers(&mut self, diff_ids: &[Digest]) -> Result<Vec<Descriptor>> {
        ImagePusher::push_layers(self, diff_ids)
    }

    fn bytes(&mut self, digest: &Digest, content: &[u8]) -> Result<()> {
        ImagePusher::push_blob(self, digest, content)
    }

    fn manifest(&mut self, ready: &ReadyManifest) -> Result<()> {
        ImagePusher::push_manifest(self, &ManifestRef::Digest(&ready.descriptor.digest), ready)
    }
}

/// Creates the predicate type and the in-toto statement about the image with this manifest digest.
pub type StatementFn<'a> = &'a dyn Fn(&Digest) -> (String, Value);

/// An image of an index.
pub struct IndexMember<'a> {
    pub platform: Platform,
    pub cargo: ImageParts<'a>,
    /// Annotations of its index entry.
    pub entry: BTreeMap<String, String>,
    /// Creates its attestation.
    pub statement: Option<StatementFn<'a>>,
}

/// Stores everything in `sink` except the outermost manifest, which is returned: a single image's manifest if
/// there are no statements and no index annotations, else an index.
pub fn assemble_manifest(
    sink: &mut dyn ManifestSink,
    members: &[IndexMember<'_>],
    annotations: &BTreeMap<String, String>,
) -> Result<ReadyManifest> {
    if let [member] = members
        && member.statement.is_none()
        && annotations.is_empty()
        && member.entry.is_empty()
    {
        return sink.image(&member.cargo);
    }
    let mut entries = Vec::new();
    let mut attestations = Vec::new();
    for member in members {
        let ready = sink.image(&member.cargo)?;
        sink.manifest(&ready)?;
        if let Some(statement) = member.statement {
            attestations.push(push_attestation(sink, &ready.descriptor.digest, statement)?);
        }
        entries.push(Descriptor {
            platform: Some(descriptor_platform(&member.platform)),
            annotations: member.entry.clone(),
            ..ready.descriptor
        });
    }
    entries.extend(attestations);
    build_index(&entries, annotations)
}

/// Builds an index of `entries`: docker's manifest list if all entries are docker's and nothing requires OCI.
pub fn build_index(entries: &[Descriptor], annotations: &BTreeMap<String, String>) -> Result<ReadyManifest> {
    let plain = |entry: &Descriptor| !entry.media_type.contains(".oci.") && entry.annotations.is_empty();
    let docker = annotations.is_empty() && !entries.is_empty() && entries.iter().all(plain);
    let media_type = if docker { DOCKER_LIST } else { OCI_INDEX };
    let mut index = json!({"schemaVersion": 2, "mediaType": media_type, "manifests": entries});
    if !annotations.is_empty() {
        index["annotations"] = json!(annotations);
    }
    ReadyManifest::new(media_type, &index, Vec::new())
}

pub(crate) fn descriptor_platform(platform: &Platform) -> DescriptorPlatform {
    // containerd normalises arm64/v8, the only arm64 variant in use, to plain arm64.
    let is_default = platform.architecture == "arm64" && platform.variant == "v8";
    DescriptorPlatform {
        architecture: platform.architecture.clone(),
        os: platform.os.clone(),
        variant: if is_default { String::new() } else { platform.variant.clone() },
        ..DescriptorPlatform::default()
    }
}

/// Stores an attestation manifest with a statement about the image manifest `subject`, in BuildKit's format.
fn push_attestation(
    sink: &mut dyn ManifestSink,
    subject: &Digest,
    statement: StatementFn<'_>,
) -> Result<Descriptor> {
    let (predicate, statement) = statement(subject);
    let statement = serde_json::to_vec(&statement)?;
    let digest = Digest::of(&statement);
    sink.bytes(&digest, &statement)?;
    let config = json!({
        "architecture": "unknown", "os": "unknown", "config": {},
        "rootfs": {"type": "layers", "diff_ids": [digest]},
    });
    let config = serde_json::to_vec(&config)?;
    sink.bytes(&Digest::of(&config), &config)?;
    let mut layer = Descriptor::plain(STATEMENT, digest, statement.len() as u64);
    layer.annotations.insert("in-toto.io/predicate-type".into(), predicate);
    let ready = build_manifest(&config, &[layer], &BTreeMap::new(), true)?;
    sink.manifest(&ready)?;
    let unknown = DescriptorPlatform {
        architecture: "unknown".into(),
        os: "unknown".into(),
        ..DescriptorPlatform::default()
    };
    let annotations = [
        ("vnd.docker.reference.digest", subject.to_string()),
        ("vnd.docker.reference.type", "attestation-manifest".to_owned()),
    ];
    let annotations = annotations.map(|(key, value)| (key.to_owned(), value)).into();
    Ok(Descriptor { platform: Some(unknown), annotations, ..ready.descriptor })
}

//! Docker (schema 2) and OCI manifests and indexes: parsed leniently, with the checks that pulling relies on.
//!
//! See the OCI image specification, `manifest.md` and `image-index.md`.

use std::collections::BTreeMap;

use anyhow::Result;
use serde::{Deserialize, Deserializer, Serialize};

use dhow_error::{Failure, FailureKind, invalid, unsupported};
use dhow_model::digest::Digest;
use dhow_model::platform::Platform;

pub(crate) const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
pub(crate) const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
pub(crate) const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";

/// Docker and overlayfs support far fewer.
const MAX_LAYERS: usize = 1000;

/// A content descriptor (OCI image specification, `descriptor.md`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    #[serde(default, deserialize_with = "null_default")]
    pub media_type: String,
    pub digest: Digest,
    /// In bytes.
    pub size: u64,
    /// Alternative download URLs; only foreign layers have them.
    #[serde(default, deserialize_with = "null_default", skip_serializing_if = "Vec::is_empty")]
    pub(crate) urls: Vec<String>,
    #[serde(default, deserialize_with = "null_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// In an index: the platform of the image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<DescriptorPlatform>,
}

/// The platform of an index entry.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DescriptorPlatform {
    /// GOARCH.
    #[serde(deserialize_with = "null_default")]
    pub architecture: String,
    /// GOOS.
    #[serde(deserialize_with = "null_default")]
    pub os: String,
    /// Architecture variant, for example `v8`.
    #[serde(deserialize_with = "null_default", skip_serializing_if = "String::is_empty")]
    pub variant: String,
    /// Unused by Linux images.
    #[serde(
        rename = "os.version",
        deserialize_with = "null_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub os_version: String,
    #[serde(
        rename = "os.features",
        deserialize_with = "null_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub os_features: Vec<String>,
}

impl DescriptorPlatform {
    pub fn to_platform(&self) -> Platform {
        Platform {
            os: self.os.clone(),
            architecture: self.architecture.clone(),
            variant: self.variant.clone(),
        }
    }
}

#[allow(clippy::large_enum_variant, reason = "few exist at a time")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Manifest {
    Image(ImageManifest),
    Index(ImageIndex),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageManifest {
    pub config: Descriptor,
    /// Lowest first.
    #[serde(deserialize_with = "null_default")]
    pub layers: Vec<Descriptor>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageIndex {
    #[serde(deserialize_with = "null_default")]
    pub manifests: Vec<Descriptor>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ManifestProbe {
    #[serde(default)]
    schema_version: Option<u64>,
    #[serde(default, deserialize_with = "null_default")]
    media_type: String,
    manifests: Option<serde::de::IgnoredAny>,
    config: Option<serde::de::IgnoredAny>,
    layers: Option<serde::de::IgnoredAny>,
    fs_layers: Option<serde::de::IgnoredAny>,
    blobs: Option<serde::de::IgnoredAny>,
}

impl Manifest {
    /// Parses a manifest. `declared` is the media type that came with it, used if the text contains none.
    pub fn parse(text: &[u8], declared: &str) -> Result<Self> {
        let probe: ManifestProbe = serde_json::from_slice(text).map_err(|error| malformed(&error))?;
        // The text decides: it is covered by the digest, the Content-Type header is not.
        let media_type = if probe.media_type.is_empty() { declared } else { &probe.media_type };
        match probe.kind(media_type)? {
            ManifestKind::Index => {
                Ok(Self::Index(serde_json::from_slice(text).map_err(|error| malformed(&error))?))
            }
            ManifestKind::Image => {
                let image: ImageManifest = serde_json::from_slice(text).map_err(|error| malformed(&error))?;
                image.check()?;
                Ok(Self::Image(image))
            }
        }
    }
}

enum ManifestKind {
    Image,
    Index,
}

impl ManifestProbe {
    /// Determines the kind, rejecting ambiguous documents (CVE-2021-41190).
    fn kind(&self, media_type: &str) -> Result<ManifestKind> {
        if self.fs_layers.is_some() || self.schema_version == Some(1) {
            return Err(unsupported("it is a manifest of docker's schema 1, which went out of use in 2017")
                .hint("ask its owner to push the image again with a newer docker")
                .into());
        }
        let image = self.config.is_some() || self.layers.is_some();
        let kind = match (self.manifests.is_some(), image) {
            (true, true) => return Err(invalid("the manifest is an image and an index at once").into()),
            (true, false) => ManifestKind::Index,
            (false, true) => ManifestKind::Image,
            (false, false) => return Err(self.not_an_image(media_type)),
        };
        let contradicts = match kind {
            ManifestKind::Image => matches!(media_type, DOCKER_LIST | OCI_INDEX),
            ManifestKind::Index => matches!(media_type, DOCKER_MANIFEST | OCI_MANIFEST),
        };
        if contradicts {
            return Err(
                invalid(format!("the manifest is not what its media type `{media_type}` says")).into()
            );
        }
        Ok(kind)
    }

    fn not_an_image(&self, media_type: &str) -> anyhow::Error {
        if self.blobs.is_some() || !media_type.is_empty() {
            return unsupported(format!("it is not an image but `{}`", media_type.escape_debug())).into();
        }
        invalid("the manifest has neither layers nor entries").into()
    }
}

fn malformed(error: &serde_json::Error) -> Failure {
    invalid(format!("the manifest is malformed: {}", error.to_string().escape_debug()))
}

impl ImageManifest {
    fn check(&self) -> Result<()> {
        let kind = self.config.media_type.as_str();
        // docker accepts octet-stream too (distribution issue 1621).
        if !matches!(kind, "" | DOCKER_CONFIG | OCI_CONFIG) && !kind.starts_with("application/octet-stream") {
            return Err(unsupported(format!("it is not an image but `{}`", kind.escape_debug())).into());
        }
        if self.layers.len() > MAX_LAYERS {
            return Err(invalid(format!("the manifest has more than {MAX_LAYERS} layers")).into());
        }
        self.layers.iter().try_for_each(check_layer)
    }
}

fn check_layer(layer: &Descriptor) -> Result<()> {
    let kind = layer.media_type.as_str();
    if kind.contains(".foreign.") || kind.contains("nondistributable") {
        return Err(unsupported(format!(
            "layer {} is a foreign layer, which registries do not hold and whose licence forbids sharing it",
            layer.digest.short()
        ))
        .into());
    }
    // The media type may be missing; unpacking detects the compression by itself.
    let supported = kind.is_empty()
        || kind.starts_with("application/vnd.docker.image.rootfs.diff.tar")
        || kind.starts_with("application/vnd.oci.image.layer.v1.tar");
    if !supported || kind.ends_with("+encrypted") {
        return Err(unsupported(format!(
            "layer {} is of a kind that dhow cannot unpack: `{}`",
            layer.digest.short(),
            kind.escape_debug()
        ))
        .into());
    }
    Ok(())
}

impl ImageIndex {
    /// The entry that best matches `platform`; the first of equally good ones.
    pub fn select(&self, platform: &Platform) -> Result<&Descriptor> {
        let mut best: Option<(u32, &Descriptor)> = None;
        for (rank, entry) in self.manifests.iter().filter_map(|entry| Some((entry.rank(platform)?, entry))) {
            // Strictly greater, so that the first of equally good entries wins.
            if best.is_none_or(|(highest, _)| rank > highest) {
                best = Some((rank, entry));
            }
        }
        match best {
            Some((_, entry)) => Ok(entry),
            None => self.only_unlabelled().ok_or_else(|| self.no_match(platform).into()),
        }
    }

    /// The single entry of an index without platforms.
    fn only_unlabelled(&self) -> Option<&Descriptor> {
        match self.manifests.as_slice() {
            [entry] if entry.platform.is_none() => Some(entry),
            _ => None,
        }
    }

    fn no_match(&self, platform: &Platform) -> Failure {
        let failure = Failure::new(
            FailureKind::NotFound,
            format!("no matching manifest for {platform} in the manifest list entries"),
        );
        let mut platforms: Vec<String> =
            self.manifests.iter().filter_map(|entry| entry.image_platform()).map(|p| p.to_string()).collect();
        platforms.sort();
        platforms.dedup();
        if platforms.is_empty() {
            return failure;
        }
        platforms.truncate(20);
        failure.hint(format!("there is one for {}", platforms.join(", ").escape_debug()))
    }
}

impl Descriptor {
    /// A descriptor with only the required fields.
    pub fn plain(media_type: &str, digest: Digest, size: u64) -> Self {
        let (urls, annotations) = (Vec::new(), BTreeMap::new());
        Self { media_type: media_type.to_owned(), digest, size, urls, annotations, platform: None }
    }

    /// The platform of an image entry; `None` for attestations, which say `unknown`.
    fn image_platform(&self) -> Option<Platform> {
        let platform = self.platform.as_ref()?;
        (platform.os != "unknown" && platform.architecture != "unknown").then(|| platform.to_platform())
    }

    fn rank(&self, platform: &Platform) -> Option<u32> {
        platform.rank(&self.image_platform()?)
    }
}

/// Go encodes nil slices and maps as `null`.
fn null_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(from: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(n: u8) -> String {
        Digest::of(&[n]).to_string()
    }

    fn image(media_type: &str, layer_type: &str) -> String {
        format!(
            r#"{{"schemaVersion":2,"mediaType":"{media_type}","config":{{"mediaType":"{DOCKER_CONFIG}","digest":"{}","size":2}},
            "layers":[{{"mediaType":"{layer_type}","digest":"{}","size":3,"urls":null}}]}}"#,
            digest(1),
            digest(2)
        )
    }

    fn index(entries: &[&str]) -> ImageIndex {
        let entries: Vec<String> = entries
            .iter()
            .zip(0u8..)
            .map(|(platform, n)| format!(r#"{{"digest":"{}","size":1{platform}}}"#, digest(n)))
            .collect();
        let text = format!(r#"{{"schemaVersion":2,"manifests":[{}]}}"#, entries.join(","));
        match Manifest::parse(text.as_bytes(), OCI_INDEX).unwrap() {
            Manifest::Index(index) => index,
            Manifest::Image(_) => panic!("not an index"),
        }
    }

    fn refused(text: &str, declared: &str) -> String {
        Manifest::parse(text.as_bytes(), declared).unwrap_err().to_string()
    }

    #[test]
    fn reads_both_sorts_of_images() {
        for (media, layer) in [
            (DOCKER_MANIFEST, "application/vnd.docker.image.rootfs.diff.tar.gzip"),
            (OCI_MANIFEST, "application/vnd.oci.image.layer.v1.tar+zstd"),
            ("", "application/vnd.oci.image.layer.v1.tar"),
        ] {
            let parsed = Manifest::parse(image(media, layer).as_bytes(), "text/plain").unwrap();
            assert!(matches!(parsed, Manifest::Image(image) if image.layers.len() == 1));
        }
    }

    #[test]
    fn refuses_with_a_reason() {
        assert!(refused(r#"{"schemaVersion":1,"fsLayers":[]}"#, "").contains("schema 1"));
        assert!(refused("{}", "").contains("neither"));
        assert!(refused("{}", "application/vnd.oci.artifact.manifest.v1+json").contains("not an image"));
        assert!(refused("[", "").contains("malformed"));
        assert!(refused(r#"{"manifests":[],"layers":[]}"#, "").contains("at once"));
        assert!(refused(r#"{"manifests":[]}"#, DOCKER_MANIFEST).contains("media type"));
        let foreign = image("", "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip");
        assert!(refused(&foreign, "").contains("foreign"));
        let helm = image("", "x").replace(DOCKER_CONFIG, "application/vnd.cncf.helm.config.v1+json");
        assert!(refused(&helm, "").contains("helm"));
        let negative = image("", "").replace("\"size\":3", "\"size\":-3");
        assert!(refused(&negative, "").contains("malformed"));
        let escaping = image("", "").replace(&digest(2), "sha256:../../etc");
        assert!(refused(&escaping, "").contains("digest"));
    }

    #[test]
    fn chooses_by_platform() {
        let amd = r#","platform":{"os":"linux","architecture":"amd64"}"#;
        let arm = r#","platform":{"os":"linux","architecture":"arm","variant":"v6"}"#;
        let arm7 = r#","platform":{"os":"linux","architecture":"arm","variant":"v7"}"#;
        let attestation = r#","platform":{"os":"unknown","architecture":"unknown"}"#;
        let index_of = index(&[attestation, arm, arm7, amd, amd]);
        let chosen =
            |wanted: &str| index_of.select(&wanted.parse().unwrap()).map(|entry| entry.digest.to_string());
        assert_eq!(chosen("linux/amd64").unwrap(), digest(3));
        assert_eq!(chosen("linux/arm/v7").unwrap(), digest(2));
        assert_eq!(chosen("linux/arm/v6").unwrap(), digest(1));
        let error = chosen("linux/s390x").unwrap_err();
        assert_eq!(error.to_string(), "no matching manifest for linux/s390x in the manifest list entries");
        let hint = error.downcast_ref::<Failure>().unwrap().hint_text().unwrap().to_owned();
        assert_eq!(hint, "there is one for linux/amd64, linux/arm/v6, linux/arm/v7");
        assert!(index(&[""]).select(&Platform::host()).is_ok());
        assert!(index(&["", ""]).select(&Platform::host()).is_err());
        assert!(index(&[]).select(&Platform::host()).is_err());
    }
}

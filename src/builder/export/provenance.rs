//! SLSA provenance 0.2: a statement about how an image was built, as BuildKit writes it.
//!
//! See <https://slsa.dev/spec/v0.2/provenance> and BuildKit's `docs/attestations/slsa-provenance.md`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::request::OptionsEntry;
use dhow_error::{Failure, invalid, unsupported};
use dhow_model::digest::Digest;
use dhow_model::platform::Platform;
use dhow_model::reference::ImageReference;

/// The predicate's type.
pub(crate) const PREDICATE: &str = "https://slsa.dev/provenance/v0.2";
/// The build type, which defines the predicate's parameters.
const BUILD_TYPE: &str = "https://mobyproject.org/buildkit@v1";

/// An input of the build.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProvenanceMaterial {
    /// A package URL or a URL.
    pub uri: String,
    /// Algorithm and hex digits: `sha256` or, for git, `sha1`.
    pub digest: (String, String),
}

impl ProvenanceMaterial {
    /// An image, by the digest of its manifest or index.
    pub(crate) fn image(reference: &ImageReference, platform: &Platform, digest: &Digest) -> Self {
        let (algorithm, hex) = (digest.algorithm().to_owned(), digest.hex().to_owned());
        Self { uri: image_purl(reference, platform), digest: (algorithm, hex) }
    }

    pub(crate) fn git(url: &str, commit: &str) -> Self {
        Self { uri: url.to_owned(), digest: ("sha1".into(), commit.to_owned()) }
    }
}

/// The package URL of an image, in BuildKit's form.
fn image_purl(reference: &ImageReference, platform: &Platform) -> String {
    let version = reference.tag().map(|tag| format!("@{tag}")).unwrap_or_default();
    let platform = platform.to_string().replace('/', "%2F");
    format!("pkg:docker/{}{version}?platform={platform}", reference.familiar_name())
}

/// What a build records about itself for its provenance; named after BuildKit's `provenance.Capture`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProvenanceCapture {
    pub(crate) materials: Vec<ProvenanceMaterial>,
    /// The URL of a remote context, and the commit.
    pub source: Option<(String, Option<String>)>,
    /// The name of the Dockerfile.
    pub(crate) entry_point: String,
    /// `target`, `build-arg:NAME`, `label:NAME` and the like.
    pub parameters: BTreeMap<String, String>,
    /// RFC 3339.
    pub started: String,
    /// RFC 3339.
    pub finished: String,
    /// The steps, for `mode=max`.
    pub steps: Option<Value>,
}

/// `--attest` and `--provenance`, parsed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ProvenanceOptions {
    pub enabled: bool,
    /// `mode=max`: include build arguments, labels and steps.
    pub max: bool,
    builder: String,
}

impl ProvenanceOptions {
    /// Parses the attestations.
    pub(crate) fn parse(attests: &[OptionsEntry]) -> Result<Self, Failure> {
        let mut options = Self::default();
        for attest in attests {
            let disabled = attest.attributes.get("disabled");
            let disabled = disabled.is_some_and(|text| !matches!(text.as_str(), "false" | "0" | "f"));
            match attest.kind.as_str() {
                "provenance" if disabled => options = Self::default(),
                "provenance" => options = Self::from_attributes(&attest.attributes)?,
                "sbom" if disabled => {}
                "sbom" => {
                    return Err(unsupported(
                        "dhow has no scanner that could say what software is in an image",
                    )
                    .hint("leave --sbom out, or scan the image that was pushed"));
                }
                other => {
                    let message =
                        format!("`{}` is not an attestation: provenance or sbom", other.escape_debug());
                    return Err(invalid(message));
                }
            }
        }
        Ok(options)
    }

    fn from_attributes(attributes: &BTreeMap<String, String>) -> Result<Self, Failure> {
        let mut options = Self { enabled: true, ..Self::default() };
        for (key, value) in attributes {
            match (key.as_str(), value.as_str()) {
                ("mode", "min") | ("disabled", _) | ("version", "v0.2") => {}
                ("mode", "max") => options.max = true,
                ("builder-id", id) => options.builder = id.to_owned(),
                // All layers are in the store, so there is nothing to leave out.
                ("inline-only" | "reproducible" | "filename", _) => {}
                ("version", _) => return Err(unsupported("provenance has version v0.2 only")),
                _ => {
                    let pair = format!("{key}={value}");
                    let message = format!("`{}` is not known to provenance", pair.escape_debug());
                    return Err(invalid(message));
                }
            }
        }
        Ok(options)
    }

    /// The in-toto statement about the image with this manifest, known by `names`.
    pub(crate) fn statement(
        &self,
        capture: &ProvenanceCapture,
        platform: &Platform,
        names: &[ImageReference],
        manifest: &Digest,
    ) -> Value {
        let digest = || json!({manifest.algorithm(): manifest.hex()});
        let mut subject: Vec<Value> = names
            .iter()
            .map(|name| json!({"name": image_purl(name, platform), "digest": digest()}))
            .collect();
        if subject.is_empty() {
            // BuildKit's name for an image without a name.
            subject.push(json!({"name": "_", "digest": digest()}));
        }
        json!({
            "_type": "https://in-toto.io/Statement/v0.1",
            "predicateType": PREDICATE,
            "subject": subject,
            "predicate": self.predicate(capture, platform),
        })
    }

    /// The part that does not depend on the subject.
    pub(crate) fn predicate(&self, capture: &ProvenanceCapture, platform: &Platform) -> Value {
        let materials: Vec<Value> = capture
            .materials
            .iter()
            .map(|material| {
                let (algorithm, hex) = &material.digest;
                json!({"uri": material.uri, "digest": {algorithm: hex}})
            })
            .collect();
        let mut source = json!({"entryPoint": capture.entry_point});
        if let Some((uri, commit)) = &capture.source {
            source["uri"] = json!(uri);
            if let Some(commit) = commit {
                source["digest"] = json!({"sha1": commit});
            }
        }
        // Build arguments may hold secrets, so `mode=min` omits them, as BuildKit does.
        let is_public = |key: &str| self.max || !key.starts_with("build-arg:") && !key.starts_with("label:");
        let arguments: Map<String, Value> = capture
            .parameters
            .iter()
            .filter(|(key, _)| is_public(key))
            .map(|(key, value)| (key.clone(), json!(value)))
            .collect();
        let mut parameters = json!({"frontend": "dockerfile.v0", "args": arguments});
        if capture.source.is_none() {
            parameters["locals"] = json!([{"name": "context"}, {"name": "dockerfile"}]);
        }
        let mut predicate = json!({
            "builder": {"id": self.builder},
            "buildType": BUILD_TYPE,
            "materials": materials,
            "invocation": {
                "configSource": source,
                "parameters": parameters,
                "environment": {"platform": platform.to_string()},
            },
            "metadata": {
                "buildStartedOn": capture.started,
                "buildFinishedOn": capture.finished,
                "completeness": {"parameters": self.max, "environment": true, "materials": false},
                "reproducible": false,
            },
        });
        if let (true, Some(steps)) = (self.max, &capture.steps) {
            predicate["buildConfig"] = steps.clone();
        }
        predicate
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attest(kind: &str, pairs: &[(&str, &str)]) -> OptionsEntry {
        let attributes = pairs.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
        OptionsEntry { kind: kind.into(), attributes }
    }

    #[test]
    fn what_can_be_asked_for() {
        assert!(!ProvenanceOptions::parse(&[]).unwrap().enabled);
        assert!(
            !ProvenanceOptions::parse(&[
                attest("provenance", &[("disabled", "true")]),
                attest("sbom", &[("disabled", "true")])
            ])
            .unwrap()
            .enabled
        );
        let max = ProvenanceOptions::parse(&[attest("provenance", &[("mode", "max")])]).unwrap();
        assert!(max.enabled && max.max);
        assert!(ProvenanceOptions::parse(&[attest("sbom", &[])]).is_err());
        assert!(ProvenanceOptions::parse(&[attest("provenance", &[("mode", "middling")])]).is_err());
    }

    #[test]
    fn values_of_arguments_are_for_the_largest_mode() {
        let platform: Platform = "linux/amd64".parse().unwrap();
        let parameters = [("target", "t"), ("build-arg:A", "secret")];
        let facts = ProvenanceCapture {
            materials: vec![ProvenanceMaterial::image(
                &"debian:12".parse().unwrap(),
                &platform,
                &Digest::of(b"x"),
            )],
            parameters: parameters.map(|(key, value)| (key.into(), value.into())).into(),
            ..ProvenanceCapture::default()
        };
        let min = ProvenanceOptions { enabled: true, ..ProvenanceOptions::default() };
        let statement = min.statement(&facts, &platform, &["a:1".parse().unwrap()], &Digest::of(b"m"));
        assert_eq!(statement["subject"][0]["name"], "pkg:docker/a@1?platform=linux%2Famd64");
        assert_eq!(
            statement["predicate"]["materials"][0]["uri"],
            "pkg:docker/debian@12?platform=linux%2Famd64"
        );
        assert_eq!(statement["predicate"]["invocation"]["parameters"]["args"], json!({"target": "t"}));
        let max = ProvenanceOptions { max: true, ..min };
        let said = max.predicate(&facts, &platform);
        assert_eq!(said["invocation"]["parameters"]["args"]["build-arg:A"], "secret");
    }
}

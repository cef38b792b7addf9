//! `--cache-to` and `--cache-from`, parsed and checked.

use std::path::PathBuf;

use crate::export::options::parse_compression;
use crate::request::OptionsEntry;
use dhow_error::{Failure, invalid, unsupported};
use dhow_image::push::PushFormat;
use dhow_model::digest::Digest;
use dhow_model::reference::ImageReference;

/// BuildKit's cache backend types.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CacheBackend {
    Registry(ImageReference),
    /// An OCI image layout in a directory.
    Local(PathBuf),
    /// The configuration of the image that is built.
    Inline,
}

#[derive(Clone, Debug)]
pub(crate) struct CacheOptions {
    pub kind: CacheBackend,
    /// `mode=max`: export every step's result, not only those the target is built on.
    pub max: bool,
    /// The manifest in a `local` cache.
    pub tag: Option<String>,
    pub digest: Option<Digest>,
    pub form: PushFormat,
    /// Write an image manifest, which every registry accepts, instead of an index, BuildKit's older format.
    pub(crate) image_manifest: bool,
    /// A cache that cannot be written does not fail the build.
    pub(crate) ignore_error: bool,
    /// Allow plain http.
    pub insecure: bool,
}

/// Attributes of every backend that is written to.
const EXPORT_ATTRIBUTES: [&str; 7] = [
    "mode",
    "compression",
    "compression-level",
    "force-compression",
    "oci-mediatypes",
    "image-manifest",
    "ignore-error",
];

impl CacheOptions {
    /// Parses one; `to` for `--cache-to`.
    pub(crate) fn parse(entry: &OptionsEntry, to: bool) -> Result<Self, Failure> {
        let get = |key: &str| entry.attributes.get(key).map(String::as_str);
        let (kind, attributes) = parse_backend(entry, to)?;
        let is_known = |key: &str| attributes.contains(&key) || to && EXPORT_ATTRIBUTES.contains(&key);
        if let Some(key) = entry.attributes.keys().find(|key| !is_known(key)) {
            return Err(invalid(format!(
                "`{}` is not an attribute of a cache of type {}",
                key.escape_debug(),
                entry.kind
            )));
        }
        let max = match get("mode") {
            None | Some("min") => false,
            Some("max") => true,
            Some(other) => {
                return Err(invalid(format!("`{}` is not a mode: min or max", other.escape_debug())));
            }
        };
        let compression = parse_compression(get("compression"), get("compression-level"))?;
        let flag = |key: &str, default: bool| match get(key) {
            None => Ok(default),
            Some("" | "1" | "true") => Ok(true),
            Some("0" | "false") => Ok(false),
            Some(other) => {
                Err(invalid(format!("`{key}={}` is neither true nor false", other.escape_debug())))
            }
        };
        if !flag("oci-mediatypes", true)? {
            return Err(unsupported("caches have OCI's media types"));
        }
        Ok(Self {
            max,
            tag: get("tag").map(str::to_owned),
            digest: get("digest").map(str::parse).transpose()?,
            form: PushFormat { compression, force: flag("force-compression", false)?, oci: Some(true) },
            image_manifest: flag("image-manifest", true)?,
            ignore_error: flag("ignore-error", false)?,
            insecure: flag("registry.insecure", false)?,
            kind,
        })
    }

    /// As displayed.
    pub(crate) fn name(&self) -> String {
        match &self.kind {
            CacheBackend::Registry(reference) => reference.familiar(),
            CacheBackend::Local(path) => path.display().to_string(),
            CacheBackend::Inline => "inline".into(),
        }
    }
}

/// The backend, and the names of the attributes that are its own.
fn parse_backend(entry: &OptionsEntry, to: bool) -> Result<(CacheBackend, &'static [&'static str]), Failure> {
    let get = |key: &str| entry.attributes.get(key).map(String::as_str);
    match entry.kind.as_str() {
        "registry" => {
            let text = get("ref").ok_or_else(|| invalid("a cache of type registry needs ref=NAME"))?;
            let reference = text.parse::<ImageReference>()?.or_latest();
            Ok((CacheBackend::Registry(reference), &["ref", "registry.insecure"]))
        }
        "local" => {
            let key = if to { "dest" } else { "src" };
            let path = get(key).filter(|path| !path.is_empty());
            let path = path.ok_or_else(|| invalid(format!("a cache of type local needs {key}=DIRECTORY")))?;
            let attributes: &[&str] = if to { &["dest", "tag"] } else { &["src", "tag", "digest"] };
            Ok((CacheBackend::Local(path.into()), attributes))
        }
        "inline" if to => Ok((CacheBackend::Inline, &[])),
        "inline" => {
            Err(invalid("a cache in an image is read by its name")
                .hint("--cache-from type=registry,ref=NAME"))
        }
        other => Err(unsupported_backend(other)),
    }
}

fn unsupported_backend(kind: &str) -> Failure {
    match kind {
        "gha" | "s3" | "azblob" => unsupported(format!("dhow keeps no build cache of type {kind}"))
            .hint("types are registry, local and inline"),
        other => {
            invalid(format!("`{}` is not a type of cache: registry, local or inline", other.escape_debug()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(kind: &str, pairs: &[(&str, &str)], to: bool) -> Result<CacheOptions, Failure> {
        let attributes = pairs.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
        CacheOptions::parse(&OptionsEntry { kind: kind.into(), attributes }, to)
    }

    #[test]
    fn kinds_and_attributes() {
        let wanted = read("registry", &[("ref", "r.example/x"), ("mode", "max")], true).unwrap();
        assert!(wanted.max && wanted.image_manifest);
        assert_eq!(wanted.name(), "r.example/x:latest");
        assert!(
            read("local", &[("src", "/x"), ("digest", &format!("sha256:{}", "0".repeat(64)))], false).is_ok()
        );
        for (kind, pairs, to) in [
            ("registry", vec![], true),
            ("local", vec![("dest", "x")], false),
            ("inline", vec![], false),
            ("inline", vec![("mode", "middle")], true),
            ("local", vec![("src", "x"), ("mode", "max")], false),
        ] {
            assert!(read(kind, &pairs, to).is_err(), "{kind} {pairs:?}");
        }
        assert!(read("gha", &[], true).unwrap_err().to_string().contains("gha"));
    }
}

//! `--output`, parsed and checked: BuildKit's exporter types and attributes.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Result;

use crate::request::OptionsEntry;
use dhow_error::{Failure, invalid, unsupported};
use dhow_image::compress::Compression;
use dhow_image::push::PushFormat;
use dhow_model::boolean;
use dhow_model::reference::ImageReference;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ExporterKind {
    /// The store, and a registry if `push` is set.
    Image {
        push: bool,
        /// Push without a tag.
        by_digest: bool,
        /// Keep the image in the store.
        store: bool,
        /// Allow plain http.
        insecure: bool,
    },
    /// An archive or a directory, in OCI's or docker's format.
    Archive {
        /// Without docker's `manifest.json`.
        oci: bool,
        to: ExportDest,
        /// A directory instead of an archive.
        directory: bool,
    },
    /// The files of the result.
    Files {
        /// An archive instead of a directory.
        tar: bool,
        to: ExportDest,
        /// A directory for each platform, if there are several.
        split: bool,
    },
    /// `cacheonly`.
    Cache,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ExportDest {
    /// `-`
    Stdout,
    /// Relative to the working directory.
    Path(PathBuf),
}

#[derive(Clone, Debug)]
pub(crate) struct ExportOptions {
    pub kind: ExporterKind,
    /// Replace those of `--tag`.
    pub names: Option<Vec<ImageReference>>,
    pub form: PushFormat,
    /// In the form of `--annotation`.
    pub annotations: BTreeMap<String, String>,
}

/// Attributes of all exporter types.
const FORMAT_ATTRIBUTES: &[&str] = &[
    "name",
    "compression",
    "compression-level",
    "force-compression",
    "oci-mediatypes",
    "rewrite-timestamp",
    "prefer-nondist-layers",
];

impl ExportOptions {
    /// Parses one `--output`.
    pub(crate) fn parse(entry: &OptionsEntry) -> Result<Self, Failure> {
        let mut attributes = AttributeReader { entry, accepted: FORMAT_ATTRIBUTES.to_vec() };
        let kind = match entry.kind.as_str() {
            "image" => attributes.image(false)?,
            "registry" => attributes.image(true)?,
            "oci" => attributes.archive(true)?,
            "docker" => attributes.archive(false)?,
            "tar" => attributes.files(true)?,
            "local" => attributes.files(false)?,
            "cacheonly" => ExporterKind::Cache,
            other => {
                return Err(invalid(format!(
                    "`{}` is not a type of output: image, registry, oci, docker, tar, local or cacheonly",
                    other.escape_debug()
                )));
            }
        };
        attributes.reject_unknown()?;
        let archive = matches!(kind, ExporterKind::Archive { .. });
        Ok(Self {
            names: attributes.names()?,
            form: attributes.form(archive && entry.kind == "oci")?,
            annotations: attributes.annotations(),
            kind,
        })
    }
}

/// Records which attributes are read, so that `reject_unknown` can refuse the others.
struct AttributeReader<'a> {
    entry: &'a OptionsEntry,
    accepted: Vec<&'static str>,
}

impl AttributeReader<'_> {
    fn text(&mut self, key: &'static str) -> Option<&str> {
        self.accepted.push(key);
        self.entry.attributes.get(key).map(String::as_str)
    }

    fn flag(&mut self, key: &'static str, default: bool) -> Result<bool, Failure> {
        match self.text(key) {
            None => Ok(default),
            Some("") => Ok(true),
            Some(text) => boolean::parse(text)
                .ok_or_else(|| invalid(format!("`{key}={}` is neither true nor false", text.escape_debug()))),
        }
    }

    fn image(&mut self, registry: bool) -> Result<ExporterKind, Failure> {
        // Attributes of containerd's image store, which dhow does not need.
        self.accepted.extend(["unpack", "dangling-name-prefix", "name-canonical", "danging-name-prefix"]);
        Ok(ExporterKind::Image {
            push: self.flag("push", registry)?,
            by_digest: self.flag("push-by-digest", false)?,
            store: self.flag("store", true)?,
            insecure: self.flag("registry.insecure", false)?,
        })
    }

    fn archive(&mut self, oci: bool) -> Result<ExporterKind, Failure> {
        let directory = !self.flag("tar", true)?;
        match self.dest()? {
            Some(to) => Ok(ExporterKind::Archive { oci, to, directory }),
            None if oci => Err(invalid("dest is required for the output of type oci")),
            None => {
                // Accepted and ignored: the docker context to load into.
                self.text("context");
                Ok(ExporterKind::Image { push: false, by_digest: false, store: true, insecure: false })
            }
        }
    }

    fn files(&mut self, tar: bool) -> Result<ExporterKind, Failure> {
        let split = self.flag("platform-split", !tar)?;
        let to = self
            .dest()?
            .ok_or_else(|| invalid(format!("dest is required for the output of type {}", self.entry.kind)))?;
        if !tar && to == ExportDest::Stdout {
            return Err(invalid("the output of type local is a directory and cannot go to standard output")
                .hint("type=tar can"));
        }
        Ok(ExporterKind::Files { tar, to, split })
    }

    fn dest(&mut self) -> Result<Option<ExportDest>, Failure> {
        Ok(match self.text("dest") {
            None => None,
            Some("-") => Some(ExportDest::Stdout),
            Some("") => return Err(invalid("dest is empty")),
            Some(path) => Some(ExportDest::Path(path.into())),
        })
    }

    fn names(&mut self) -> Result<Option<Vec<ImageReference>>, Failure> {
        let Some(names) = self.text("name") else { return Ok(None) };
        let names = names.split(',').map(str::trim).filter(|name| !name.is_empty());
        names
            .map(|name| name.parse::<ImageReference>().map(ImageReference::or_latest))
            .collect::<Result<_, _>>()
            .map(Some)
    }

    fn form(&mut self, oci_archive: bool) -> Result<PushFormat, Failure> {
        let level = self.text("compression-level").map(str::to_owned);
        let compression = parse_compression(self.text("compression"), level.as_deref())?;
        if self.flag("prefer-nondist-layers", false)? {
            return Err(unsupported("layers that may not be distributed are not made by dhow"));
        }
        // Layers are built with SOURCE_DATE_EPOCH applied, so there is nothing left to rewrite.
        self.flag("rewrite-timestamp", false)?;
        let force = self.flag("force-compression", false)?;
        let oci = match self.text("oci-mediatypes") {
            None if oci_archive => Some(true),
            None => None,
            Some(_) => Some(self.flag("oci-mediatypes", true)?),
        };
        Ok(PushFormat { compression, force, oci })
    }

    fn annotations(&self) -> BTreeMap<String, String> {
        let entry = |(key, value): (&String, &String)| {
            let rest = key.strip_prefix("annotation")?;
            if let Some(key) = rest.strip_prefix('.') {
                return Some((key.to_owned(), value.clone()));
            }
            let (kind, key) = rest.strip_prefix('-')?.split_once('.')?;
            Some((format!("{kind}:{key}"), value.clone()))
        };
        self.entry.attributes.iter().filter_map(entry).collect()
    }

    /// Rejects unknown attributes.
    fn reject_unknown(&self) -> Result<(), Failure> {
        let unknown = self.entry.attributes.keys().find(|key| {
            let annotation = key.starts_with("annotation.") || key.starts_with("annotation-");
            !annotation && !self.accepted.contains(&key.as_str())
        });
        match unknown {
            None => Ok(()),
            Some(key) => Err(invalid(format!(
                "`{}` is not an attribute of the output of type {}",
                key.escape_debug(),
                self.entry.kind
            ))),
        }
    }
}

/// Parses `compression` and `compression-level`; a level alone means gzip.
pub(crate) fn parse_compression(name: Option<&str>, level: Option<&str>) -> Result<Compression, Failure> {
    let parse =
        |text: &str| text.parse().map_err(|_| invalid(format!("`{}` is no level", text.escape_debug())));
    match (name, level.map(parse).transpose()?) {
        (None, None) => Ok(Compression::default()),
        (name, level) => Compression::from_name(name.unwrap_or("gzip"), level),
    }
}

/// Annotations with the objects that they belong to: type, platform, key, value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct AnnotationSet(Vec<(String, Option<String>, String, String)>);

impl AnnotationSet {
    /// Parses pairs of `[type[platform],…:]key` and value.
    pub(crate) fn parse<'a>(pairs: impl Iterator<Item = (&'a String, &'a String)>) -> Result<Self, Failure> {
        const TYPES: [&str; 4] = ["manifest", "index", "manifest-descriptor", "index-descriptor"];
        let mut annotations = Vec::new();
        for (name, value) in pairs {
            // A colon may be part of the key, unless known types precede it.
            let typed_key = name.split_once(':').filter(|(types, _)| {
                types.split(',').all(|part| TYPES.contains(&part.split('[').next().unwrap_or_default()))
            });
            let (types, key) = typed_key.unwrap_or(("manifest", name));
            if key.is_empty() {
                return Err(invalid(format!("the annotation `{}` has no key", name.escape_debug())));
            }
            for part in types.split(',') {
                let (kind, platform) = match part.split_once('[') {
                    Some((kind, platform)) => (kind, Some(platform.trim_end_matches(']').to_owned())),
                    None => (part, None),
                };
                annotations.push((kind.to_owned(), platform, key.to_owned(), value.clone()));
            }
        }
        Ok(Self(annotations))
    }

    /// The annotations of type `kind`, including those of every platform.
    pub(crate) fn of(&self, kind: &str, platform: Option<&str>) -> BTreeMap<String, String> {
        let fits = |scope: &Option<String>| scope.is_none() || scope.as_deref() == platform;
        let matching = self.0.iter().filter(|(name, scope, ..)| name == kind && fits(scope));
        matching.map(|(_, _, key, value)| (key.clone(), value.clone())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(kind: &str, attributes: &[(&str, &str)]) -> OptionsEntry {
        let attributes = attributes.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
        OptionsEntry { kind: kind.into(), attributes }
    }

    #[test]
    fn types_and_attributes() {
        let read = |kind: &str, attributes: &[(&str, &str)]| ExportOptions::parse(&typed(kind, attributes));
        let image = read("image", &[("push", "true"), ("name", "a,b:1"), ("compression", "zstd")]).unwrap();
        assert!(matches!(image.kind, ExporterKind::Image { push: true, store: true, .. }));
        assert_eq!(image.names.unwrap().len(), 2);
        assert_eq!(image.form.compression, Compression::Zstd(3));
        assert!(matches!(read("registry", &[]).unwrap().kind, ExporterKind::Image { push: true, .. }));
        assert!(matches!(read("docker", &[]).unwrap().kind, ExporterKind::Image { push: false, .. }));
        assert!(matches!(
            read("oci", &[("dest", "-")]).unwrap().kind,
            ExporterKind::Archive { to: ExportDest::Stdout, oci: true, directory: false }
        ));
        for (kind, attributes) in [
            ("oci", vec![]),
            ("local", vec![("dest", "-")]),
            ("local", vec![]),
            ("zip", vec![]),
            ("image", vec![("pish", "true")]),
            ("image", vec![("push", "perhaps")]),
            ("image", vec![("compression", "estargz")]),
        ] {
            assert!(read(kind, &attributes).is_err(), "{kind} {attributes:?}");
        }
    }

    #[test]
    fn annotations_know_what_they_are_about() {
        let pairs: BTreeMap<String, String> =
            [("a.b", "1"), ("index:c", "2"), ("manifest[linux/arm64],index:d", "3"), ("urn:x", "4")]
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into();
        let all = AnnotationSet::parse(pairs.iter()).unwrap();
        let keys = |kind: &str, platform| all.of(kind, platform).into_keys().collect::<Vec<_>>();
        assert_eq!(keys("manifest", Some("linux/amd64")), ["a.b", "urn:x"]);
        assert_eq!(keys("manifest", Some("linux/arm64")), ["a.b", "d", "urn:x"]);
        assert_eq!(keys("index", None), ["c", "d"]);
    }
}

//! `import`: makes a one-layer image from an archive of a file system.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

use anyhow::{Context as _, Result};

use super::stdin::open_stdin;
use dhow_error::{Failure, FailureKind, invalid};
use dhow_image::registry::http::{HttpClient, HttpPolicy, HttpRequest};
use dhow_image::registry::text::without_userinfo;
use dhow_image::unpack::{UnpackLimits, UnpackOptions, unpack_layer};
use dhow_model::config_change;
use dhow_model::digest::Digest;
use dhow_model::environment::Environment;
use dhow_model::image::{HistoryEntry, ImageConfig, ImageRootFs, RunConfig};
use dhow_model::layer::LayerOwnership;
use dhow_model::platform::Platform;
use dhow_model::progress::LayerProgress;
use dhow_model::reference::ImageReference;
use dhow_runtime::state::now_rfc3339;
use dhow_store::event_records;
use dhow_store::{NewImage, Store};

#[derive(Clone, Debug)]
pub struct ImportRequest {
    pub source: ImportSource,
    pub reference: Option<ImageReference>,
    /// Dockerfile instructions (`--change`).
    pub changes: Vec<String>,
    pub message: Option<String>,
    /// The platform that the files are for; defaults to this machine's.
    pub platform: Option<Platform>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImportSource {
    /// Written `-` on the command line.
    Stdin,
    File(PathBuf),
    /// HTTP or HTTPS.
    Url(String),
}

/// Imports the image and returns its ID.
///
/// The process must be allowed to create files with the owners of `identity` (see `userns`). It starts threads.
pub fn import(
    store: &Store,
    environment: &Environment,
    request: &ImportRequest,
    identity: LayerOwnership,
    progress: &dyn LayerProgress,
) -> Result<Digest> {
    // Report mistakes in the request before reading an archive, which may be long.
    let mut run = RunConfig::default();
    for change in &request.changes {
        config_change::apply(&mut run, change)?;
    }
    let name = name(request)?;
    let (source, size) = open(environment, &request.source)?;
    let draft = store.begin_layer_without_digest()?;
    let options = UnpackOptions {
        identity,
        limits: UnpackLimits::default(),
        label: "import".into(),
        compressed_size: size,
    };
    let shown = request.source.to_string();
    let record =
        unpack_layer(source, &draft, &options, progress).with_context(|| format!("cannot import {shown}"))?;
    let layer = draft.commit(record)?;
    let config =
        serde_json::to_vec(&config(request, run, &layer.diff_id)).context("writing a configuration")?;
    let names: Vec<(ImageReference, Option<Digest>)> = name.into_iter().map(|name| (name, None)).collect();
    let image = NewImage { config: &config, manifest: None, layers: &[layer], names: &names };
    let id = store.put_image(&image)?;
    if let Some(image) = store.image(&id)? {
        event_records::image_event(store, "import", &image);
    }
    Ok(id)
}

fn name(request: &ImportRequest) -> Result<Option<ImageReference>> {
    match &request.reference {
        Some(name) if name.digest().is_some() => {
            Err(invalid("an imported image cannot be named by a digest").into())
        }
        other => Ok(other.clone().map(ImageReference::or_latest)),
    }
}

/// The archive and its length in bytes, 0 if unknown.
fn open(environment: &Environment, source: &ImportSource) -> Result<(Box<dyn Read + Send>, u64)> {
    match source {
        ImportSource::Stdin => Ok((Box::new(open_stdin()?), 0)),
        ImportSource::File(path) => {
            let file = File::open(path).with_context(|| format!("cannot import {}", path.display()))?;
            let size = file.metadata()?.len();
            Ok((Box::new(file), size))
        }
        ImportSource::Url(url) => fetch(environment, url).with_context(|| format!("cannot import {source}")),
    }
}

fn fetch(environment: &Environment, url: &str) -> Result<(Box<dyn Read + Send>, u64)> {
    let uri = url.parse().map_err(|_| invalid("it is not an address"))?;
    let http = HttpClient::new(environment, HttpPolicy::default())?;
    let response = http.send(&HttpRequest::get(uri), true).map_err(|problem| problem.failure)?;
    if !response.status().is_success() {
        let kind = if response.status() == 404 { FailureKind::NotFound } else { FailureKind::Network };
        return Err(Failure::new(kind, format!("the server answers {}", response.status())).into());
    }
    let body = response.into_body();
    let size = body.content_length().unwrap_or_default();
    Ok((Box::new(body.into_reader()), size))
}

fn config(request: &ImportRequest, run: RunConfig, diff_id: &Digest) -> ImageConfig {
    let platform = request.platform.clone().unwrap_or_else(Platform::host);
    let comment = request.message.clone().unwrap_or_else(|| format!("Imported from {}", request.source));
    let created = Some(now_rfc3339());
    ImageConfig {
        created: created.clone(),
        architecture: platform.architecture,
        variant: platform.variant,
        os: platform.os,
        comment: comment.clone(),
        config: run,
        rootfs: ImageRootFs { kind: "layers".into(), diff_ids: vec![diff_id.clone()] },
        history: vec![HistoryEntry { created, comment, ..HistoryEntry::default() }],
        ..ImageConfig::default()
    }
}

impl fmt::Display for ImportSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdin => f.write_str("-"),
            Self::File(path) => path.display().fmt(f),
            Self::Url(url) => f.write_str(&without_userinfo(url)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::rm::tests::RmiFixture;
    use dhow_model::progress::SilentProgress;

    fn request(source: ImportSource) -> ImportRequest {
        let reference = Some("imported".parse().unwrap());
        ImportRequest { source, reference, changes: vec![], message: None, platform: None }
    }

    fn import_it(fixture: &RmiFixture, request: &ImportRequest) -> Result<Digest> {
        import(&fixture.store, &Environment::default(), request, LayerOwnership::Single, &SilentProgress)
    }

    #[test]
    fn a_compressed_archive_becomes_a_configured_image() {
        let fixture = RmiFixture::new();
        let mut archive = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(1);
        archive.append_data(&mut header, "file", &b"x"[..]).unwrap();
        let plain = archive.into_inner().unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), zstd::encode_all(&plain[..], 1).unwrap()).unwrap();
        let request = ImportRequest {
            changes: vec!["CMD [\"/file\"]".into()],
            platform: Some("linux/arm64".parse().unwrap()),
            ..request(ImportSource::File(file.path().into()))
        };
        let id = import_it(&fixture, &request).unwrap();
        let image = fixture.store.find_image("imported:latest").unwrap();
        assert_eq!((&image.id, image.config.architecture.as_str()), (&id, "arm64"));
        assert_eq!(image.config.rootfs.diff_ids, [Digest::of(&plain)]);
        assert_eq!(image.config.config.cmd.unwrap(), ["/file"]);
        assert_eq!(image.config.comment, format!("Imported from {}", file.path().display()));
    }

    #[test]
    fn what_cannot_be_imported_leaves_nothing() {
        let fixture = RmiFixture::new();
        let junk = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(junk.path(), [7; 2000]).unwrap();
        let bad_change = ImportRequest { changes: vec!["RUN x".into()], ..request(ImportSource::Stdin) };
        let missing = request(ImportSource::File("/no/such/file".into()));
        let no_address = request(ImportSource::Url("http://".into()));
        for bad in [request(ImportSource::File(junk.path().into())), bad_change, missing, no_address] {
            assert!(import_it(&fixture, &bad).is_err());
        }
        assert!(fixture.store.images().unwrap().is_empty() && fixture.store.layers().unwrap().is_empty());
    }

    #[test]
    fn passwords_in_addresses_are_not_shown() {
        let shown = |url: &str| ImportSource::Url(url.into()).to_string();
        assert_eq!(shown("https://me:secret@host/x.tar"), "https://host/x.tar");
        assert_eq!(shown("https://host/x@1.tar?user=me@host"), "https://host/x@1.tar?user=me@host");
    }
}

//! `push`: pushes images of the store to a registry.
//!
//! In two steps like `pull`: [`prepare`] runs credential helpers as the user, [`push`] reads files of every owner.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context as _, Result};

use super::record;
use crate::error::{Failure, FailureKind, invalid, not_found};
use crate::image::push::assemble::{IndexMember, assemble_manifest};
use crate::image::push::{ImageParts, ImagePusher, PushFormat};
use crate::image::registry::config::{RegistriesConfig, RegistryTransport};
use crate::image::registry::credentials::{CredentialStore, resolve_sources};
use crate::image::registry::http::{HttpClient, HttpPolicy};
use crate::image::registry::repository::{ManifestRef, Repository, RepositorySource};
use crate::model::digest::Digest;
use crate::model::environment::Environment;
use crate::model::platform::Platform;
use crate::model::progress::LayerProgress;
use crate::model::reference::ImageReference;
use crate::sandbox::identity;
use crate::store::{NameRecord, Store, StoredImage};

#[derive(Clone, Debug)]
pub struct PushRequest {
    /// Without a tag it means `latest`, or with `all_tags` everything.
    pub reference: ImageReference,
    /// All tags of the repository.
    pub all_tags: bool,
    /// Push only this platform of a multi-platform image.
    pub platform: Option<Platform>,
    pub form: PushFormat,
}

/// A repository to push to, with its server and the credential for it.
#[derive(Debug)]
pub struct PushTarget {
    http: Arc<HttpClient>,
    source: RepositorySource,
    /// A name in the repository.
    pub reference: ImageReference,
    /// Problems that did not stop the look-up, to be shown to the user.
    pub warnings: Vec<String>,
}

impl PushTarget {
    /// Finds the server and credential for `reference`. Runs credential helpers; starts no threads.
    pub fn resolve(environment: &Environment, reference: &ImageReference) -> Result<Self> {
        let registries = RegistriesConfig::load(environment)?;
        let http = Arc::new(HttpClient::new(environment, HttpPolicy::default())?);
        let (sources, warnings) =
            resolve_sources(&registries, &CredentialStore::new(environment), reference)?;
        // Mirrors are read-only.
        let source = sources.into_iter().find(|source| !source.endpoint.mirror);
        let source = source.ok_or_else(|| not_found("no registry is configured for it"))?;
        Ok(Self { http, source, reference: reference.clone(), warnings })
    }

    /// The same, accepting any certificate or plain HTTP.
    #[must_use]
    pub fn insecure(mut self) -> Self {
        self.source.endpoint.transport = RegistryTransport::Insecure;
        self
    }

    /// Connects for reading.
    pub fn open_to_read(&self) -> Result<Repository> {
        Repository::open(self.http.clone(), self.source.clone(), &self.reference.familiar_name())
    }

    /// Connects for pushing.
    pub fn open(&self) -> Result<Repository> {
        Repository::open_to_push(self.http.clone(), self.source.clone(), &self.reference.familiar_name())
    }
}

/// A push with its target resolved.
#[derive(Debug)]
pub struct PreparedPush {
    request: PushRequest,
    pub target: PushTarget,
}

/// Finds the server and credential.
pub fn prepare(environment: &Environment, request: PushRequest) -> Result<PreparedPush> {
    let reference = &request.reference;
    if reference.digest().is_some() {
        return Err(invalid("cannot push a digest reference").into());
    }
    if request.all_tags && reference.tag().is_some() {
        return Err(invalid("tag can't be used with --all-tags/-a").into());
    }
    if super::demo::is_demo(&reference.familiar()) {
        return Err(invalid("the demonstration is built into dhow and on no registry")
            .hint("`dhow tag` gives it a name on a registry")
            .into());
    }
    let target = PushTarget::resolve(environment, reference).with_context(|| push_context(reference))?;
    Ok(PreparedPush { request, target })
}

fn push_context(reference: &ImageReference) -> String {
    format!("cannot push {}", reference.familiar())
}

/// Carries out a prepared push. The process must be able to read files of every owner.
pub fn push(store: &Store, prepared: &PreparedPush, progress: &dyn LayerProgress) -> Result<()> {
    let request = &prepared.request;
    let names = names_to_push(store, request)?;
    // With a single id, the modes of its own files may deny access to it; if this fails, so will reading,
    // with a better message.
    if !rustix::process::geteuid().is_root() {
        let _ = identity::enter_single_id_userns();
    }
    let reference = &request.reference;
    let whole = format!("{}/{}", reference.registry(), reference.repository());
    progress.line(&format!("The push refers to repository [{whole}]"));
    let repository = prepared.target.open().with_context(|| push_context(reference))?;
    let mut pusher = ImagePusher {
        store,
        repository: &repository,
        registry: reference.registry(),
        form: request.form,
        progress,
    };
    for name in &names {
        push_name(store, &mut pusher, request, name).with_context(|| push_context(&name.reference))?;
    }
    Ok(())
}

fn names_to_push(store: &Store, request: &PushRequest) -> Result<Vec<NameRecord>> {
    let reference = &request.reference;
    let absent =
        || not_found(format!("An image does not exist locally with the tag: {}", reference.familiar_name()));
    if !request.all_tags {
        let name = store.name(reference)?;
        return Ok(vec![name.ok_or_else(absent)?]);
    }
    let same = |name: &NameRecord| {
        name.reference.tag().is_some() && name.reference.familiar_name() == reference.familiar_name()
    };
    let names: Vec<NameRecord> = store.names()?.into_iter().filter(same).collect();
    if names.is_empty() { Err(absent().into()) } else { Ok(names) }
}

/// Pushes what a name refers to, and records the digest that it has on the registry.
fn push_name(
    store: &Store,
    pusher: &mut ImagePusher<'_>,
    request: &PushRequest,
    name: &NameRecord,
) -> Result<()> {
    let images = images_for_platform(store, request, name)?;
    let manifests = images.iter().map(StoredImage::manifest).collect::<Result<Vec<_>>>()?;
    let annotations = BTreeMap::new();
    let mut members = Vec::new();
    for (image, manifest) in images.iter().zip(&manifests) {
        let cargo = ImageParts {
            config: &image.raw_config,
            layers: &image.config.rootfs.diff_ids,
            manifest: manifest.as_deref(),
            annotations: &annotations,
        };
        members.push(IndexMember {
            platform: image.platform(),
            cargo,
            entry: BTreeMap::new(),
            statement: None,
        });
    }
    let ready = assemble_manifest(pusher, &members, &annotations)?;
    let tag = name.reference.tag().unwrap_or_default();
    pusher.push_manifest(&ManifestRef::Tag(tag), &ready)?;
    let digest = &ready.descriptor.digest;
    if let Some(image) = images.first() {
        record_pushed(store, image, name, digest)?;
    }
    pusher.progress.line(&format!("{tag}: digest: {digest} size: {}", ready.text.len()));
    Ok(())
}

/// The images that the name refers to: all, or the one for the platform asked for.
fn images_for_platform(store: &Store, request: &PushRequest, name: &NameRecord) -> Result<Vec<StoredImage>> {
    let shown = name.reference.familiar();
    let gone = || not_found(format!("No such image: {shown}"));
    let Some(wanted) = &request.platform else {
        return name.ids().map(|id| Ok(store.image(id)?.ok_or_else(gone)?)).collect();
    };
    let image = store.find_image_for(&name.reference.to_string(), wanted)?;
    let offered = image.platform();
    if wanted.rank(&offered).is_some() {
        return Ok(vec![image]);
    }
    let message = format!(
        "image with reference {shown} was found but does not match the specified platform: wanted {wanted}, actual: {offered}"
    );
    Err(Failure::new(FailureKind::NotFound, message).into())
}

fn record_pushed(store: &Store, image: &StoredImage, name: &NameRecord, digest: &Digest) -> Result<()> {
    // The image may have been removed meanwhile; the push succeeded anyway.
    match store.set_name(&name.reference.with_digest(digest.clone()), &image.id, None) {
        Err(error) if crate::error::kind_of(&error) != FailureKind::NotFound => return Err(error),
        _ => {}
    }
    record::image_event_with_name(store, "push", image, &name.reference.familiar());
    Ok(())
}

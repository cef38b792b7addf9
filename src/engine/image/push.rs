//! `push`: pushes images of the store to a registry.
//!
//! In two steps like `pull`: [`prepare`] runs credential helpers as the user, [`push`] reads files of every owner.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};

use dhow_error::{Failure, FailureKind, invalid, not_found};
use dhow_image::push::assemble::{IndexMember, assemble_manifest};
use dhow_image::push::{ImageParts, ImagePusher, PushFormat};
use dhow_image::registry::push_target::PushTarget;
use dhow_image::registry::repository::ManifestRef;
use dhow_model::digest::Digest;
use dhow_model::environment::Environment;
use dhow_model::platform::Platform;
use dhow_model::progress::LayerProgress;
use dhow_model::reference::ImageReference;
use dhow_runtime::userns;
use dhow_store::event_records;
use dhow_store::{NameRecord, Store, StoredImage};

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
    userns::become_root();
    let reference = &request.reference;
    let full_name = format!("{}/{}", reference.registry(), reference.repository());
    progress.line(&format!("The push refers to repository [{full_name}]"));
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
    let same_repository = |name: &NameRecord| {
        name.reference.tag().is_some() && name.reference.familiar_name() == reference.familiar_name()
    };
    let names: Vec<NameRecord> = store.names()?.into_iter().filter(same_repository).collect();
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
    let Some(platform) = &request.platform else {
        return name.ids().map(|id| Ok(store.image(id)?.ok_or_else(gone)?)).collect();
    };
    let image = store.find_image_for(&name.reference.to_string(), platform)?;
    let offered = image.platform();
    if platform.rank(&offered).is_some() {
        return Ok(vec![image]);
    }
    let message = format!(
        "image with reference {shown} was found but does not match the specified platform: wanted {platform}, actual: {offered}"
    );
    Err(Failure::new(FailureKind::NotFound, message).into())
}

fn record_pushed(store: &Store, image: &StoredImage, name: &NameRecord, digest: &Digest) -> Result<()> {
    // The image may have been removed meanwhile; the push succeeded anyway.
    match store.set_name(&name.reference.with_digest(digest.clone()), &image.id, None) {
        Err(error) if dhow_error::kind_of(&error) != FailureKind::NotFound => return Err(error),
        _ => {}
    }
    event_records::image_event_with_name(store, "push", image, &name.reference.familiar());
    Ok(())
}

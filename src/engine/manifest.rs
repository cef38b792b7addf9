//! `manifest`: multi-platform manifest lists, put together locally and pushed to a registry.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use dhow_error::{Failure, FailureKind, invalid, not_found};
use dhow_image::manifest::{Descriptor, DescriptorPlatform, Manifest, OCI_MANIFEST};
use dhow_image::push::assemble::build_index;
use dhow_image::push::copy::{RepositoryCopy, descriptor_of};
use dhow_image::registry::push_target::PushTarget;
use dhow_image::registry::repository::{ManifestRef, RawManifest, Repository};
use dhow_model::environment::Environment;
use dhow_model::image::ImageConfig;
use dhow_model::reference::{DEFAULT_TAG, ImageReference};
use dhow_store::{ListedManifest, ManifestList, Store};

/// Limit on a configuration blob in bytes; other engines have the same.
const CONFIG_LIMIT: u64 = 8 << 20;

/// A manifest on a registry, and the repository it was fetched from.
pub(crate) struct RemoteManifest {
    pub repository: Repository,
    pub raw: RawManifest,
}

/// Opens the repository of `reference` for reading.
pub(crate) fn open_repository(
    environment: &Environment,
    reference: &ImageReference,
    insecure: bool,
) -> Result<Repository> {
    let target = PushTarget::resolve(environment, reference)?;
    if insecure { target.insecure() } else { target }.open_to_read()
}

/// Fetches what a registry has under `reference`.
pub(crate) fn fetch_manifest(
    environment: &Environment,
    reference: &ImageReference,
    insecure: bool,
) -> Result<RemoteManifest> {
    let repository = open_repository(environment, reference, insecure)?;
    let raw = read_manifest(&repository, reference)?;
    Ok(RemoteManifest { repository, raw })
}

/// Fetches what `repository` has under the tag or digest of `reference`.
pub(crate) fn read_manifest(repository: &Repository, reference: &ImageReference) -> Result<RawManifest> {
    let which = match (reference.digest(), reference.tag()) {
        (Some(digest), _) => ManifestRef::Digest(digest),
        (None, tag) => ManifestRef::Tag(tag.unwrap_or(DEFAULT_TAG)),
    };
    let mut raw = repository.manifest(&which, &reference.familiar())?;
    // Some registries answer with a generic Content-Type; the field in the manifest is right.
    if let Some(said) = serde_json::from_slice::<Value>(&raw.text)
        .ok()
        .and_then(|text| text.get("mediaType").and_then(Value::as_str).map(str::to_owned))
    {
        raw.media_type = said;
    }
    Ok(raw)
}

/// The platform according to the image's configuration; `None` for an index.
pub fn image_platform(repository: &Repository, raw: &RawManifest) -> Result<Option<DescriptorPlatform>> {
    let Manifest::Image(image) = Manifest::parse(&raw.text, &raw.media_type)? else { return Ok(None) };
    let config = repository.small_blob(&image.config, CONFIG_LIMIT).context("the image's configuration")?;
    let config: ImageConfig = serde_json::from_slice(&config).map_err(|error| {
        invalid(format!("the image's configuration is malformed: {}", error.to_string().escape_debug()))
    })?;
    Ok(Some(DescriptorPlatform {
        architecture: config.architecture,
        os: config.os,
        variant: config.variant,
        ..DescriptorPlatform::default()
    }))
}

/// Creates the list `name` of the images called `names`; with `amend` adds them to an existing list.
pub fn create(
    store: &Store,
    environment: &Environment,
    name: &ImageReference,
    names: &[ImageReference],
    amend: bool,
    insecure: bool,
) -> Result<()> {
    if !amend && store.manifest_list(name)?.is_some() {
        return Err(Failure::new(
            FailureKind::Conflict,
            "refusing to amend an existing manifest list with no --amend flag",
        )
        .into());
    }
    // Fetched before the list is edited: the store's lock is not held while a registry is slow.
    let mut found = Vec::new();
    for reference in names {
        let remote = fetch_manifest(environment, reference, insecure)?;
        let listed = list_entry(reference, &remote)?;
        found.push(listed);
    }
    store.edit_manifest_list(name, |slot| {
        let list =
            slot.get_or_insert_with(|| ManifestList { reference: name.clone(), manifests: Vec::new() });
        for manifest in found {
            list.manifests.retain(|known| known.reference != manifest.reference);
            list.manifests.push(manifest);
        }
        Ok(())
    })
}

fn list_entry(reference: &ImageReference, remote: &RemoteManifest) -> Result<ListedManifest> {
    let raw = &remote.raw;
    let Some(platform) = image_platform(&remote.repository, raw)? else {
        return Err(invalid(format!("{} is a manifest list", reference.familiar()))
            .hint("name the images in it by their digests, or use `dhow buildx imagetools create`")
            .into());
    };
    let text = String::from_utf8(raw.text.clone())
        .map_err(|_| invalid(format!("the manifest of {} is no text", reference.familiar())))?;
    Ok(ListedManifest {
        reference: reference.clone(),
        digest: raw.digest.clone(),
        media_type: if raw.media_type.is_empty() { OCI_MANIFEST.into() } else { raw.media_type.clone() },
        text,
        os: platform.os,
        architecture: platform.architecture,
        variant: platform.variant,
        os_version: String::new(),
        os_features: Vec::new(),
    })
}

/// New values for what a list says about a manifest; `None` and empty leave the old ones.
#[derive(Clone, Debug, Default)]
pub struct PlatformAnnotation {
    pub architecture: Option<String>,
    pub os: Option<String>,
    pub variant: Option<String>,
    pub os_version: Option<String>,
    /// Features the system must have.
    pub os_features: Vec<String>,
}

pub fn annotate(
    store: &Store,
    name: &ImageReference,
    manifest: &ImageReference,
    said: &PlatformAnnotation,
) -> Result<()> {
    store.edit_manifest_list(name, |slot| {
        let list = slot.as_mut().ok_or_else(|| no_such_manifest(name))?;
        let known =
            list.manifests.iter_mut().find(|known| known.reference == *manifest).ok_or_else(|| {
                not_found(format!(
                    "manifest for image {} does not exist in {}",
                    manifest.familiar(),
                    name.familiar()
                ))
            })?;
        let set = |slot: &mut String, said: &Option<String>| {
            if let Some(said) = said {
                slot.clone_from(said);
            }
        };
        set(&mut known.architecture, &said.architecture);
        set(&mut known.os, &said.os);
        set(&mut known.variant, &said.variant);
        set(&mut known.os_version, &said.os_version);
        for feature in &said.os_features {
            if !known.os_features.contains(feature) {
                known.os_features.push(feature.clone());
            }
        }
        check_platform(known)
    })
}

/// Refuses an unknown platform, as docker does.
fn check_platform(manifest: &ListedManifest) -> Result<()> {
    const SYSTEMS: [&str; 14] = [
        "aix",
        "android",
        "darwin",
        "dragonfly",
        "freebsd",
        "illumos",
        "ios",
        "js",
        "linux",
        "netbsd",
        "openbsd",
        "plan9",
        "solaris",
        "windows",
    ];
    const ARCHITECTURES: [&str; 14] = [
        "386", "amd64", "arm", "arm64", "loong64", "mips", "mips64", "mips64le", "mipsle", "ppc64",
        "ppc64le", "riscv64", "s390x", "wasm",
    ];
    let (os, architecture) = (manifest.os.as_str(), manifest.architecture.as_str());
    if SYSTEMS.contains(&os) && ARCHITECTURES.contains(&architecture) {
        return Ok(());
    }
    Err(invalid(format!(
        "manifest entry for image has unsupported os/arch combination: {}/{}",
        os.escape_debug(),
        architecture.escape_debug()
    ))
    .into())
}

fn no_such_manifest(name: &ImageReference) -> Failure {
    not_found(format!("No such manifest: {}", name.familiar()))
}

fn list_descriptor(manifest: &ListedManifest) -> Descriptor {
    let mut entry =
        Descriptor::plain(&manifest.media_type, manifest.digest.clone(), manifest.text.len() as u64);
    entry.platform = Some(DescriptorPlatform {
        architecture: manifest.architecture.clone(),
        os: manifest.os.clone(),
        variant: manifest.variant.clone(),
        os_version: manifest.os_version.clone(),
        os_features: manifest.os_features.clone(),
    });
    entry
}

/// The output of `manifest inspect`.
pub enum ManifestInspection {
    Text {
        text: Vec<u8>,
        /// Whether it is a list rather than a manifest.
        list: bool,
    },
    /// docker's verbose form, one object or an array.
    Verbose(Value),
}

/// Inspects `manifest`: from the local list `list`, else the local list of that name, else on a registry.
pub fn inspect(
    store: &Store,
    environment: &Environment,
    list: Option<&ImageReference>,
    manifest: &ImageReference,
    verbose: bool,
    insecure: bool,
) -> Result<ManifestInspection> {
    if let Some(name) = list {
        let list = store.manifest_list(name)?.ok_or_else(|| no_such_manifest(name))?;
        let found = list.manifests.iter().find(|known| known.reference == *manifest);
        let found = found.ok_or_else(|| no_such_manifest(manifest))?;
        if verbose {
            return Ok(ManifestInspection::Verbose(verbose_entry(
                &found.reference,
                &list_descriptor(found),
                found.text.as_bytes(),
            )));
        }
        return Ok(ManifestInspection::Text { text: found.text.clone().into_bytes(), list: false });
    }
    if let Some(list) = store.manifest_list(manifest)? {
        if verbose {
            let each = list
                .manifests
                .iter()
                .map(|it| verbose_entry(&it.reference, &list_descriptor(it), it.text.as_bytes()));
            return Ok(ManifestInspection::Verbose(each.collect()));
        }
        let entries: Vec<Descriptor> = list.manifests.iter().map(list_descriptor).collect();
        return Ok(ManifestInspection::Text {
            text: build_index(&entries, &BTreeMap::new())?.text,
            list: true,
        });
    }
    let remote = fetch_manifest(environment, manifest, insecure)?;
    let Manifest::Index(index) = Manifest::parse(&remote.raw.text, &remote.raw.media_type)? else {
        if !verbose {
            return Ok(ManifestInspection::Text { text: remote.raw.text, list: false });
        }
        let mut entry = descriptor_of(&remote.raw);
        entry.platform = image_platform(&remote.repository, &remote.raw)?;
        return Ok(ManifestInspection::Verbose(verbose_entry(manifest, &entry, &remote.raw.text)));
    };
    if !verbose {
        return Ok(ManifestInspection::Text { text: remote.raw.text, list: true });
    }
    let mut all = Vec::new();
    for entry in &index.manifests {
        let pinned = manifest.with_digest(entry.digest.clone());
        let raw = read_manifest(&remote.repository, &pinned)?;
        all.push(verbose_entry(&pinned, entry, &raw.text));
    }
    Ok(ManifestInspection::Verbose(Value::Array(all)))
}

fn verbose_entry(reference: &ImageReference, entry: &Descriptor, text: &[u8]) -> Value {
    use base64::Engine as _;
    let kind = if entry.media_type.contains(".oci.") { "OCIManifest" } else { "SchemaV2Manifest" };
    json!({
        "Ref": reference.to_string(),
        "Descriptor": entry,
        "Raw": base64::engine::general_purpose::STANDARD.encode(text),
        kind: serde_json::from_slice::<Value>(text).unwrap_or_default(),
    })
}

/// A list that is ready to be pushed, with the open repositories.
pub struct ManifestListPush {
    list: ManifestList,
    to: Repository,
    from: Vec<Repository>,
}

/// Resolves everything that is needed to push the list `name`.
pub fn prepare_push(
    store: &Store,
    environment: &Environment,
    name: &ImageReference,
    insecure: bool,
) -> Result<ManifestListPush> {
    let list = store.manifest_list(name)?;
    let list = list.ok_or_else(|| not_found(format!("{} not found", name.familiar())))?;
    let target = PushTarget::resolve(environment, name)?;
    let to = if insecure { target.insecure() } else { target }.open()?;
    let mut from = Vec::new();
    for manifest in &list.manifests {
        if manifest.reference.registry() != name.registry() {
            return Err(invalid(format!(
                "cannot use source images from a different registry than the target image: {} != {}",
                manifest.reference.registry(),
                name.registry()
            ))
            .hint("`dhow buildx imagetools create` copies from one to the other")
            .into());
        }
        check_platform(manifest)?;
        from.push(open_repository(environment, &manifest.reference, insecure)?);
    }
    Ok(ManifestListPush { list, to, from })
}

/// Pushes the manifests that the registry lacks, then the list. Calls `say` for each, and returns the list's
/// digest.
pub fn push(pushing: &ManifestListPush, say: &mut dyn FnMut(&str) -> Result<()>) -> Result<String> {
    let name = &pushing.list.reference;
    for (manifest, from) in pushing.list.manifests.iter().zip(&pushing.from) {
        let raw = RawManifest {
            text: manifest.text.clone().into_bytes(),
            digest: manifest.digest.clone(),
            media_type: manifest.media_type.clone(),
        };
        let route = RepositoryCopy { from, to: &pushing.to, same_registry: true };
        route
            .copy_manifest(&raw)
            .with_context(|| format!("cannot push {}", manifest.reference.familiar()))?;
        let pushed = name.with_digest(manifest.digest.clone());
        say(&format!("Pushed ref {pushed} with digest: {}", manifest.digest))?;
    }
    let entries: Vec<Descriptor> = pushing.list.manifests.iter().map(list_descriptor).collect();
    let ready = build_index(&entries, &BTreeMap::new())?;
    let which = ManifestRef::Tag(name.tag().unwrap_or(DEFAULT_TAG));
    pushing.to.put_manifest(&which, &ready.descriptor.media_type, &ready.text)?;
    Ok(ready.descriptor.digest.to_string())
}

/// Removes the list `name` from the store.
pub fn remove(store: &Store, name: &ImageReference) -> Result<()> {
    store.edit_manifest_list(name, |slot| match slot.take() {
        Some(_) => Ok(()),
        None => Err(no_such_manifest(name).into()),
    })
}

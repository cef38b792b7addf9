//! Images: the exact bytes of configuration and manifest, found by name, digest or ID prefix.

use std::path::PathBuf;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use super::atomic::{self, Durability};
use super::fs::{list_dir, read_optional, read_record};
use super::layers::LayerLease;
use super::lock::{FileLock, LockMode};
use super::record_reader::in_threads;
use super::{ContainerDir, NameRecord, Store, layout, timestamp_now};
use dhow_error::{Failure, FailureKind, corrupt, not_found};
use dhow_model::digest::Digest;
use dhow_model::image::ImageConfig;
use dhow_model::layer::LayerOwnership;
use dhow_model::platform::Platform;
use dhow_model::reference::ImageReference;

/// Metadata of an image that its configuration does not contain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageRecord {
    /// Total size of the layers' files, in bytes.
    pub size: u64,
    pub stored: String,
    #[serde(default)]
    pub(crate) manifest_digest: Option<Digest>,
    /// How the layers store owners (the same for all of them); `None` if there are no layers.
    #[serde(default)]
    pub identity: Option<LayerOwnership>,
}

#[derive(Clone, Debug)]
pub struct StoredImage {
    /// The digest of the configuration's bytes.
    pub id: Digest,
    pub record: ImageRecord,
    pub config: ImageConfig,
    pub raw_config: Vec<u8>,
    dir: PathBuf,
}

impl StoredImage {
    /// The platform stated in the configuration.
    pub fn platform(&self) -> Platform {
        self.config.platform()
    }

    /// The exact bytes of the manifest it was pulled by; `None` if it was not pulled.
    pub fn manifest(&self) -> anyhow::Result<Option<Vec<u8>>> {
        read_optional(&self.dir.join("manifest"))
            .with_context(|| format!("cannot read the manifest of image {}", self.id.short()))
    }
}

#[derive(Debug)]
pub struct NewImage<'a> {
    pub config: &'a [u8],
    /// Exact bytes of the manifest, for a pulled image.
    pub manifest: Option<&'a [u8]>,
    /// Lowest first; must match the diff IDs in the configuration.
    pub layers: &'a [LayerLease],
    /// Names to set, each with the digest it was pulled by.
    pub names: &'a [(ImageReference, Option<Digest>)],
}

/// An exclusively locked image: it cannot be removed, named or used by a new container while this value
/// lives.
#[derive(Debug)]
pub struct LockedImage {
    image: StoredImage,
    store: Store,
    lock: FileLock,
}

impl LockedImage {
    pub fn image(&self) -> &StoredImage {
        &self.image
    }

    /// The names that refer to it, alone or together with other images.
    pub fn names(&self) -> anyhow::Result<Vec<NameRecord>> {
        self.store.names_of(&self.image.id)
    }

    pub fn containers(&self) -> anyhow::Result<Vec<ContainerDir>> {
        let uses =
            |dir: &ContainerDir| dir.spec().image.as_ref().is_some_and(|used| used.id == self.image.id);
        Ok(self.store.containers_with(self.image.id.hex())?.into_iter().filter(uses).collect())
    }

    /// Removes one of its names. Returns whether the name still referred to it.
    pub fn remove_name(&self, reference: &ImageReference) -> anyhow::Result<bool> {
        self.store.remove_name(reference, &self.image.id)
    }

    /// Removes the image and its names. Its layers stay until [`Store::prune_layers`].
    pub fn remove(self) -> anyhow::Result<()> {
        let doing = || format!("cannot remove image {}", self.image.id.short());
        for name in self.names()? {
            self.remove_name(&name.reference)?;
        }
        self.store.discard(&self.image.dir).with_context(doing)?;
        self.lock.remove_file().with_context(doing)
    }
}

impl Store {
    /// Registers an image and its names, and returns its ID. An existing image only gains names and the
    /// manifest.
    pub fn put_image(&self, new: &NewImage<'_>) -> anyhow::Result<Digest> {
        let id = Digest::of(new.config);
        let config = parse_config(&id, new.config)?;
        let layer_ids = new.layers.iter().map(|layer| &layer.diff_id);
        if !config.rootfs.diff_ids.iter().eq(layer_ids) {
            return Err(corrupt(format!(
                "the configuration {id} lists {} layers that are not the {} unpacked",
                config.rootfs.diff_ids.len(),
                new.layers.len()
            ))
            .into());
        }
        // Checked before the lock is taken: it needs only the leases.
        let identity = common_identity(new.layers)?;
        let _lock = self.lock_image_shared(&id)?;
        self.write_image(&id, new, identity).with_context(|| format!("cannot store image {}", id.short()))?;
        for (reference, digest) in new.names {
            self.write_name(reference, &id, digest.as_ref())?;
        }
        Ok(id)
    }

    fn write_image(
        &self,
        id: &Digest,
        new: &NewImage<'_>,
        identity: Option<LayerOwnership>,
    ) -> anyhow::Result<()> {
        let dir = self.image_dir(id);
        let record = ImageRecord {
            size: new.layers.iter().map(|layer| layer.size).fold(0, u64::saturating_add),
            stored: timestamp_now(),
            manifest_digest: new.manifest.map(Digest::of),
            identity,
        };
        if self.has_image(id) {
            return self.update_manifest(&dir, new.manifest, record);
        }
        let temp = self.temp_dir()?;
        atomic::write(&temp.path().join("config"), new.config, Durability::Synced)?;
        if let Some(manifest) = new.manifest {
            atomic::write(&temp.path().join("manifest"), manifest, Durability::Unsynced)?;
        }
        atomic::write_json(&temp.path().join("image.json"), &record, Durability::Unsynced)?;
        match temp.rename_to(&dir) {
            // Another process registered the same image at the same time.
            Err(_) if self.has_image(id) => Ok(()),
            other => Ok(other?),
        }
    }

    fn update_manifest(
        &self,
        dir: &std::path::Path,
        manifest: Option<&[u8]>,
        record: ImageRecord,
    ) -> anyhow::Result<()> {
        let Some(manifest) = manifest else { return Ok(()) };
        if read_optional(&dir.join("manifest"))?.as_deref() != Some(manifest) {
            atomic::write(&dir.join("manifest"), manifest, Durability::Unsynced)?;
            atomic::write_json(&dir.join("image.json"), &record, Durability::Unsynced)?;
        }
        Ok(())
    }

    pub fn image(&self, id: &Digest) -> anyhow::Result<Option<StoredImage>> {
        let dir = self.image_dir(id);
        let Some(record) = read_record(&dir.join("image.json"))? else { return Ok(None) };
        let Some(raw_config) = read_optional(&dir.join("config"))
            .with_context(|| format!("cannot read the configuration of image {}", id.short()))?
        else {
            return Ok(None);
        };
        let config = parse_config(id, &raw_config)?;
        Ok(Some(StoredImage { id: id.clone(), record, config, raw_config, dir }))
    }

    /// All images, ordered by ID.
    pub fn images(&self) -> anyhow::Result<Vec<StoredImage>> {
        in_threads(&self.image_ids()?, |ids| ids.iter().filter_map(|id| self.image(id).transpose()).collect())
    }

    fn image_ids(&self) -> anyhow::Result<Vec<Digest>> {
        let names = list_dir(&self.images_dir()).context("cannot list the images")?;
        Ok(names.iter().filter_map(|name| layout::digest_of_dir(name)).collect())
    }

    /// Resolves user input: a name (default tag `latest`), `name@digest`, an ID with or without `sha256:`, or
    /// a unique ID prefix. Names take precedence over prefixes.
    pub fn find_image(&self, text: &str) -> anyhow::Result<StoredImage> {
        let digest = text.parse::<Digest>().or_else(|_| format!("sha256:{text}").parse());
        if let Ok(id) = digest {
            return self.image(&id)?.ok_or_else(|| no_such_image(text));
        }
        if let Ok(reference) = text.parse::<ImageReference>()
            && let Some(record) = self.name(&reference)?
            && let Some(image) = self.image(&record.id)?
        {
            return Ok(image);
        }
        self.image_by_prefix(text)
    }

    /// Like [`Store::find_image`]; if the name refers to several images, the one that best matches `platform`.
    pub fn find_image_for(&self, text: &str, platform: &Platform) -> anyhow::Result<StoredImage> {
        let image = self.find_image(text)?;
        let named = text.parse::<ImageReference>().ok().map(|reference| self.name(&reference)).transpose()?;
        let Some(record) = named.flatten().filter(|record| record.id == image.id) else { return Ok(image) };
        let rank = |image: &StoredImage| platform.rank(&image.platform());
        let mut best = image;
        for id in &record.others {
            if let Some(other) = self.image(id)?
                && rank(&other) > rank(&best)
            {
                best = other;
            }
        }
        Ok(best)
    }

    fn image_by_prefix(&self, text: &str) -> anyhow::Result<StoredImage> {
        let prefix = text.strip_prefix("sha256:").unwrap_or(text);
        if prefix.is_empty() || !prefix.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
            return Err(no_such_image(text));
        }
        let ids = self.image_ids()?;
        let mut matching = ids.iter().filter(|id| id.hex().starts_with(prefix));
        let (Some(id), second) = (matching.next(), matching.next()) else { return Err(no_such_image(text)) };
        if second.is_some() {
            return Err(Failure::new(
                FailureKind::Invalid,
                format!("the image ID `{text}` is ambiguous: several images' IDs begin with it"),
            )
            .hint("give more digits")
            .into());
        }
        self.image(id)?.ok_or_else(|| no_such_image(text))
    }

    /// Locks an image for removal, waiting for concurrent registrations of names or containers. `None` if it
    /// does not exist.
    pub fn lock_image(&self, id: &Digest) -> anyhow::Result<Option<LockedImage>> {
        let lock = FileLock::acquire(&self.lock_path("image", id.hex()), LockMode::Exclusive)
            .with_context(|| format!("cannot lock image {}", id.short()))?;
        match self.image(id)? {
            Some(image) => Ok(Some(LockedImage { image, store: self.clone(), lock })),
            None => {
                // Acquiring the lock created the file; do not leave it for an image that does not exist.
                lock.remove_file().with_context(|| format!("cannot unlock image {}", id.short()))?;
                Ok(None)
            }
        }
    }

    pub(super) fn lock_image_shared(&self, id: &Digest) -> anyhow::Result<FileLock> {
        FileLock::acquire(&self.lock_path("image", id.hex()), LockMode::Shared)
            .with_context(|| format!("cannot lock image {}", id.short()))
    }

    pub(super) fn has_image(&self, id: &Digest) -> bool {
        self.image_dir(id).join("image.json").exists()
    }
}

/// The identity mode shared by all `layers`. Layers unpacked before and after the account gained or lost its
/// subordinate ids cannot be combined into an image.
fn common_identity(layers: &[LayerLease]) -> anyhow::Result<Option<LayerOwnership>> {
    let first = layers.first().map(|layer| layer.identity);
    match layers.iter().find(|layer| Some(layer.identity) != first) {
        None => Ok(first),
        Some(other) => Err(Failure::new(
            FailureKind::Conflict,
            format!(
                "layer {} keeps the owners of files in another way than the image's other layers: the account got or lost subordinate ids since the older ones were unpacked",
                other.diff_id
            ),
        )
        .hint("remove the images of that time (`dhow image prune -a` removes all that no container uses), then repeat this")
        .into()),
    }
}

fn parse_config(id: &Digest, bytes: &[u8]) -> anyhow::Result<ImageConfig> {
    // serde_json would accept an array and assign its elements to the fields in order.
    if bytes.trim_ascii_start().first() != Some(&b'{') {
        return Err(corrupt(format!("the image configuration {id} is not a JSON object")).into());
    }
    serde_json::from_slice(bytes)
        .map_err(|error| corrupt(format!("the image configuration {id} cannot be read: {error}")).into())
}

/// docker's message, with the implied tag spelled out.
fn no_such_image(text: &str) -> anyhow::Error {
    let name = match text.parse::<ImageReference>() {
        Ok(reference) => reference.or_latest().familiar(),
        Err(_) => text.escape_debug().to_string(),
    };
    not_found(format!("No such image: {name}")).into()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::scratch::store;
    use dhow_model::layer::LayerRecord;

    /// Stores an image without layers that differs by `author`.
    pub(crate) fn put(store: &Store, author: &str) -> Digest {
        let config = format!(
            r#"{{"author":"{author}","architecture":"amd64","os":"linux","rootfs":{{"type":"layers","diff_ids":[]}}}}"#
        );
        let new = NewImage { config: config.as_bytes(), manifest: None, layers: &[], names: &[] };
        store.put_image(&new).unwrap()
    }

    #[test]
    fn finds_by_name_id_and_prefix() {
        let (_dir, store) = store();
        let id = put(&store, "a");
        store.set_name(&"x:1".parse().unwrap(), &id, None).unwrap();
        for text in ["x:1", "docker.io/library/x:1", id.as_str(), id.hex(), id.short(), &id.as_str()[..12]] {
            assert_eq!(store.find_image(text).unwrap().id, id, "{text}");
        }
        for text in ["x", "x:2", "", "sha256:", "..", "zz", &"0".repeat(64)] {
            let error = store.find_image(text).unwrap_err();
            assert!(error.to_string().starts_with("No such image: "), "{error}");
        }
        assert_eq!(store.find_image("x").unwrap_err().to_string(), "No such image: x:latest");
    }

    #[test]
    fn a_name_of_hexadecimal_digits_wins_over_a_prefix() {
        let (_dir, store) = store();
        let (a, b) = (put(&store, "a"), put(&store, "b"));
        store.set_name(&a.short().parse().unwrap(), &b, None).unwrap();
        assert_eq!(store.find_image(a.short()).unwrap().id, b);
    }

    #[test]
    fn storing_again_adds_the_manifest() {
        let (_dir, store) = store();
        let id = put(&store, "a");
        let raw = store.image(&id).unwrap().unwrap().raw_config;
        let new = NewImage { config: &raw, manifest: Some(b"{}"), layers: &[], names: &[] };
        assert_eq!(store.put_image(&new).unwrap(), id);
        assert_eq!(store.image(&id).unwrap().unwrap().manifest().unwrap().unwrap(), b"{}");
        assert_eq!(store.images().unwrap().len(), 1);
    }

    #[test]
    fn layers_must_be_those_of_the_configuration() {
        let (_dir, store) = store();
        let config = format!(r#"{{"rootfs":{{"type":"layers","diff_ids":["{}"]}}}}"#, Digest::of(b"x"));
        let new = NewImage { config: config.as_bytes(), manifest: None, layers: &[], names: &[] };
        assert!(store.put_image(&new).is_err());
        let junk = NewImage { config: b"[]", manifest: None, layers: &[], names: &[] };
        assert!(store.put_image(&junk).is_err());
        assert!(store.images().unwrap().is_empty());
    }

    #[test]
    fn layers_of_two_kinds_of_ownership_make_no_image() {
        let (_dir, store) = store();
        let layer = |content: &[u8], identity| {
            let diff_id = Digest::of(content);
            let super::super::LayerSlot::Draft(draft) = store.begin_layer(&diff_id).unwrap() else {
                panic!("present")
            };
            let (size, tar_size) = (0, 0);
            draft.commit(LayerRecord { diff_id, size, tar_size, identity, sources: vec![] }).unwrap()
        };
        let layers = [
            layer(b"a", LayerOwnership::Single),
            layer(b"b", LayerOwnership::Mapped),
            layer(b"c", LayerOwnership::Mapped),
        ];
        let put = |layers: &[LayerLease]| {
            let diff_ids: Vec<&Digest> = layers.iter().map(|layer| &layer.diff_id).collect();
            let config = serde_json::json!({"rootfs": {"type": "layers", "diff_ids": diff_ids}}).to_string();
            store.put_image(&NewImage { config: config.as_bytes(), manifest: None, layers, names: &[] })
        };
        let error = put(&layers[..2]).unwrap_err();
        assert!(error.to_string().contains("subordinate ids"), "{error}");
        let id = put(&layers[1..]).unwrap();
        assert_eq!(store.image(&id).unwrap().unwrap().record.identity, Some(LayerOwnership::Mapped));
    }

    #[test]
    fn removal_takes_names_along() {
        let (_dir, store) = store();
        let id = put(&store, "a");
        store.set_name(&"x".parse().unwrap(), &id, None).unwrap();
        store.lock_image(&id).unwrap().unwrap().remove().unwrap();
        assert!(store.names().unwrap().is_empty());
        assert!(store.lock_image(&id).unwrap().is_none());
    }
}

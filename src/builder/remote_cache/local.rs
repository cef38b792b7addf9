//! A cache of type `local`: an OCI image layout in a directory.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::RemoteLayer;
use super::config::CONFIG_LIMIT;
use dhow_error::{corrupt, not_found};
use dhow_image::manifest::{Descriptor, ImageIndex};
use dhow_image::unpack::{UnpackLimits, UnpackOptions, unpack_layer};
use dhow_model::digest::Digest;
use dhow_model::layer::LayerOwnership;
use dhow_model::progress::LayerProgress;
use dhow_store::{LayerLease, LayerSlot, Store};

/// The annotation that holds an entry's tag in `index.json`.
const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// An opened cache directory.
pub(crate) struct LocalCache<'a>(&'a Path);

impl<'a> LocalCache<'a> {
    pub(crate) fn new(path: &'a Path) -> Self {
        Self(path)
    }

    /// The manifest with this digest, or this tag (default `latest`), and its media type. The only manifest
    /// is taken if neither is given.
    pub(crate) fn manifest(&self, tag: Option<&str>, digest: Option<&Digest>) -> Result<(Vec<u8>, String)> {
        let listing = self.0.join("index.json");
        let text = std::fs::read(&listing).with_context(|| format!("cannot read {}", listing.display()))?;
        let index: ImageIndex = serde_json::from_slice(&text)
            .map_err(|error| corrupt(format!("{} is malformed: {error}", listing.display())))?;
        // The only manifest, if neither tag nor digest was asked for.
        let sole = index
            .manifests
            .first()
            .filter(|_| index.manifests.len() == 1 && tag.is_none() && digest.is_none());
        let tag = tag.unwrap_or(dhow_model::reference::DEFAULT_TAG);
        let matches = |entry: &&Descriptor| match digest {
            Some(digest) => entry.digest == *digest,
            None => entry.annotations.get(REF_NAME).is_some_and(|name| name == tag),
        };
        let entry = index.manifests.iter().find(matches).or(sole);
        let entry = entry.ok_or_else(|| {
            let requested = digest.map_or_else(|| tag.to_owned(), Digest::to_string);
            not_found(format!("{} has no `{}`", self.0.display(), requested.escape_debug()))
        })?;
        Ok((self.blob(entry)?, entry.media_type.clone()))
    }

    /// Reads a blob of at most [`CONFIG_LIMIT`] bytes and verifies its digest.
    pub(crate) fn blob(&self, descriptor: &Descriptor) -> Result<Vec<u8>> {
        let path = self.path(&descriptor.digest);
        let mut content = Vec::new();
        File::open(&path)
            .and_then(|file| file.take(CONFIG_LIMIT).read_to_end(&mut content))
            .with_context(|| format!("cannot read {}", path.display()))?;
        if dhow_image::hash::DigestHasher::digest_like(&descriptor.digest, &content) == descriptor.digest {
            return Ok(content);
        }
        Err(corrupt(format!("{} does not have the digest that it is named by", path.display())).into())
    }

    /// Unpacks a layer into the store, unless it is there.
    pub(crate) fn layer(
        &self,
        store: &Store,
        layer: &RemoteLayer,
        identity: LayerOwnership,
        progress: &dyn LayerProgress,
    ) -> Result<LayerLease> {
        let draft = match store.begin_layer(&layer.diff_id)? {
            LayerSlot::Present(lease) => return Ok(lease),
            LayerSlot::Draft(draft) => draft,
        };
        let path = self.path(&layer.descriptor.digest);
        let mut file = File::open(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let options = UnpackOptions {
            identity,
            limits: UnpackLimits::default(),
            label: layer.descriptor.digest.short().to_owned(),
            compressed_size: layer.descriptor.size,
        };
        let record = unpack_layer(&mut file, &draft, &options, progress)?;
        draft.commit(record)
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        self.0.join("blobs").join(digest.algorithm()).join(digest.hex())
    }
}

//! Copies manifests and everything they refer to between repositories of one or two registries.

use std::io::Read as _;
use std::sync::Arc;

use anyhow::{Context as _, Result};

use crate::manifest::{Descriptor, ImageIndex, ImageManifest, Manifest};
use crate::registry::repository::{ManifestRef, RawManifest, Repository};
use crate::registry::upload::{BlobMount, UploadOutcome};
use dhow_error::{Failure, FailureKind, invalid};

/// Maximum nesting of indexes.
const MAX_INDEX_DEPTH: usize = 3;
/// Upload chunk size in bytes.
const PIECE_SIZE: usize = 8 << 20;
/// How often an upload is restarted.
const MAX_ROUNDS: u32 = 3;

pub struct RepositoryCopy<'a> {
    pub from: &'a Repository,
    pub to: &'a Repository,
    /// Both repositories are on one registry, so blobs can be mounted instead of copied.
    pub same_registry: bool,
}

impl RepositoryCopy<'_> {
    /// Copies everything that `raw` refers to, then the manifest itself under its digest.
    pub fn copy_manifest(&self, raw: &RawManifest) -> Result<()> {
        self.copy_tree(raw, MAX_INDEX_DEPTH)
    }

    fn copy_tree(&self, raw: &RawManifest, depth: usize) -> Result<()> {
        let same = self.from.endpoint() == self.to.endpoint();
        // A manifest that exists is taken to be complete: registries check its blobs when it is pushed.
        if same || self.to.has_manifest(&raw.digest)? {
            return Ok(());
        }
        match Manifest::parse(&raw.text, &raw.media_type) {
            Ok(Manifest::Index(index)) if depth > 0 => self.copy_entries(&index, depth)?,
            Ok(Manifest::Index(_)) => return Err(invalid("indexes lie in indexes too deeply").into()),
            Ok(Manifest::Image(image)) => self.copy_blobs(&image)?,
            // An attestation fails the checks for runnable images, but has the same structure.
            Err(error) => match serde_json::from_slice::<ImageManifest>(&raw.text) {
                Ok(image) => self.copy_blobs(&image)?,
                Err(_) => return Err(error),
            },
        }
        self.to.put_manifest(&ManifestRef::Digest(&raw.digest), &raw.media_type, &raw.text)
    }

    fn copy_entries(&self, index: &ImageIndex, depth: usize) -> Result<()> {
        for entry in &index.manifests {
            let raw = self.from.manifest(&ManifestRef::Digest(&entry.digest), entry.digest.as_str())?;
            self.copy_tree(&raw, depth - 1)?;
        }
        Ok(())
    }

    fn copy_blobs(&self, image: &ImageManifest) -> Result<()> {
        for blob in image.layers.iter().chain([&image.config]) {
            self.copy_blob(blob).with_context(|| format!("cannot copy {}", blob.digest))?;
        }
        Ok(())
    }

    fn copy_blob(&self, blob: &Descriptor) -> Result<()> {
        if self.to.blob_size(&blob.digest)?.is_some() {
            return Ok(());
        }
        if self.same_registry {
            match self.to.mount_blob(&blob.digest, &self.from.endpoint().repository, &|_| {})? {
                BlobMount::Done => return Ok(()),
                BlobMount::Refused(upload) => upload.cancel(),
            }
        }
        for _ in 0..MAX_ROUNDS {
            if self.stream_blob(blob)? == UploadOutcome::Accepted {
                return Ok(());
            }
        }
        Err(Failure::new(FailureKind::Network, format!("{} loses the upload again and again", self.to))
            .into())
    }

    fn stream_blob(&self, blob: &Descriptor) -> Result<UploadOutcome> {
        let mut reader = self.from.blob(blob, &|_| {});
        let mut upload = self.to.begin_upload(&|_| {})?;
        loop {
            let mut piece = Vec::new();
            let read = reader.by_ref().take(PIECE_SIZE as u64).read_to_end(&mut piece);
            if let Err(error) = read {
                upload.cancel();
                return Err(reader.take_failure().unwrap_or_else(|| error.into()));
            }
            // A short read means the end of the blob; the last chunk goes with the final PUT.
            let last = piece.len() < PIECE_SIZE;
            let piece = Arc::new(piece);
            if last {
                return upload.finish(&blob.digest, &piece, &|_| {});
            }
            if upload.send_piece(&piece, &|_| {})? == UploadOutcome::Lost {
                return Ok(UploadOutcome::Lost);
            }
        }
    }
}

/// A descriptor of `raw`, for an index.
pub fn descriptor_of(raw: &RawManifest) -> Descriptor {
    Descriptor::plain(&raw.media_type, raw.digest.clone(), raw.text.len() as u64)
}

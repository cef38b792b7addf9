//! Copies manifests and everything they refer to between repositories of one or two registries.

use std::io::Read as _;
use std::sync::Arc;

use anyhow::{Context as _, Result};

use crate::error::{Failure, Kind, invalid};
use crate::image::manifest::{Descriptor, ImageManifest, Index, Manifest};
use crate::image::registry::repository::{RawManifest, Repository, Which};
use crate::image::registry::upload::{Mounted, Sent};

/// Maximum nesting of indexes.
const DEPTH: usize = 3;
/// Upload chunk size in bytes.
const PIECE: usize = 8 << 20;
/// How often an upload is restarted.
const ROUNDS: u32 = 3;

pub struct Route<'a> {
    pub from: &'a Repository,
    pub to: &'a Repository,
    /// Both repositories are on one registry, so blobs can be mounted instead of copied.
    pub same_registry: bool,
}

impl Route<'_> {
    /// Copies everything that `raw` refers to, then the manifest itself under its digest.
    pub fn manifest(&self, raw: &RawManifest) -> Result<()> {
        self.below(raw, DEPTH)
    }

    fn below(&self, raw: &RawManifest, depth: usize) -> Result<()> {
        let same = self.from.endpoint() == self.to.endpoint();
        // A manifest that exists is taken to be complete: registries check its blobs when it is pushed.
        if same || self.to.has_manifest(&raw.digest)? {
            return Ok(());
        }
        match Manifest::parse(&raw.text, &raw.media_type) {
            Ok(Manifest::Index(index)) if depth > 0 => self.entries(&index, depth)?,
            Ok(Manifest::Index(_)) => return Err(invalid("indexes lie in indexes too deeply").into()),
            Ok(Manifest::Image(image)) => self.blobs(&image)?,
            // An attestation fails the checks for runnable images, but has the same structure.
            Err(error) => match serde_json::from_slice::<ImageManifest>(&raw.text) {
                Ok(image) => self.blobs(&image)?,
                Err(_) => return Err(error),
            },
        }
        self.to.put_manifest(&Which::Digest(&raw.digest), &raw.media_type, &raw.text)
    }

    fn entries(&self, index: &Index, depth: usize) -> Result<()> {
        for entry in &index.manifests {
            let raw = self.from.manifest(&Which::Digest(&entry.digest), entry.digest.as_str())?;
            self.below(&raw, depth - 1)?;
        }
        Ok(())
    }

    fn blobs(&self, image: &ImageManifest) -> Result<()> {
        for blob in image.layers.iter().chain([&image.config]) {
            self.blob(blob).with_context(|| format!("cannot copy {}", blob.digest))?;
        }
        Ok(())
    }

    fn blob(&self, blob: &Descriptor) -> Result<()> {
        if self.to.blob_size(&blob.digest)?.is_some() {
            return Ok(());
        }
        if self.same_registry {
            match self.to.mount(&blob.digest, &self.from.endpoint().repository, &|_| {})? {
                Mounted::Yes => return Ok(()),
                Mounted::No(upload) => upload.cancel(),
            }
        }
        for _ in 0..ROUNDS {
            if self.send(blob)? == Sent::Taken {
                return Ok(());
            }
        }
        Err(Failure::new(Kind::Network, format!("{} loses the upload again and again", self.to)).into())
    }

    fn send(&self, blob: &Descriptor) -> Result<Sent> {
        let mut reader = self.from.blob(blob, &|_| {});
        let mut upload = self.to.begin_upload(&|_| {})?;
        loop {
            let mut piece = Vec::new();
            let read = reader.by_ref().take(PIECE as u64).read_to_end(&mut piece);
            if let Err(error) = read {
                upload.cancel();
                return Err(reader.take_failure().unwrap_or_else(|| error.into()));
            }
            // A short read means the end of the blob; the last chunk goes with the final PUT.
            let last = piece.len() < PIECE;
            let piece = Arc::new(piece);
            if last {
                return upload.finish(&blob.digest, &piece, &|_| {});
            }
            if upload.piece(&piece, &|_| {})? == Sent::Lost {
                return Ok(Sent::Lost);
            }
        }
    }
}

/// A descriptor of `raw`, for an index.
pub fn entry_of(raw: &RawManifest) -> Descriptor {
    Descriptor::plain(&raw.media_type, raw.digest.clone(), raw.text.len() as u64)
}

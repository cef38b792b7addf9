//! Builds an OCI image layout: blobs are collected in a temporary directory, then written as an archive or a
//! directory.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use oci_spec::image::OciLayoutBuilder;
use serde_json::json;
use sha2::Digest as _;

use super::members::blob_name;
use super::save::{ArchiveWriter, LAYOUT_VERSION};
use super::{docker, oci};
use crate::compress::Compression;
use crate::manifest::{Descriptor, OCI_INDEX};
use crate::pack::pack_layer;
use crate::push::assemble::ManifestSink;
use crate::push::{ImageParts, ReadyManifest, build_manifest};
use dhow_error::corrupt;
use dhow_model::digest::Digest;
use dhow_model::progress::{LayerEvent, LayerProgress};
use dhow_model::reference::ImageReference;
use dhow_store::{PackedBlob, Store, TempDir};

pub struct OciLayout<'a> {
    store: &'a Store,
    dir: TempDir,
    compression: Compression,
    /// Use OCI's media types rather than docker's.
    oci: bool,
    progress: &'a dyn LayerProgress,
    /// Small members, kept in memory, by name.
    small: BTreeMap<String, Vec<u8>>,
    /// Members stored as files in `dir`, with their sizes.
    large: BTreeMap<String, (PathBuf, u64)>,
    /// Entries of docker's `manifest.json` so far.
    listing: Vec<serde_json::Value>,
}

impl<'a> OciLayout<'a> {
    pub fn new(
        store: &'a Store,
        compression: Compression,
        oci: bool,
        progress: &'a dyn LayerProgress,
    ) -> Result<Self> {
        let dir = store.temp_dir()?;
        let (small, large, listing) = Default::default();
        Ok(Self { store, dir, compression, oci, progress, small, large, listing })
    }

    /// Lists `outermost` in the index under `names`, with `annotations` on its entries. `docker` adds a
    /// `manifest.json`, so that any docker can load it.
    pub fn write_index(
        &mut self,
        outermost: &ReadyManifest,
        names: &[ImageReference],
        annotations: &BTreeMap<String, String>,
        docker: bool,
    ) -> Result<()> {
        self.manifest(outermost)?;
        let entry = |name: Option<&ImageReference>| {
            let mut annotations = annotations.clone();
            if let Some(name) = name {
                annotations.insert(oci::FULL_NAME.into(), name.to_string());
                annotations.insert(oci::REF_NAME.into(), name.tag().unwrap_or_default().to_owned());
            }
            Descriptor { annotations, ..outermost.descriptor.clone() }
        };
        // One entry per name, since an entry's annotation can hold only one.
        let entries: Vec<Descriptor> = if names.is_empty() {
            vec![entry(None)]
        } else {
            names.iter().map(|name| entry(Some(name))).collect()
        };
        let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries});
        self.small.insert(oci::INDEX_JSON.into(), serde_json::to_vec(&index)?);
        let layout = OciLayoutBuilder::default().image_layout_version(LAYOUT_VERSION).build()?;
        self.small.insert("oci-layout".into(), serde_json::to_vec(&layout)?);
        if docker {
            let tags: Vec<String> = names.iter().map(ImageReference::familiar).collect();
            for image in &mut self.listing {
                image["RepoTags"] = if tags.is_empty() { json!(null) } else { json!(tags) };
            }
            self.small.insert(docker::MANIFEST_JSON.into(), serde_json::to_vec(&self.listing)?);
        }
        Ok(())
    }

    /// Lists `outermost` in the index under a bare tag.
    pub fn write_index_for_tag(&mut self, outermost: &ReadyManifest, tag: &str) -> Result<()> {
        let names = BTreeMap::from([(oci::REF_NAME.to_owned(), tag.to_owned())]);
        self.write_index(outermost, &[], &names, false)
    }

    pub fn write_archive(&self, out: &mut dyn Write) -> Result<()> {
        let mut writer = ArchiveWriter::new(out);
        let names: std::collections::BTreeSet<&String> = self.small.keys().chain(self.large.keys()).collect();
        for name in names {
            if let Some(content) = self.small.get(name) {
                writer.bytes(name, content)?;
            } else if let Some((path, size)) = self.large.get(name) {
                writer.file(name, File::open(path)?, *size)?;
            }
        }
        writer.finish()
    }

    #[expect(clippy::disallowed_methods, reason = "the directory is the user's")]
    pub fn write_to_dir(&self, dir: &Path) -> Result<()> {
        let destination = |name: &str| -> Result<PathBuf> {
            let path = dir.join(name);
            std::fs::create_dir_all(path.parent().unwrap_or(dir))
                .with_context(|| format!("cannot make a directory below {}", dir.display()))?;
            Ok(path)
        };
        for (name, content) in &self.small {
            std::fs::write(destination(name)?, content).with_context(|| format!("cannot write {name}"))?;
        }
        for (name, (from, _)) in &self.large {
            std::fs::copy(from, destination(name)?).with_context(|| format!("cannot write {name}"))?;
        }
        Ok(())
    }

    #[expect(clippy::disallowed_methods, reason = "the file lies in a temporary directory of the store")]
    fn add_layer(&mut self, diff_id: &Digest) -> Result<Descriptor> {
        let record = self.store.layer(diff_id)?.ok_or_else(|| corrupt(format!("layer {diff_id} is gone")))?;
        let blobs = self.store.packed_blobs(diff_id)?;
        let compression = self.compression.to_string();
        let media_type = self.compression.media_type(self.oci);
        // Reuse a blob only if it is in this layout; the store remembers digests, not compressed bytes.
        if let Some(blob) = blobs.iter().find(|packed| packed.compression == compression)
            && self.large.contains_key(&blob_name(&blob.digest))
        {
            return Ok(Descriptor::plain(media_type, blob.digest.clone(), blob.size));
        }
        self.progress.event(diff_id.short(), LayerEvent::Preparing);
        let path = self.dir.path().join(diff_id.hex());
        let file = File::create(&path).context("cannot make a temporary file")?;
        let out = HashingWriter {
            out: BufWriter::with_capacity(256 << 10, file),
            hash: sha2::Sha256::new(),
            size: 0,
        };
        let mut compressor = self.compression.writer(out)?;
        pack_layer(self.store, diff_id, &mut compressor)?;
        let mut out = compressor.finish().context("cannot compress")?;
        out.flush().context("cannot write a temporary file")?;
        let (digest, size) = (Digest::from_sha256(out.hash.finalize().as_slice()), out.size);
        let packed = PackedBlob { compression, digest: digest.clone(), size };
        // Remember the digest, so that a later push knows the blob without compressing again.
        self.store.add_packed_blob(&record.diff_id, packed)?;
        self.large.insert(blob_name(&digest), (path, size));
        Ok(Descriptor::plain(media_type, digest, size))
    }
}

impl ManifestSink for OciLayout<'_> {
    fn image(&mut self, parts: &ImageParts<'_>) -> Result<ReadyManifest> {
        let layers =
            parts.layers.iter().map(|diff_id| self.add_layer(diff_id)).collect::<Result<Vec<_>>>()?;
        let config = Digest::of(parts.config);
        self.small.insert(blob_name(&config), parts.config.to_vec());
        self.listing.push(json!({
            "Config": blob_name(&config),
            "Layers": layers.iter().map(|layer| blob_name(&layer.digest)).collect::<Vec<_>>(),
        }));
        build_manifest(parts.config, &layers, parts.annotations, self.oci)
    }

    fn layers(&mut self, diff_ids: &[Digest]) -> Result<Vec<Descriptor>> {
        diff_ids.iter().map(|diff_id| self.add_layer(diff_id)).collect()
    }

    fn bytes(&mut self, digest: &Digest, content: &[u8]) -> Result<()> {
        self.small.insert(blob_name(digest), content.to_vec());
        Ok(())
    }

    fn manifest(&mut self, ready: &ReadyManifest) -> Result<()> {
        self.bytes(&ready.descriptor.digest, &ready.text)
    }
}

struct HashingWriter<W> {
    out: W,
    hash: sha2::Sha256,
    size: u64,
}

impl<W: Write> Write for HashingWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let amount = self.out.write(bytes)?;
        self.hash.update(bytes.get(..amount).unwrap_or_default());
        self.size += amount as u64;
        Ok(amount)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

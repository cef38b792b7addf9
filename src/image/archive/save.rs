//! Saves images as one archive that is both docker's (`manifest.json`) and an OCI image layout, as docker
//! does since version 25. Layers are uncompressed tar streams, regenerated from the store. The same images
//! give the same bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read as _, Write};

use anyhow::{Context as _, Result};
use oci_spec::image::OciLayoutBuilder;
use serde::Serialize;
use serde_json::{Value, json};

use super::members::blob_name;
use super::{docker, oci};
use crate::manifest::{Descriptor, OCI_CONFIG, OCI_INDEX, OCI_MANIFEST};
use crate::pack::pack_layer;
use crate::tar::BLOCK;
use dhow_error::corrupt;
use dhow_model::digest::Digest;
use dhow_model::layer::LayerRecord;
use dhow_model::reference::ImageReference;
use dhow_store::{Store, StoredImage};

/// Media type of an uncompressed layer (`MediaType::ImageLayer`).
const LAYER_MEDIA_TYPE: &str = "application/vnd.oci.image.layer.v1.tar";
/// The only version of image layouts (OCI image specification, `image-layout.md`).
pub(crate) const LAYOUT_VERSION: &str = "1.0.0";

/// An image to save, with its tags in the archive.
#[derive(Clone, Debug)]
pub struct SavedImage {
    pub image: StoredImage,
    pub tags: Vec<ImageReference>,
}

enum SavedContent {
    Bytes(Vec<u8>),
    Layer(LayerRecord),
}

/// The complete contents of an archive, resolved before the first byte is written.
pub struct ArchivePlan<'a> {
    store: &'a Store,
    /// By name; directory members are derived from them.
    members: BTreeMap<String, SavedContent>,
}

impl<'a> ArchivePlan<'a> {
    /// Resolves everything that the archive of `images` needs.
    pub fn new(store: &'a Store, images: &[SavedImage]) -> Result<Self> {
        let mut plan = Self { store, members: BTreeMap::new() };
        let mut listing = Vec::new();
        let mut index = Vec::new();
        for saved in images {
            let doing = || format!("cannot save image {}", saved.image.id.short());
            let layers = plan.layers(&saved.image).with_context(doing)?;
            listing.push(manifest_json_entry(saved, &layers));
            index.extend(plan.image(saved, &layers)?);
        }
        plan.json(docker::MANIFEST_JSON, &listing)?;
        plan.json(oci::INDEX_JSON, &json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": index}))?;
        let layout = OciLayoutBuilder::default().image_layout_version(LAYOUT_VERSION).build()?;
        plan.json("oci-layout", &layout)?;
        let repositories = repositories(images);
        if !repositories.is_empty() {
            plan.json("repositories", &repositories)?;
        }
        Ok(plan)
    }

    /// Adds the layers; returns their descriptors.
    fn layers(&mut self, image: &StoredImage) -> Result<Vec<Descriptor>> {
        let mut layers = Vec::new();
        for diff_id in &image.config.rootfs.diff_ids {
            let record = self.store.layer(diff_id)?.ok_or_else(|| {
                corrupt(format!("its layer {diff_id} is not in the store"))
                    .hint("remove the image and pull or load it again")
            })?;
            layers.push(Descriptor::plain(LAYER_MEDIA_TYPE, diff_id.clone(), record.tar_size));
            // Uncompressed, so the blob's digest is the diff ID.
            self.members.insert(blob_name(diff_id), SavedContent::Layer(record));
        }
        Ok(layers)
    }

    /// Adds configuration and manifest; returns the index entries, one per tag.
    fn image(&mut self, saved: &SavedImage, layers: &[Descriptor]) -> Result<Vec<Descriptor>> {
        let config = self.blob(OCI_CONFIG, saved.image.raw_config.clone());
        let manifest =
            json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": layers});
        let manifest = self.blob(OCI_MANIFEST, serde_json::to_vec(&manifest)?);
        let entry = |tag: &ImageReference| {
            let names = [
                (oci::FULL_NAME, tag.to_string()),
                (oci::REF_NAME, tag.tag().unwrap_or_default().to_owned()),
            ];
            let annotations = names.into_iter().map(|(key, name)| (key.to_owned(), name)).collect();
            Descriptor { annotations, ..manifest.clone() }
        };
        let entries: Vec<Descriptor> = saved.tags.iter().map(entry).collect();
        Ok(if entries.is_empty() { vec![manifest] } else { entries })
    }

    fn blob(&mut self, media_type: &str, content: Vec<u8>) -> Descriptor {
        let blob = Descriptor::plain(media_type, Digest::of(&content), content.len() as u64);
        self.members.insert(blob_name(&blob.digest), SavedContent::Bytes(content));
        blob
    }

    fn json(&mut self, name: &str, value: &impl Serialize) -> Result<()> {
        self.members.insert(name.to_owned(), SavedContent::Bytes(serde_json::to_vec(value)?));
        Ok(())
    }

    pub fn write(&self, out: &mut dyn Write) -> Result<()> {
        let mut writer = ArchiveWriter::new(out);
        for (name, content) in &self.members {
            match content {
                SavedContent::Bytes(bytes) => writer.bytes(name, bytes)?,
                SavedContent::Layer(record) => self.layer(name, record, &mut writer)?,
            }
        }
        writer.finish()
    }

    fn layer(&self, name: &str, record: &LayerRecord, writer: &mut ArchiveWriter<'_>) -> Result<()> {
        writer.begin(name, record.tar_size)?;
        let mut counted = CountingWriter { out: &mut *writer.out, written: 0 };
        pack_layer(self.store, &record.diff_id, &mut counted)?;
        // The header with the record's size is written already, so a mismatch makes the archive invalid.
        if counted.written != record.tar_size {
            return Err(corrupt(format!("the record of layer {} says another size", record.diff_id)).into());
        }
        writer.end(record.tar_size)
    }
}

/// Writes members, preceded by the directories that contain them.
pub(crate) struct ArchiveWriter<'a> {
    out: &'a mut dyn Write,
    dirs: BTreeSet<String>,
}

impl<'a> ArchiveWriter<'a> {
    pub(crate) fn new(out: &'a mut dyn Write) -> Self {
        Self { out, dirs: BTreeSet::new() }
    }

    fn begin(&mut self, name: &str, size: u64) -> Result<()> {
        // Directories come before their contents, each once.
        for (end, _) in name.match_indices('/') {
            let dir = &name[..=end];
            if self.dirs.insert(dir.to_owned()) {
                self.out.write_all(&header(dir, tar::EntryType::Directory, 0)?)?;
            }
        }
        Ok(self.out.write_all(&header(name, tar::EntryType::Regular, size)?)?)
    }

    fn end(&mut self, size: u64) -> Result<()> {
        Ok(pad(self.out, size)?)
    }

    pub(crate) fn bytes(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        self.begin(name, bytes.len() as u64)?;
        self.out.write_all(bytes)?;
        self.end(bytes.len() as u64)
    }

    /// Adds a member with the content of `file`, which has `size` bytes.
    pub(crate) fn file(&mut self, name: &str, file: File, size: u64) -> Result<()> {
        self.begin(name, size)?;
        let copied = io::copy(&mut file.take(size), &mut *self.out)?;
        if copied != size {
            return Err(corrupt(format!("the temporary file of {name} was cut")).into());
        }
        self.end(size)
    }

    pub(crate) fn finish(self) -> Result<()> {
        self.out.write_all(&[0; 2 * BLOCK as usize])?;
        Ok(self.out.flush()?)
    }
}

/// An entry of docker's `manifest.json`.
fn manifest_json_entry(saved: &SavedImage, layers: &[Descriptor]) -> Value {
    let sources: BTreeMap<&str, &Descriptor> =
        layers.iter().map(|layer| (layer.digest.as_str(), layer)).collect();
    let tags: Option<Vec<String>> =
        (!saved.tags.is_empty()).then(|| saved.tags.iter().map(ImageReference::familiar).collect());
    json!({
        "Config": blob_name(&saved.image.id),
        "RepoTags": tags,
        "Layers": layers.iter().map(|layer| blob_name(&layer.digest)).collect::<Vec<_>>(),
        "LayerSources": sources,
    })
}

/// The `repositories` file of docker before 1.10, still written by newer versions: repository and tag to
/// topmost layer.
fn repositories(images: &[SavedImage]) -> BTreeMap<String, BTreeMap<String, String>> {
    let mut repositories: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    for saved in images {
        let Some(top) = saved.image.config.rootfs.diff_ids.last() else { continue };
        for tag in &saved.tags {
            let name = repositories.entry(tag.familiar_name()).or_default();
            name.insert(tag.tag().unwrap_or_default().to_owned(), top.hex().to_owned());
        }
    }
    repositories
}

fn header(name: &str, kind: tar::EntryType, size: u64) -> Result<[u8; BLOCK as usize]> {
    let mut header = tar::Header::new_ustar();
    header.set_path(name).with_context(|| format!("cannot write the header of {name}"))?;
    header.set_entry_type(kind);
    // Fixed metadata: the same images must give the same bytes.
    header.set_mode(if kind.is_dir() { 0o755 } else { 0o644 });
    header.set_size(size);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header.set_cksum();
    Ok(*header.as_bytes())
}

fn pad(out: &mut dyn Write, size: u64) -> io::Result<()> {
    out.write_all(&[0; BLOCK as usize][..(size.wrapping_neg() % BLOCK) as usize])
}

struct CountingWriter<'a> {
    out: &'a mut dyn Write,
    written: u64,
}

impl Write for CountingWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let amount = self.out.write(bytes)?;
        self.written += amount as u64;
        Ok(amount)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

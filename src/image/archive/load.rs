//! Loads the images of an archive: members in any order, compressed or not, from a file or a pipe.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead, BufReader, Seek as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::archived_image::ArchivedImage;
use super::directory::{self, LayoutSelector};
use super::layers::ArchiveLayers;
use super::members::ArchiveMembers;
use super::{docker, indexed, oci, stream};
use crate::unpack::decode::{self, CompressionFormat};
use dhow_error::{Failure, FailureKind, invalid, unsupported};
use dhow_model::digest::Digest;
use dhow_model::layer::LayerOwnership;
use dhow_model::platform::Platform;
use dhow_model::progress::LayerProgress;
use dhow_model::reference::ImageReference;
use dhow_store::{NewImage, Store};

/// Read buffer for streams, in bytes.
const BUFFER: usize = 256 << 10;

#[derive(Clone, Debug)]
pub struct LoadOptions {
    pub identity: LayerOwnership,
    /// Load only images for this platform.
    pub platform: Option<Platform>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadedImage {
    pub id: Digest,
    /// Its names in the archive, with their tags.
    pub names: Vec<ImageReference>,
}

/// An opened archive.
pub struct ImageArchive(ArchiveInput);

enum ArchiveInput {
    /// A regular file and the offset of the archive's first byte.
    Regular(File, u64),
    Stream(Box<dyn BufRead + Send>),
}

impl ImageArchive {
    /// Opens a file, pipe or socket positioned at the start of an archive.
    pub fn open(mut input: File) -> Result<Self> {
        if input.metadata()?.is_file() {
            // A redirected stdin may be positioned inside the file.
            let start = input.stream_position()?;
            let mut magic = [0; 8];
            let amount = input.read_at(&mut magic, start)?;
            // Only an uncompressed file can be indexed; everything else is read as a stream.
            if CompressionFormat::of(&magic[..amount]) == CompressionFormat::Plain {
                return Ok(Self(ArchiveInput::Regular(input, start)));
            }
        }
        let mut input = BufReader::with_capacity(BUFFER, input);
        let format = CompressionFormat::of(input.fill_buf()?);
        if format == CompressionFormat::Plain {
            return Ok(Self(ArchiveInput::Stream(Box::new(input))));
        }
        let plain = decode::decoder(format, input)?;
        Ok(Self(ArchiveInput::Stream(Box::new(BufReader::with_capacity(BUFFER, plain)))))
    }
}

/// Loads all images, in the order of the archive's listing. After an error nothing of the archive is left in
/// the store.
pub fn load_archive(
    store: &Store,
    archive: ImageArchive,
    options: &LoadOptions,
    progress: &dyn LayerProgress,
) -> Result<Vec<LoadedImage>> {
    let mut layers = ArchiveLayers::new(store, options.identity, progress);
    let result = load_images(store, archive, options, progress, &mut layers);
    let used = result.iter().flat_map(|(_, used)| used.iter().cloned()).collect();
    let released = layers.collect_unused(&used);
    let (loaded, _) = result?;
    released?;
    Ok(loaded)
}

/// Loads one image of the OCI image layout in `dir`, without a name. Returns its ID.
pub fn load_layout(
    store: &Store,
    dir: &Path,
    selector: &LayoutSelector,
    options: &LoadOptions,
    progress: &dyn LayerProgress,
) -> Result<Digest> {
    let members = directory::read_members(dir)?;
    let listing = members
        .text(oci::INDEX_JSON)?
        .ok_or_else(|| invalid("it has no index.json, so it is no layout of images"))?;
    let chosen = directory::select_image(&listing, selector)?;
    let mut image = merge_by_id(oci::describe_images(&members, &chosen, options.platform.as_ref())?)
        .into_iter()
        .next()
        .ok_or_else(|| Failure::new(FailureKind::NotFound, "it has no image for this platform"))?;
    // The caller names the image, whatever the layout says.
    image.names.clear();
    let mut layers = ArchiveLayers::new(store, options.identity, progress);
    let loaded = layers
        .unpack_missing(&members, &image.requested_layers().collect())
        .and_then(|()| store_image(store, &image, &layers, progress));
    let used = loaded.iter().flat_map(|_| image.parsed.rootfs.diff_ids.iter().cloned()).collect();
    let released = layers.collect_unused(&used);
    let id = loaded?.id;
    released?;
    Ok(id)
}

fn load_images(
    store: &Store,
    archive: ImageArchive,
    options: &LoadOptions,
    progress: &dyn LayerProgress,
    layers: &mut ArchiveLayers<'_>,
) -> Result<(Vec<LoadedImage>, BTreeSet<Digest>)> {
    let members = match archive.0 {
        ArchiveInput::Regular(input, start) => indexed::index_members(input, start),
        ArchiveInput::Stream(input) => stream::scan_stream(input, layers),
    }
    .context("it cannot be read as a tar archive")?;
    let images = merge_by_id(describe(&members, options.platform.as_ref())?);
    layers.unpack_missing(&members, &images.iter().flat_map(ArchivedImage::requested_layers).collect())?;
    let mut loaded = Vec::new();
    for image in &images {
        loaded.push(store_image(store, image, layers, progress)?);
    }
    Ok((loaded, images.into_iter().flat_map(|image| image.parsed.rootfs.diff_ids).collect()))
}

fn describe(members: &ArchiveMembers, platform: Option<&Platform>) -> Result<Vec<ArchivedImage>> {
    let index = members.text(oci::INDEX_JSON)?;
    let listing = members.text(docker::MANIFEST_JSON)?;
    let images = match (listing, index) {
        // If both exist, docker's listing contains only one platform's images.
        (Some(listing), index) if platform.is_none() || index.is_none() => {
            docker::describe_images(members, &listing, platform)?
        }
        (_, Some(index)) => oci::describe_images(members, &index, platform)?,
        _ => return Err(no_listing(members)),
    };
    match platform {
        Some(platform) if images.is_empty() => Err(Failure::new(
            FailureKind::NotFound,
            format!("it has no image for the specified platform ({platform})"),
        )
        .into()),
        _ => Ok(images),
    }
}

fn no_listing(members: &ArchiveMembers) -> anyhow::Error {
    if members.is_empty() {
        return invalid("it is empty: there is no manifest.json and no index.json").into();
    }
    if members.get(b"repositories").is_some() {
        return unsupported("it is in the format of docker before 1.10, without a manifest.json")
            .hint("save the image again with a newer docker")
            .into();
    }
    invalid("it has neither a manifest.json nor an index.json, so it is no archive of images")
        .hint("`import` makes an image of an archive of a file system")
        .into()
}

/// Each image once, with all its names.
fn merge_by_id(described: Vec<ArchivedImage>) -> Vec<ArchivedImage> {
    let mut images: Vec<ArchivedImage> = Vec::new();
    for image in described {
        match images.iter_mut().find(|existing| existing.id == image.id) {
            Some(existing) => existing.names.extend(image.names),
            None => images.push(image),
        }
    }
    images
}

fn store_image(
    store: &Store,
    image: &ArchivedImage,
    layers: &ArchiveLayers<'_>,
    progress: &dyn LayerProgress,
) -> Result<LoadedImage> {
    for name in &image.names {
        if let Some(old) = store.name(name)?
            && old.id != image.id
        {
            progress.line(&format!(
                "The image {} already exists, renaming the old one with ID {} to empty string",
                name.familiar(),
                old.id
            ));
        }
    }
    let names: Vec<(ImageReference, Option<Digest>)> =
        image.names.iter().map(|name| (name.clone(), None)).collect();
    let id = store.put_image(&NewImage {
        config: &image.config,
        manifest: image.manifest.as_deref(),
        layers: &layers.leases(&image.parsed.rootfs.diff_ids)?,
        names: &names,
    })?;
    Ok(LoadedImage { id, names: image.names.clone() })
}

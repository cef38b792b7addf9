//! Loads the images of an archive: members in any order, compressed or not, from a file or a pipe.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead, BufReader, Seek as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::directory::{self, Which};
use super::layers::{Layers, Wanted};
use super::members::Members;
use super::{docker, file, oci, stream};
use crate::error::{Failure, Kind, corrupt, invalid, unsupported};
use crate::image::unpack::decode::{self, Format};
use crate::model::digest::Digest;
use crate::model::image::ImageConfig;
use crate::model::layer::Identity;
use crate::model::platform::Platform;
use crate::model::progress::Progress;
use crate::model::reference::Reference;
use crate::store::{NewImage, Store};

/// Read buffer for streams, in bytes.
const BUFFER: usize = 256 << 10;
/// The same limit as for manifests.
const LAYERS: usize = 1000;

#[derive(Clone, Debug)]
pub struct Options {
    pub identity: Identity,
    /// Load only images for this platform.
    pub platform: Option<Platform>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    pub id: Digest,
    /// Its names in the archive, with their tags.
    pub names: Vec<Reference>,
}

/// An image as described by the archive's listing.
#[derive(Debug)]
pub(super) struct Described {
    id: Digest,
    config: Vec<u8>,
    parsed: ImageConfig,
    manifest: Option<Vec<u8>>,
    /// Member names, lowest layer first.
    layers: Vec<Vec<u8>>,
    names: Vec<Reference>,
}

impl Described {
    pub(super) fn new(
        config: Vec<u8>,
        manifest: Option<Vec<u8>>,
        layers: Vec<Vec<u8>>,
        names: Vec<Reference>,
    ) -> Result<Self> {
        let parsed: ImageConfig = serde_json::from_slice(&config).map_err(|error| {
            invalid(format!("its configuration is malformed: {}", error.to_string().escape_debug()))
        })?;
        let known = parsed.rootfs.diff_ids.len();
        if layers.len() != known || known > LAYERS {
            return Err(corrupt(format!(
                "it lists {} layers and its configuration {known}, of at most {LAYERS}",
                layers.len()
            ))
            .into());
        }
        Ok(Self { id: Digest::of(&config), config, parsed, manifest, layers, names })
    }

    pub(super) fn platform(&self) -> Platform {
        let config = &self.parsed;
        Platform {
            os: config.os.clone(),
            architecture: config.architecture.clone(),
            variant: config.variant.clone(),
        }
    }

    fn wanted(&self) -> impl Iterator<Item = Wanted> {
        let layers = self.parsed.rootfs.diff_ids.iter().zip(&self.layers);
        layers.map(|(diff_id, member)| Wanted { diff_id: diff_id.clone(), member: member.clone() })
    }
}

/// An opened archive.
pub struct Archive(Input);

enum Input {
    /// A regular file and the offset of the archive's first byte.
    Regular(File, u64),
    Stream(Box<dyn BufRead + Send>),
}

impl Archive {
    /// Opens a file, pipe or socket positioned at the start of an archive.
    pub fn open(mut input: File) -> Result<Self> {
        if input.metadata()?.is_file() {
            // A redirected stdin may be positioned inside the file.
            let start = input.stream_position()?;
            let mut magic = [0; 8];
            let amount = input.read_at(&mut magic, start)?;
            // Only an uncompressed file can be indexed; everything else is read as a stream.
            if Format::of(&magic[..amount]) == Format::Plain {
                return Ok(Self(Input::Regular(input, start)));
            }
        }
        let mut input = BufReader::with_capacity(BUFFER, input);
        let format = Format::of(input.fill_buf()?);
        if format == Format::Plain {
            return Ok(Self(Input::Stream(Box::new(input))));
        }
        let plain = decode::decoder(format, input)?;
        Ok(Self(Input::Stream(Box::new(BufReader::with_capacity(BUFFER, plain)))))
    }
}

/// Loads all images, in the order of the archive's listing. After an error nothing of the archive is left in
/// the store.
pub fn load(
    store: &Store,
    archive: Archive,
    options: &Options,
    progress: &dyn Progress,
) -> Result<Vec<Loaded>> {
    let mut layers = Layers::new(store, options, progress);
    let result = read(store, archive, options, progress, &mut layers);
    let used = result.iter().flat_map(|(_, used)| used.iter().cloned()).collect();
    let released = layers.release(&used);
    let (loaded, _) = result?;
    released?;
    Ok(loaded)
}

/// Loads one image of the OCI image layout in `dir`, without a name. Returns its ID.
pub fn load_layout(
    store: &Store,
    dir: &Path,
    which: &Which,
    options: &Options,
    progress: &dyn Progress,
) -> Result<Digest> {
    let members = directory::members(dir)?;
    let listing = members
        .text(oci::LISTING)?
        .ok_or_else(|| invalid("it has no index.json, so it is no layout of images"))?;
    let chosen = directory::chosen(&listing, which)?;
    let mut image = merged(oci::describe(&members, &chosen, options.platform.as_ref())?)
        .into_iter()
        .next()
        .ok_or_else(|| Failure::new(Kind::NotFound, "it has no image for this platform"))?;
    // The caller names the image, whatever the layout says.
    image.names.clear();
    let mut layers = Layers::new(store, options, progress);
    let loaded = layers
        .get(&members, &image.wanted().collect())
        .and_then(|()| register(store, &image, &layers, progress));
    let used = loaded.iter().flat_map(|_| image.parsed.rootfs.diff_ids.iter().cloned()).collect();
    let released = layers.release(&used);
    let id = loaded?.id;
    released?;
    Ok(id)
}

fn read(
    store: &Store,
    archive: Archive,
    options: &Options,
    progress: &dyn Progress,
    layers: &mut Layers<'_>,
) -> Result<(Vec<Loaded>, BTreeSet<Digest>)> {
    let members = match archive.0 {
        Input::Regular(input, start) => file::index(input, start),
        Input::Stream(input) => stream::scan(input, layers),
    }
    .context("it cannot be read as a tar archive")?;
    let images = merged(describe(&members, options.platform.as_ref())?);
    layers.get(&members, &images.iter().flat_map(Described::wanted).collect())?;
    let mut loaded = Vec::new();
    for image in &images {
        loaded.push(register(store, image, layers, progress)?);
    }
    Ok((loaded, images.into_iter().flat_map(|image| image.parsed.rootfs.diff_ids).collect()))
}

fn describe(members: &Members, platform: Option<&Platform>) -> Result<Vec<Described>> {
    let index = members.text(oci::LISTING)?;
    let listing = members.text(docker::LISTING)?;
    let images = match (listing, index) {
        // If both exist, docker's listing contains only one platform's images.
        (Some(listing), index) if platform.is_none() || index.is_none() => {
            docker::describe(members, &listing, platform)?
        }
        (_, Some(index)) => oci::describe(members, &index, platform)?,
        _ => return Err(no_listing(members)),
    };
    match platform {
        Some(wanted) if images.is_empty() => Err(Failure::new(
            Kind::NotFound,
            format!("it has no image for the specified platform ({wanted})"),
        )
        .into()),
        _ => Ok(images),
    }
}

fn no_listing(members: &Members) -> anyhow::Error {
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
fn merged(described: Vec<Described>) -> Vec<Described> {
    let mut images: Vec<Described> = Vec::new();
    for image in described {
        match images.iter_mut().find(|known| known.id == image.id) {
            Some(known) => known.names.extend(image.names),
            None => images.push(image),
        }
    }
    images
}

fn register(
    store: &Store,
    image: &Described,
    layers: &Layers<'_>,
    progress: &dyn Progress,
) -> Result<Loaded> {
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
    let names: Vec<(Reference, Option<Digest>)> =
        image.names.iter().map(|name| (name.clone(), None)).collect();
    let id = store.put_image(&NewImage {
        config: &image.config,
        manifest: image.manifest.as_deref(),
        layers: &layers.leases(&image.parsed.rootfs.diff_ids)?,
        names: &names,
    })?;
    Ok(Loaded { id, names: image.names.clone() })
}

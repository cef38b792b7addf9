//! `load`: loads images from a docker or OCI archive into the store.

use std::fs::File;
use std::path::PathBuf;

use anyhow::{Context as _, Result};

use super::stdin::open_stdin;
use dhow_image::archive::load::{ImageArchive, LoadOptions, load_archive};
use dhow_model::layer::LayerOwnership;
use dhow_model::platform::Platform;
use dhow_model::progress::LayerProgress;
use dhow_store::Store;
use dhow_store::event_records;

pub use dhow_image::archive::load::LoadedImage;

#[derive(Clone, Debug)]
pub struct LoadRequest {
    pub input: Option<PathBuf>,
    /// Load only images for this platform.
    pub platform: Option<Platform>,
}

/// Loads all images of an archive, in the archive's order. It may be compressed with gzip, zstd, bzip2 or xz.
///
/// The process must be allowed to create files with the owners of `identity` (see `userns`). It starts threads.
/// `progress` gets a `Loading` event per layer, and a line where a name moves from another image.
pub fn load(
    store: &Store,
    request: &LoadRequest,
    identity: LayerOwnership,
    progress: &dyn LayerProgress,
) -> Result<Vec<LoadedImage>> {
    let loaded = read(store, request, identity, progress)?;
    for image in &loaded {
        if let Some(stored) = store.image(&image.id)? {
            event_records::image_event(store, "load", &stored);
        }
    }
    Ok(loaded)
}

fn read(
    store: &Store,
    request: &LoadRequest,
    identity: LayerOwnership,
    progress: &dyn LayerProgress,
) -> Result<Vec<LoadedImage>> {
    let options = LoadOptions { identity, platform: request.platform.clone() };
    match &request.input {
        Some(path) => {
            let doing = || format!("cannot load {}", path.display());
            let file = File::open(path).with_context(doing)?;
            load_archive(store, ImageArchive::open(file).with_context(doing)?, &options, progress)
                .with_context(doing)
        }
        None => {
            let archive = ImageArchive::open(open_stdin()?).context("cannot read standard input")?;
            load_archive(store, archive, &options, progress).context("cannot load from standard input")
        }
    }
}

//! Loads the images of an archive.

use std::fs::File;

use anyhow::Result;

use crate::error::unsupported;
use crate::model::digest::Digest;
use crate::model::layer::Identity;
use crate::model::platform::Platform;
use crate::model::progress::Progress;
use crate::model::reference::Reference;
use crate::store::Store;

/// How to load.
#[derive(Clone, Debug)]
pub struct Options {
    /// How owners of files are kept.
    pub identity: Identity,
    /// Only images for this platform.
    pub platform: Option<Platform>,
}

/// An image that was loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// Its ID.
    pub id: Digest,
    /// The names that it has in the archive, with their tags.
    pub names: Vec<Reference>,
}

/// An archive to read.
pub struct Archive;

impl Archive {
    /// Takes a file, pipe or socket that is at the start of an archive.
    pub fn open(_input: File) -> Result<Self> {
        Ok(Self)
    }
}

/// Loads all images.
pub fn load(
    _store: &Store,
    _archive: Archive,
    _options: &Options,
    _progress: &dyn Progress,
) -> Result<Vec<Loaded>> {
    Err(unsupported("not yet").into())
}

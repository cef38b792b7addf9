//! `import`: an image of one layer, made of an archive of a file system.

use std::path::PathBuf;

use anyhow::Result;

use crate::error::unsupported;
use crate::model::digest::Digest;
use crate::model::environment::Environment;
use crate::model::layer::Identity;
use crate::model::platform::Platform;
use crate::model::progress::Progress;
use crate::model::reference::Reference;
use crate::store::Store;

/// What to import.
#[derive(Clone, Debug)]
pub struct ImportRequest {
    /// Where the archive is.
    pub source: Source,
    /// The image's name.
    pub reference: Option<Reference>,
    /// Instructions of a Dockerfile (`--change`).
    pub changes: Vec<String>,
    /// The commit message.
    pub message: Option<String>,
    /// The platform that the files are for; by default this machine's.
    pub platform: Option<Platform>,
}

/// Where the archive of a file system comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Standard input, written `-`.
    Stdin,
    /// A file.
    File(PathBuf),
    /// An HTTP or HTTPS address.
    Url(String),
}

/// Makes the image and returns its ID.
///
/// The process must be one that may give files the owners that `identity` stands for ([`super::namespace`]); it
/// starts threads.
pub fn import(
    _store: &Store,
    _environment: &Environment,
    _request: &ImportRequest,
    _identity: Identity,
    _progress: &dyn Progress,
) -> Result<Digest> {
    Err(unsupported("not yet").into())
}

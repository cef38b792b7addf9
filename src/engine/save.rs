//! `save`: images as one archive that docker, podman and skopeo read, with the same IDs.

use std::io::Write;
use std::path::Path;

use anyhow::Result;

use crate::error::unsupported;
use crate::model::platform::Platform;
use crate::store::Store;

/// What to save.
#[derive(Clone, Debug)]
pub struct SaveRequest {
    /// Names, IDs or repositories (all their tags), as the user gave them.
    pub images: Vec<String>,
    /// Refuse images for another platform.
    pub platform: Option<Platform>,
}

/// Writes the archive to `out`. After an error what was written is useless.
///
/// The process must be one that can read files of every owner ([`super::namespace`]).
pub fn save(_store: &Store, _request: &SaveRequest, _out: &mut dyn Write) -> Result<()> {
    Err(unsupported("not yet").into())
}

/// [`save`] to a file, which appears only when it is complete; a device or a pipe is written to directly.
pub fn save_to_file(_store: &Store, _request: &SaveRequest, _path: &Path) -> Result<()> {
    Err(unsupported("not yet").into())
}

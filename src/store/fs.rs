//! Directories and small files of the store: creating, listing and reading them, tolerant of concurrent sweeps.

use std::io;
use std::path::Path;

use anyhow::Context as _;

use dhow_error::{Failure, FailureKind};

pub(super) fn make_private_dirs(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// How often a directory is recreated after a concurrent sweep has removed it.
pub(super) const MAX_ATTEMPTS: u32 = 100;

/// Runs `action`; on ENOENT, creates `dir` and runs it again. A new directory may be swept away as unfinished
/// until its creator holds a lock in it, hence several attempts.
pub(super) fn with_dir<T>(dir: &Path, mut action: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    for _ in 0..MAX_ATTEMPTS {
        match action() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => make_private_dirs(dir)?,
            result => return result,
        }
    }
    action()
}

/// The names in a directory, sorted; empty if it does not exist. Hidden files (unfinished records) are left
/// out.
pub(super) fn list_dir(dir: &Path) -> io::Result<Vec<String>> {
    let entries = match std::fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let mut names = Vec::new();
    for entry in entries {
        if let Ok(name) = entry?.file_name().into_string()
            && !name.starts_with('.')
        {
            names.push(name);
        }
    }
    // Sorted, so that listings do not depend on the file system.
    names.sort_unstable();
    Ok(names)
}

/// The content of a file, or `None` if it does not exist.
pub(super) fn read_optional(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match std::fs::read(path) {
        Ok(content) => Ok(Some(content)),
        Err(error) if is_missing(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether an I/O error says that the object or its parent directory does not exist.
pub(super) fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Reads a JSON record; `None` if it does not exist, an error of kind corrupt if it cannot be parsed.
pub(super) fn read_record<T: serde::de::DeserializeOwned>(path: &Path) -> anyhow::Result<Option<T>> {
    let Some(text) =
        read_optional(path).with_context(|| format!("cannot read the record `{}`", path.display()))?
    else {
        return Ok(None);
    };
    let record = serde_json::from_slice(&text).map_err(|error| {
        Failure::new(FailureKind::Corrupt, format!("the record `{}` is damaged: {error}", path.display()))
    })?;
    Ok(Some(record))
}

pub(super) fn random_hex(bytes: usize) -> io::Result<String> {
    let mut random = vec![0; bytes];
    rustix::io::retry_on_intr(|| {
        rustix::rand::getrandom(&mut random[..], rustix::rand::GetRandomFlags::empty())
    })?;
    Ok(dhow_model::digest::hex(&random))
}

/// Maps ENOENT to success, for removals that may race.
pub(super) fn ignore_missing(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

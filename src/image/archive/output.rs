//! An output file of the user that appears under its name only when it is complete.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use dhow_model::digest::hex;

/// Lets `write` write the file at `path`, which appears only once it is complete. A device or pipe is written to
/// directly.
pub fn write_output_file(path: &Path, write: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
    let doing = || format!("cannot write {}", path.display());
    if path.metadata().is_ok_and(|metadata| !metadata.is_file()) {
        let mut file = File::options().write(true).open(path).with_context(doing)?;
        return write(&mut file);
    }
    let unfinished = OutputFile::create_beside(path).with_context(doing)?;
    write(&mut BufWriter::with_capacity(256 << 10, unfinished.file()))?;
    unfinished.rename(path).with_context(doing)
}

/// A file written next to its target and removed unless it is renamed.
#[derive(Debug)]
pub struct OutputFile {
    file: File,
    path: Option<PathBuf>,
}

impl OutputFile {
    /// Creates a file with mode 0600 under a hidden name in the directory of `target`.
    pub fn create_beside(target: &Path) -> io::Result<Self> {
        let name = target
            .file_name()
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the path has no file name"))?;
        let random: [u8; 6] = dhow_sys::random::random_bytes()?;
        let mut hidden = OsString::from(".");
        hidden.push(name);
        hidden.push(format!(".{}", hex(&random)));
        let path = target.with_file_name(hidden);
        let file = File::options().write(true).create_new(true).mode(0o600).open(&path)?;
        Ok(Self { file, path: Some(path) })
    }

    pub fn file(&self) -> &File {
        &self.file
    }

    /// Renames the file to `target`, replacing an existing file.
    #[expect(clippy::disallowed_methods, reason = "the output file is the user's")]
    pub fn rename(mut self, target: &Path) -> io::Result<()> {
        if let Some(path) = &self.path {
            std::fs::rename(path, target)?;
        }
        self.path = None;
        Ok(())
    }
}

impl Drop for OutputFile {
    #[expect(clippy::disallowed_methods, reason = "the output file is the user's")]
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            // Best effort: a leftover temporary file does no harm.
            let _ = std::fs::remove_file(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn appears_complete_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("out.tar");
        std::fs::write(&target, "old").unwrap();
        drop(OutputFile::create_beside(&target).unwrap());
        assert_eq!(std::fs::read(&target).unwrap(), b"old");
        let output = OutputFile::create_beside(&target).unwrap();
        output.file().write_all(b"new").unwrap();
        output.rename(&target).unwrap();
        assert_eq!(std::fs::read(&target).unwrap(), b"new");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}

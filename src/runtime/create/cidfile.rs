//! The file that receives a new container's ID (`--cidfile`).

use std::path::Path;

use anyhow::{Context as _, Result};

use dhow_error::{Failure, FailureKind};

/// Claimed before the container exists, and removed again unless the ID gets written.
pub(crate) struct CidFile {
    path: std::path::PathBuf,
    filled: bool,
}

impl CidFile {
    /// Creates the file, which must not exist.
    pub(super) fn reserve(path: &Path) -> Result<Self> {
        match rustix::fs::open(path, Self::flags(), rustix::fs::Mode::from_raw_mode(0o644)) {
            Ok(_) => Ok(Self { path: path.to_owned(), filled: false }),
            Err(rustix::io::Errno::EXIST) => Err(Failure::new(
                FailureKind::Conflict,
                format!(
                    "container ID file found, make sure the other container isn't running or delete {}",
                    path.display()
                ),
            )
            .into()),
            Err(error) => Err(std::io::Error::from(error))
                .with_context(|| format!("failed to create the container ID file {}", path.display())),
        }
    }

    fn flags() -> rustix::fs::OFlags {
        use rustix::fs::OFlags;
        // O_EXCL: of two commands with the same file one is refused.
        OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC
    }

    /// Without this call the file is removed on drop.
    pub(crate) fn write_id(mut self, id: &str) -> Result<()> {
        let file = rustix::fs::open(
            &self.path,
            rustix::fs::OFlags::WRONLY | rustix::fs::OFlags::CLOEXEC,
            rustix::fs::Mode::empty(),
        )?;
        rustix::io::write(&file, id.as_bytes())
            .with_context(|| format!("writing the container ID file {}", self.path.display()))?;
        self.filled = true;
        Ok(())
    }
}

impl Drop for CidFile {
    fn drop(&mut self) {
        if !self.filled {
            let _ = rustix::fs::unlink(&self.path);
        }
    }
}

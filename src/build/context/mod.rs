//! Build contexts, and copying out of them: selects files as COPY and ADD name them, hashes them by content,
//! and writes them into a layer's tree.
//!
//! # Terms
//!
//! - [`SourceTree`]: what is copied from, a directory of the host or a stack of layers.
//! - [`CopySpec`]: one COPY or ADD with everything expanded; it *selects* files of the source.
//! - [`scan_source`]: computes the digest of a selection, for the cache key. [`StatCache`] avoids reading
//!   unchanged files.
//! - [`copy_selected`]: writes a selection into a [`LayerWriter`].
//!
//! # Invariants
//!
//! Only what is selected is read. Every path is resolved inside its tree (openat2 with `RESOLVE_BENEATH`), so
//! no symlink leads out. Contexts are untrusted and may change at any time: [`copy_selected`] returns the
//! digest of what it actually wrote, not of what an earlier scan saw.

mod attributes;
mod copy;
mod digest;
mod hash;
mod ignored_paths;
mod layer_writer;
mod not_found;
mod owner;
mod select;
mod stat_cache;
mod target_dir;
#[cfg(test)]
mod tests;
mod tree_view;

use std::os::fd::OwnedFd;
use std::path::Path;

use anyhow::{Context as _, Result};
use rustix::fs::OFlags;
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::ast::CopyFlags;
use crate::dockerignore::{self, IgnoreFile};
use crate::path_pattern::{MatchInfo, clean_join};
use crate::plan::InlineFile;
pub use attributes::FileAttributes;
pub use copy::{ArchiveExtractor, NoUnpack, copy_here_docs, copy_selected};
use dhow_error::invalid;
use dhow_model::digest::Digest;
use hash::SourceRoots;
pub use layer_writer::{LayerWriter, UnstoredOwners};
pub use stat_cache::StatCache;
pub use target_dir::TargetDir;
use tree_view::{ResolvedPath, TreeView, ViewEntry};

/// One COPY or ADD, fully expanded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopySpec {
    /// Path patterns, relative to the root of the source.
    pub sources: Vec<String>,
    pub here_docs: Vec<InlineFile>,
    /// The destination from [`resolve_target_path`]: absolute, with a trailing slash if it has to be a
    /// directory.
    pub target: String,
    #[serde(flatten)]
    pub flags: CopyFlags,
    /// Unpack archives, as ADD does.
    pub unpack: bool,
}

/// Resolves a COPY destination against `workdir`.
pub(crate) fn resolve_target_path(workdir: &str, written: &str) -> String {
    let directory = written.is_empty()
        || written == "."
        || written.ends_with('/')
        || written.ends_with("/.")
        || written.ends_with("..");
    match clean_join(workdir, written) {
        path if directory && path != "/" => format!("{path}/"),
        path => path,
    }
}

/// The result of a scan or a copy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScanResult {
    /// Of names, metadata and contents.
    pub digest: Digest,
    pub files: u64,
    pub bytes: u64,
}

/// A tree to copy from.
pub struct SourceTree {
    view: TreeView,
    ignore: IgnoreFile,
    name: String,
}

impl SourceTree {
    /// A directory of the host, held open from now on. Copies belong to root, whoever owns the files.
    pub fn directory(dir: &Path, ignore: IgnoreFile) -> Result<Self> {
        Ok(Self { view: TreeView::host(dir)?, ignore, name: "context".into() })
    }

    /// Layers by their directories, topmost first. Owners are kept.
    pub fn layers<P: AsRef<Path>>(trees: &[P]) -> Result<Self> {
        anyhow::ensure!(trees.len() < usize::from(u16::MAX), "there are too many layers");
        Ok(Self { view: TreeView::layers(trees)?, ignore: IgnoreFile::none(), name: "stage".into() })
    }

    #[must_use]
    pub fn with_ignore(self, ignore: IgnoreFile) -> Self {
        Self { ignore, ..self }
    }

    /// Sets the name used in error messages.
    #[must_use]
    pub fn named(self, name: &str) -> Self {
        Self { name: name.to_owned(), ..self }
    }

    /// The content of a regular file, symlinks resolved inside the source, the ignore file not applied.
    /// `None` if it does not exist; fails above `limit` bytes.
    pub fn read(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>> {
        use std::io::Read as _;
        let doing = || format!("cannot read `{}`", path.escape_debug());
        let resolved = match self.view.resolve(path.as_bytes(), true, &mut |_, _| true) {
            Err(Errno::NOENT | Errno::NOTDIR) => None,
            other => other.with_context(doing)?,
        };
        let Some(ResolvedPath { path: real, entry: Some(entry), .. }) = resolved else { return Ok(None) };
        if !attributes::is_regular(&entry.stat) {
            return Err(invalid("it is not a regular file")).with_context(doing);
        }
        let file = std::fs::File::from(self.view.open(&real, entry.layer).with_context(doing)?);
        // Checked again on the descriptor: the name may have been replaced since it was resolved.
        anyhow::ensure!(file.metadata()?.is_file(), "`{}` changes all the time", path.escape_debug());
        let mut content = Vec::new();
        // One byte more than allowed shows that the file is too large.
        file.take(limit + 1).read_to_end(&mut content).with_context(doing)?;
        if content.len() as u64 > limit {
            return Err(invalid(format!("it has more than {limit} bytes"))).with_context(doing);
        }
        Ok(Some(content))
    }

    /// Whether copies keep the owners of files.
    fn keeps_owners(&self) -> bool {
        self.view.is_layered()
    }

    /// The ignore state of `path`, which contains no symlinks.
    fn ignore_match(&self, path: &[u8]) -> MatchInfo {
        let mut state = MatchInfo::default();
        if path.is_empty() {
            return state;
        }
        for end in
            path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at).chain([path.len()])
        {
            state = self.ignore.below(path.get(..end).unwrap_or_default(), &state);
        }
        state
    }

    /// Resolves `path`; ignored files do not exist, ignored directories do if something below may be
    /// re-included.
    fn resolve(&self, path: &[u8], follow: bool) -> Result<Option<ResolvedPath>, Errno> {
        self.view.resolve(path, follow, &mut |path: &[u8], entry: &ViewEntry| {
            !self.ignore_match(path).all || (entry.is_dir() && !self.ignore.hides_all_of(path))
        })
    }

    fn roots(&self) -> SourceRoots<'_> {
        SourceRoots { dirs: self.view.roots(), layered: self.view.is_layered() }
    }
}

/// The ignore file for `dockerfile`, a path in the context: `NAME.dockerignore`, else `.dockerignore`.
pub fn load_ignore_file(source: &SourceTree, dockerfile: Option<&str>) -> Result<IgnoreFile> {
    let specific = dockerfile.map(|name| format!("{name}.dockerignore"));
    for name in specific.iter().map(String::as_str).chain([dockerignore::DEFAULT]) {
        if let Some(text) = source.read(name, dockerignore::LIMIT)? {
            return Ok(IgnoreFile::parse(name, &text)?);
        }
    }
    Ok(IgnoreFile::none())
}

/// The digest of what `spec` selects in `source`. Files that `cache` knows are not read; the caller saves it
/// afterwards. Here-documents, destination, `--chown` and `--chmod` are not part of the digest.
pub fn scan_source(source: &SourceTree, spec: &CopySpec, cache: &mut StatCache) -> Result<ScanResult> {
    select_and_hash(source, spec, cache).map(|(_, scanned)| scanned)
}

fn select_and_hash(
    source: &SourceTree,
    spec: &CopySpec,
    cache: &mut StatCache,
) -> Result<(select::CopySelection, ScanResult)> {
    let mut selection = select::select(source, spec)?;
    hash::fill_digests(source, &mut selection, cache)?;
    let scanned = ScanResult {
        digest: digest::digest(&selection, spec.flags.parents),
        files: selection.files.len() as u64,
        bytes: selection.files.iter().map(|file| file.identity.size).sum(),
    };
    Ok((selection, scanned))
}

fn open_root(dir: &Path) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(rustix::fs::CWD, dir, flags, rustix::fs::Mode::empty())
        .with_context(|| format!("cannot open the directory `{}`", dir.display()))
}

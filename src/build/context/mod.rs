//! Contexts and what is copied out of them: files selected as COPY and ADD name them, hashed by content, and written
//! into the tree of a layer.
//!
//! [`Source`] is what is copied from: a directory of the host, or a chain of layers. [`scan`] gives the digest of what a
//! [`CopySpec`] selects in it, [`copy`] writes it into a [`Target`]. Both read only what is selected; every path is
//! resolved inside its tree, and nothing in a context is trusted to stay as it was: `copy` says what it really copied.

mod attributes;
mod copy;
mod digest;
mod hash;
mod hidden;
mod missing;
mod owner;
mod place;
mod select;
mod stat_cache;
mod target;
#[cfg(test)]
mod tests;
mod view;

use std::os::fd::OwnedFd;
use std::path::Path;

use anyhow::{Context as _, Result};
use rustix::fs::OFlags;
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::build::ignore::{self, Ignore};
use crate::build::pattern::{Matched, clean};
use crate::build::plan::InlineFile;
use crate::error::invalid;
use crate::model::digest::Digest;
pub use attributes::Attributes;
pub use copy::{NoUnpack, Unpack, copy, copy_here_docs};
use hash::Roots;
pub use place::Place;
pub use stat_cache::StatCache;
pub use target::{Owners, Spot, Target};
use view::{Resolved, Seen, View};

/// What one COPY or ADD does, with everything in it expanded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopySpec {
    /// Patterns of paths, relative to the root of the source.
    pub sources: Vec<String>,
    /// Files of the Dockerfile.
    pub here_docs: Vec<InlineFile>,
    /// Where to, as [`target`] makes it: absolute, with a slash at the end where it is to be a directory.
    pub target: String,
    /// `--chown`.
    pub chown: Option<String>,
    /// `--chmod`.
    pub chmod: Option<String>,
    /// `--link`: nothing of the layers below has to do with the result.
    pub link: bool,
    /// `--parents`.
    pub parents: bool,
    /// `--exclude`, each.
    pub exclude: Vec<String>,
    /// Archives among the files are unpacked, as ADD does.
    pub unpack: bool,
}

/// The target of a COPY that is written as `written` where `workdir` is the working directory.
pub fn target(workdir: &str, written: &str) -> String {
    let path = if written.starts_with('/') { written.to_owned() } else { format!("/{workdir}/{written}") };
    let directory = written.is_empty()
        || written == "."
        || written.ends_with('/')
        || written.ends_with("/.")
        || written.ends_with("..");
    match clean(&path) {
        path if directory && path != "/" => format!("{path}/"),
        path => path,
    }
}

/// What a scan found, or a copy copied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scanned {
    /// Of everything that counts, names and contents.
    pub digest: Digest,
    /// How many files.
    pub files: u64,
    /// Their sizes together.
    pub bytes: u64,
}

/// Something to copy from.
pub struct Source {
    view: View,
    ignore: Ignore,
    name: String,
}

impl Source {
    /// A directory of the host, which stays open from now on. Whoever owns its files, copies of them are root's.
    pub fn directory(dir: &Path, ignore: Ignore) -> Result<Self> {
        Ok(Self { view: View::host(dir)?, ignore, name: "context".into() })
    }

    /// A chain of layers by their trees, the uppermost first. Owners are kept.
    pub fn layers<P: AsRef<Path>>(trees: &[P]) -> Result<Self> {
        anyhow::ensure!(trees.len() < usize::from(u16::MAX), "there are too many layers");
        Ok(Self { view: View::layers(trees)?, ignore: Ignore::none(), name: "stage".into() })
    }

    /// The same without what `ignore` matches.
    #[must_use]
    pub fn with_ignore(self, ignore: Ignore) -> Self {
        Self { ignore, ..self }
    }

    /// The same under the name that errors call it by.
    #[must_use]
    pub fn named(self, name: &str) -> Self {
        Self { name: name.to_owned(), ..self }
    }

    /// The content of a regular file, links followed within the source, ignored or not. `None` where there is none.
    /// A file of more than `limit` bytes is refused.
    pub fn read(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>> {
        use std::io::Read as _;
        let doing = || format!("cannot read `{}`", path.escape_debug());
        let found = match self.view.resolve(path.as_bytes(), true, &mut |_, _| true) {
            Err(Errno::NOENT | Errno::NOTDIR) => None,
            other => other.with_context(doing)?,
        };
        let Some(Resolved { path: real, seen: Some(seen), .. }) = found else { return Ok(None) };
        if !attributes::is_regular(&seen.stat) {
            return Err(invalid("it is not a regular file")).with_context(doing);
        }
        let file = std::fs::File::from(self.view.open(&real, seen.layer).with_context(doing)?);
        anyhow::ensure!(file.metadata()?.is_file(), "`{}` changes all the time", path.escape_debug());
        let mut content = Vec::new();
        file.take(limit + 1).read_to_end(&mut content).with_context(doing)?;
        if content.len() as u64 > limit {
            return Err(invalid(format!("it has more than {limit} bytes"))).with_context(doing);
        }
        Ok(Some(content))
    }

    /// Whether files keep their owners.
    fn keeps_owners(&self) -> bool {
        self.view.is_layered()
    }

    /// What of the ignore file matches the directory or file at `path`, which has no links in it.
    fn matched(&self, path: &[u8]) -> Matched {
        let mut known = Matched::default();
        if path.is_empty() {
            return known;
        }
        for end in
            path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at).chain([path.len()])
        {
            known = self.ignore.below(path.get(..end).unwrap_or_default(), &known);
        }
        known
    }

    /// Finds what is at `path` and not ignored.
    fn resolve(&self, path: &[u8], follow: bool) -> Result<Option<Resolved>, Errno> {
        self.view.resolve(path, follow, &mut |path: &[u8], seen: &Seen| {
            !self.matched(path).all || (seen.is_dir() && !self.ignore.hides_all_of(path))
        })
    }

    fn roots(&self) -> Roots<'_> {
        Roots { dirs: self.view.roots(), layered: self.view.is_layered() }
    }
}

/// The ignore file that belongs to `dockerfile`, a path in the context: `NAME.dockerignore`, else `.dockerignore`.
pub fn ignore_of(source: &Source, dockerfile: Option<&str>) -> Result<Ignore> {
    let own = dockerfile.map(|name| format!("{name}.dockerignore"));
    for name in own.iter().map(String::as_str).chain([ignore::DEFAULT]) {
        if let Some(text) = source.read(name, ignore::LIMIT)? {
            return Ok(Ignore::parse(name, &text)?);
        }
    }
    Ok(Ignore::none())
}

/// The digest of what `spec` selects in `source`. Contents that `cache` knows are not read; what is new in it should be
/// kept. Texts of the Dockerfile, the target, owners and modes given are not part of the digest.
pub fn scan(source: &Source, spec: &CopySpec, cache: &mut StatCache) -> Result<Scanned> {
    select_and_hash(source, spec, cache).map(|(_, scanned)| scanned)
}

fn select_and_hash(
    source: &Source,
    spec: &CopySpec,
    cache: &mut StatCache,
) -> Result<(select::Selection, Scanned)> {
    let mut selection = select::select(source, spec)?;
    hash::fill(source, &mut selection, cache)?;
    let scanned = Scanned {
        digest: digest::digest(&selection, spec.parents),
        files: selection.files.len() as u64,
        bytes: selection.files.iter().map(|file| file.identity.size).sum(),
    };
    Ok((selection, scanned))
}

/// Opens a directory for reading, as a root.
fn open_root(dir: &Path) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(rustix::fs::CWD, dir, flags, rustix::fs::Mode::empty())
        .with_context(|| format!("cannot open the directory `{}`", dir.display()))
}

//! Unpacks a layer: a possibly compressed tar stream into a verified tree in overlayfs's format, with its recipe.
//!
//! Decompression, hashing and file creation overlap ([`pipeline`]); what an entry does to the tree is in [`entry`],
//! how names are kept inside it in [`tree`].

pub(crate) mod decode;
mod entry;
mod pipeline;
#[cfg(test)]
mod tests;
mod tree;

use std::fs::File;
use std::io::{self, BufRead, Read};
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context as _;

use super::recipe::RecipeWriter;
use super::tar::TarReader;
use crate::error::{Failure, Kind, corrupt};
use crate::model::digest::Digest;
use crate::model::layer::{Identity, LayerRecord};
use crate::model::progress::{LayerEvent, Progress};
use crate::store::LayerDraft;

/// How to unpack.
#[derive(Clone, Debug)]
pub struct UnpackOptions {
    /// How owners are kept.
    pub identity: Identity,
    /// When to stop.
    pub limits: Limits,
    /// The short ID that progress is reported under.
    pub label: String,
    /// Length of the source in bytes for progress, 0 where unknown.
    pub source_size: u64,
}

/// Against archives made to fill a disk or the memory.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of the uncompressed stream.
    pub bytes: u64,
    /// Members of the archive.
    pub entries: u64,
}

impl Default for Limits {
    /// A tebibyte in four million files.
    fn default() -> Self {
        Self { bytes: 1 << 40, entries: 4 << 20 }
    }
}

/// Reads one compressed (gzip, zstd, bzip2, xz or not at all; told by the first bytes) layer from `source`, creates
/// its tree in `draft`, verifies the digest if the draft knows it, and writes the recipe. Returns the record to commit
/// the draft with. An error of `source` is passed on as the cause.
///
/// The caller must be able to give files the owners wanted (inside the user namespace) for [`Identity::Mapped`].
/// Threads are started, so it must not fork afterwards.
pub fn unpack(
    source: impl Read + Send,
    draft: &LayerDraft,
    options: &UnpackOptions,
    progress: &dyn Progress,
) -> anyhow::Result<LayerRecord> {
    let taken = AtomicU64::new(0);
    let report = Report { taken: &taken, options, progress };
    let (digest, totals) = std::thread::scope(|scope| {
        let running = pipeline::start(scope, source, &taken).context("cannot start threads")?;
        // The input goes into the call and is dropped there, so the threads end in any case.
        let totals = read_archive(running.input, draft, &report);
        let digest = running.hash.join();
        let digest = digest.map_err(|_| Failure::new(Kind::Other, "the hashing thread failed"))?;
        anyhow::Ok((digest, totals?))
    })
    .with_context(|| match draft.diff_id() {
        Some(wanted) => format!("cannot unpack layer {wanted}"),
        None => "cannot unpack a layer".to_owned(),
    })?;
    if let Some(wanted) = draft.diff_id()
        && *wanted != digest
    {
        return Err(wrong_digest(wanted, &digest).into());
    }
    Ok(LayerRecord {
        diff_id: digest,
        size: totals.size,
        tar_size: totals.tar_size,
        identity: options.identity,
        sources: Vec::new(),
    })
}

fn wrong_digest(wanted: &Digest, found: &Digest) -> Failure {
    corrupt(format!("layer {wanted} is not what its image says: its content has the digest {found}"))
}

struct Totals {
    size: u64,
    tar_size: u64,
}

fn read_archive(input: pipeline::Input, draft: &LayerDraft, report: &Report<'_>) -> anyhow::Result<Totals> {
    let recipe = File::create_new(draft.recipe_path()).context("cannot create the recipe")?;
    let limits = report.options.limits;
    let recorder =
        Recorder { input, recipe: RecipeWriter::new(recipe)?, paused: false, read: 0, limits, failed: None };
    let mut archive = TarReader::new(recorder);
    let mut tree = tree::Tree::open(draft, report.options.identity)?;
    let mut size = 0u64;
    let mut entries = 0;
    while let Some(member) = archive.next_member()? {
        entries += 1;
        if entries > limits.entries {
            return Err(too_large(format!("has more than {} entries", limits.entries)).into());
        }
        size = size.saturating_add(member.size);
        entry::place(&mut tree, &mut archive, &member).with_context(|| {
            format!("cannot place `{}`", String::from_utf8_lossy(&member.path).escape_debug())
        })?;
        report.update();
    }
    tree.finish()?;
    let mut recorder = archive.into_input();
    drain(&mut recorder)?;
    report.update();
    recorder.finish().map(|tar_size| Totals { size, tar_size })
}

/// Reads what follows the archive: it counts for the digest.
fn drain(input: &mut Recorder) -> io::Result<()> {
    loop {
        let amount = input.fill_buf()?.len();
        if amount == 0 {
            return Ok(());
        }
        input.consume(amount);
    }
}

fn too_large(what: String) -> Failure {
    Failure::new(
        Kind::Full,
        format!("the layer {what}, the limit against archives made to exhaust the machine"),
    )
}

/// Copies all that passes into the recipe, except what is paused for.
struct Recorder {
    input: pipeline::Input,
    recipe: RecipeWriter,
    paused: bool,
    read: u64,
    limits: Limits,
    /// An error of the recipe, for the next read: consuming cannot fail.
    failed: Option<io::Error>,
}

impl Recorder {
    /// From here on the bytes are `length` bytes of content, which the tree keeps at `path`. Returns their number.
    fn begin_content(&mut self, path: &[u8], length: u64) -> io::Result<u32> {
        self.paused = true;
        self.recipe.file(path, length)
    }

    fn end_content(&mut self) {
        self.paused = false;
    }

    fn finish(self) -> anyhow::Result<u64> {
        if let Some(error) = self.failed {
            return Err(error).context("cannot write the recipe");
        }
        self.recipe.finish().context("cannot write the recipe")?;
        Ok(self.read)
    }
}

impl BufRead for Recorder {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        if self.read > self.limits.bytes {
            let what = format!("is larger than {} bytes", self.limits.bytes);
            return Err(io::Error::other(too_large(what)));
        }
        self.input.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        if !self.paused {
            // The buffer is there already, so this reads nothing.
            let recorded = self
                .input
                .fill_buf()
                .and_then(|buffer| self.recipe.raw(buffer.get(..amount).unwrap_or(buffer)));
            self.failed = recorded.err();
        }
        self.read = self.read.saturating_add(amount as u64);
        self.input.consume(amount);
    }
}

impl Read for Recorder {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        crate::image::read_buffered(self, buffer)
    }
}

/// Tells how far the source has been read.
struct Report<'a> {
    taken: &'a AtomicU64,
    options: &'a UnpackOptions,
    progress: &'a dyn Progress,
}

impl Report<'_> {
    fn update(&self) {
        let current = self.taken.load(Ordering::Relaxed);
        let total = self.options.source_size.max(current);
        self.progress.event(&self.options.label, LayerEvent::Extracting { current, total });
    }
}

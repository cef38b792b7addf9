//! Unpacks a layer: a possibly compressed tar stream becomes a verified tree in overlayfs's format, with
//! tar-split data.
//!
//! # Structure
//!
//! [`pipeline`] overlaps reading, decompression and hashing with file creation; [`entry`] applies a member to
//! the tree; [`tree`] keeps every name inside it; [`metadata`] sets owners, modes and times.
//!
//! # What the disk cannot hold
//!
//! Owners that the user namespace lacks, devices and non-`user.*` xattrs are recorded in dhow's own xattrs
//! (`user.dhow.owner`, `user.dhow.device`, `user.dhow.xattr.NAME`). The exact tar headers are kept in the
//! tar-split data in any case, so that [`super::pack`] can regenerate the stream byte for byte.
//!
//! # Trust
//!
//! Archives are untrusted: names are resolved by the kernel within the tree, sizes and counts are limited
//! ([`UnpackLimits`]), and the digest is verified before the draft may be committed.

pub mod decode;
mod entry;
mod metadata;
mod pipeline;
#[cfg(test)]
mod tests;
mod tree;

use std::io::{self, BufRead, Read};
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context as _;

use super::tar::TarReader;
use super::tar_split::TarSplitWriter;
use dhow_error::{Failure, FailureKind, corrupt};
use dhow_model::digest::Digest;
use dhow_model::layer::{LayerOwnership, LayerRecord};
use dhow_model::progress::{LayerEvent, LayerProgress};
use dhow_store::LayerDraft;

#[derive(Clone, Debug)]
pub struct UnpackOptions {
    /// How owners are stored.
    pub identity: LayerOwnership,
    pub limits: UnpackLimits,
    /// The short ID under which progress is reported.
    pub label: String,
    /// Compressed size in bytes, for progress; 0 if unknown.
    pub compressed_size: u64,
}

/// Limits against archives made to fill the disk or memory.
#[derive(Clone, Copy, Debug)]
pub struct UnpackLimits {
    /// Of the uncompressed stream.
    pub bytes: u64,
    /// Members of the archive.
    pub entries: u64,
}

impl Default for UnpackLimits {
    /// 1 TiB and about four million members.
    fn default() -> Self {
        Self { bytes: 1 << 40, entries: 4 << 20 }
    }
}

/// Reads one layer from `source`, compressed (gzip, zstd, bzip2, xz) or not, creates its tree in `draft`,
/// verifies the digest if the draft has one, and writes the tar-split data. Returns the record to commit the
/// draft with. An error of `source` is returned as the cause.
///
/// For [`LayerOwnership::Mapped`] the caller must be able to set the owners (inside the user namespace). Threads
/// are started, so the process must not fork afterwards.
pub fn unpack_layer(
    source: impl Read + Send,
    draft: &LayerDraft,
    options: &UnpackOptions,
    progress: &dyn LayerProgress,
) -> anyhow::Result<LayerRecord> {
    let bytes_read = AtomicU64::new(0);
    let report = UnpackProgress { bytes_read: &bytes_read, options, progress };
    let (digest, totals) = std::thread::scope(|scope| {
        let handle = pipeline::start_pipeline(scope, source, &bytes_read).context("cannot start threads")?;
        // The call consumes the input, so it is dropped and the threads end even on errors.
        let totals = read_archive(handle.input, draft, &report);
        let digest = handle.hash.join();
        let digest = digest.map_err(|_| Failure::new(FailureKind::Other, "the hashing thread failed"))?;
        anyhow::Ok((digest, totals?))
    })
    .with_context(|| match draft.diff_id() {
        Some(expected) => format!("cannot unpack layer {expected}"),
        None => "cannot unpack a layer".to_owned(),
    })?;
    if let Some(expected) = draft.diff_id()
        && *expected != digest
    {
        return Err(wrong_digest(expected, &digest).into());
    }
    Ok(LayerRecord {
        diff_id: digest,
        size: totals.size,
        tar_size: totals.tar_size,
        identity: options.identity,
        sources: Vec::new(),
    })
}

fn wrong_digest(expected: &Digest, actual: &Digest) -> Failure {
    corrupt(format!("layer {expected} is not what its image says: its content has the digest {actual}"))
}

struct LayerTotals {
    size: u64,
    tar_size: u64,
}

fn read_archive(
    input: pipeline::ChunkReader,
    draft: &LayerDraft,
    report: &UnpackProgress<'_>,
) -> anyhow::Result<LayerTotals> {
    let tar_split = draft.create_tar_split().context("cannot create the tar-split data")?;
    let limits = report.options.limits;
    let recorder = TarSplitRecorder {
        input,
        tar_split: TarSplitWriter::new(tar_split)?,
        paused: false,
        read: 0,
        limits,
        failed: None,
    };
    let mut archive = TarReader::new(recorder);
    let mut tree = tree::LayerTree::open(draft, report.options.identity)?;
    let mut size = 0u64;
    let mut entries = 0;
    while let Some(member) = archive.next_member()? {
        entries += 1;
        if entries > limits.entries {
            return Err(too_large(format!("has more than {} entries", limits.entries)).into());
        }
        // File contents as stored in the archive, not disk usage.
        size = size.saturating_add(member.size);
        entry::apply_member(&mut tree, &mut archive, &member).with_context(|| {
            format!("cannot place `{}`", String::from_utf8_lossy(&member.path).escape_debug())
        })?;
        report.update();
    }
    tree.finish()?;
    let mut recorder = archive.into_input();
    drain(&mut recorder)?;
    report.update();
    recorder.finish().map(|tar_size| LayerTotals { size, tar_size })
}

/// Reads what follows the archive: it is part of the digest.
fn drain(input: &mut TarSplitRecorder) -> io::Result<()> {
    loop {
        let amount = input.fill_buf()?.len();
        if amount == 0 {
            return Ok(());
        }
        input.consume(amount);
    }
}

fn too_large(excess: String) -> Failure {
    Failure::new(
        FailureKind::Full,
        format!("the layer {excess}, the limit against archives made to exhaust the machine"),
    )
}

/// Copies everything that passes into the tar-split data, except file contents.
struct TarSplitRecorder {
    input: pipeline::ChunkReader,
    tar_split: TarSplitWriter,
    paused: bool,
    read: u64,
    limits: UnpackLimits,
    /// An error while writing, returned by the next read, since `consume` cannot fail.
    failed: Option<io::Error>,
}

impl TarSplitRecorder {
    /// The next `length` bytes are content that the tree stores at `path`. Returns the number of the record.
    fn begin_content(&mut self, path: &[u8], length: u64) -> io::Result<u32> {
        self.paused = true;
        self.tar_split.file(path, length)
    }

    fn end_content(&mut self) {
        self.paused = false;
    }

    fn finish(self) -> anyhow::Result<u64> {
        if let Some(error) = self.failed {
            return Err(error).context("cannot write the tar-split data");
        }
        self.tar_split.finish().context("cannot write the tar-split data")?;
        Ok(self.read)
    }
}

impl BufRead for TarSplitRecorder {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        // Checked on the uncompressed stream: this is what a decompression bomb inflates.
        if self.read > self.limits.bytes {
            let excess = format!("is larger than {} bytes", self.limits.bytes);
            return Err(io::Error::other(too_large(excess)));
        }
        self.input.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        if !self.paused {
            // The buffer is filled already, so this does not read.
            let recorded = self
                .input
                .fill_buf()
                .and_then(|buffer| self.tar_split.raw(buffer.get(..amount).unwrap_or(buffer)));
            self.failed = recorded.err();
        }
        self.read = self.read.saturating_add(amount as u64);
        self.input.consume(amount);
    }
}

impl Read for TarSplitRecorder {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        crate::read_buffered(self, buffer)
    }
}

/// Reports how much of the source has been read.
struct UnpackProgress<'a> {
    bytes_read: &'a AtomicU64,
    options: &'a UnpackOptions,
    progress: &'a dyn LayerProgress,
}

impl UnpackProgress<'_> {
    fn update(&self) {
        let current = self.bytes_read.load(Ordering::Relaxed);
        let total = self.options.compressed_size.max(current);
        self.progress.event(&self.options.label, LayerEvent::Extracting { current, total });
    }
}

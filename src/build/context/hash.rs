//! Hashes those files of a selection that the stat cache does not know, in parallel if there are many.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, Result};
use sha2::{Digest as _, Sha256};

use super::SourceTree;
use super::attributes::read_xattrs;
use super::select::{CopySelection, FileRef};
use super::stat_cache::{StatCache, now};
use super::tree_view::display_path;
use dhow_error::not_found;

/// Use threads from this many files on, or this many bytes in total.
const PARALLEL_MIN_FILES: usize = 64;
const PARALLEL_MIN_BYTES: u64 = 8 << 20;
const MAX_THREADS: usize = 8;
const BUFFER: usize = 128 << 10;

/// Fills in the digests of `selection`'s files. All threads have ended when it returns.
pub(super) fn fill_digests(
    source: &SourceTree,
    selection: &mut CopySelection,
    cache: &mut StatCache,
) -> Result<()> {
    // Taken before reading: a file that changes while it is hashed is then too recent to be cached.
    let started = now();
    for file in &mut selection.files {
        file.digest = cache.find(&file.identity);
    }
    let unknown: Vec<usize> = (0..)
        .zip(&selection.files)
        .filter(|(_, file)| file.digest.is_none())
        .map(|(index, _)| index)
        .collect();
    for (index, digest) in hash_files(source, &selection.files, &unknown)? {
        if let Some(file) = selection.files.get_mut(index) {
            cache.remember(&file.identity, started, digest);
            file.digest = Some(digest);
        }
    }
    Ok(())
}

type FileDigests = Vec<(usize, [u8; 32])>;

fn hash_files(source: &SourceTree, files: &[FileRef], unknown: &[usize]) -> Result<FileDigests> {
    let bytes: u64 =
        unknown.iter().filter_map(|index| files.get(*index)).map(|file| file.identity.size).sum();
    let roots = source.roots();
    let queue =
        HashQueue { roots: &roots, files, unknown, next: AtomicUsize::new(0), failed: Mutex::new(None) };
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get().min(MAX_THREADS));
    let threads = if unknown.len() >= PARALLEL_MIN_FILES || (bytes >= PARALLEL_MIN_BYTES && unknown.len() > 1)
    {
        cores
    } else {
        1
    };
    let mut done = std::thread::scope(|scope| {
        // The calling thread works too; if a thread cannot be started the others do its work.
        let start =
            |_| std::thread::Builder::new().stack_size(256 << 10).spawn_scoped(scope, || queue.run()).ok();
        let others: Vec<_> = (1..threads).filter_map(start).collect();
        let mut done = queue.run();
        for other in others {
            done.extend(other.join().unwrap_or_default());
        }
        done
    });
    match queue.failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(error) => Err(error),
        None => {
            // Threads finish in any order.
            done.sort_unstable();
            Ok(done)
        }
    }
}

/// Files to hash; each thread takes the next one.
struct HashQueue<'a> {
    roots: &'a SourceRoots<'a>,
    files: &'a [FileRef],
    unknown: &'a [usize],
    next: AtomicUsize,
    failed: Mutex<Option<anyhow::Error>>,
}

impl HashQueue<'_> {
    fn run(&self) -> FileDigests {
        let mut done = Vec::new();
        let mut buffer = vec![0; BUFFER];
        loop {
            let next = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(index) = self.unknown.get(next).copied() else { return done };
            let Some(file) = self.files.get(index) else { return done };
            match hash_file(self.roots, file, &mut buffer) {
                Ok(digest) => done.push((index, digest)),
                Err(error) => {
                    // Makes the other threads stop at their next file.
                    self.next.store(usize::MAX / 2, Ordering::Relaxed);
                    self.failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                    return done;
                }
            }
        }
    }
}

/// The root directories of a source, by layer number, for use by several threads.
pub(super) struct SourceRoots<'a> {
    pub(super) dirs: Vec<BorrowedFd<'a>>,
    /// The xattrs of files are known from the selection; those on disk are encoded.
    pub(super) layered: bool,
}

fn hash_file(roots: &SourceRoots<'_>, file: &FileRef, buffer: &mut [u8]) -> Result<[u8; 32]> {
    let doing = || format!("cannot read `/{}`", display_path(&file.path));
    let root = roots.dirs.get(usize::from(file.layer)).context("a layer is missing").with_context(doing)?;
    let fd = match dhow_sys::fs::open_beneath(*root, &file.path, super::tree_view::read_flags()) {
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::LOOP | rustix::io::Errno::NOTDIR) => {
            return Err(not_found("it was removed while the context was read")).with_context(doing);
        }
        other => other.with_context(doing)?,
    };
    // The file may have been replaced by an endless one.
    let limit = file.identity.size.saturating_add(1 << 20);
    hash_content(&File::from(fd), limit, roots.layered, buffer).with_context(doing)
}

/// The digest of an open file's content, combined with its xattrs unless `layered`.
pub(super) fn hash_content(
    mut file: &File,
    limit: u64,
    layered: bool,
    buffer: &mut [u8],
) -> Result<[u8; 32]> {
    let mut content = Sha256::new();
    let mut remaining = limit;
    while remaining > 0 {
        match file.read(buffer) {
            Ok(0) => break,
            Ok(amount) => {
                content.update(buffer.get(..amount).unwrap_or_default());
                remaining = remaining.saturating_sub(amount as u64);
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    let content: [u8; 32] = content.finalize().into();
    let xattrs = if layered { Vec::new() } else { read_xattrs(file.as_fd(), false).xattrs };
    if xattrs.is_empty() {
        return Ok(content);
    }
    let mut combined = Sha256::new();
    combined.update(content);
    for bytes in xattrs.iter().flat_map(|(name, value)| [name, value]) {
        combined.update((bytes.len() as u64).to_le_bytes());
        combined.update(bytes);
    }
    Ok(combined.finalize().into())
}

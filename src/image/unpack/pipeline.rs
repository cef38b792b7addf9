//! A pipeline of threads passing large reused buffers: read, decompress, hash; the caller reads the tar
//! stream at the end.
//!
//! ```text
//! source ─► reader thread ─► decoder thread ─┬─► hash thread
//!                                            └─► caller (BufRead)
//! ```
//!
//! A buffer is filled once and shared with its readers through an [`Arc`]. When the last reader drops it, it
//! returns to the pool of the thread that fills it, so memory is bounded and a slow stage slows down the
//! whole pipeline.

use std::io::{self, BufRead, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::{Scope, ScopedJoinHandle};

use sha2::Digest as _;

use super::decode;
use dhow_model::digest::Digest;

/// Buffer size in bytes: large enough for few hand-overs, small enough that the second reader finds it in the
/// CPU cache.
const CHUNK: usize = 256 << 10;
/// Buffers per pool.
const POOL: usize = 8;

type ChunkResult = io::Result<Arc<Chunk>>;

struct Chunk {
    buffer: Vec<u8>,
    filled: usize,
    pool: Sender<Vec<u8>>,
}

impl Drop for Chunk {
    fn drop(&mut self) {
        // The filling thread may have exited; then the buffer is simply freed.
        let _ = self.pool.send(std::mem::take(&mut self.buffer));
    }
}

/// The buffers of one filling thread.
struct BufferPool {
    free: Receiver<Vec<u8>>,
    back: Sender<Vec<u8>>,
    allocated: usize,
}

impl BufferPool {
    fn new() -> Self {
        let (back, free) = channel();
        Self { free, back, allocated: 0 }
    }

    fn take(&mut self) -> Vec<u8> {
        if let Ok(buffer) = self.free.try_recv() {
            return buffer;
        }
        if self.allocated < POOL {
            self.allocated += 1;
            return vec![0; CHUNK];
        }
        // Cannot fail: the pool holds a sender itself.
        self.free.recv().unwrap_or_default()
    }

    /// Fills a buffer from `source`; `None` at its end.
    fn fill(&mut self, source: &mut dyn Read) -> io::Result<Option<Arc<Chunk>>> {
        let mut buffer = self.take();
        let filled = read_full(source, &mut buffer);
        let chunk = |filled| Chunk { buffer, filled, pool: self.back.clone() };
        match filled {
            Ok(0) => Ok(None),
            Ok(filled) => Ok(Some(Arc::new(chunk(filled)))),
            Err(error) => Err(error),
        }
    }
}

fn read_full(source: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match source.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Reads the buffers sent by a thread.
pub(super) struct ChunkReader {
    items: Receiver<ChunkResult>,
    chunk: Option<Arc<Chunk>>,
    at: usize,
    ended: bool,
}

impl ChunkReader {
    fn new(items: Receiver<ChunkResult>) -> Self {
        Self { items, chunk: None, at: 0, ended: false }
    }

    fn next_chunk(&mut self) -> io::Result<Option<Arc<Chunk>>> {
        if self.ended {
            return Ok(None);
        }
        match self.items.recv() {
            Ok(Ok(chunk)) => Ok(Some(chunk)),
            Ok(Err(error)) => {
                self.ended = true;
                Err(error)
            }
            Err(_) => {
                self.ended = true;
                Ok(None)
            }
        }
    }
}

impl BufRead for ChunkReader {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.chunk.as_ref().is_none_or(|chunk| self.at >= chunk.filled) {
            // Release the old buffer first: the filling thread may be waiting for it.
            self.chunk = None;
            self.at = 0;
            self.chunk = self.next_chunk()?;
        }
        Ok(self.chunk.as_ref().map_or(&[], |chunk| &chunk.buffer[self.at..chunk.filled]))
    }

    fn consume(&mut self, amount: usize) {
        self.at += amount;
    }
}

impl Read for ChunkReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        crate::read_buffered(self, buffer)
    }
}

/// A running pipeline.
pub(super) struct PipelineHandle<'scope> {
    pub(super) input: ChunkReader,
    /// The SHA-256 of the whole stream, once it has been read to the end (or dropped).
    pub(super) hash: ScopedJoinHandle<'scope, Digest>,
}

/// Starts the threads. `bytes_read` counts what has been read from `source`.
pub(super) fn start_pipeline<'scope, 'env>(
    scope: &'scope Scope<'scope, 'env>,
    source: impl Read + Send + 'scope,
    bytes_read: &'scope AtomicU64,
) -> io::Result<PipelineHandle<'scope>> {
    let (to_decoder, raw) = sync_channel(POOL);
    let (to_caller, plain) = sync_channel(POOL);
    let (to_hash, hashed) = sync_channel(POOL);
    spawn(scope, "read", move || read(source, bytes_read, &to_decoder))?;
    spawn(scope, "decode", move || decode(ChunkReader::new(raw), &to_caller, &to_hash))?;
    let hash = spawn(scope, "hash", move || hash(&hashed))?;
    Ok(PipelineHandle { input: ChunkReader::new(plain), hash })
}

fn spawn<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    name: &str,
    work: impl FnOnce() -> T + Send + 'scope,
) -> io::Result<ScopedJoinHandle<'scope, T>> {
    std::thread::Builder::new().name(name.into()).stack_size(512 << 10).spawn_scoped(scope, work)
}

fn read(mut source: impl Read, bytes_read: &AtomicU64, out: &SyncSender<ChunkResult>) {
    let mut pool = BufferPool::new();
    while let Some(item) = pool.fill(&mut source).transpose() {
        if let Ok(chunk) = &item {
            bytes_read.fetch_add(chunk.filled as u64, Ordering::Relaxed);
        }
        let failed = item.is_err();
        if out.send(item).is_err() || failed {
            return;
        }
    }
}

/// Decompresses the stream and passes it on. Ends early if the caller has dropped the receiver.
fn decode(mut input: ChunkReader, caller: &SyncSender<ChunkResult>, hash: &SyncSender<Arc<Chunk>>) {
    let send = |item: ChunkResult| {
        if let Ok(chunk) = &item
            && hash.send(Arc::clone(chunk)).is_err()
        {
            return false;
        }
        let more = item.is_ok();
        caller.send(item).is_ok() && more
    };
    let format = match input.fill_buf() {
        Ok(start) => decode::CompressionFormat::of(start),
        Err(error) => {
            send(Err(error));
            return;
        }
    };
    if format == decode::CompressionFormat::Plain {
        // Uncompressed: the reader's buffers are passed on without copying.
        while let Some(item) = next_plain(&mut input).transpose() {
            if !send(item) {
                return;
            }
        }
        return;
    }
    let mut decoder = match decode::decoder(format, input) {
        Ok(decoder) => decoder,
        Err(error) => {
            send(Err(error));
            return;
        }
    };
    let mut pool = BufferPool::new();
    while let Some(item) = pool.fill(&mut decoder).transpose() {
        if !send(item) {
            return;
        }
    }
}

fn next_plain(input: &mut ChunkReader) -> io::Result<Option<Arc<Chunk>>> {
    match input.chunk.take() {
        Some(chunk) => Ok(Some(chunk)),
        None => input.next_chunk(),
    }
}

fn hash(chunks: &Receiver<Arc<Chunk>>) -> Digest {
    let mut hasher = sha2::Sha256::new();
    for chunk in chunks {
        hasher.update(&chunk.buffer[..chunk.filled]);
    }
    Digest::from_sha256(hasher.finalize().as_slice())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn through(source: impl Read + Send) -> (io::Result<Vec<u8>>, Digest) {
        let taken = AtomicU64::new(0);
        std::thread::scope(|scope| {
            let mut running = start_pipeline(scope, source, &taken).unwrap();
            let mut all = Vec::new();
            let read = running.input.read_to_end(&mut all).map(|_| all);
            drop(running.input);
            (read, running.hash.join().unwrap())
        })
    }

    #[test]
    fn passes_every_format_through() {
        let plain: Vec<u8> = (0..3_000_000u32).flat_map(|n| (n / 7).to_le_bytes()).collect();
        for format in [
            decode::CompressionFormat::Plain,
            decode::CompressionFormat::Gzip,
            decode::CompressionFormat::Zstd,
            decode::CompressionFormat::Bzip2,
            decode::CompressionFormat::Xz,
        ] {
            let (read, digest) = through(&decode::tests::compress(format, &plain)[..]);
            assert!(read.unwrap() == plain, "{format:?}");
            assert_eq!(digest, Digest::of(&plain));
        }
    }

    #[test]
    fn gzip_members_follow_one_another() {
        let mut both = decode::tests::compress(decode::CompressionFormat::Gzip, b"one ");
        both.extend(decode::tests::compress(decode::CompressionFormat::Gzip, b"two"));
        assert_eq!(through(&both[..]).0.unwrap(), b"one two");
    }

    #[test]
    fn an_error_of_the_source_arrives_as_it_is() {
        struct Fails;
        impl Read for Fails {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("the cable"))
            }
        }
        let body = decode::tests::compress(decode::CompressionFormat::Gzip, &[7; 4096]);
        for source in [&b""[..], b"plain", &body[..body.len() / 2]] {
            let error = through(source.chain(Fails)).0.unwrap_err();
            assert_eq!(error.to_string(), "the cable");
        }
    }

    #[test]
    fn a_caller_who_leaves_stops_everything() {
        let taken = AtomicU64::new(0);
        std::thread::scope(|scope| {
            let running = start_pipeline(scope, io::repeat(1), &taken).unwrap();
            drop(running.input);
        });
    }
}

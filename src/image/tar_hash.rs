//! Hashes a tar stream while it is generated, on a separate thread for long streams, so that files are read
//! in parallel.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use anyhow::Result;
use sha2::{Digest as _, Sha256};

use dhow_model::digest::Digest;

/// Bytes collected before hashing.
const BATCH: usize = 256 << 10;
/// Maximum number of batches in the queue.
const WAITING: usize = 8;

#[derive(Default)]
pub(super) struct TarHash {
    pending: Vec<u8>,
    length: u64,
    worker: Option<HashWorker>,
}

struct HashWorker {
    batches: SyncSender<Vec<u8>>,
    /// Buffers to reuse.
    empty: Receiver<Vec<u8>>,
    thread: JoinHandle<Sha256>,
}

impl TarHash {
    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.length += bytes.len() as u64;
        self.pending.extend_from_slice(bytes);
        if self.pending.len() >= BATCH {
            // A stream shorter than one batch never starts the thread.
            let worker = self.worker.get_or_insert_with(HashWorker::start);
            let next = worker.empty.try_recv().unwrap_or_default();
            let batch = std::mem::replace(&mut self.pending, next);
            // A dead thread is detected at the end, by `join`.
            let _ = worker.batches.send(batch);
        }
    }

    /// The digest and the length of the stream.
    pub(super) fn finish(self) -> Result<(Digest, u64)> {
        let mut hash = match self.worker {
            None => Sha256::new(),
            Some(worker) => {
                drop(worker.batches);
                worker.thread.join().map_err(|_| anyhow::anyhow!("the thread that hashes has ended"))?
            }
        };
        hash.update(&self.pending);
        Ok((Digest::from_sha256(hash.finalize().as_slice()), self.length))
    }
}

impl HashWorker {
    fn start() -> Self {
        let (batches, queue) = sync_channel::<Vec<u8>>(WAITING);
        let (reuse, empty) = sync_channel(WAITING);
        let thread = std::thread::spawn(move || {
            let mut hash = Sha256::new();
            for mut batch in queue {
                hash.update(&batch);
                batch.clear();
                // The queue of empty buffers may be full; then this one is freed.
                let _ = reuse.try_send(batch);
            }
            hash
        });
        Self { batches, empty, thread }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_and_short_streams_have_their_digests() {
        for length in [0, 1, BATCH - 1, BATCH, 5 * BATCH + 7] {
            let bytes: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
            let mut hash = TarHash::default();
            for part in bytes.chunks(10_007) {
                hash.update(part);
            }
            assert_eq!(hash.finish().unwrap(), (Digest::of(&bytes), length as u64));
        }
    }
}

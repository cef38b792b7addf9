//! Uploads a layer: regenerated from its tree and compressed by one thread while another uploads.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use anyhow::{Context as _, Result, anyhow};
use sha2::Digest as _;

use crate::compress::Compression;
use crate::pack::pack_layer;
use crate::registry::repository::{LayerEventFn, Repository};
use crate::registry::upload::{BlobUpload, UploadOutcome};
use dhow_error::{Failure, FailureKind, kind_of};
use dhow_model::digest::Digest;
use dhow_model::progress::LayerEvent;
use dhow_store::Store;

/// Chunk size in bytes; chunks stay in memory until the registry has accepted them. A blob of at most one
/// takes a single request.
const PIECE_SIZE: usize = 8 << 20;
/// How often an upload is restarted.
const MAX_ROUNDS: u32 = 4;
/// Bytes between progress reports.
const REPORT_INTERVAL: u64 = 512 << 10;

/// A blob that is on the registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UploadedBlob {
    pub digest: Digest,
    /// In bytes.
    pub size: u64,
    /// The registry had it already, which shows only once its digest is known.
    pub(crate) existed: bool,
}

enum BlobMessage {
    Piece(Arc<Vec<u8>>),
    End(BlobEnd),
}

/// The end of a compressed blob.
struct BlobEnd {
    digest: Digest,
    /// Of the whole blob, in bytes.
    size: u64,
    /// The last chunk.
    rest: Arc<Vec<u8>>,
}

impl BlobEnd {
    fn uploaded(self, existed: bool) -> UploadedBlob {
        UploadedBlob { digest: self.digest, size: self.size, existed }
    }
}

/// The result of an attempt to upload a blob, or a part of it.
enum UploadAttempt<T> {
    Done(T),
    /// The registry has lost the upload.
    Lost,
    /// Compression ended early.
    Aborted,
}

pub(crate) struct LayerUpload<'a> {
    pub store: &'a Store,
    pub repository: &'a Repository,
    pub diff_id: &'a Digest,
    /// In bytes.
    pub tar_size: u64,
    pub compression: Compression,
    pub notice: LayerEventFn<'a>,
}

impl LayerUpload<'_> {
    /// Uploads the layer, restarting if the registry loses the upload.
    pub(super) fn upload(&self) -> Result<UploadedBlob> {
        for _ in 0..MAX_ROUNDS {
            if let Some(blob) = self.try_upload()? {
                return Ok(blob);
            }
        }
        let message = format!("{} loses the upload again and again", self.repository);
        Err(Failure::new(FailureKind::Network, message).into())
    }

    /// One attempt; `None` if the registry has lost the upload.
    fn try_upload(&self) -> Result<Option<UploadedBlob>> {
        std::thread::scope(|scope| {
            let (sender, receiver) = sync_channel(1);
            let producer = scope.spawn(move || self.produce(sender));
            let sent = self.consume(receiver);
            let produced = producer.join().unwrap_or_else(|_| Err(anyhow!("compressing broke off")));
            match (sent, produced) {
                // If the layer cannot be read, the upload fails only as a consequence.
                (Ok(UploadAttempt::Aborted), Err(error)) if !is_receiver_gone(&error) => Err(error),
                // Otherwise the upload's result counts: a broken pipe in the producer is its consequence.
                (sent, _) => sent.map(|attempt| match attempt {
                    UploadAttempt::Done(blob) => Some(blob),
                    UploadAttempt::Lost | UploadAttempt::Aborted => None,
                }),
            }
        })
    }

    fn produce(&self, sender: SyncSender<BlobMessage>) -> Result<()> {
        let pieces = PieceWriter { sender, buffer: Vec::new(), hash: sha2::Sha256::new(), size: 0 };
        let compressor = self.compression.writer(pieces).context("cannot compress")?;
        let mut counted = ProgressWriter { layer: self, out: compressor, written: 0, reported: 0 };
        pack_layer(self.store, self.diff_id, &mut counted)?;
        Ok(counted.out.finish().context("cannot compress")?.send_end()?)
    }

    fn consume(&self, receiver: Receiver<BlobMessage>) -> Result<UploadAttempt<UploadedBlob>> {
        let first = match receiver.recv() {
            Err(_) => return Ok(UploadAttempt::Aborted),
            Ok(BlobMessage::End(end)) => return self.upload_whole(end),
            Ok(piece) => piece,
        };
        let mut upload = self.repository.begin_upload(self.notice)?;
        match self.upload_pieces(&mut upload, first, receiver) {
            Ok(UploadAttempt::Done(end)) => self.finish(upload, end),
            Ok(UploadAttempt::Lost) => {
                upload.cancel();
                Ok(UploadAttempt::Lost)
            }
            Ok(UploadAttempt::Aborted) => {
                upload.cancel();
                Ok(UploadAttempt::Aborted)
            }
            Err(error) => {
                // After a network error the cancel request would fail or time out too.
                if kind_of(&error) != FailureKind::Network {
                    upload.cancel();
                }
                Err(error)
            }
        }
    }

    /// Uploads a blob that fits into one request; its digest is known in advance, so its existence is checked
    /// first.
    fn upload_whole(&self, end: BlobEnd) -> Result<UploadAttempt<UploadedBlob>> {
        if self.repository.blob_size(&end.digest)?.is_some() {
            return Ok(UploadAttempt::Done(end.uploaded(true)));
        }
        self.finish(self.repository.begin_upload(self.notice)?, end)
    }

    fn finish(&self, upload: BlobUpload<'_>, end: BlobEnd) -> Result<UploadAttempt<UploadedBlob>> {
        Ok(match upload.finish(&end.digest, &end.rest, self.notice)? {
            UploadOutcome::Accepted => UploadAttempt::Done(end.uploaded(false)),
            UploadOutcome::Lost => UploadAttempt::Lost,
        })
    }

    /// Uploads all chunks but the last.
    fn upload_pieces(
        &self,
        upload: &mut BlobUpload<'_>,
        first: BlobMessage,
        receiver: Receiver<BlobMessage>,
    ) -> Result<UploadAttempt<BlobEnd>> {
        let mut pending: Vec<u8> = Vec::new();
        let mut message = Ok(first);
        loop {
            match message {
                Ok(BlobMessage::Piece(piece)) => {
                    // Some registries require a larger minimum chunk size.
                    let chunk = if pending.is_empty() && piece.len() as u64 >= upload.minimum {
                        piece
                    } else {
                        pending.extend_from_slice(&piece);
                        if (pending.len() as u64) < upload.minimum {
                            message = receiver.recv();
                            continue;
                        }
                        Arc::new(std::mem::take(&mut pending))
                    };
                    if upload.send_piece(&chunk, self.notice)? == UploadOutcome::Lost {
                        return Ok(UploadAttempt::Lost);
                    }
                }
                Ok(BlobMessage::End(mut end)) => {
                    if !pending.is_empty() {
                        pending.extend_from_slice(&end.rest);
                        end.rest = Arc::new(pending);
                    }
                    return Ok(UploadAttempt::Done(end));
                }
                Err(_) => return Ok(UploadAttempt::Aborted),
            }
            message = receiver.recv();
        }
    }
}

/// Whether compression ended because the uploading side has stopped.
fn is_receiver_gone(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
    })
}

/// Counts the uncompressed bytes and reports progress.
struct ProgressWriter<'a, 'p, W> {
    layer: &'a LayerUpload<'p>,
    out: W,
    written: u64,
    reported: u64,
}

impl<W: Write> Write for ProgressWriter<'_, '_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let amount = self.out.write(bytes)?;
        self.written += amount as u64;
        if self.written - self.reported >= REPORT_INTERVAL || self.written == self.layer.tar_size {
            self.reported = self.written;
            let total = self.layer.tar_size;
            (self.layer.notice)(LayerEvent::Pushing { current: self.written, total });
        }
        Ok(amount)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Hashes the compressed stream and splits it into chunks.
struct PieceWriter {
    sender: SyncSender<BlobMessage>,
    buffer: Vec<u8>,
    hash: sha2::Sha256,
    size: u64,
}

impl PieceWriter {
    fn send_message(&mut self, message: BlobMessage) -> io::Result<()> {
        self.sender.send(message).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    fn send_end(mut self) -> io::Result<()> {
        let digest = Digest::from_sha256(std::mem::take(&mut self.hash).finalize().as_slice());
        let rest = Arc::new(std::mem::take(&mut self.buffer));
        let size = self.size;
        self.send_message(BlobMessage::End(BlobEnd { digest, size, rest }))
    }
}

impl Write for PieceWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Sent only when more data follows, so that the last chunk is never empty.
        if self.buffer.len() >= PIECE_SIZE {
            let piece = Arc::new(std::mem::take(&mut self.buffer));
            self.send_message(BlobMessage::Piece(piece))?;
        }
        let amount = bytes.len().min(PIECE_SIZE - self.buffer.len());
        let part = bytes.get(..amount).unwrap_or_default();
        self.buffer.extend_from_slice(part);
        self.hash.update(part);
        self.size += amount as u64;
        Ok(amount)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

//! Blob downloads as a stream, verified while read and resumed after an interruption.

use std::io::{self, Read};

use anyhow::{Result, anyhow};
use ureq::http::Response;
use ureq::{Body, BodyReader};

use super::repository::{LayerEventFn, Repository};
use super::retry::RetryBackoff;
use super::text::printable;
use crate::hash::DigestHasher;
use crate::manifest::Descriptor;
use dhow_error::{Failure, FailureKind, corrupt, invalid};
use dhow_model::progress::LayerEvent;

/// Bytes of progress after which the retry count starts again.
const MIN_PROGRESS: u64 = 256 * 1024;

impl Repository {
    /// A stream of a blob's content; it ends with an error unless size and digest are correct.
    pub fn blob<'a>(&'a self, descriptor: &'a Descriptor, notice: LayerEventFn<'a>) -> BlobReader<'a> {
        BlobReader::new(self, descriptor, notice)
    }

    /// A blob of at most `limit` bytes, read into memory.
    pub fn small_blob(&self, descriptor: &Descriptor, limit: u64) -> Result<Vec<u8>> {
        if descriptor.size > limit {
            return Err(invalid(format!(
                "the configuration of {} has {} bytes, more than the {limit} that are allowed",
                self.name(),
                descriptor.size
            ))
            .into());
        }
        read_blob(self.blob(descriptor, &|_| {}))
    }
}

/// Reads a blob. The stream ends without an error only if size and digest are correct.
pub struct BlobReader<'a> {
    repository: &'a Repository,
    descriptor: &'a Descriptor,
    notice: LayerEventFn<'a>,
    body: Option<BodyReader<'static>>,
    hasher: Option<DigestHasher>,
    position: u64,
    backoff: RetryBackoff,
    /// The position at which the retry count last started again.
    progress_mark: u64,
    failure: Option<anyhow::Error>,
}

impl<'a> BlobReader<'a> {
    pub(super) fn new(
        repository: &'a Repository,
        descriptor: &'a Descriptor,
        notice: LayerEventFn<'a>,
    ) -> Self {
        Self {
            repository,
            descriptor,
            notice,
            body: None,
            hasher: Some(DigestHasher::matching(&descriptor.digest)),
            position: 0,
            backoff: repository.backoff(),
            progress_mark: 0,
            failure: None,
        }
    }

    /// Reads to the end, so that size and digest are verified.
    pub fn finish(&mut self) -> Result<()> {
        let end = io::copy(self, &mut io::sink());
        match self.take_failure() {
            Some(failure) => Err(failure),
            None => Ok(end.map(drop)?),
        }
    }

    /// Why reading failed. The error returned by `read` contains only its text.
    pub fn take_failure(&mut self) -> Option<anyhow::Error> {
        self.failure.take()
    }

    fn advance(&mut self, buffer: &mut [u8]) -> Result<usize> {
        self.repository.check_cancelled()?;
        loop {
            let Some(body) = &mut self.body else {
                self.connect()?;
                continue;
            };
            match body.read(buffer) {
                Ok(0) if self.position == self.descriptor.size => return self.verify(),
                // Without Content-Length an interrupted connection looks like a normal end.
                Ok(0) => self.retry_or_fail("the connection ended early")?,
                Ok(count) => return self.accept(buffer, count),
                Err(error) => self.retry_or_fail(&printable(&error.to_string()))?,
            }
        }
    }

    fn accept(&mut self, buffer: &[u8], count: usize) -> Result<usize> {
        let content = buffer.get(..count).unwrap_or_default();
        self.position = self.position.saturating_add(content.len() as u64);
        // Stop at once, so that a server cannot send an endless stream.
        if self.position > self.descriptor.size {
            return Err(self.wrong_size("more").into());
        }
        if let Some(hasher) = &mut self.hasher {
            hasher.update(content);
        }
        if self.position - self.progress_mark >= MIN_PROGRESS {
            self.progress_mark = self.position;
            self.backoff.reset();
        }
        (self.notice)(LayerEvent::Downloading { current: self.position, total: self.descriptor.size });
        Ok(count)
    }

    fn verify(&mut self) -> Result<usize> {
        let Some(hasher) = self.hasher.take() else { return Ok(0) };
        (self.notice)(LayerEvent::VerifyingChecksum);
        let actual = hasher.finish();
        if actual != self.descriptor.digest {
            return Err(corrupt(format!(
                "the content that the registry sent for {} has the digest {actual}",
                self.descriptor.digest
            ))
            .into());
        }
        (self.notice)(LayerEvent::DownloadComplete);
        Ok(0)
    }

    fn retry_or_fail(&mut self, why: &str) -> Result<()> {
        self.body = None;
        let Some(delay) = self.backoff.next(None) else {
            return Err(Failure::new(
                FailureKind::Network,
                format!(
                    "the download of {} from {} was cut at {} of {} bytes: {why}",
                    self.descriptor.digest, self.repository, self.position, self.descriptor.size
                ),
            )
            .into());
        };
        Ok(self.repository.pause(delay, self.notice)?)
    }

    fn connect(&mut self) -> Result<()> {
        let response = self.repository.blob_response(&self.descriptor.digest, self.position, self.notice)?;
        // The server ignored the range: skip what was read already.
        let skip = if response.status().as_u16() == 206 {
            self.check_range(&response)?;
            0
        } else {
            self.check_length(&response)?;
            self.position
        };
        let mut body = response.into_body().into_reader();
        let skipped = io::copy(&mut (&mut body).take(skip), &mut io::sink());
        match skipped {
            Ok(count) if count == skip => {
                self.body = Some(body);
                Ok(())
            }
            Ok(_) => self.retry_or_fail("the connection ended early"),
            Err(error) => self.retry_or_fail(&printable(&error.to_string())),
        }
    }

    /// A 206 response must start at the current position.
    fn check_range(&self, response: &Response<Body>) -> Result<()> {
        let range = response.headers().get("content-range").and_then(|value| value.to_str().ok());
        let start = range
            .and_then(|range| range.trim().strip_prefix("bytes ")?.split('-').next()?.parse::<u64>().ok());
        if start == Some(self.position) {
            return Ok(());
        }
        Err(Failure::new(
            FailureKind::Network,
            format!("{} sent another part of {} than was asked for", self.repository, self.descriptor.digest),
        )
        .into())
    }

    fn check_length(&self, response: &Response<Body>) -> Result<()> {
        match response.body().content_length() {
            Some(length) if length > self.descriptor.size => Err(self.wrong_size("more").into()),
            Some(length) if length < self.descriptor.size => Err(self.wrong_size("fewer").into()),
            _ => Ok(()),
        }
    }

    fn wrong_size(&self, comparison: &str) -> Failure {
        corrupt(format!(
            "{} has {comparison} than the {} bytes that the manifest says",
            self.descriptor.digest, self.descriptor.size
        ))
    }
}

impl Read for BlobReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() || self.hasher.is_none() {
            return Ok(0);
        }
        self.advance(buffer).map_err(|error| {
            let text = format!("{error:#}");
            // Keep the failure, so that a later read does not look like the end of the stream.
            self.failure.get_or_insert(error);
            io::Error::other(text)
        })
    }
}

/// Reads a blob into memory; the caller has checked its size.
fn read_blob(mut blob: BlobReader<'_>) -> Result<Vec<u8>> {
    let mut content = Vec::new();
    match blob.read_to_end(&mut content) {
        Ok(_) => Ok(content),
        Err(error) => Err(blob.take_failure().unwrap_or_else(|| anyhow!(error))),
    }
}

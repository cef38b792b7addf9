//! Uploads: blobs in one or several chunks, resumed after an interruption, and manifests.
//!
//! See the OCI distribution specification, "Push". POST starts an upload; a small blob is sent whole with the
//! final PUT, a larger one in PATCH requests before it.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use ureq::Body;
use ureq::http::{Method, Response, Uri};

use super::error_response::{RequestSubject, error_response};
use super::http::{HttpFailure, HttpRequest, RequestBody};
use super::repository::{LayerEventFn, ManifestRef, Repository, header, is_busy};
use super::retry::{RetryBackoff, retry_after};
use super::text::{host_and_port, percent_encode, printable, resolve_location};
use dhow_error::{Failure, FailureKind};
use dhow_model::digest::Digest;

const OCTET_STREAM: &str = "application/octet-stream";

/// A blob upload in progress.
#[derive(Debug)]
pub(crate) struct BlobUpload<'a> {
    repository: &'a Repository,
    location: Uri,
    /// Bytes that the registry has.
    offset: u64,
    /// Minimum size of all chunks but the last, in bytes (`OCI-Chunk-Min-Length`).
    pub minimum: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UploadOutcome {
    Accepted,
    /// The registry no longer knows the upload, or not all of it: start again.
    Lost,
}

/// The result of a cross-repository mount.
#[derive(Debug)]
pub(crate) enum BlobMount<'a> {
    /// The repository has the blob now.
    Done,
    /// The registry started a normal upload instead.
    Refused(BlobUpload<'a>),
}

impl Repository {
    /// The size of a blob; `None` if the repository does not have it.
    pub(crate) fn blob_size(&self, digest: &Digest) -> Result<Option<u64>> {
        let uri = self.uri(&format!("{}/blobs/{digest}", self.endpoint().repository))?;
        let request = HttpRequest { method: Method::HEAD, ..HttpRequest::get(uri) };
        let mut response = self.request(&request, &self.scope(), &|_| {})?;
        match response.status().as_u16() {
            // The size is informative only; existence is what matters.
            200 => Ok(Some(header(&response, "content-length").parse().unwrap_or(0))),
            404 => Ok(None),
            _ => Err(error_response(&mut response, RequestSubject::Push(self.name())).into()),
        }
    }

    pub(crate) fn begin_upload(&self, notice: LayerEventFn<'_>) -> Result<BlobUpload<'_>> {
        let mut response = self.post("", &self.scope(), notice)?;
        match response.status().as_u16() {
            202 => self.upload_from(&response),
            _ => Err(error_response(&mut response, RequestSubject::Push(self.name())).into()),
        }
    }

    /// Mounts a blob from the repository `from` of the same registry, or starts an upload of it.
    pub(crate) fn mount_blob(
        &self,
        digest: &Digest,
        from: &str,
        notice: LayerEventFn<'_>,
    ) -> Result<BlobMount<'_>> {
        let query = format!("?mount={}&from={}", percent_encode(digest.as_str()), percent_encode(from));
        // Mounting needs pull access to the source repository as well.
        let scope = format!("{} repository:{from}:pull", self.scope());
        let mut response = self.post(&query, &scope, notice)?;
        match response.status().as_u16() {
            201 => Ok(BlobMount::Done),
            202 => Ok(BlobMount::Refused(self.upload_from(&response)?)),
            _ => Err(error_response(&mut response, RequestSubject::Push(self.name())).into()),
        }
    }

    fn post(&self, query: &str, scope: &str, notice: LayerEventFn<'_>) -> Result<Response<Body>> {
        let uri = self.uri(&format!("{}/blobs/uploads/{query}", self.endpoint().repository))?;
        let request =
            HttpRequest { method: Method::POST, content: Some(RequestBody::none()), ..HttpRequest::get(uri) };
        self.request(&request, scope, notice)
    }

    fn upload_from(&self, response: &Response<Body>) -> Result<BlobUpload<'_>> {
        let base = self.uri("")?;
        let location = upload_location(&base, response).ok_or_else(|| {
            Failure::new(FailureKind::Network, "the registry does not say where to upload to")
        })?;
        let minimum = header(response, "oci-chunk-min-length").parse().unwrap_or(0);
        Ok(BlobUpload { repository: self, location, offset: 0, minimum })
    }

    /// Stores a manifest under a tag or its digest.
    pub fn put_manifest(&self, reference: &ManifestRef<'_>, media_type: &str, text: &[u8]) -> Result<()> {
        let uri = self.uri(&format!("{}/manifests/{reference}", self.endpoint().repository))?;
        let request = HttpRequest {
            method: Method::PUT,
            headers: vec![("content-type", media_type.to_owned())],
            content: Some(RequestBody { bytes: Arc::new(text.to_vec()), from: 0 }),
            ..HttpRequest::get(uri)
        };
        let mut response = self.request(&request, &self.scope(), &|_| {})?;
        match response.status().as_u16() {
            200..300 => Ok(()),
            _ => Err(error_response(&mut response, RequestSubject::Push(self.name())).into()),
        }
    }

    pub(crate) fn has_manifest(&self, digest: &Digest) -> Result<bool> {
        let uri = self.uri(&format!("{}/manifests/{digest}", self.endpoint().repository))?;
        let request = HttpRequest {
            method: Method::HEAD,
            // Registries answer 404 for a manifest of a type that is not accepted.
            headers: vec![("accept", "*/*".to_owned())],
            ..HttpRequest::get(uri)
        };
        let response = self.request(&request, &self.scope(), &|_| {})?;
        Ok(response.status().as_u16() == 200)
    }
}

impl BlobUpload<'_> {
    /// Sends the next chunk, resuming where the registry's offset is.
    pub(crate) fn send_piece(
        &mut self,
        bytes: &Arc<Vec<u8>>,
        notice: LayerEventFn<'_>,
    ) -> Result<UploadOutcome> {
        let start = self.offset;
        let end = start.saturating_add(bytes.len() as u64);
        let mut backoff = self.repository.backoff();
        while self.offset < end {
            self.repository.check_cancelled()?;
            let from = usize::try_from(self.offset - start)?;
            let request = self.patch(RequestBody { bytes: bytes.clone(), from }, end);
            let outcome = self.repository.exchange(&request, &self.repository.scope());
            let received = match outcome {
                Ok(response) if matches!(response.status().as_u16(), 200..300) => {
                    self.update_location(&response);
                    // Without a Range header the whole chunk counts as accepted.
                    Some(received_bytes(&response).unwrap_or(end))
                }
                // The chunk does not start at the registry's offset: ask where it is.
                Ok(response) if response.status().as_u16() == 416 => {
                    self.wait_and_query(None, &mut backoff, notice)?
                }
                other => {
                    let wait = self.retry_wait(other)?;
                    if wait == RetryWait::No {
                        return Ok(UploadOutcome::Lost);
                    }
                    self.wait_and_query(wait.delay(), &mut backoff, notice)?
                }
            };
            match received {
                // Only chunk data is still in memory; an offset outside the chunk cannot be continued.
                Some(offset) if (start..=end).contains(&offset) => {
                    if offset > self.offset {
                        backoff.reset();
                    }
                    self.offset = offset;
                }
                _ => return Ok(UploadOutcome::Lost),
            }
        }
        Ok(UploadOutcome::Accepted)
    }

    /// Completes the upload with the last bytes, `rest`, which are the whole blob if none were sent before.
    pub(crate) fn finish(
        mut self,
        digest: &Digest,
        rest: &Arc<Vec<u8>>,
        notice: LayerEventFn<'_>,
    ) -> Result<UploadOutcome> {
        let mut from = 0;
        let start = self.offset;
        let mut backoff = self.repository.backoff();
        loop {
            self.repository.check_cancelled()?;
            let request = self.put(digest, RequestBody { bytes: rest.clone(), from })?;
            let wait = match self.repository.exchange(&request, &self.repository.scope()) {
                Ok(response) if matches!(response.status().as_u16(), 200..300) => {
                    return Ok(UploadOutcome::Accepted);
                }
                other => self.retry_wait(other)?,
            };
            // The request may have succeeded and only its response been lost.
            let retry_delay = if wait == RetryWait::No { None } else { backoff.next(wait.delay()) };
            if let Some(delay) = retry_delay {
                self.repository.pause(delay, notice)?;
            }
            if self.repository.blob_size(digest)?.is_some() {
                return Ok(UploadOutcome::Accepted);
            }
            if retry_delay.is_none() {
                return Ok(UploadOutcome::Lost);
            }
            let end = start.saturating_add(rest.len() as u64);
            match self.query_offset(notice)? {
                Some(offset) if (start..=end).contains(&offset) => from = usize::try_from(offset - start)?,
                _ => return Ok(UploadOutcome::Lost),
            }
        }
    }

    /// Cancels the upload; if that fails, the registry drops it eventually.
    pub(crate) fn cancel(self) {
        let request = HttpRequest { method: Method::DELETE, ..HttpRequest::get(self.location.clone()) };
        let _ = self.repository.exchange(&request, &self.repository.scope());
    }

    fn patch(&self, content: RequestBody, end: u64) -> HttpRequest {
        let range = format!("{}-{}", self.offset, end.saturating_sub(1));
        HttpRequest {
            method: Method::PATCH,
            headers: vec![("content-type", OCTET_STREAM.to_owned()), ("content-range", range)],
            content: Some(content),
            ..HttpRequest::get(self.location.clone())
        }
    }

    fn put(&self, digest: &Digest, content: RequestBody) -> Result<HttpRequest> {
        let text = self.location.to_string();
        // The registry may keep the upload's state in the query.
        let separator = if self.location.query().is_some() { '&' } else { '?' };
        let text = format!("{text}{separator}digest={}", percent_encode(digest.as_str()));
        let uri = text.parse().with_context(|| format!("`{}` is not a URL", printable(&text)))?;
        let headers = vec![("content-type", OCTET_STREAM.to_owned())];
        Ok(HttpRequest { method: Method::PUT, headers, content: Some(content), ..HttpRequest::get(uri) })
    }

    /// How long to wait before a retry after a failed request; an error if it is permanent.
    fn retry_wait(&self, outcome: Result<Response<Body>, HttpFailure>) -> Result<RetryWait> {
        match outcome {
            Ok(response) if is_busy(&response) => Ok(RetryWait::After(retry_after(&response))),
            Ok(response) if matches!(response.status().as_u16(), 404 | 410 | 416) => Ok(RetryWait::No),
            Ok(mut response) => {
                Err(error_response(&mut response, RequestSubject::Push(self.repository.name())).into())
            }
            Err(problem) if self.repository.may_retry(&problem) => Ok(RetryWait::After(None)),
            Err(problem) => Err(problem.failure.into()),
        }
    }

    /// Waits, then queries how much the registry has.
    fn wait_and_query(
        &mut self,
        requested: Option<std::time::Duration>,
        backoff: &mut RetryBackoff,
        notice: LayerEventFn<'_>,
    ) -> Result<Option<u64>> {
        let Some(delay) = backoff.next(requested) else {
            let message = format!("the upload to {} was cut again and again", self.repository);
            return Err(Failure::new(FailureKind::Network, message).into());
        };
        self.repository.pause(delay, notice)?;
        self.query_offset(notice)
    }

    /// Queries how many bytes the registry has; `None` if it no longer knows the upload.
    fn query_offset(&mut self, notice: LayerEventFn<'_>) -> Result<Option<u64>> {
        let request = HttpRequest::get(self.location.clone());
        let response = self.repository.request(&request, &self.repository.scope(), notice)?;
        match response.status().as_u16() {
            200..300 => {
                self.update_location(&response);
                Ok(Some(received_bytes(&response).unwrap_or(0)))
            }
            _ => Ok(None),
        }
    }

    fn update_location(&mut self, response: &Response<Body>) {
        if let Some(next) = upload_location(&self.location, response) {
            self.location = next;
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum RetryWait {
    /// The delay requested by the server, else the default backoff.
    After(Option<std::time::Duration>),
    No,
}

impl RetryWait {
    fn delay(self) -> Option<std::time::Duration> {
        match self {
            Self::After(duration) => duration,
            Self::No => None,
        }
    }
}

/// The upload's next URL. If a TLS-terminating proxy makes the registry answer with an http URL, https is
/// kept.
fn upload_location(base: &Uri, response: &Response<Body>) -> Option<Uri> {
    let location = Some(header(response, "location")).filter(|location| !location.is_empty())?;
    let target = resolve_location(base, &location)?;
    let downgrade = base.scheme_str() == Some("https") && target.scheme_str() == Some("http");
    if !downgrade {
        return Some(target);
    }
    let same_host = host_and_port(base).0 == host_and_port(&target).0;
    let path = target.path_and_query().map_or("/", |path| path.as_str());
    if same_host { resolve_location(base, path) } else { None }
}

/// Parses a `Range` header (`0-N`, inclusive). `0-0` means nothing: no blob is sent byte by byte.
fn received_bytes(response: &Response<Body>) -> Option<u64> {
    let range = header(response, "range");
    let range = range.strip_prefix("bytes=").unwrap_or(&range);
    let last: u64 = range.split_once('-')?.1.trim().parse().ok()?;
    Some(if last == 0 { 0 } else { last.checked_add(1)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(headers: &[(&str, &str)]) -> Response<Body> {
        let mut builder = Response::builder().status(202);
        for (name, value) in headers {
            builder = builder.header(*name, *value);
        }
        builder.body(Body::builder().data("")).unwrap()
    }

    #[test]
    fn ranges_say_how_much_arrived() {
        let got = |range: &str| received_bytes(&response(&[("range", range)]));
        assert_eq!(got("0-0"), Some(0));
        assert_eq!(got("0-99"), Some(100));
        assert_eq!(got("bytes=0-99"), Some(100));
        assert_eq!(got("x"), None);
        assert_eq!(got("0-18446744073709551615"), None);
        assert_eq!(received_bytes(&response(&[])), None);
    }

    #[test]
    fn a_location_keeps_encryption() {
        let base: Uri = "https://r.example/v2/".parse().unwrap();
        let at = |to: &str| upload_location(&base, &response(&[("location", to)])).map(|uri| uri.to_string());
        assert_eq!(at("/v2/a/blobs/uploads/1?x=y").unwrap(), "https://r.example/v2/a/blobs/uploads/1?x=y");
        assert_eq!(at("http://r.example/v2/u?s=1").unwrap(), "https://r.example/v2/u?s=1");
        assert_eq!(at("https://storage.example/u").unwrap(), "https://storage.example/u");
        assert_eq!(at("http://storage.example/u"), None);
        assert_eq!(at(""), None);
    }
}

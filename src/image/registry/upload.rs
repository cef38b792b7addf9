//! Uploads: blobs in one or several chunks, resumed after an interruption, and manifests.
//!
//! See the OCI distribution specification, "Push". POST starts an upload; a small blob is sent whole with the
//! final PUT, a larger one in PATCH requests before it.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use ureq::Body;
use ureq::http::{Method, Response, Uri};

use super::http::{Content, Problem, Request};
use super::refusal::{Asked, refusal};
use super::repository::{Notice, Repository, Which, header, is_busy};
use super::retry::{Backoff, asked};
use super::text::{encode, host_and_port, join, printable};
use crate::error::{Failure, Kind};
use crate::model::digest::Digest;

const BYTES: &str = "application/octet-stream";

/// A blob upload in progress.
#[derive(Debug)]
pub struct Upload<'a> {
    repository: &'a Repository,
    location: Uri,
    /// Bytes that the registry has.
    offset: u64,
    /// Minimum size of all chunks but the last, in bytes (`OCI-Chunk-Min-Length`).
    pub minimum: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    Taken,
    /// The registry no longer knows the upload, or not all of it: start again.
    Lost,
}

/// The result of a cross-repository mount.
#[derive(Debug)]
pub enum Mounted<'a> {
    /// The repository has the blob now.
    Yes,
    /// The registry started a normal upload instead.
    No(Upload<'a>),
}

impl Repository {
    /// The size of a blob; `None` if the repository does not have it.
    pub fn blob_size(&self, digest: &Digest) -> Result<Option<u64>> {
        let uri = self.uri(&format!("{}/blobs/{digest}", self.endpoint().repository))?;
        let request = Request { method: Method::HEAD, ..Request::get(uri) };
        let mut response = self.request(&request, &self.scope(), &|_| {})?;
        match response.status().as_u16() {
            // The size is informative only; existence is what matters.
            200 => Ok(Some(header(&response, "content-length").parse().unwrap_or(0))),
            404 => Ok(None),
            _ => Err(refusal(&mut response, Asked::Push(self.name())).into()),
        }
    }

    pub fn begin_upload(&self, notice: Notice<'_>) -> Result<Upload<'_>> {
        let mut response = self.post("", &self.scope(), notice)?;
        match response.status().as_u16() {
            202 => self.begun(&response),
            _ => Err(refusal(&mut response, Asked::Push(self.name())).into()),
        }
    }

    /// Mounts a blob from the repository `from` of the same registry, or starts an upload of it.
    pub fn mount(&self, digest: &Digest, from: &str, notice: Notice<'_>) -> Result<Mounted<'_>> {
        let query = format!("?mount={}&from={}", encode(digest.as_str()), encode(from));
        // Mounting needs pull access to the source repository as well.
        let scope = format!("{} repository:{from}:pull", self.scope());
        let mut response = self.post(&query, &scope, notice)?;
        match response.status().as_u16() {
            201 => Ok(Mounted::Yes),
            202 => Ok(Mounted::No(self.begun(&response)?)),
            _ => Err(refusal(&mut response, Asked::Push(self.name())).into()),
        }
    }

    fn post(&self, query: &str, scope: &str, notice: Notice<'_>) -> Result<Response<Body>> {
        let uri = self.uri(&format!("{}/blobs/uploads/{query}", self.endpoint().repository))?;
        let request = Request { method: Method::POST, content: Some(Content::none()), ..Request::get(uri) };
        self.request(&request, scope, notice)
    }

    fn begun(&self, response: &Response<Body>) -> Result<Upload<'_>> {
        let base = self.uri("")?;
        let location = location(&base, response)
            .ok_or_else(|| Failure::new(Kind::Network, "the registry does not say where to upload to"))?;
        let minimum = header(response, "oci-chunk-min-length").parse().unwrap_or(0);
        Ok(Upload { repository: self, location, offset: 0, minimum })
    }

    /// Stores a manifest under a tag or its digest.
    pub fn put_manifest(&self, which: &Which<'_>, media_type: &str, text: &[u8]) -> Result<()> {
        let uri = self.uri(&format!("{}/manifests/{which}", self.endpoint().repository))?;
        let request = Request {
            method: Method::PUT,
            headers: vec![("content-type", media_type.to_owned())],
            content: Some(Content { bytes: Arc::new(text.to_vec()), from: 0 }),
            ..Request::get(uri)
        };
        let mut response = self.request(&request, &self.scope(), &|_| {})?;
        match response.status().as_u16() {
            200..300 => Ok(()),
            _ => Err(refusal(&mut response, Asked::Push(self.name())).into()),
        }
    }

    pub fn has_manifest(&self, digest: &Digest) -> Result<bool> {
        let uri = self.uri(&format!("{}/manifests/{digest}", self.endpoint().repository))?;
        let request = Request {
            method: Method::HEAD,
            headers: vec![("accept", "*/*".to_owned())],
            ..Request::get(uri)
        };
        let response = self.request(&request, &self.scope(), &|_| {})?;
        Ok(response.status().as_u16() == 200)
    }
}

impl Upload<'_> {
    /// Sends the next chunk, resuming where the registry's offset is.
    pub fn piece(&mut self, bytes: &Arc<Vec<u8>>, notice: Notice<'_>) -> Result<Sent> {
        let start = self.offset;
        let end = start.saturating_add(bytes.len() as u64);
        let mut backoff = self.repository.backoff();
        while self.offset < end {
            self.repository.check_given_up()?;
            let from = usize::try_from(self.offset - start)?;
            let request = self.patch(Content { bytes: bytes.clone(), from }, end);
            let outcome = self.repository.exchange(&request, &self.repository.scope());
            let known = match outcome {
                Ok(response) if matches!(response.status().as_u16(), 200..300) => {
                    self.follow(&response);
                    // Without a Range header the whole chunk counts as accepted.
                    Some(received(&response).unwrap_or(end))
                }
                // The chunk does not start at the registry's offset: ask where it is.
                Ok(response) if response.status().as_u16() == 416 => {
                    self.asked_again(None, &mut backoff, notice)?
                }
                other => {
                    let wait = self.worth_waiting(other)?;
                    if wait == Wait::No {
                        return Ok(Sent::Lost);
                    }
                    self.asked_again(wait.seconds(), &mut backoff, notice)?
                }
            };
            match known {
                // Only chunk data is still in memory; an offset outside the chunk cannot be continued.
                Some(offset) if (start..=end).contains(&offset) => {
                    if offset > self.offset {
                        backoff.reset();
                    }
                    self.offset = offset;
                }
                _ => return Ok(Sent::Lost),
            }
        }
        Ok(Sent::Taken)
    }

    /// Completes the upload with the last bytes, `rest`, which are the whole blob if none were sent before.
    pub fn finish(mut self, digest: &Digest, rest: &Arc<Vec<u8>>, notice: Notice<'_>) -> Result<Sent> {
        let mut from = 0;
        let start = self.offset;
        let mut backoff = self.repository.backoff();
        loop {
            self.repository.check_given_up()?;
            let request = self.put(digest, Content { bytes: rest.clone(), from })?;
            let wait = match self.repository.exchange(&request, &self.repository.scope()) {
                Ok(response) if matches!(response.status().as_u16(), 200..300) => return Ok(Sent::Taken),
                other => self.worth_waiting(other)?,
            };
            // The request may have succeeded and only its response been lost.
            let waited = if wait == Wait::No { None } else { backoff.next(wait.seconds()) };
            if let Some(delay) = waited {
                self.repository.pause(delay, notice)?;
            }
            if self.repository.blob_size(digest)?.is_some() {
                return Ok(Sent::Taken);
            }
            if waited.is_none() {
                return Ok(Sent::Lost);
            }
            let end = start.saturating_add(rest.len() as u64);
            match self.status(notice)? {
                Some(offset) if (start..=end).contains(&offset) => from = usize::try_from(offset - start)?,
                _ => return Ok(Sent::Lost),
            }
        }
    }

    /// Cancels the upload; if that fails, the registry drops it eventually.
    pub fn cancel(self) {
        let request = Request { method: Method::DELETE, ..Request::get(self.location.clone()) };
        let _ = self.repository.exchange(&request, &self.repository.scope());
    }

    fn patch(&self, content: Content, end: u64) -> Request {
        let range = format!("{}-{}", self.offset, end.saturating_sub(1));
        Request {
            method: Method::PATCH,
            headers: vec![("content-type", BYTES.to_owned()), ("content-range", range)],
            content: Some(content),
            ..Request::get(self.location.clone())
        }
    }

    fn put(&self, digest: &Digest, content: Content) -> Result<Request> {
        let text = self.location.to_string();
        let separator = if self.location.query().is_some() { '&' } else { '?' };
        let text = format!("{text}{separator}digest={}", encode(digest.as_str()));
        let uri = text.parse().with_context(|| format!("`{}` is not a URL", printable(&text)))?;
        let headers = vec![("content-type", BYTES.to_owned())];
        Ok(Request { method: Method::PUT, headers, content: Some(content), ..Request::get(uri) })
    }

    /// How long to wait before a retry after a failed request; an error if it is permanent.
    fn worth_waiting(&self, outcome: Result<Response<Body>, Problem>) -> Result<Wait> {
        match outcome {
            Ok(response) if is_busy(&response) => Ok(Wait::Asked(asked(&response))),
            Ok(response) if matches!(response.status().as_u16(), 404 | 410 | 416) => Ok(Wait::No),
            Ok(mut response) => Err(refusal(&mut response, Asked::Push(self.repository.name())).into()),
            Err(problem) if self.repository.may_retry(&problem) => Ok(Wait::Asked(None)),
            Err(problem) => Err(problem.failure.into()),
        }
    }

    /// Waits, then queries how much the registry has.
    fn asked_again(
        &mut self,
        wanted: Option<std::time::Duration>,
        backoff: &mut Backoff,
        notice: Notice<'_>,
    ) -> Result<Option<u64>> {
        let Some(delay) = backoff.next(wanted) else {
            let message = format!("the upload to {} was cut again and again", self.repository);
            return Err(Failure::new(Kind::Network, message).into());
        };
        self.repository.pause(delay, notice)?;
        self.status(notice)
    }

    /// Queries how many bytes the registry has; `None` if it no longer knows the upload.
    fn status(&mut self, notice: Notice<'_>) -> Result<Option<u64>> {
        let request = Request::get(self.location.clone());
        let response = self.repository.request(&request, &self.repository.scope(), notice)?;
        match response.status().as_u16() {
            200..300 => {
                self.follow(&response);
                Ok(Some(received(&response).unwrap_or(0)))
            }
            _ => Ok(None),
        }
    }

    fn follow(&mut self, response: &Response<Body>) {
        if let Some(next) = location(&self.location, response) {
            self.location = next;
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Wait {
    /// The delay requested by the server, else the default backoff.
    Asked(Option<std::time::Duration>),
    No,
}

impl Wait {
    fn seconds(self) -> Option<std::time::Duration> {
        match self {
            Self::Asked(duration) => duration,
            Self::No => None,
        }
    }
}

/// The upload's next URL. If a TLS-terminating proxy makes the registry answer with an http URL, https is
/// kept.
fn location(base: &Uri, response: &Response<Body>) -> Option<Uri> {
    let said = Some(header(response, "location")).filter(|said| !said.is_empty())?;
    let target = join(base, &said)?;
    let downgrade = base.scheme_str() == Some("https") && target.scheme_str() == Some("http");
    if !downgrade {
        return Some(target);
    }
    let same_host = host_and_port(base).0 == host_and_port(&target).0;
    let path = target.path_and_query().map_or("/", |path| path.as_str());
    if same_host { join(base, path) } else { None }
}

/// Parses a `Range` header (`0-N`, inclusive). `0-0` means nothing: no blob is sent byte by byte.
fn received(response: &Response<Body>) -> Option<u64> {
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
        let got = |range: &str| received(&response(&[("range", range)]));
        assert_eq!(got("0-0"), Some(0));
        assert_eq!(got("0-99"), Some(100));
        assert_eq!(got("bytes=0-99"), Some(100));
        assert_eq!(got("x"), None);
        assert_eq!(got("0-18446744073709551615"), None);
        assert_eq!(received(&response(&[])), None);
    }

    #[test]
    fn a_location_keeps_encryption() {
        let base: Uri = "https://r.example/v2/".parse().unwrap();
        let at = |to: &str| location(&base, &response(&[("location", to)])).map(|uri| uri.to_string());
        assert_eq!(at("/v2/a/blobs/uploads/1?x=y").unwrap(), "https://r.example/v2/a/blobs/uploads/1?x=y");
        assert_eq!(at("http://r.example/v2/u?s=1").unwrap(), "https://r.example/v2/u?s=1");
        assert_eq!(at("https://storage.example/u").unwrap(), "https://storage.example/u");
        assert_eq!(at("http://storage.example/u"), None);
        assert_eq!(at(""), None);
    }
}

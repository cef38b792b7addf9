//! One repository on one server: manifests, tags and blobs, with authentication and retries.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Deserialize;
use ureq::Body;
use ureq::http::{Response, Uri};

use super::auth::{Credential, RegistryAuth};
use super::config::{RegistryEndpoint, RegistryTransport};
use super::error_response::{RequestSubject, error_response};
use super::http::{HttpClient, HttpFailure, HttpRequest, RetryAdvice, authority};
use super::retry::{RetryBackoff, retry_after};
use super::text::{host_and_port, is_loopback, printable, resolve_location, split_port};
use crate::hash::DigestHasher;
use crate::manifest::{DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST};
use dhow_error::{Failure, FailureKind, corrupt, invalid};
use dhow_model::digest::Digest;
use dhow_model::progress::LayerEvent;

/// In bytes; the limit of registries themselves.
const MANIFEST_LIMIT: u64 = 4 << 20;

/// A repository's server with the credential for it.
#[derive(Clone, Debug)]
pub struct RepositorySource {
    pub endpoint: RegistryEndpoint,
    pub credential: Option<Credential>,
}

/// A client for one repository.
#[derive(Debug)]
pub struct Repository {
    http: Arc<HttpClient>,
    authority: RegistryAuth,
    endpoint: RegistryEndpoint,
    base: String,
    verify: bool,
    /// The name shown to the user.
    name: String,
    /// The actions in token scopes: `pull`, or `pull,push`.
    actions: &'static str,
    reached: AtomicBool,
    cancelled: AtomicBool,
}

/// A manifest as received.
#[derive(Clone, Debug)]
pub struct RawManifest {
    /// Exact bytes.
    pub text: Vec<u8>,
    pub digest: Digest,
    /// The `Content-Type` of the response, without parameters.
    pub media_type: String,
}

/// Receives progress and retry events of a transfer.
pub(crate) type LayerEventFn<'a> = &'a (dyn Fn(LayerEvent) + Sync);

impl Repository {
    /// Determines how to connect to the server of `source`. `name` is shown to the user.
    pub fn open(http: Arc<HttpClient>, source: RepositorySource, name: &str) -> Result<Self> {
        Self::open_to(http, source, name, "pull")
    }

    /// Like [`Repository::open`], with access for pushing.
    pub(crate) fn open_to_push(http: Arc<HttpClient>, source: RepositorySource, name: &str) -> Result<Self> {
        Self::open_to(http, source, name, "pull,push")
    }

    fn open_to(
        http: Arc<HttpClient>,
        source: RepositorySource,
        name: &str,
        actions: &'static str,
    ) -> Result<Self> {
        let endpoint = source.endpoint;
        let insecure = matches!(endpoint.transport, RegistryTransport::Insecure | RegistryTransport::Plain);
        let mut repository = Self {
            authority: RegistryAuth::new(source.credential, insecure),
            base: format!("https://{}", endpoint.host),
            verify: true,
            name: name.to_owned(),
            actions,
            reached: AtomicBool::new(false),
            cancelled: AtomicBool::new(false),
            http,
            endpoint,
        };
        match repository.endpoint.transport {
            RegistryTransport::Verified => {}
            RegistryTransport::Plain => repository.base = format!("http://{}", repository.endpoint.host),
            // A user who configured a CA for the registry expects TLS.
            RegistryTransport::Local if repository.http.has_own_authorities(&repository.endpoint.host)? => {}
            RegistryTransport::Local => repository.probe_local_scheme()?,
            RegistryTransport::Insecure => {
                repository.verify = false;
                match is_loopback(split_port(&repository.endpoint.host).0) {
                    true => repository.probe_local_scheme()?,
                    false => repository.probe_scheme()?,
                }
            }
        }
        Ok(repository)
    }

    pub fn endpoint(&self) -> &RegistryEndpoint {
        &self.endpoint
    }

    /// The name shown to the user.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Cancels all transfers: they fail soon, since one of them has failed.
    pub(crate) fn cancel_transfers(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    /// Fails after [`Repository::cancel_transfers`].
    pub(super) fn check_cancelled(&self) -> Result<(), Failure> {
        match self.cancelled.load(Ordering::Relaxed) {
            true => Err(Failure::new(FailureKind::Interrupted, "given up because another layer failed")),
            false => Ok(()),
        }
    }

    /// Waits before a retry and reports the delay.
    pub(super) fn pause(&self, delay: Duration, notice: LayerEventFn<'_>) -> Result<(), Failure> {
        const STEP: Duration = Duration::from_millis(100);
        notice(LayerEvent::Retrying { seconds: delay.as_secs_f64().ceil() as u64 });
        let mut remaining = delay;
        // Sleep in short steps, so that a cancellation is noticed.
        while !remaining.is_zero() {
            self.check_cancelled()?;
            std::thread::sleep(remaining.min(STEP));
            remaining = remaining.saturating_sub(STEP);
        }
        self.check_cancelled()
    }

    /// Tries plain HTTP, then HTTPS. Loopback traffic cannot be intercepted; and servers that expect TLS
    /// reject plain HTTP at once, while plain servers may wait forever for the end of a TLS handshake.
    fn probe_local_scheme(&mut self) -> Result<()> {
        let encrypted = std::mem::replace(&mut self.base, format!("http://{}", self.endpoint.host));
        // TLS servers answer plain HTTP with 400 or redirect to HTTPS.
        let plain = self.ping().is_ok_and(|status| !matches!(status, 300..=400));
        if !plain {
            self.base = encrypted;
            self.ping().map_err(|problem| problem.failure)?;
        }
        Ok(())
    }

    /// Tries HTTPS, then plain HTTP.
    fn probe_scheme(&mut self) -> Result<()> {
        let Err(encrypted) = self.ping() else { return Ok(()) };
        self.base = format!("http://{}", self.endpoint.host);
        match self.ping() {
            Ok(_) => Ok(()),
            // If the server is unreachable without TLS too, the first error is more informative.
            Err(plain) if plain.retry == RetryAdvice::IfReachedBefore => Err(encrypted.failure.into()),
            Err(plain) => Err(plain.failure.into()),
        }
    }

    /// The status of the API's root.
    fn ping(&self) -> Result<u16, HttpFailure> {
        let uri = self.uri("").map_err(|error| HttpFailure {
            failure: invalid(format!("{error:#}")),
            retry: RetryAdvice::Never,
        })?;
        let response = self.http.exchange(&HttpRequest::get(uri), self.verify)?;
        if response.status().as_u16() == 401 {
            self.authority.record_challenges(&response, &self.scope());
        }
        Ok(response.status().as_u16())
    }

    /// The URL of `path` below the API's root.
    pub(super) fn uri(&self, path: &str) -> Result<Uri> {
        let text = format!("{}/v2/{path}", self.base);
        text.parse().with_context(|| format!("`{}` is not a URL", printable(&text)))
    }

    /// The scope to request in a token.
    pub(super) fn scope(&self) -> String {
        format!("repository:{}:{}", self.endpoint.repository, self.actions)
    }

    /// The manifest of a tag or digest. `display_name` is the reference as shown to the user.
    pub fn manifest(&self, reference: &ManifestRef<'_>, display_name: &str) -> Result<RawManifest> {
        let uri = self.uri(&format!("{}/manifests/{reference}", self.endpoint.repository))?;
        let accept = [DOCKER_MANIFEST, DOCKER_LIST, OCI_MANIFEST, OCI_INDEX].join(", ");
        let mut response = self.get(&uri, &[("accept", accept)], &|_| {})?;
        if response.status().as_u16() != 200 {
            let subject = RequestSubject::Manifest { reference: display_name, name: &self.name };
            return Err(error_response(&mut response, subject).into());
        }
        let media_type =
            header(&response, "content-type").split(';').next().unwrap_or_default().trim().to_owned();
        let text = read_limited(&mut response, MANIFEST_LIMIT).with_context(|| {
            format!("cannot read the manifest of {display_name} from {}", self.endpoint.host)
        })?;
        let digest = match reference {
            ManifestRef::Tag(_) => Digest::of(&text),
            ManifestRef::Digest(expected) => check_digest(expected, &text)?,
        };
        Ok(RawManifest { text, digest, media_type })
    }

    /// All tags, in the registry's order.
    pub fn tags(&self) -> Result<Vec<String>> {
        const PAGES: usize = 10_000;
        let mut tags = Vec::new();
        let mut uri = self.uri(&format!("{}/tags/list", self.endpoint.repository))?;
        for _ in 0..PAGES {
            let mut response = self.get(&uri, &[("accept", "application/json".into())], &|_| {})?;
            if response.status().as_u16() != 200 {
                return Err(error_response(&mut response, RequestSubject::Tags(&self.name)).into());
            }
            let next = next_page(&uri, &header(&response, "link"));
            tags.extend(self.read_tags(&mut response)?);
            match next {
                // A `next` link must not lead to another host, which would get the credentials.
                Some(next) if host_and_port(&next) == host_and_port(&uri) && next != uri => uri = next,
                _ => return Ok(tags),
            }
        }
        Err(invalid(format!("the list of tags of {} does not end", self.name)).into())
    }

    fn read_tags(&self, response: &mut Response<Body>) -> Result<Vec<String>> {
        #[derive(Deserialize)]
        struct TagPage {
            tags: Option<Vec<String>>,
        }
        let doing = || format!("cannot read the list of tags of {}", self.name);
        let text = read_limited(response, MANIFEST_LIMIT).with_context(doing)?;
        let page: TagPage = serde_json::from_slice(&text)
            .map_err(|error| invalid(printable(&error.to_string())))
            .with_context(doing)?;
        Ok(page.tags.unwrap_or_default())
    }

    /// The response for a blob from `offset` on: 206, or 200 if the server ignored the range.
    pub(super) fn blob_response(
        &self,
        digest: &Digest,
        offset: u64,
        notice: LayerEventFn<'_>,
    ) -> Result<Response<Body>> {
        let uri = self.uri(&format!("{}/blobs/{digest}", self.endpoint.repository))?;
        let range = (offset > 0).then(|| ("range", format!("bytes={offset}-")));
        let mut response = self.get(&uri, range.as_slice(), notice)?;
        match response.status().as_u16() {
            200 | 206 => Ok(response),
            _ => Err(error_response(&mut response, RequestSubject::Blob(&self.name)).into()),
        }
    }

    pub(super) fn backoff(&self) -> RetryBackoff {
        RetryBackoff::new(self.http.patience().tries, self.http.patience().delay)
    }

    fn get(
        &self,
        uri: &Uri,
        headers: &[(&'static str, String)],
        notice: LayerEventFn<'_>,
    ) -> Result<Response<Body>> {
        let request = HttpRequest { headers: headers.to_vec(), ..HttpRequest::get(uri.clone()) };
        self.request(&request, &self.scope(), notice)
    }

    /// Sends an idempotent request with authentication and retries. The response may have any status.
    pub(super) fn request(
        &self,
        request: &HttpRequest,
        scope: &str,
        notice: LayerEventFn<'_>,
    ) -> Result<Response<Body>> {
        let mut backoff = self.backoff();
        loop {
            let delay = match self.exchange(request, scope) {
                Ok(response) if is_busy(&response) => match backoff.next(retry_after(&response)) {
                    Some(delay) => delay,
                    None => return Ok(response),
                },
                Ok(response) => return Ok(response),
                Err(problem) if self.may_retry(&problem) => match backoff.next(None) {
                    Some(delay) => delay,
                    None => return Err(problem.failure.into()),
                },
                Err(problem) => return Err(problem.failure.into()),
            };
            self.pause(delay, notice)?;
        }
    }

    /// Sends `request` once, and a second time with credentials if the server answers 401.
    pub(super) fn exchange(&self, request: &HttpRequest, scope: &str) -> Result<Response<Body>, HttpFailure> {
        let response = self.send_authorized(request, scope)?;
        if response.status().as_u16() != 401 {
            return Ok(response);
        }
        self.authority.record_challenges(&response, scope);
        self.send_authorized(request, scope)
    }

    fn send_authorized(&self, request: &HttpRequest, scope: &str) -> Result<Response<Body>, HttpFailure> {
        // Uploads may be redirected to storage on another host, which must not get the credentials.
        let same_host =
            self.base.parse::<Uri>().is_ok_and(|base| host_and_port(&base) == host_and_port(&request.uri));
        let authorization =
            if same_host { self.authority.authorization(&self.http, &request.uri, scope)? } else { None };
        let request = HttpRequest { authorization, ..request.clone() };
        let response = self.http.send(&request, self.verify)?;
        self.reached.store(true, Ordering::Relaxed);
        Ok(response)
    }

    /// Whether a retry can help.
    pub(super) fn may_retry(&self, problem: &HttpFailure) -> bool {
        match problem.retry {
            RetryAdvice::Later => true,
            RetryAdvice::IfReachedBefore => self.reached.load(Ordering::Relaxed),
            RetryAdvice::Never => false,
        }
    }

    /// Logs in with the credential. Returns the identity token if the server issued one.
    pub fn login(&self) -> Result<Option<String>> {
        let uri = self.uri("")?;
        // Only one round: a second 401 means that the credential was rejected.
        let mut challenged = false;
        loop {
            let header =
                self.authority.authorization(&self.http, &uri, "").map_err(|problem| problem.failure)?;
            let request = HttpRequest { authorization: header, ..HttpRequest::get(uri.clone()) };
            let mut response = self.http.send(&request, self.verify).map_err(|problem| problem.failure)?;
            match response.status().as_u16() {
                200..300 => return Ok(self.authority.identity()),
                401 if !challenged => {
                    self.authority.record_challenges(&response, "");
                    challenged = true;
                }
                401 | 403 => {
                    return Err(Failure::new(
                        FailureKind::Denied,
                        "unauthorized: incorrect username or password",
                    )
                    .into());
                }
                _ => return Err(error_response(&mut response, RequestSubject::Tags(&self.name)).into()),
            }
        }
    }
}

/// Identifies a manifest within its repository.
#[derive(Clone, Copy, Debug)]
pub enum ManifestRef<'a> {
    Tag(&'a str),
    Digest(&'a Digest),
}

impl std::fmt::Display for ManifestRef<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tag(tag) => f.write_str(tag),
            Self::Digest(digest) => digest.fmt(f),
        }
    }
}

/// Whether the status asks for a later retry.
pub(super) fn is_busy(response: &Response<Body>) -> bool {
    matches!(response.status().as_u16(), 408 | 429 | 500 | 502 | 503 | 504)
}

/// A header's text; empty if it is missing.
pub(super) fn header(response: &Response<Body>, name: &str) -> String {
    response
        .headers()
        .get(name)
        .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
        .unwrap_or_default()
}

fn read_limited(response: &mut Response<Body>, limit: u64) -> Result<Vec<u8>> {
    response.body_mut().with_config().limit(limit).read_to_vec().map_err(|error| {
        let why = match error {
            ureq::Error::BodyExceedsLimit(limit) => format!("it is larger than {limit} bytes"),
            other => printable(&other.to_string()),
        };
        Failure::new(FailureKind::Network, why).into()
    })
}

fn check_digest(expected: &Digest, text: &[u8]) -> Result<Digest> {
    if DigestHasher::digest_like(expected, text) == *expected {
        return Ok(expected.clone());
    }
    Err(corrupt(format!("the manifest that the registry sent for {expected} has another digest")).into())
}

/// The URL of a `Link` header with `rel="next"` (RFC 8288).
fn next_page(base: &Uri, link: &str) -> Option<Uri> {
    let (target, parameters) = link.strip_prefix('<')?.split_once('>')?;
    let next = parameters.split(';').any(|parameter| {
        let parameter = parameter.trim().to_ascii_lowercase();
        parameter == "rel=next" || parameter == "rel=\"next\""
    });
    if next { resolve_location(base, target) } else { None }
}

/// The repository's URL without scheme, for messages.
impl std::fmt::Display for Repository {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.base.parse::<Uri>() {
            Ok(uri) => write!(f, "{}/{}", authority(&uri), self.endpoint.repository),
            Err(_) => f.write_str(&self.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_linked() {
        let base: Uri = "https://r.example/v2/a/tags/list".parse().unwrap();
        let next = |link: &str| next_page(&base, link).map(|uri| uri.to_string());
        assert_eq!(
            next("</v2/a/tags/list?last=x&n=5>; rel=\"next\"").unwrap(),
            "https://r.example/v2/a/tags/list?last=x&n=5"
        );
        assert_eq!(next("<https://other/x>;rel=next").unwrap(), "https://other/x");
        for none in ["", "<x", "</x>; rel=\"prev\"", "x; rel=next"] {
            assert_eq!(next(none), None, "{none}");
        }
    }
}

//! Downloads by http and https for ADD and contexts, with the host's proxies and certificates. A file that
//! the server reports as unchanged is not downloaded again.

use std::fs::File;
use std::io::{Read, Write as _};
use std::path::Path;

use anyhow::{Context as _, Result};
use base64::Engine as _;
use rustix::fs::{CWD, Mode, OFlags, Timespec, Timestamps};
use serde::{Deserialize, Serialize};
use ureq::http::{HeaderMap, StatusCode, Uri};

use dhow_error::{Failure, FailureKind, corrupt, invalid};
use dhow_image::hash::DigestHasher;
use dhow_image::registry::http::{HttpClient, HttpPolicy, HttpRequest, RetryAdvice};
use dhow_image::registry::text::{printable, without_userinfo};
use dhow_model::digest::Digest;
use dhow_model::environment::Environment;

/// The name of a file whose URL and headers give none.
const UNNAMED: &str = "download";
/// `NAME_MAX`.
const MAX_NAME: usize = 255;
const BUFFER: usize = 256 << 10;

/// A downloaded file, as recorded for the next request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DownloadedFile {
    /// As requested.
    pub url: String,
    /// The file name.
    pub name: String,
    /// SHA-256 of the content.
    pub digest: Digest,
    pub(crate) etag: Option<String>,
    /// `Last-Modified`, in seconds since the epoch.
    pub modified: Option<i64>,
    /// In bytes.
    pub size: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DownloadOutcome {
    /// The server answered 304; nothing was written.
    Unchanged,
    Fetched(DownloadedFile),
}

#[derive(Debug)]
pub(crate) struct HttpDownloader {
    http: HttpClient,
}

impl HttpDownloader {
    /// Uses the proxies and certificates of `environment`.
    pub(crate) fn new(environment: &Environment) -> Result<Self> {
        Ok(Self { http: HttpClient::new(environment, HttpPolicy::default())? })
    }

    /// Downloads `url` into the directory `into`, with mode 0600 and the server's modification time. Fails if
    /// the content does not match `checksum`. Transient errors are retried.
    pub(crate) fn fetch(
        &self,
        url: &str,
        checksum: Option<&Digest>,
        previous: Option<&DownloadedFile>,
        into: &Path,
    ) -> Result<DownloadOutcome> {
        let mut attempts = 0;
        loop {
            attempts += 1;
            match self.try_fetch(url, checksum, previous, into) {
                Err(error) if attempts < self.http.patience().tries && is_transient(&error) => {
                    std::thread::sleep(self.http.patience().delay * attempts);
                }
                other => return other.with_context(|| format!("failed to load {}", without_userinfo(url))),
            }
        }
    }

    fn try_fetch(
        &self,
        url: &str,
        checksum: Option<&Digest>,
        previous: Option<&DownloadedFile>,
        into: &Path,
    ) -> Result<DownloadOutcome> {
        let request = build_request(url, previous)?;
        let response = self.http.send(&request, true).map_err(|problem| match problem.retry {
            RetryAdvice::Later => transient(problem.failure),
            _ => problem.failure.into(),
        })?;
        if response.status() == 304 && previous.is_some() {
            return Ok(DownloadOutcome::Unchanged);
        }
        check_status(response.status())?;
        let name = file_name(&request.uri, response.headers());
        let text = |header: &str| {
            response.headers().get(header).and_then(|value| value.to_str().ok()).map(str::to_owned)
        };
        // It is stored and sent back, so its length is limited.
        let etag = text("etag").filter(|etag| etag.len() <= 1024);
        let modified = text("last-modified").and_then(|date| parse_http_date(&date));
        let mut file = File::from(
            rustix::fs::openat(
                CWD,
                into.join(&name),
                OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC,
                Mode::RUSR | Mode::WUSR,
            )
            .context("cannot write it")?,
        );
        let expected_size = response.body().content_length();
        let saved = save(response.into_body().into_reader(), &mut file, checksum)?;
        // Before the digest: a cut transfer is worth another try, a wrong file is not.
        if expected_size.is_some_and(|expected_size| expected_size != saved.size) {
            return Err(transient(corrupt("the connection ended too early")));
        }
        if let (Some(checksum), Some(actual)) = (checksum, saved.checksum)
            && *checksum != actual
        {
            return Err(corrupt(format!("digest mismatch {actual}: {checksum}"))
                .hint("the file at this address is not the one that --checksum names")
                .into());
        }
        // Without Last-Modified the time is 0, whenever the file is downloaded.
        let time = Timespec { tv_sec: modified.unwrap_or_default(), tv_nsec: 0 };
        rustix::fs::futimens(&file, &Timestamps { last_access: time, last_modification: time })?;
        Ok(DownloadOutcome::Fetched(DownloadedFile {
            url: url.to_owned(),
            name,
            digest: saved.digest,
            etag,
            modified,
            size: saved.size,
        }))
    }
}

/// Marks a transient error, which a retry may not meet.
#[derive(Debug)]
struct TransientError;

impl std::fmt::Display for TransientError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("cannot fetch it")
    }
}

/// Adds the context that [`is_transient`] looks for.
fn transient(error: impl Into<anyhow::Error>) -> anyhow::Error {
    error.into().context(TransientError)
}

fn is_transient(error: &anyhow::Error) -> bool {
    error.downcast_ref::<TransientError>().is_some()
}

fn check_status(status: StatusCode) -> Result<()> {
    if status.is_success() {
        return Ok(());
    }
    let gone = matches!(status.as_u16(), 404 | 410);
    let kind = if gone { FailureKind::NotFound } else { FailureKind::Network };
    let failure = Failure::new(kind, format!("invalid response status {status}"));
    Err(if status.is_server_error() { transient(failure) } else { failure.into() })
}

struct SavedBody {
    /// SHA-256.
    digest: Digest,
    size: u64,
    /// The digest by the algorithm of the expected one.
    checksum: Option<Digest>,
}

/// Writes a response's body to a file.
fn save(mut body: impl Read, file: &mut File, checksum: Option<&Digest>) -> Result<SavedBody> {
    let mut hash = sha2::Sha256::default();
    // The recorded digest is always SHA-256; `checksum` may use another algorithm.
    let mut hasher = checksum.map(DigestHasher::matching);
    let mut buffer = vec![0; BUFFER];
    let mut size = 0;
    loop {
        let amount = match body.read(&mut buffer) {
            Ok(0) => break,
            Ok(amount) => amount,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(transient(error)),
        };
        let part = buffer.get(..amount).unwrap_or_default();
        sha2::Digest::update(&mut hash, part);
        if let Some(hasher) = &mut hasher {
            hasher.update(part);
        }
        file.write_all(part).context("cannot write it")?;
        size += amount as u64;
    }
    let digest = Digest::from_sha256(sha2::Digest::finalize(hash).as_slice());
    Ok(SavedBody { digest, size, checksum: hasher.map(DigestHasher::finish) })
}

fn build_request(url: &str, previous: Option<&DownloadedFile>) -> Result<HttpRequest> {
    let url = url.split('#').next().unwrap_or_default();
    let malformed = || invalid(format!("`{}` is not an address", printable(&without_userinfo(url))));
    // User names and passwords in a URL become an Authorization header, as in curl.
    let (bare, user) = match url.split_once("://") {
        Some((scheme, rest)) => {
            let end = rest.find(['/', '?']).unwrap_or(rest.len());
            let (authority, path) = rest.split_at(end);
            match authority.rsplit_once('@') {
                Some((user, host)) => (format!("{scheme}://{host}{path}"), Some(user.to_owned())),
                None => (url.to_owned(), None),
            }
        }
        None => return Err(malformed().into()),
    };
    let uri: Uri = bare.parse().map_err(|_| malformed())?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.host().is_none_or(str::is_empty) {
        return Err(malformed().into());
    }
    let mut request = HttpRequest::get(uri);
    request.authorization = user.map(|user| {
        let encode = |text: &[u8]| base64::engine::general_purpose::STANDARD.encode(text);
        format!("Basic {}", encode(&percent_decode(&user)))
    });
    // An ETag is valid for one URL only.
    if let Some(previous) = previous.filter(|previous| previous.url == url) {
        request.headers.extend(previous.etag.clone().map(|etag| ("if-none-match", etag)));
    }
    Ok(request)
}

/// The last segment of the path, else the name in Content-Disposition.
fn file_name(uri: &Uri, headers: &HeaderMap) -> String {
    let usable = |bytes: Vec<u8>| {
        let name = String::from_utf8(bytes).ok()?;
        let unusable = name.is_empty() || name.len() > MAX_NAME || matches!(&name[..], "." | "..");
        (!unusable && !name.contains(['/', '\0'])).then_some(name)
    };
    let last = uri.path().trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    usable(percent_decode(last))
        .or_else(|| usable(disposition_name(headers)?))
        .unwrap_or_else(|| UNNAMED.to_owned())
}

/// `attachment; filename="x.tar"` (RFC 6266), without leading directories, which would lead out of `into`.
fn disposition_name(headers: &HeaderMap) -> Option<Vec<u8>> {
    let text = headers.get("content-disposition")?.to_str().ok()?;
    let value = text.split(';').find_map(|part| part.trim().strip_prefix("filename="))?;
    let name = value.trim_matches('"').rsplit(['/', '\\']).next()?;
    Some(name.as_bytes().to_vec())
}

/// Decodes percent escapes (RFC 3986, section 2.1).
pub(crate) fn percent_decode(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let digits = tail.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.filter(|_| *first == b'%').and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                rest = tail.get(2..).unwrap_or_default();
            }
            None => {
                out.push(*first);
                rest = tail;
            }
        }
    }
    out
}

/// Parses `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110, section 5.6.7) to seconds since the epoch.
fn parse_http_date(date: &str) -> Option<i64> {
    let moment = jiff::fmt::rfc2822::parse(&date.replace("GMT", "+0000")).ok()?;
    Some(moment.timestamp().as_second())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::io::{BufRead as _, BufReader};
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

    /// A server that sends one prepared answer per request, and returns the requests.
    pub(crate) fn serve(answers: Vec<String>) -> (String, std::thread::JoinHandle<Vec<String>>) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let server = std::thread::spawn(move || {
            let mut asked = Vec::new();
            for answer in answers {
                let (mut stream, _) = listener.accept().unwrap();
                let lines = BufReader::new(stream.try_clone().unwrap()).lines();
                let head: Vec<String> =
                    lines.map(Result::unwrap).take_while(|line| !line.is_empty()).collect();
                asked.push(head.join("\n").to_lowercase());
                stream.write_all(answer.as_bytes()).unwrap();
            }
            asked
        });
        (address, server)
    }

    pub(crate) fn answer(head: &str, body: &str) -> String {
        format!("HTTP/1.1 {head}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}", body.len())
    }

    #[test]
    fn fetches_once_and_asks_again() {
        let first =
            answer("200 OK\r\nETag: \"v1\"\r\nLast-Modified: Sun, 06 Nov 1994 08:49:37 GMT", "content");
        let (address, server) = serve(vec![first, answer("304 Not Modified", "")]);
        let dir = tempfile::tempdir().unwrap();
        let downloader = HttpDownloader::new(&Environment::default()).unwrap();
        let url = format!("{address}/a/b%20c.txt?x=y");
        let DownloadOutcome::Fetched(known) =
            downloader.fetch(&url, Some(&Digest::of(b"content")), None, dir.path()).unwrap()
        else {
            panic!()
        };
        assert_eq!((known.name.as_str(), known.size, known.modified), ("b c.txt", 7, Some(784_111_777)));
        let metadata = std::fs::metadata(dir.path().join("b c.txt")).unwrap();
        assert_eq!((metadata.permissions().mode() & 0o7777, metadata.mtime()), (0o600, 784_111_777));
        assert_eq!(
            downloader.fetch(&url, None, Some(&known), dir.path()).unwrap(),
            DownloadOutcome::Unchanged
        );
        let asked = server.join().unwrap();
        assert!(asked[0].starts_with("get /a/b%20c.txt?x=y") && asked[1].contains("if-none-match: \"v1\""));
    }

    #[test]
    fn the_wrong_content_and_no_content_are_refused() {
        let (address, server) = serve(vec![answer("200 OK", "other"), answer("404 Not Found", "gone")]);
        let dir = tempfile::tempdir().unwrap();
        let downloader = HttpDownloader::new(&Environment::default()).unwrap();
        let fetch =
            || downloader.fetch(&format!("{address}/f"), Some(&Digest::of(b"content")), None, dir.path());
        let error = format!("{:#}", fetch().unwrap_err());
        assert!(error.contains(&format!(
            "digest mismatch {}: {}",
            Digest::of(b"other"),
            Digest::of(b"content")
        )));
        let error = fetch().unwrap_err();
        assert!(format!("{error:#}").contains("invalid response status 404"));
        assert_eq!(dhow_error::kind_of(&error), FailureKind::NotFound);
        server.join().unwrap();
    }

    #[test]
    fn names_stay_in_the_directory() {
        let of = |uri: &str, disposition: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("content-disposition", disposition.parse().unwrap());
            file_name(&uri.parse().unwrap(), &headers)
        };
        assert_eq!(of("http://h/x/y.tar.gz", ""), "y.tar.gz");
        assert_eq!(of("http://h/x/", ""), "x");
        assert_eq!(of("http://h/", "attachment; filename=\"../../a.txt\""), "a.txt");
        assert_eq!(of("http://h/%2e%2e", "attachment; filename=.."), UNNAMED);
        assert_eq!(of("http://h/a%2Fb", ""), UNNAMED);
    }

    #[test]
    fn passwords_go_into_a_header_and_not_into_messages() {
        let asked = build_request("https://me:p%40ss@host/x#part", None).unwrap();
        assert_eq!(asked.uri.to_string(), "https://host/x");
        assert_eq!(asked.authorization.unwrap(), "Basic bWU6cEBzcw==");
        assert_eq!(without_userinfo("https://me:secret@host/x"), "https://host/x");
        for bad in ["ftp://host/x", "host/x", "http:///x", "http://"] {
            assert!(build_request(bad, None).is_err(), "{bad}");
        }
    }
}

//! A small registry in memory, for machines without Debian's: enough of the OCI distribution protocol to push, pull and
//! log in.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use super::image::digest;
use super::scripted_server::{Reply, Request, ScriptedServer};

/// `captain:secret`, which the registry wants where it wants a password.
const AUTHORIZATION: &str = "Basic Y2FwdGFpbjpzZWNyZXQ=";

/// What the registry holds.
#[derive(Default)]
struct Content {
    /// By digest, whichever repository it is in.
    blobs: HashMap<String, Vec<u8>>,
    /// Media type and text by path, `/v2/NAME/manifests/TAG-OR-DIGEST`.
    manifests: HashMap<String, (String, Vec<u8>)>,
    /// Uploads under way.
    uploads: Vec<Vec<u8>>,
}

/// The registry; it lasts as long as the test process.
pub(crate) struct MemoryRegistry(ScriptedServer);

impl MemoryRegistry {
    /// A registry without content that anybody may use.
    pub(crate) fn new() -> Self {
        Self::with(false)
    }

    /// The same for the user `captain` with the password `secret` alone.
    pub(crate) fn with_password() -> Self {
        Self::with(true)
    }

    fn with(password: bool) -> Self {
        let content = Arc::new(Mutex::new(Content::default()));
        Self(ScriptedServer::new(move |request, _| {
            if password && request.header("authorization") != Some(AUTHORIZATION) {
                return Reply::new(401, "").header("WWW-Authenticate", "Basic realm=\"tests\"");
            }
            content.lock().unwrap().answer(request)
        }))
    }

    /// `127.0.0.1:PORT`.
    pub(crate) fn host(&self) -> String {
        self.0.host()
    }

    /// A name in this registry.
    pub(crate) fn name(&self, repository: &str) -> String {
        format!("{}/{repository}", self.host())
    }
}

impl Content {
    fn answer(&mut self, request: &Request) -> Reply {
        let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
        if let Some((_, upload)) = path.split_once("/blobs/uploads/") {
            return self.upload(request, path, upload, query);
        }
        if request.method == "PUT" {
            let media_type = request.header("content-type").unwrap_or_default().to_owned();
            let digest = digest(&request.bytes);
            let (folder, _) = path.rsplit_once('/').expect("a path below /v2/");
            for path in [path.to_owned(), format!("{folder}/{digest}")] {
                self.manifests.insert(path, (media_type.clone(), request.bytes.clone()));
            }
            return Reply::new(201, "").header("Docker-Content-Digest", digest);
        }
        let (media_type, bytes) = if path == "/v2/" {
            ("application/json", &b"{}"[..])
        } else if let Some((media_type, text)) = self.manifests.get(path) {
            (media_type.as_str(), text.as_slice())
        } else if let Some(blob) = path.rsplit_once("/blobs/").and_then(|(_, digest)| self.blobs.get(digest))
        {
            ("application/octet-stream", blob.as_slice())
        } else {
            return Reply::new(404, r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"unknown"}]}"#);
        };
        let body = if request.method == "HEAD" { &[] } else { bytes };
        Reply::new(200, body)
            .claim(bytes.len())
            .header("Content-Type", media_type)
            .header("Docker-Content-Digest", digest(bytes))
    }

    fn upload(&mut self, request: &Request, path: &str, number: &str, query: &str) -> Reply {
        let Ok(number) = number.parse::<usize>() else {
            self.uploads.push(Vec::new());
            return Reply::new(202, "").header("Location", format!("{path}{}", self.uploads.len() - 1));
        };
        self.uploads[number].extend(&request.bytes);
        if request.method != "PUT" {
            let last = self.uploads[number].len().saturating_sub(1);
            return Reply::new(202, "").header("Location", path).header("Range", format!("0-{last}"));
        }
        let blob = std::mem::take(&mut self.uploads[number]);
        let digest = digest(&blob);
        let announced = query.replace("%3A", ":");
        if announced != format!("digest={digest}") {
            return Reply::new(400, r#"{"errors":[{"code":"DIGEST_INVALID","message":"other bytes"}]}"#);
        }
        self.blobs.insert(digest, blob);
        Reply::new(201, "")
    }
}

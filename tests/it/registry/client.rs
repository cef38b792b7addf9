//! The registry client against a scripted server: what is sent, what is retried, what is refused.

use std::io::Read as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::library::error::FailureKind;
use crate::library::error::kind_of;
use crate::library::image::manifest::Descriptor;
use crate::library::image::manifest::OCI_MANIFEST;
use crate::library::image::registry::auth::Credential;
use crate::library::image::registry::config::RegistryEndpoint;
use crate::library::image::registry::config::RegistryTransport;
use crate::library::image::registry::http::HttpClient;
use crate::library::image::registry::http::HttpPolicy;
use crate::library::image::registry::repository::ManifestRef;
use crate::library::image::registry::repository::Repository;
use crate::library::image::registry::repository::RepositorySource;
use crate::library::model::digest::Digest;
use crate::library::model::environment::Environment;
use crate::library::model::progress::LayerEvent;
use crate::support::scripted_server::{Reply, Request, ScriptedServer};

/// Retries quickly and gives up quickly.
const PATIENCE: HttpPolicy = HttpPolicy {
    tries: 4,
    delay: Duration::from_millis(1),
    connect: Duration::from_secs(10),
    idle: Duration::from_secs(10),
};

fn open(host: &str, credential: Option<Credential>) -> anyhow::Result<Repository> {
    open_with(host, credential, PATIENCE)
}

fn open_with(host: &str, credential: Option<Credential>, patience: HttpPolicy) -> anyhow::Result<Repository> {
    let http = Arc::new(HttpClient::new(&Environment::default(), patience)?);
    let endpoint = RegistryEndpoint {
        host: host.into(),
        repository: "some/image".into(),
        transport: RegistryTransport::Local,
        mirror: false,
    };
    Repository::open(http, RepositorySource { endpoint, credential }, "example/some/image")
}

fn password() -> Option<Credential> {
    Some(Credential::Password { username: "captain".into(), password: "secret".into() })
}

fn content() -> Vec<u8> {
    (0..600_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

fn descriptor(content: &[u8]) -> Descriptor {
    let digest = Digest::of(content);
    serde_json::from_value(serde_json::json!({ "digest": digest, "size": content.len() })).unwrap()
}

/// Reads a blob to its end.
fn read(repository: &Repository, descriptor: &Descriptor) -> anyhow::Result<Vec<u8>> {
    let mut blob = repository.blob(descriptor, &|_| {});
    let mut found = Vec::new();
    match blob.read_to_end(&mut found) {
        Ok(_) => Ok(found),
        Err(error) => Err(blob.take_failure().unwrap_or_else(|| anyhow::anyhow!(error))),
    }
}

/// The start of the requested range.
fn start(request: &Request) -> Option<usize> {
    request.header("range")?.strip_prefix("bytes=")?.split('-').next()?.parse().ok()
}

fn is_blob(request: &Request) -> bool {
    request.target.contains("/blobs/")
}

#[test]
fn a_cut_download_goes_on_where_it_ended() {
    let server = ScriptedServer::new(|request, _| {
        let content = content();
        let from = start(request).unwrap_or(0);
        let to = (from + 250_000).min(content.len());
        match is_blob(request) {
            true => Reply::new(if from > 0 { 206 } else { 200 }, &content[from..to])
                .header("Content-Range", format!("bytes {from}-{}/{}", content.len() - 1, content.len()))
                .claim(content.len() - from),
            false => Reply::new(200, ""),
        }
    });
    let repository = open(&server.host(), None).unwrap();
    assert_eq!(read(&repository, &descriptor(&content())).unwrap(), content());
    let ranges: Vec<_> = server.requests().iter().filter(|r| is_blob(r)).map(start).collect();
    assert_eq!(ranges, [None, Some(250_000), Some(500_000)]);
}

#[test]
fn a_server_without_ranges_sends_all_again() {
    let server = ScriptedServer::new(|request, before| {
        let content = content();
        match is_blob(request) {
            true if before < 2 => Reply::new(200, &content[..100_000]).claim(content.len()),
            true => Reply::new(200, content),
            false => Reply::new(200, ""),
        }
    });
    let repository = open(&server.host(), None).unwrap();
    assert_eq!(read(&repository, &descriptor(&content())).unwrap(), content());
}

#[test]
fn a_download_that_never_gets_on_is_given_up() {
    let server = ScriptedServer::new(|request, _| match is_blob(request) {
        true => Reply::new(200, &content()[..1000]).claim(content().len()),
        false => Reply::new(200, ""),
    });
    let repository = open(&server.host(), None).unwrap();
    let error = read(&repository, &descriptor(&content())).unwrap_err();
    assert_eq!(kind_of(&error), FailureKind::Network);
    assert!(error.to_string().contains("was cut at 1000 of 600000 bytes"), "{error}");
    assert_eq!(server.requests().iter().filter(|r| is_blob(r)).count(), 4);
}

#[test]
fn silence_counts_as_a_cut() {
    let server = ScriptedServer::new(|request, before| match is_blob(request) {
        true if before < 2 => Reply::new(200, &content()[..5000]).claim(content().len()).stall(),
        true => Reply::new(206, &content()[5000..]).header("Content-Range", "bytes 5000-599999/600000"),
        false => Reply::new(200, ""),
    });
    let patience = HttpPolicy { idle: Duration::from_millis(300), ..PATIENCE };
    let repository = open_with(&server.host(), None, patience).unwrap();
    assert_eq!(read(&repository, &descriptor(&content())).unwrap(), content());
}

#[test]
fn sizes_and_digests_are_held_to() {
    type Case = (&'static str, fn() -> Reply, &'static str);
    let cases: [Case; 5] = [
        ("longer than said", || Reply::new(200, [content(), vec![1]].concat()), "more than the 600000 bytes"),
        ("shorter than said", || Reply::new(200, &content()[1..]), "fewer than the 600000 bytes"),
        (
            "changed",
            || Reply::new(200, [vec![255], content()[1..].to_vec()].concat()),
            "has the digest sha256:",
        ),
        ("gone", || Reply::new(404, r#"{"errors":[{"code":"BLOB_UNKNOWN"}]}"#), "blob unknown"),
        ("forbidden", || Reply::new(403, ""), "denied"),
    ];
    for (case, reply, expected) in cases {
        let server = ScriptedServer::new(
            move |request, _| if is_blob(request) { reply() } else { Reply::new(200, "") },
        );
        let repository = open(&server.host(), None).unwrap();
        let error = read(&repository, &descriptor(&content())).unwrap_err();
        assert!(error.to_string().contains(expected), "{case}: {error}");
    }
    let server = ScriptedServer::new(|request, _| match start(request) {
        Some(_) => Reply::new(206, &content()[99..]).header("Content-Range", "bytes 99-599999/600000"),
        None if is_blob(request) => Reply::new(200, &content()[..100]).claim(content().len()),
        None => Reply::new(200, ""),
    });
    let error = read(&open(&server.host(), None).unwrap(), &descriptor(&content())).unwrap_err();
    assert!(error.to_string().contains("another part"), "{error}");
}

#[test]
fn a_busy_registry_is_asked_again_when_it_says() {
    let server = ScriptedServer::new(|request, before| match (is_blob(request), before) {
        (true, 1) => Reply::new(429, "").header("Retry-After", "0"),
        (true, 2) => Reply::new(503, "down"),
        (true, _) => Reply::new(200, content()),
        _ => Reply::new(200, ""),
    });
    let repository = open(&server.host(), None).unwrap();
    let descriptor = descriptor(&content());
    let events = Mutex::new(Vec::new());
    let notice = |event| events.lock().unwrap().push(event);
    repository.blob(&descriptor, &notice).finish().unwrap();
    let events = events.into_inner().unwrap();
    assert_eq!(events[0], LayerEvent::Retrying { seconds: 0 });
    assert_eq!(events[1], LayerEvent::Retrying { seconds: 1 });
    assert_eq!(events.last(), Some(&LayerEvent::DownloadComplete));
}

#[test]
fn tries_are_bounded_and_long_waits_refused() {
    let server =
        ScriptedServer::new(|_, before| if before == 0 { Reply::new(200, "") } else { Reply::new(500, "") });
    let repository = open(&server.host(), None).unwrap();
    let error = repository.manifest(&ManifestRef::Tag("1"), "x:1").unwrap_err();
    assert_eq!(error.to_string(), "the registry answers with status 500");
    assert_eq!(server.requests().len(), 5);
    let limit =
        r#"{"errors":[{"code":"TOOMANYREQUESTS","message":"You have reached your pull rate limit."}]}"#;
    let server = ScriptedServer::new(move |_, before| match before {
        0 => Reply::new(200, ""),
        _ => Reply::new(429, limit).header("Retry-After", "21600"),
    });
    let repository = open(&server.host(), None).unwrap();
    let error = repository.manifest(&ManifestRef::Tag("1"), "x:1").unwrap_err();
    assert!(error.to_string().contains("pull rate limit"), "{error}");
    assert_eq!(server.requests().len(), 2);
}

#[test]
fn credentials_do_not_follow_to_another_host() {
    let storage = ScriptedServer::new(|_, _| Reply::new(200, content()));
    let elsewhere = format!("http://{}/data?signature=x", storage.host());
    let server =
        ScriptedServer::new(move |request, _| match (request.header("authorization"), is_blob(request)) {
            (None, _) => Reply::new(401, "").header("WWW-Authenticate", "Basic realm=\"x\""),
            (_, true) if request.target.ends_with("?again") => {
                Reply::new(307, "").header("Location", elsewhere.clone())
            }
            (_, true) => Reply::new(302, "").header("Location", format!("{}?again", request.target)),
            _ => Reply::new(200, ""),
        });
    let repository = open(&server.host(), password()).unwrap();
    assert_eq!(read(&repository, &descriptor(&content())).unwrap(), content());
    let asked = server.requests();
    assert_eq!(asked.last().unwrap().header("authorization"), Some("Basic Y2FwdGFpbjpzZWNyZXQ="));
    assert_eq!(storage.requests()[0].header("authorization"), None);
    assert_eq!(storage.requests()[0].target, "/data?signature=x");
}

#[test]
fn redirects_end() {
    let server = ScriptedServer::new(|request, before| match before {
        0 => Reply::new(200, ""),
        _ => Reply::new(302, "").header("Location", request.target.clone()),
    });
    let repository = open(&server.host(), None).unwrap();
    let error = repository.manifest(&ManifestRef::Tag("1"), "x:1").unwrap_err();
    assert!(error.to_string().contains("again and again"), "{error}");
    assert!(server.requests().len() < 12);
}

/// A token server with the user `captain`, and a registry that refers clients to it.
fn guarded(answer: fn(&Request) -> Reply) -> (ScriptedServer, ScriptedServer) {
    let tokens = ScriptedServer::new(move |request, _| answer(request));
    let realm = format!("Bearer realm=\"http://{}/token\",service=\"fleet\"", tokens.host());
    let server = ScriptedServer::new(move |request, _| match request.header("authorization") {
        Some("Bearer good") if request.target.contains("/manifests/") => {
            Reply::new(200, r#"{"schemaVersion":2}"#).header("Content-Type", OCI_MANIFEST)
        }
        Some("Bearer good") if is_blob(request) => Reply::new(200, content()),
        _ => Reply::new(401, r#"{"errors":[{"code":"UNAUTHORIZED"}]}"#)
            .header("WWW-Authenticate", realm.clone()),
    });
    (tokens, server)
}

#[test]
fn one_token_serves_a_whole_pull() {
    let (tokens, server) = guarded(|request| match request.header("authorization") {
        Some("Basic Y2FwdGFpbjpzZWNyZXQ=") => Reply::new(200, r#"{"access_token":"good","expires_in":300}"#),
        _ => Reply::new(401, r#"{"details":"incorrect username or password"}"#),
    });
    let repository = open(&server.host(), password()).unwrap();
    repository.manifest(&ManifestRef::Tag("1"), "x:1").unwrap();
    read(&repository, &descriptor(&content())).unwrap();
    assert_eq!(tokens.requests().len(), 1);
    let asked = &tokens.requests()[0];
    assert_eq!(asked.target, "/token?service=fleet&scope=repository%3Asome%2Fimage%3Apull&account=captain");
    let anonymous = open(&server.host(), None).unwrap();
    let error = anonymous.manifest(&ManifestRef::Tag("1"), "x:1").unwrap_err();
    assert_eq!(kind_of(&error), FailureKind::Denied);
    assert!(error.to_string().contains("incorrect username or password"), "{error}");
}

#[test]
fn an_identity_token_is_exchanged() {
    let (tokens, server) = guarded(|request| match request.method.as_str() {
        "POST" if request.body.contains("refresh_token=id") => Reply::new(200, r#"{"access_token":"good"}"#),
        _ => Reply::new(400, ""),
    });
    let repository = open(&server.host(), Some(Credential::Identity("id".into()))).unwrap();
    repository.manifest(&ManifestRef::Tag("1"), "x:1").unwrap();
    assert!(
        tokens.requests()[0].body.starts_with("grant_type=refresh_token&service=fleet&client_id=dhow&scope=")
    );
}

#[test]
fn a_login_is_proven_and_may_yield_an_identity_token() {
    let tokens = ScriptedServer::new(|request, _| match request.header("authorization") {
        Some("Basic Y2FwdGFpbjpzZWNyZXQ=") if request.target.contains("offline_token=true") => {
            Reply::new(200, r#"{"token":"good","refresh_token":"identity"}"#)
        }
        _ => Reply::new(401, ""),
    });
    let realm = format!("Bearer realm=\"http://{}/token\",service=\"fleet\"", tokens.host());
    let server = ScriptedServer::new(move |request, _| match request.header("authorization") {
        Some("Bearer good") => Reply::new(200, "{}"),
        _ => Reply::new(401, "").header("WWW-Authenticate", realm.clone()),
    });
    assert_eq!(open(&server.host(), password()).unwrap().login().unwrap().as_deref(), Some("identity"));
    let wrong = Credential::Password { username: "captain".into(), password: "wrong".into() };
    let error = open(&server.host(), Some(wrong)).unwrap().login().unwrap_err();
    assert_eq!(error.to_string(), "unauthorized: incorrect username or password");
    let error = open(&server.host(), None).unwrap().tags().unwrap_err();
    assert_eq!(error.to_string(), "unauthorized: authentication required");
}

#[test]
fn a_token_that_is_refused_is_not_tried_for_ever() {
    let (tokens, server) = guarded(|_| Reply::new(200, r#"{"token":"bad"}"#));
    let repository = open(&server.host(), None).unwrap();
    let error = repository.manifest(&ManifestRef::Tag("1"), "x:1").unwrap_err();
    assert!(error.to_string().contains("pull access denied for example/some/image"), "{error}");
    assert!(tokens.requests().len() <= 2);
}

#[test]
fn manifests_are_checked() {
    let digest = Digest::of(b"{}");
    let server = ScriptedServer::new(|request, _| match request.target.rsplit('/').next().unwrap() {
        "large" => Reply::new(200, vec![b' '; (4 << 20) + 1]),
        "none" => Reply::new(404, r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#),
        "html" => Reply::new(404, "<html>"),
        _ => Reply::new(200, "[]"),
    });
    let repository = open(&server.host(), None).unwrap();
    let fails = |which: ManifestRef<'_>| repository.manifest(&which, "x:1").unwrap_err();
    assert_eq!(kind_of(&fails(ManifestRef::Digest(&digest))), FailureKind::Corrupt);
    assert!(format!("{:#}", fails(ManifestRef::Tag("large"))).contains("larger than"));
    for missing in ["none", "html"] {
        assert_eq!(
            fails(ManifestRef::Tag(missing)).to_string(),
            "manifest for x:1 not found: manifest unknown"
        );
    }
}

#[test]
fn tags_come_in_pages_from_one_host() {
    let stranger = ScriptedServer::new(|_, _| Reply::new(200, r#"{"tags":["stolen"]}"#));
    let away = format!("<http://{}/v2/x>; rel=\"next\"", stranger.host());
    let server = ScriptedServer::new(move |request, _| match request.target.as_str() {
        "/v2/some/image/tags/list" => Reply::new(200, r#"{"tags":["a","b"]}"#)
            .header("Link", "</v2/some/image/tags/list?last=b>; rel=\"next\""),
        "/v2/some/image/tags/list?last=b" => {
            Reply::new(200, r#"{"tags":["c"]}"#).header("Link", away.clone())
        }
        _ => Reply::new(200, ""),
    });
    let repository = open(&server.host(), None).unwrap();
    assert_eq!(repository.tags().unwrap(), ["a", "b", "c"]);
    assert!(stranger.requests().is_empty());
}

#[test]
fn a_proxy_is_used_for_other_hosts() {
    let proxy = ScriptedServer::new(|request, _| match request.method.as_str() {
        "CONNECT" => Reply::new(200, ""),
        _ => Reply::new(200, r#"{"tags":["through"]}"#),
    });
    let environment = Environment::from_iter([
        ("http_proxy", format!("http://me:pw@{}", proxy.host())),
        ("NO_PROXY", "x".into()),
    ]);
    let http = Arc::new(HttpClient::new(&environment, PATIENCE).unwrap());
    let endpoint = RegistryEndpoint {
        host: "registry.invalid:5000".into(),
        repository: "a".into(),
        transport: RegistryTransport::Plain,
        mirror: false,
    };
    let repository = Repository::open(http, RepositorySource { endpoint, credential: None }, "a").unwrap();
    assert_eq!(repository.tags().unwrap(), ["through"]);
    let connect = &proxy.requests()[0];
    assert_eq!((connect.method.as_str(), connect.target.as_str()), ("CONNECT", "registry.invalid:5000"));
    assert_eq!(connect.header("proxy-authorization"), Some("Basic bWU6cHc="));
}

#[test]
fn a_credential_does_not_cross_the_network_unencrypted() {
    let proxy = ScriptedServer::new(|request, _| match request.method.as_str() {
        "CONNECT" => Reply::new(200, ""),
        _ => Reply::new(401, "").header("WWW-Authenticate", "Bearer realm=\"http://tokens.invalid/\""),
    });
    let environment = Environment::from_iter([("http_proxy", format!("http://{}", proxy.host()))]);
    let http = Arc::new(HttpClient::new(&environment, PATIENCE).unwrap());
    let endpoint = RegistryEndpoint {
        host: "registry.invalid".into(),
        repository: "a".into(),
        transport: RegistryTransport::Plain,
        mirror: false,
    };
    let source = RepositorySource { endpoint, credential: password() };
    let error = Repository::open(http, source, "a").unwrap().tags().unwrap_err();
    assert!(error.to_string().contains("without encryption"), "{error}");
    assert!(proxy.requests().iter().all(|request| request.header("authorization").is_none()));
}

/// A TLS server that requires a client certificate of its own authority, and answers with files.
struct Strict {
    dir: tempfile::TempDir,
    child: std::process::Child,
    host: String,
}

impl Strict {
    fn new() -> Option<Self> {
        crate::support::have_programs(&["openssl"]).then_some(())?;
        let dir = tempfile::tempdir().unwrap();
        let openssl = |line: &str| {
            let mut command = std::process::Command::new("openssl");
            let output = command.current_dir(dir.path()).args(line.split_whitespace()).output().unwrap();
            assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        };
        let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
        openssl(&format!("req -x509 {key} -days 2 -subj /CN=authority -keyout ca.key -out ca.pem"));
        std::fs::write(dir.path().join("names"), "subjectAltName=IP:127.0.0.1\n").unwrap();
        for name in ["server", "client"] {
            openssl(&format!("req {key} -subj /CN={name} -keyout {name}.key -out {name}.csr"));
            openssl(&format!(
                "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names -out {name}.pem"
            ));
        }
        let list = dir.path().join("v2/some/image/tags/list");
        std::fs::create_dir_all(list.parent().unwrap()).unwrap();
        std::fs::write(list, "HTTP/1.0 200 OK\r\n\r\n{\"tags\":[\"seen\"]}").unwrap();
        let host = format!("127.0.0.1:{}", crate::support::registry::free_port());
        let child = std::process::Command::new("openssl")
            .current_dir(dir.path())
            .args([
                "s_server",
                "-quiet",
                "-HTTP",
                "-Verify",
                "1",
                "-verify_return_error",
                "-CAfile",
                "ca.pem",
            ])
            .args(["-cert", "server.pem", "-key", "server.key", "-accept", &host])
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let server = Self { dir, child, host };
        server.wait();
        Some(server)
    }

    /// Waits until it listens, by connecting: it prints nothing.
    fn wait(&self) {
        let begin = std::time::Instant::now();
        while std::net::TcpStream::connect(&self.host).is_err() {
            assert!(begin.elapsed() < Duration::from_secs(30), "openssl s_server does not listen");
            std::thread::yield_now();
        }
    }

    /// The tags that a user sees with these files (name there, name here) in `~/.docker/certs.d/HOST`.
    fn tags(&self, files: &[(&str, &str)]) -> anyhow::Result<Vec<String>> {
        let home = tempfile::tempdir().unwrap();
        let place = home.path().join(".docker/certs.d").join(&self.host);
        std::fs::create_dir_all(&place).unwrap();
        for (to, from) in files {
            std::fs::copy(self.dir.path().join(from), place.join(to)).unwrap();
        }
        let environment = Environment::from_iter([("HOME", home.path())]);
        let endpoint = RegistryEndpoint {
            host: self.host.clone(),
            repository: "some/image".into(),
            transport: RegistryTransport::Verified,
            mirror: false,
        };
        let http = Arc::new(HttpClient::new(&environment, PATIENCE)?);
        Repository::open(http, RepositorySource { endpoint, credential: None }, "some/image")?.tags()
    }
}

impl Drop for Strict {
    fn drop(&mut self) {
        // Failing means that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_client_certificate_is_shown_where_there_is_one() {
    let Some(server) = Strict::new() else { return };
    let ca = ("ca.crt", "ca.pem");
    let tags = server.tags(&[ca, ("client.cert", "client.pem"), ("client.key", "client.key")]).unwrap();
    assert_eq!(tags, ["seen"]);
    let error = server.tags(&[ca]).unwrap_err();
    assert_eq!(kind_of(&error), FailureKind::Network, "{error}");
    let error = server.tags(&[("client.cert", "client.pem"), ("client.key", "client.key")]).unwrap_err();
    assert!(error.to_string().contains("certificate of 127.0.0.1"), "{error}");
    let error = server.tags(&[ca, ("client.cert", "client.pem"), ("client.key", "server.key")]).unwrap_err();
    assert!(error.to_string().contains("client certificate"), "{error}");
}

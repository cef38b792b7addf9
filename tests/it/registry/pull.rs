//! Pulling from Debian's registry into a store, without the command line: mirrors, authorities, accounts, sources.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use crate::library::engine::registry::{login, logout};
use crate::library::error::FailureKind;
use crate::library::error::kind_of;
use crate::library::image::pull::request::PullRequest;
use crate::library::image::pull::request::PullResult;
use crate::library::image::pull::request::fetch;
use crate::library::image::pull::request::prepare;
use crate::library::image::registry::auth::Credential;
use crate::library::image::registry::credentials::CredentialLocation;
use crate::library::model::environment::Environment;
use crate::library::model::layer::LayerOwnership;
use crate::library::model::progress::LayerEvent;
use crate::library::model::progress::LayerProgress;
use crate::library::store::Store;
use crate::support::registry::{Options, PASSWORD, USER};
use crate::support::scripted_server::{Reply, ScriptedServer};
use crate::support::{Registry, fixtures};

/// A user with a home and a store.
struct User {
    dir: tempfile::TempDir,
}

impl User {
    fn new() -> Self {
        Self { dir: tempfile::tempdir_in("/var/tmp").unwrap() }
    }

    fn home(&self) -> &Path {
        self.dir.path()
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.home().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    fn environment(&self) -> Environment {
        Environment::from_iter([("HOME", self.home().to_owned())])
    }

    fn store(&self) -> Store {
        Store::open(self.home().join("store")).unwrap()
    }

    fn pull(&self, name: &str) -> anyhow::Result<Vec<PullResult>> {
        self.pull_with(
            PullRequest { reference: name.parse()?, all_tags: false, platform: None },
            &Log::default(),
        )
    }

    fn pull_with(&self, request: PullRequest, log: &Log) -> anyhow::Result<Vec<PullResult>> {
        fetch(&self.store(), &prepare(&self.environment(), request)?, LayerOwnership::Single, log)
    }
}

#[derive(Default)]
struct Log(Mutex<Vec<String>>);

impl Log {
    fn lines(self) -> Vec<String> {
        self.0.into_inner().unwrap()
    }
}

impl LayerProgress for Log {
    fn event(&self, layer: &str, event: LayerEvent) {
        if event.bytes().is_none() {
            self.0.lock().unwrap().push(format!("{layer}: {event}"));
        }
    }

    fn line(&self, text: &str) {
        self.0.lock().unwrap().push(text.to_owned());
    }
}

#[test]
fn an_image_arrives_with_its_name_digest_and_sources() {
    let Some(registry) = Registry::plain() else { return };
    let (user, image) = (User::new(), fixtures::multi_user());
    registry.push(image, "fleet/multi:1");
    let name = registry.name("fleet/multi:1");
    let log = Log::default();
    let request = PullRequest { reference: name.parse().unwrap(), all_tags: false, platform: None };
    let pulled = user.pull_with(request, &log).unwrap().remove(0);
    assert!(pulled.newer && pulled.warning.is_none());
    assert_eq!(pulled.id.as_str(), image.id());
    let lines = log.lines();
    assert_eq!(lines[0], "1: Pulling from fleet/multi");
    assert_eq!(lines.iter().filter(|line| line.ends_with(": Pull complete")).count(), 4);
    assert_eq!(lines[lines.len() - 2], format!("Digest: {}", pulled.digest));
    assert_eq!(lines[lines.len() - 1], format!("Status: Downloaded newer image for {name}"));
    let store = user.store();
    let stored = store.find_image(&name).unwrap();
    for diff_id in &stored.config.rootfs.diff_ids {
        let source = &store.layer(diff_id).unwrap().unwrap().sources[0];
        assert_eq!(
            (source.registry.as_str(), source.repository.as_str()),
            (registry.host().as_str(), "fleet/multi")
        );
        assert!(registry.blob(source.digest.as_str()).exists());
    }
    let pinned = format!("{}@{}", registry.name("fleet/multi"), pulled.digest);
    assert_eq!(store.find_image(&pinned).unwrap().id, pulled.id);
    assert!(!user.pull(&name).unwrap()[0].newer);
    assert!(fs::read_dir(store.root().join("tmp")).map_or(0, Iterator::count) == 0);
}

#[test]
fn a_mirror_that_fails_is_passed_over() {
    let Some(registry) = Registry::plain() else { return };
    let (user, image) = (User::new(), fixtures::busybox());
    registry.push(image, "library/busy:1");
    let broken = ScriptedServer::new(|_, _| Reply::new(404, ""));
    let mirror = |host: &str| format!("[[registry.mirror]]\nlocation = \"{host}\"\ninsecure = true\n");
    let settings = format!(
        "[[registry]]\nlocation = \"docker.io\"\n{}{}",
        mirror(&broken.host()),
        mirror(&registry.host())
    );
    user.write(".config/containers/registries.conf", settings);
    let pulled = user.pull("busy:1").unwrap().remove(0);
    assert_eq!(pulled.id.as_str(), image.id());
    assert_eq!(pulled.reference.to_string(), "docker.io/library/busy:1");
    assert!(broken.requests().iter().any(|request| request.target.ends_with("/library/busy/manifests/1")));
    user.write(
        ".config/containers/registries.conf",
        "[[registry]]\nlocation = \"docker.io\"\nblocked = true\n",
    );
    assert_eq!(kind_of(&user.pull("busy:1").unwrap_err()), FailureKind::Denied);
}

#[test]
fn an_own_authority_makes_a_registry_trusted() {
    let Some(registry) = Registry::with(Options { tls: true, password: true }) else { return };
    let user = User::new();
    registry.push(fixtures::busybox(), "secure:1");
    let name = registry.name("secure:1");
    let error = format!("{:#}", user.pull(&name).unwrap_err());
    assert!(error.contains("certificate") && error.contains(&registry.host()), "{error}");
    let place = format!(".config/containers/certs.d/{}/ca.crt", registry.host());
    user.write(&place, fs::read(registry.ca()).unwrap());
    let error = format!("{:#}", user.pull(&name).unwrap_err());
    assert!(error.contains("pull access denied") && error.contains("dhow login"), "{error}");
    let credential = Credential::Password { username: USER.into(), password: PASSWORD.into() };
    let proven = login::verify_credential(&user.environment(), &registry.host(), &credential).unwrap();
    login::store_credential(&user.environment(), &registry.host(), &proven).unwrap();
    user.pull(&name).unwrap();
    fs::remove_file(user.home().join(&place)).unwrap();
    let conf = format!("[[registry]]\nlocation = \"{}\"\ninsecure = true\n", registry.host());
    user.write(".config/containers/registries.conf", conf);
    user.pull(&name).unwrap();
}

#[test]
fn login_keeps_only_what_the_registry_accepts() {
    let Some(registry) = Registry::with(Options { tls: false, password: true }) else { return };
    let (user, host) = (User::new(), registry.host());
    let environment = user.environment();
    let wrong = Credential::Password { username: USER.into(), password: "wrong".into() };
    let error = login::verify_credential(&environment, &host, &wrong).unwrap_err();
    assert_eq!(kind_of(&error), FailureKind::Denied);
    assert!(format!("{error:#}").contains("incorrect username or password"), "{error:#}");
    let right = Credential::Password { username: USER.into(), password: PASSWORD.into() };
    let proven = login::verify_credential(&environment, &host, &right).unwrap();
    let stored = login::store_credential(&environment, &host, &proven).unwrap();
    assert_eq!(stored, CredentialLocation::File(user.home().join(".docker/config.json")));
    assert_eq!(login::stored_login(&environment, &host).unwrap().credential, Some(right));
    registry.push(fixtures::busybox(), "closed:1");
    user.pull(&registry.name("closed:1")).unwrap();
    assert!(logout::erase_credential(&environment, &host).unwrap());
    assert!(user.pull(&registry.name("closed:1")).is_err());
}

#[test]
fn a_layer_that_lies_leaves_nothing() {
    let Some(registry) = Registry::plain() else { return };
    let (user, image) = (User::new(), fixtures::multi_user());
    registry.push(image, "lies:1");
    // Another image's configuration names the same layers in another order.
    let mut config: serde_json::Value = serde_json::from_slice(&image.config_bytes()).unwrap();
    config["rootfs"]["diff_ids"].as_array_mut().unwrap().reverse();
    let config = config.to_string();
    let upstream = registry.host();
    let server = ScriptedServer::new(move |request, _| forged(&upstream, &request.target, &config));
    let error = user.pull(&format!("{}/lies:1", server.host())).unwrap_err();
    assert_eq!(kind_of(&error), FailureKind::Corrupt, "{error:#}");
    let store = user.store();
    assert!(store.images().unwrap().is_empty() && store.names().unwrap().is_empty());
    assert_eq!(fs::read_dir(store.root().join("tmp")).map_or(0, Iterator::count), 0);
}

/// The registry's answer, with another image configuration.
fn forged(upstream: &str, target: &str, config: &str) -> Reply {
    use std::io::{Read as _, Write as _};
    let digest = crate::library::model::digest::Digest::of(config.as_bytes());
    if target.ends_with(digest.as_str()) {
        return Reply::new(200, config);
    }
    let mut stream = std::net::TcpStream::connect(upstream).unwrap();
    let accept = crate::library::image::manifest::OCI_MANIFEST;
    write!(stream, "GET {target} HTTP/1.0\r\nHost: {upstream}\r\nAccept: {accept}\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
    let body = answer.split_off(end);
    if !target.contains("/manifests/") {
        return Reply::new(200, body);
    }
    let mut manifest: serde_json::Value = serde_json::from_slice(&body).unwrap();
    manifest["config"]["digest"] = digest.as_str().into();
    manifest["config"]["size"] = config.len().into();
    Reply::new(200, manifest.to_string()).header("Content-Type", accept)
}

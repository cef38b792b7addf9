//! Which servers hold a repository: `registries.conf` (version 2), docker's `daemon.json`, and defaults.
//!
//! See containers-registries.conf(5). Drop-in files replace entries with the same prefix; the user's
//! `registries.conf` replaces the system's.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Deserialize;
use ureq::http::Uri;

use super::proxy::{in_network, parse_network};
use super::text::{is_loopback, split_port};
use dhow_error::{Failure, FailureKind, invalid};
use dhow_model::environment::Environment;
use dhow_model::reference::{DEFAULT_REGISTRY, ImageReference};

/// The host that serves docker.io's API.
const DOCKER_HUB: &str = "registry-1.docker.io";

/// How to connect to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegistryTransport {
    /// HTTPS with a verified certificate.
    Verified,
    /// Plain HTTP if the server supports it, else HTTPS with a verified certificate; used for registries on
    /// loopback.
    Local,
    /// HTTPS with any certificate, else plain HTTP.
    Insecure,
    /// Plain HTTP, from a mirror's URL.
    Plain,
}

/// A server that may hold a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistryEndpoint {
    /// Host with optional port.
    pub host: String,
    /// The repository's path on this server.
    pub repository: String,
    pub transport: RegistryTransport,
    /// If a mirror fails, the next endpoint is tried.
    pub mirror: bool,
}

#[derive(Debug, Default)]
pub struct RegistriesConfig {
    entries: Vec<RegistryEntry>,
    docker: DaemonFile,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct RegistriesFile {
    registry: Vec<RegistryEntry>,
    registries: Option<toml::Value>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct RegistryEntry {
    prefix: String,
    location: String,
    insecure: bool,
    blocked: bool,
    mirror: Vec<MirrorEntry>,
    mirror_by_digest_only: bool,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct MirrorEntry {
    location: String,
    insecure: bool,
    pull_from_mirror: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct DaemonFile {
    insecure_registries: Vec<String>,
    registry_mirrors: Vec<String>,
}

impl RegistriesConfig {
    /// Reads the configuration files of the user of `environment`. Missing files are skipped; a malformed
    /// file is an error that names it.
    pub fn load(environment: &Environment) -> Result<Self> {
        let mut registries = Self::default();
        for file in registries_files(environment)? {
            if let Some(text) = read_optional(&file)? {
                registries.merge(&text).with_context(|| {
                    format!("cannot use the registries' configuration `{}`", file.display())
                })?;
            }
        }
        let user = environment.config_home().map(|dir| dir.join("docker/daemon.json"));
        for file in [Some("/etc/docker/daemon.json".into()), user].into_iter().flatten() {
            if let Some(text) = read_optional(&file)? {
                registries.merge_daemon(&text).with_context(|| format!("cannot use `{}`", file.display()))?;
            }
        }
        Ok(registries)
    }

    fn merge(&mut self, text: &str) -> Result<()> {
        let file: RegistriesFile = toml::from_str(text).map_err(|error| invalid(error.message()))?;
        if file.registries.is_some() {
            return Err(invalid("it has the format of version 1 (`[registries.…]`)")
                .hint("write one [[registry]] table for each registry: man 5 containers-registries.conf")
                .into());
        }
        for mut entry in file.registry {
            if entry.prefix.is_empty() {
                entry.prefix = entry.location.clone();
            }
            if entry.prefix.is_empty() {
                return Err(invalid("a [[registry]] has neither `prefix` nor `location`").into());
            }
            entry.prefix = entry.prefix.trim_end_matches('/').to_owned();
            // Later files (drop-ins) replace entries with the same prefix.
            self.entries.retain(|old| old.prefix != entry.prefix);
            self.entries.push(entry);
        }
        Ok(())
    }

    fn merge_daemon(&mut self, text: &str) -> Result<()> {
        let file: DaemonFile = serde_json::from_str(text).map_err(|error| invalid(error.to_string()))?;
        self.docker.insecure_registries.extend(file.insecure_registries);
        self.docker.registry_mirrors.extend(file.registry_mirrors);
        Ok(())
    }

    /// The servers to try for `reference`, in order; the registry itself comes last. An error of kind denied
    /// if it is blocked.
    pub fn endpoints(&self, reference: &ImageReference) -> Result<Vec<RegistryEndpoint>> {
        let name = format!("{}/{}", reference.registry(), reference.repository());
        let Some(entry) = self.entry(reference) else {
            // docker's mirrors apply only if registries.conf does not configure the registry.
            let mut endpoints = self.docker_mirrors(reference);
            endpoints.push(self.endpoint(&name, false, false)?);
            return Ok(endpoints);
        };
        if entry.blocked {
            return Err(Failure::new(
                FailureKind::Denied,
                format!("registry {} is blocked", reference.registry()),
            )
            .hint(format!("registries.conf says so for `{}`", entry.prefix))
            .into());
        }
        let mut endpoints = Vec::new();
        for mirror in entry.mirror.iter().filter(|mirror| mirror.serves(reference, entry)) {
            let location = entry.rewrite(&name, &mirror.location);
            endpoints.push(self.endpoint(&location, mirror.insecure, true)?);
        }
        let location = if entry.location.is_empty() { &entry.prefix } else { &entry.location };
        endpoints.push(self.endpoint(&entry.rewrite(&name, location), entry.insecure, false)?);
        Ok(endpoints)
    }

    /// The transport for the registry `host[:port]` itself, for login.
    pub fn transport(&self, registry: &str) -> RegistryTransport {
        let configured = self.entries.iter().any(|entry| entry.insecure && entry.prefix == registry);
        self.transport_of(registry, configured)
    }

    /// The matching entry with the longest prefix.
    fn entry(&self, reference: &ImageReference) -> Option<&RegistryEntry> {
        let name = reference.to_string();
        self.entries
            .iter()
            .filter(|entry| entry.covers(&name, reference.registry()))
            .max_by_key(|entry| entry.prefix.len())
    }

    fn endpoint(&self, location: &str, insecure: bool, mirror: bool) -> Result<RegistryEndpoint> {
        // Parsing it as a reference validates the characters of host and path.
        let parsed: ImageReference = location
            .parse()
            .with_context(|| format!("the location `{}` of registries.conf", location.escape_debug()))?;
        let host = api_host(parsed.registry());
        let transport = self.transport_of(host, insecure);
        Ok(RegistryEndpoint {
            host: host.to_owned(),
            repository: parsed.repository().to_owned(),
            transport,
            mirror,
        })
    }

    fn transport_of(&self, host: &str, insecure: bool) -> RegistryTransport {
        let name = split_port(host).0;
        let listed = || self.docker.insecure_registries.iter().any(|item| matches_insecure(item, host, name));
        match insecure || listed() {
            true => RegistryTransport::Insecure,
            false if is_loopback(name) => RegistryTransport::Local,
            false => RegistryTransport::Verified,
        }
    }

    fn docker_mirrors(&self, reference: &ImageReference) -> Vec<RegistryEndpoint> {
        if reference.registry() != DEFAULT_REGISTRY {
            return Vec::new();
        }
        let mirror = |url: &String| {
            let url: Uri = url.parse().ok()?;
            let host = url.authority()?.as_str().to_owned();
            let plain = url.scheme_str() == Some("http");
            let transport = if plain { RegistryTransport::Plain } else { self.transport_of(&host, false) };
            Some(RegistryEndpoint {
                host,
                repository: reference.repository().to_owned(),
                transport,
                mirror: true,
            })
        };
        self.docker.registry_mirrors.iter().filter_map(mirror).collect()
    }
}

/// The host that serves the registry's API.
pub fn api_host(registry: &str) -> &str {
    if registry == DEFAULT_REGISTRY { DOCKER_HUB } else { registry }
}

fn matches_insecure(item: &str, host: &str, name: &str) -> bool {
    if let Some((network, bits)) = parse_network(item) {
        return name.parse::<IpAddr>().is_ok_and(|address| in_network(address, network, bits));
    }
    let item = item.trim_start_matches("http://").trim_start_matches("https://").trim_end_matches('/');
    item.eq_ignore_ascii_case(host)
}

impl RegistryEntry {
    fn covers(&self, name: &str, registry: &str) -> bool {
        if let Some(domain) = self.prefix.strip_prefix("*.") {
            let host = split_port(registry).0;
            return host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.') && rest.len() > 1);
        }
        let Some(rest) = name.strip_prefix(self.prefix.as_str()) else { return false };
        rest.is_empty()
            || rest.starts_with(['/', ':', '@'])
            // A bare host as a prefix matches only the default port.
            && !(self.prefix == split_port(registry).0 && registry != self.prefix)
    }

    /// Replaces the prefix of `name` (registry and repository) by `location`.
    fn rewrite(&self, name: &str, location: &str) -> String {
        let location = location.trim_end_matches('/');
        if location.is_empty() || self.prefix.starts_with("*.") && location == self.prefix {
            return name.to_owned();
        }
        let rest = if self.prefix.starts_with("*.") {
            name.split_once('/').map_or("", |(_, path)| path)
        } else {
            name.strip_prefix(self.prefix.as_str()).unwrap_or_default().trim_start_matches('/')
        };
        if rest.is_empty() { location.to_owned() } else { format!("{location}/{rest}") }
    }
}

impl MirrorEntry {
    fn serves(&self, reference: &ImageReference, entry: &RegistryEntry) -> bool {
        let by_digest = reference.digest().is_some();
        match self.pull_from_mirror.as_str() {
            "digest-only" => by_digest,
            "tag-only" => !by_digest,
            _ => by_digest || !entry.mirror_by_digest_only,
        }
    }
}

fn registries_files(environment: &Environment) -> Result<Vec<PathBuf>> {
    if let Some(file) = environment.path("CONTAINERS_REGISTRIES_CONF") {
        return Ok(vec![file]);
    }
    let system = PathBuf::from("/etc/containers");
    let user = environment.config_home().map(|dir| dir.join("containers"));
    let main = user
        .iter()
        .map(|dir| dir.join("registries.conf"))
        .find(|file| file.is_file())
        .unwrap_or_else(|| system.join("registries.conf"));
    let mut files = vec![main];
    for directory in std::iter::once(&system).chain(&user) {
        files.extend(drop_ins(&directory.join("registries.conf.d"))?);
    }
    Ok(files)
}

fn drop_ins(directory: &Path) -> Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(|| format!("cannot read `{}`", directory.display())),
    };
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "conf"))
        .collect();
    // Drop-ins apply in lexical order.
    files.sort();
    Ok(files)
}

fn read_optional(path: &Path) -> Result<Option<String>> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read `{}`", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registries(text: &str) -> RegistriesConfig {
        let mut registries = RegistriesConfig::default();
        registries.merge(text).unwrap();
        registries
    }

    fn hosts(registries: &RegistriesConfig, reference: &str) -> Vec<String> {
        let endpoints = registries.endpoints(&reference.parse().unwrap()).unwrap();
        endpoints.iter().map(|e| format!("{}/{} {:?}", e.host, e.repository, e.transport)).collect()
    }

    #[test]
    fn without_configuration() {
        let none = RegistriesConfig::default();
        assert_eq!(hosts(&none, "debian"), ["registry-1.docker.io/library/debian Verified"]);
        assert_eq!(hosts(&none, "r.example:5000/a/b"), ["r.example:5000/a/b Verified"]);
        assert_eq!(hosts(&none, "127.0.0.1:5000/a"), ["127.0.0.1:5000/a Local"]);
        assert_eq!(hosts(&none, "localhost/a"), ["localhost/a Local"]);
    }

    #[test]
    fn mirrors_come_first_in_order() {
        let set = registries(
            r#"
            unqualified-search-registries = ["docker.io"]
            [[registry]]
            location = "docker.io"
            [[registry.mirror]]
            location = "one.example:5000/hub"
            insecure = true
            [[registry.mirror]]
            location = "two.example"
            pull-from-mirror = "digest-only"
            [[registry]]
            prefix = "docker.io/library/debian"
            location = "own.example/os/debian"
            "#,
        );
        assert_eq!(
            hosts(&set, "busybox"),
            [
                "one.example:5000/hub/library/busybox Insecure",
                "registry-1.docker.io/library/busybox Verified"
            ]
        );
        assert_eq!(hosts(&set, "debian:12"), ["own.example/os/debian Verified"]);
        assert_eq!(hosts(&set, "debianx"), hosts(&set, "busybox").map_last("debianx"));
        let pinned = format!("busybox@sha256:{}", "a".repeat(64));
        assert_eq!(hosts(&set, &pinned).len(), 3);
    }

    trait MapLast {
        fn map_last(self, name: &str) -> Vec<String>;
    }

    impl MapLast for Vec<String> {
        fn map_last(self, name: &str) -> Vec<String> {
            self.into_iter().map(|text| text.replace("busybox", name)).collect()
        }
    }

    #[test]
    fn wildcards_ports_and_blocks() {
        let set = registries(
            r#"
            [[registry]]
            prefix = "*.corp.example"
            insecure = true
            [[registry]]
            prefix = "bad.example"
            blocked = true
            [[registry]]
            prefix = "*.moved.example"
            location = "new.example/old"
            "#,
        );
        assert_eq!(hosts(&set, "a.corp.example:5000/x"), ["a.corp.example:5000/x Insecure"]);
        assert_eq!(hosts(&set, "corp.example/x"), ["corp.example/x Verified"]);
        assert_eq!(hosts(&set, "a.moved.example/x/y"), ["new.example/old/x/y Verified"]);
        assert_eq!(hosts(&set, "bad.example:5000/x"), ["bad.example:5000/x Verified"]);
        let error = set.endpoints(&"bad.example/x".parse().unwrap()).unwrap_err();
        assert_eq!(dhow_error::kind_of(&error), FailureKind::Denied);
    }

    #[test]
    fn a_later_file_replaces_an_entry() {
        let mut set = registries("[[registry]]\nlocation='r.example'\ninsecure=true\n");
        set.merge("[[registry]]\nprefix='r.example/'\n").unwrap();
        assert_eq!(hosts(&set, "r.example/x"), ["r.example/x Verified"]);
    }

    #[test]
    fn the_daemons_file_counts_too() {
        let mut set = RegistriesConfig::default();
        set.merge_daemon(
            r#"{"insecure-registries":["r.example:5000","10.0.0.0/8"],"registry-mirrors":["http://m.example:1/"],"debug":true}"#,
        )
        .unwrap();
        assert_eq!(hosts(&set, "r.example:5000/a"), ["r.example:5000/a Insecure"]);
        assert_eq!(hosts(&set, "10.1.2.3/a"), ["10.1.2.3/a Insecure"]);
        assert_eq!(hosts(&set, "11.1.2.3/a"), ["11.1.2.3/a Verified"]);
        assert_eq!(
            hosts(&set, "a"),
            ["m.example:1/library/a Plain", "registry-1.docker.io/library/a Verified"]
        );
    }

    #[test]
    fn malformed_files_say_why() {
        let mut set = RegistriesConfig::default();
        for bad in ["[[registry]]\n", "x = ", "[registries.search]\nregistries = ['x']", "registry = 1"] {
            assert!(set.merge(bad).is_err(), "{bad}");
        }
        set.merge("[[registry]]\nlocation = 'A B/../x'").unwrap();
        assert!(set.merge_daemon("[").is_err());
    }
}

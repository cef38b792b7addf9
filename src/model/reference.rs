//! Image references: `[registry[:port]/]repository[:tag][@digest]`, parsed and normalised as docker does.
//!
//! The grammar is that of the distribution project's reference package: a first component with a dot, a colon
//! or the name `localhost` is a registry; everything else is on docker.io, single components in its
//! `library/`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::digest::Digest;
use dhow_error::{Failure, invalid};

/// The registry of names that do not include one.
pub const DEFAULT_REGISTRY: &str = "docker.io";
/// The tag if neither tag nor digest is given.
pub const DEFAULT_TAG: &str = "latest";

/// A normalised reference. Without tag and digest it names a whole repository; see
/// [`ImageReference::or_latest`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ImageReference {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

impl ImageReference {
    /// Host and optional port; `docker.io` for Docker Hub.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// With `library/` for Docker's official images.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// Adds the tag `latest` if there is neither tag nor digest.
    #[must_use]
    pub fn or_latest(mut self) -> Self {
        if self.tag.is_none() && self.digest.is_none() {
            self.tag = Some(DEFAULT_TAG.into());
        }
        self
    }

    /// The same repository with this tag, without a digest. Fails on a malformed tag.
    pub fn with_tag(&self, tag: &str) -> Result<Self, Failure> {
        check_tag(tag)?;
        Ok(Self { tag: Some(tag.into()), digest: None, ..self.clone() })
    }

    /// The same repository with this digest, without a tag.
    #[must_use]
    pub fn with_digest(&self, digest: Digest) -> Self {
        Self { tag: None, digest: Some(digest), ..self.clone() }
    }

    /// The repository as people write it: without docker.io and `library/`.
    pub fn familiar_name(&self) -> String {
        if self.registry != DEFAULT_REGISTRY {
            return format!("{}/{}", self.registry, self.repository);
        }
        match self.repository.strip_prefix("library/") {
            // A short name that looks like an image ID would be parsed as one.
            Some(short) if !short.contains('/') && !is_identifier(short) => short.to_owned(),
            _ => self.repository.clone(),
        }
    }

    /// The whole reference as people write it.
    pub fn familiar(&self) -> String {
        self.with_suffix(self.familiar_name())
    }

    fn with_suffix(&self, mut text: String) -> String {
        if let Some(tag) = &self.tag {
            text = text + ":" + tag;
        }
        if let Some(digest) = &self.digest {
            text = text + "@" + digest.as_str();
        }
        text
    }
}

impl FromStr for ImageReference {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        parse(text)
            .map_err(|why| invalid(format!("invalid reference format: `{}`: {why}", text.escape_debug())))
    }
}

fn parse(text: &str) -> Result<ImageReference, String> {
    if is_identifier(text) {
        // As in docker: commands that accept both could not tell it from an ID.
        return Err("64 hexadecimal digits are an image ID, not a name".into());
    }
    let (rest, digest) = match text.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest.parse::<Digest>().map_err(|e| e.to_string())?)),
        None => (text, None),
    };
    let (name, tag) = match rest.rsplit_once(':') {
        // The colon of a registry's port is followed by a slash.
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (rest, None),
    };
    if let Some(tag) = tag {
        check_tag(tag).map_err(|e| e.to_string())?;
    }
    let (registry, repository) = split_registry(name)?;
    check_repository(&repository)?;
    // The limit of the distribution reference grammar, tag and digest not counted.
    if registry.len() + 1 + repository.len() > 255 {
        return Err("the name is longer than 255 characters".into());
    }
    Ok(ImageReference { registry, repository, tag: tag.map(str::to_owned), digest })
}

/// Whether `text` looks like an image ID.
fn is_identifier(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

fn split_registry(name: &str) -> Result<(String, String), String> {
    let (registry, path) = match name.split_once('/') {
        Some((first, path))
            if first.contains(['.', ':'])
                || first == "localhost"
                // Repositories are in lower case, so this can only be a host name.
                || first.bytes().any(|b| b.is_ascii_uppercase()) =>
        {
            (first, path)
        }
        _ => (DEFAULT_REGISTRY, name),
    };
    check_registry(registry)?;
    // index.docker.io is the old name of Docker Hub; both are stored as docker.io.
    if registry != DEFAULT_REGISTRY && registry != "index.docker.io" {
        return Ok((registry.into(), path.into()));
    }
    let path = if path.contains('/') || path.is_empty() { path.into() } else { format!("library/{path}") };
    Ok((DEFAULT_REGISTRY.into(), path))
}

fn check_registry(registry: &str) -> Result<(), String> {
    let bad = || format!("`{}` is not a registry's host name", registry.escape_debug());
    let (host, port) = split_port(registry);
    if let Some(port) = port
        && (port.is_empty() || port.len() > 5 || port.parse::<u16>().is_err())
    {
        return Err(bad());
    }
    if let Some(v6) = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
        return v6.parse::<std::net::Ipv6Addr>().map(drop).map_err(|_| bad());
    }
    let component = |c: &str| {
        !c.is_empty()
            && c.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !c.starts_with('-')
            && !c.ends_with('-')
    };
    if host.split('.').all(component) { Ok(()) } else { Err(bad()) }
}

fn split_port(registry: &str) -> (&str, Option<&str>) {
    match registry.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (registry, None),
    }
}

fn check_repository(repository: &str) -> Result<(), String> {
    if repository.is_empty() {
        return Err("the repository's name is missing".into());
    }
    // Checked apart for a clearer message, as docker does.
    if repository.bytes().any(|b| b.is_ascii_uppercase()) {
        return Err("a repository's name is in lower case".into());
    }
    for component in repository.split('/') {
        if !is_component(component.as_bytes()) {
            return Err(format!(
                "`{}` cannot be part of a repository's name (lower-case letters, digits, and between them `.`, `_`, `__` or dashes)",
                component.escape_debug()
            ));
        }
    }
    Ok(())
}

/// Alphanumeric runs joined by single separators: a dot, one or two underscores, or any number of dashes.
fn is_component(text: &[u8]) -> bool {
    let alphanumeric = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let ends_well = text.first().is_some_and(alphanumeric) && text.last().is_some_and(alphanumeric);
    ends_well
        && text.split(alphanumeric).all(|separator| {
            separator.iter().all(|b| *b == b'-')
                || separator == b"."
                || separator == b"_"
                || separator == b"__"
        })
}

fn check_tag(tag: &str) -> Result<(), Failure> {
    let first = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let rest = |b: u8| first(b) || b == b'.' || b == b'-';
    if tag.len() <= 128 && tag.bytes().next().is_some_and(first) && tag.bytes().all(rest) {
        return Ok(());
    }
    Err(invalid(format!(
        "`{}` is not a tag (letters, digits, `_`, `.`, `-`; at most 128)",
        tag.escape_debug()
    )))
}

impl fmt::Display for ImageReference {
    /// In full, with the registry.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.with_suffix(format!("{}/{}", self.registry, self.repository)))
    }
}

impl TryFrom<String> for ImageReference {
    type Error = Failure;

    fn try_from(text: String) -> Result<Self, Failure> {
        text.parse()
    }
}

impl From<ImageReference> for String {
    fn from(reference: ImageReference) -> Self {
        reference.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full(text: &str) -> String {
        text.parse::<ImageReference>().unwrap().or_latest().to_string()
    }

    #[test]
    fn normalises_as_docker_does() {
        assert_eq!(full("debian"), "docker.io/library/debian:latest");
        assert_eq!(full("debian:12"), "docker.io/library/debian:12");
        assert_eq!(full("index.docker.io/debian"), "docker.io/library/debian:latest");
        assert_eq!(full("grafana/grafana"), "docker.io/grafana/grafana:latest");
        assert_eq!(full("localhost/x"), "localhost/x:latest");
        assert_eq!(full("localhost:5000/x:y"), "localhost:5000/x:y");
        assert_eq!(full("[::1]:5000/x"), "[::1]:5000/x:latest");
        assert_eq!(full("127.0.0.1:5000/a/b__c/d--e.f"), "127.0.0.1:5000/a/b__c/d--e.f:latest");
        let hash = "a".repeat(64);
        assert_eq!(full(&format!("r.example/x:t@sha256:{hash}")), format!("r.example/x:t@sha256:{hash}"));
        assert_eq!(full(&format!("x@sha256:{hash}")), format!("docker.io/library/x@sha256:{hash}"));
    }

    #[test]
    fn familiar_form_drops_the_defaults() {
        for text in ["debian", "debian:12", "grafana/grafana:1", "localhost:5000/x", "dhow.local/demo"] {
            assert_eq!(text.parse::<ImageReference>().unwrap().familiar(), text);
        }
        assert_eq!("docker.io/library/a/b".parse::<ImageReference>().unwrap().familiar(), "library/a/b");
        let like_an_id = format!("library/{}", "b3".repeat(32));
        assert_eq!(like_an_id.parse::<ImageReference>().unwrap().familiar(), like_an_id);
    }

    #[test]
    fn refuses_the_malformed() {
        let long = format!("{}/x", "a".repeat(260));
        for bad in [
            "",
            ":",
            "@",
            "Debian",
            "a//b",
            "/a",
            "a/",
            "-a",
            "a-",
            "a..b",
            "a___b",
            "a:",
            "a:-x",
            "a b",
            "a:b c",
            "x@sha256:12",
            "a.b.:1/x",
            "host:99999/x",
            "host:/x",
            "a/../b",
            "a\n",
            "ä",
            "a:ü",
            &"a".repeat(64),
            &long,
            "[::g]/x",
            "x@",
        ] {
            assert!(bad.parse::<ImageReference>().is_err(), "{bad:?}");
        }
    }
}

//! A credentials file: docker's `config.json` or podman's `auth.json`, which have the same format.
//!
//! Other contents of the file are preserved.

use std::path::Path;

use anyhow::{Context, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize as _;
use serde_json::{Map, Value, json};

use super::DOCKER_HUB_KEY;
use crate::registry::auth::Credential;
use dhow_error::invalid;
use dhow_model::reference::DEFAULT_REGISTRY;
use dhow_store::atomic;

#[derive(Debug, Default)]
pub(super) struct AuthFile {
    content: Map<String, Value>,
}

impl AuthFile {
    /// Reads a file; `None` if it does not exist. An empty file counts as an empty object.
    pub(super) fn read(path: &Path) -> Result<Option<Self>> {
        let text = match std::fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("cannot read `{}`", path.display())),
        };
        if text.trim_ascii().is_empty() {
            return Ok(Some(Self::default()));
        }
        let content = serde_json::from_slice(&text)
            .map_err(|error| invalid(format!("the file `{}` is malformed: {error}", path.display())))?;
        Ok(Some(Self { content }))
    }

    /// Replaces the file, following symbolic links, by one with mode 0600.
    pub(super) fn write(&self, path: &Path) -> Result<()> {
        let mut text = Vec::new();
        let indented = serde_json::ser::PrettyFormatter::with_indent(b"\t");
        self.content.serialize(&mut serde_json::Serializer::with_formatter(&mut text, indented))?;
        text.push(b'\n');
        atomic::replace_user_file(path, &text).with_context(|| format!("cannot write `{}`", path.display()))
    }

    /// The helper for a registry: its `credHelpers` entry, else `credsStore`.
    pub(super) fn helper(&self, registry: &str) -> Option<&str> {
        let specific = self
            .content
            .get("credHelpers")
            .and_then(|helpers| registry_keys(registry).iter().find_map(|name| helpers.get(name)?.as_str()));
        specific.or_else(|| self.content.get("credsStore")?.as_str()).filter(|name| !name.is_empty())
    }

    /// The credential for a repository (`registry/path`), from the longest matching key.
    pub(super) fn credential(&self, repository: &str) -> Result<Option<Credential>> {
        let Some(auths) = self.content.get("auths").and_then(Value::as_object) else { return Ok(None) };
        let mut name = repository;
        loop {
            if let Some(entry) = find_entry(auths, name)
                && let Some(credential) = decode_credential(entry)?
            {
                return Ok(Some(credential));
            }
            match name.rsplit_once('/') {
                Some((shorter, _)) => name = shorter,
                None => return Ok(None),
            }
        }
    }

    pub(super) fn insert(&mut self, key: &str, credential: &Credential) {
        let entry = match credential {
            Credential::Password { username, password } => {
                json!({ "auth": STANDARD.encode(format!("{username}:{password}")) })
            }
            Credential::Identity(token) => json!({ "identitytoken": token }),
            Credential::Access(token) => json!({ "registrytoken": token }),
        };
        self.update_auths(|auths| auths.insert(key.to_owned(), entry));
    }

    /// Adds an empty entry for a credential stored by a helper, as docker does.
    pub(super) fn insert_placeholder(&mut self, key: &str) {
        self.update_auths(|auths| auths.insert(key.to_owned(), json!({})));
    }

    /// Removes the entry of a whole registry. Returns whether there was one.
    pub(super) fn remove(&mut self, registry: &str) -> bool {
        self.update_auths(|auths| {
            let before = auths.len();
            auths.retain(|key, _| !is_same_registry(key, registry));
            auths.len() < before
        })
    }

    /// Applies `change` to the `auths` object, creating it if needed.
    fn update_auths<T>(&mut self, change: impl FnOnce(&mut Map<String, Value>) -> T) -> T {
        let mut auths = match self.content.remove("auths") {
            Some(Value::Object(auths)) => auths,
            _ => Map::new(),
        };
        let result = change(&mut auths);
        self.content.insert("auths".into(), Value::Object(auths));
        result
    }
}

/// All keys under which a registry's entry may be stored.
fn registry_keys(registry: &str) -> Vec<&str> {
    if registry == DEFAULT_REGISTRY {
        vec![DOCKER_HUB_KEY, DEFAULT_REGISTRY, "index.docker.io"]
    } else {
        vec![registry]
    }
}

fn find_entry<'a>(auths: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    if let Some(exact) = registry_keys(name).into_iter().find_map(|name| auths.get(name)) {
        return Some(exact);
    }
    auths.iter().find(|(key, _)| is_same_registry(key, name)).map(|(_, value)| value)
}

/// Whether a key refers to the registry or repository `name`: old files have URLs with the API version as
/// path.
fn is_same_registry(key: &str, name: &str) -> bool {
    let bare = key.trim_start_matches("https://").trim_start_matches("http://").trim_end_matches('/');
    let bare = bare.trim_end_matches("/v1").trim_end_matches("/v2");
    registry_keys(name).contains(&key)
        || bare == name
        || name == DEFAULT_REGISTRY && bare == "index.docker.io"
}

fn decode_credential(entry: &Value) -> Result<Option<Credential>> {
    let text = |name: &str| entry.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    if let Some(token) = text("registrytoken") {
        return Ok(Some(Credential::Access(token.to_owned())));
    }
    if let Some(token) = text("identitytoken") {
        return Ok(Some(Credential::Identity(token.to_owned())));
    }
    if let (Some(username), Some(password)) = (text("username"), text("password")) {
        return Ok(Some(Credential::Password { username: username.into(), password: password.into() }));
    }
    let Some(auth) = text("auth") else { return Ok(None) };
    let decoded = STANDARD
        .decode(auth.trim())
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .ok_or_else(|| invalid("its `auth` is not base64"))?;
    let (username, password) =
        decoded.split_once(':').ok_or_else(|| invalid("its `auth` holds no password"))?;
    // docker trims NUL bytes here too.
    let password = password.trim_end_matches('\0');
    Ok(Some(Credential::Password { username: username.into(), password: password.into() }))
}

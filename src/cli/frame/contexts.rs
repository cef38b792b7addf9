//! docker's contexts: names of engines, as `docker context` keeps them below its configuration directory.
//!
//! ```text
//! config.json                       currentContext: the one that is used
//! contexts/meta/<sha256>/meta.json  one context; the directory's name is made from the context's
//! contexts/tls/<sha256>/<endpoint>/ its certificates
//! ```
//!
//! `default` is in no file. It is this engine.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::{Deserialize, Serialize as _};
use serde_json::{Map, Value};

use dhow_error::{Failure, invalid, not_found};
use dhow_model::digest::Digest;
use dhow_model::environment::Environment;
use dhow_store::atomic;

/// The context of this engine.
pub(crate) const DEFAULT: &str = "default";

/// Where docker's client looks for a daemon.
pub(crate) const DEFAULT_ADDRESS: &str = "unix:///var/run/docker.sock";

/// A context, in docker's format.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(crate) struct EngineContext {
    pub(crate) name: String,
    pub(crate) metadata: Map<String, Value>,
    /// By kind; docker's client uses `docker`.
    pub(crate) endpoints: Map<String, Value>,
}

impl EngineContext {
    /// This engine's. It has the address that `DOCKER_HOST` has, as in docker.
    pub(crate) fn this_engine(environment: &Environment) -> Self {
        let address = environment.text("DOCKER_HOST").unwrap_or(DEFAULT_ADDRESS);
        let endpoint = serde_json::json!({ "Host": address, "SkipTLSVerify": false });
        Self {
            name: DEFAULT.into(),
            metadata: Map::new(),
            endpoints: Map::from_iter([("docker".to_owned(), endpoint)]),
        }
    }

    /// The address of its engine; empty if it names none.
    pub(crate) fn address(&self) -> &str {
        let endpoint = self.endpoints.get("docker");
        endpoint.and_then(|endpoint| endpoint.get("Host")?.as_str()).unwrap_or_default()
    }

    pub(crate) fn description(&self) -> &str {
        self.metadata.get("Description").and_then(Value::as_str).unwrap_or_default()
    }
}

/// docker's configuration directory: `$DOCKER_CONFIG` or `~/.docker`.
pub(super) fn config_dir(environment: &Environment) -> Option<PathBuf> {
    environment.path("DOCKER_CONFIG").or_else(|| Some(environment.home()?.join(".docker")))
}

/// The context called `name`; an error of kind `NotFound` if there is none.
pub(crate) fn find(environment: &Environment, name: &str) -> anyhow::Result<EngineContext> {
    if name == DEFAULT {
        return Ok(EngineContext::this_engine(environment));
    }
    let missing = || not_found(format!("context \"{}\": context not found", name.escape_debug()));
    let file = metadata_dir(environment, name).ok_or_else(missing)?.join("meta.json");
    read_context(&file)?.ok_or_else(|| missing().into())
}

/// All contexts by name, this engine's first.
pub(crate) fn list(environment: &Environment) -> anyhow::Result<Vec<EngineContext>> {
    let mut found = BTreeMap::new();
    if let Some(dir) = config_dir(environment).map(|dir| dir.join("contexts/meta")) {
        let entries = match std::fs::read_dir(&dir) {
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            other => Some(other.with_context(|| format!("cannot read {}", dir.display()))?),
        };
        for entry in entries.into_iter().flatten() {
            if let Some(context) = read_context(&entry?.path().join("meta.json"))? {
                found.insert(context.name.clone(), context);
            }
        }
    }
    Ok(std::iter::once(EngineContext::this_engine(environment)).chain(found.into_values()).collect())
}

/// Where the context's record is; None without a home directory.
pub(crate) fn metadata_dir(environment: &Environment, name: &str) -> Option<PathBuf> {
    Some(config_dir(environment)?.join("contexts/meta").join(Digest::of(name.as_bytes()).hex()))
}

/// Where the context's certificates are; None without a home directory.
pub(crate) fn tls_dir(environment: &Environment, name: &str) -> Option<PathBuf> {
    Some(config_dir(environment)?.join("contexts/tls").join(Digest::of(name.as_bytes()).hex()))
}

/// The context that docker's configuration selects, if it selects one.
pub(crate) fn configured(environment: &Environment) -> Option<String> {
    let config = read_config(&config_dir(environment)?.join("config.json")).ok()?;
    let name = config.get("currentContext")?.as_str()?;
    Some(name.to_owned()).filter(|name| !name.is_empty())
}

/// Selects the context `name` in docker's configuration.
pub(crate) fn select(environment: &Environment, name: &str) -> anyhow::Result<()> {
    let dir = config_dir(environment).ok_or_else(|| {
        invalid("there is no place for docker's configuration: HOME is not set").hint("set DOCKER_CONFIG")
    })?;
    let file = dir.join("config.json");
    let mut config = read_config(&file)?;
    match name {
        DEFAULT => config.remove("currentContext"),
        name => config.insert("currentContext".into(), name.into()),
    };
    let mut text = Vec::new();
    let indented = serde_json::ser::PrettyFormatter::with_indent(b"\t");
    config.serialize(&mut serde_json::Serializer::with_formatter(&mut text, indented))?;
    atomic::replace_user_file(&file, &text).with_context(|| format!("cannot write {}", file.display()))
}

/// An empty object if there is no such file.
fn read_config(path: &Path) -> anyhow::Result<Map<String, Value>> {
    let Some(text) = read_file(path)?.filter(|text| !text.trim_ascii().is_empty()) else {
        return Ok(Map::new());
    };
    serde_json::from_slice(&text).map_err(|why| malformed(path, &why).into())
}

/// None if there is no such file.
fn read_context(path: &Path) -> anyhow::Result<Option<EngineContext>> {
    let Some(text) = read_file(path)? else { return Ok(None) };
    serde_json::from_slice(&text).map(Some).map_err(|why| malformed(path, &why).into())
}

fn read_file(path: &Path) -> anyhow::Result<Option<Vec<u8>>> {
    match std::fs::read(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

fn malformed(path: &Path, why: &serde_json::Error) -> Failure {
    invalid(format!("the file {} is malformed: {why}", path.display()))
}
